# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a packet is refused: logged with a limit, counted, dropped or answered."""

from __future__ import annotations

from collections.abc import Sequence

from .settings import Settings


def refused(settings: Settings, where: str, verdicts: Sequence[str]) -> list[str]:
    """The rules at the end of a way. Broadcasts are not worth a line in the log, nor an answer."""
    rate = settings.log_rate
    log = f'limit rate {rate}/minute burst {max(rate, 5)} packets log prefix "hypercode {where}: "'
    return ["meta pkttype { broadcast, multicast } drop", *([log] if rate else []), *("counter", *verdicts)]
