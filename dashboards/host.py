"""A server: disk, memory, processor, network, clock."""

from __future__ import annotations

from . import limits
from .board import Board
from .look import YES_NO
from .panels import BYTES, BYTES_PER_SECOND, NO_UNIT, PART, SECONDS, number, trend
from .queries import HOST, Query

_NAME = "{{host}}"
# As the rules have it: what lives in memory, or cannot be written to, does not fill up.
_DISKS = (
    f'{HOST}, fstype!~"tmpfs|ramfs|devtmpfs|overlay|squashfs|iso9660|erofs|efivarfs|fuse[.].*", mountpoint!~"/boot.*"'
)
_WRITABLE = f"unless hypercode_host_filesystem_readonly{{{HOST}}} == 1"
_BUSY = f'sum by (host) (rate(node_cpu_seconds_total{{{HOST}, mode!~"idle|iowait|steal"}}[5m]))'
_CORES = f'count by (host) (node_cpu_seconds_total{{{HOST}, mode="idle"}})'
_DAY = 24 * 3600
_LOOPBACK = f'{HOST}, device!="lo"'


def _pressure(kind: str) -> str:
    return f"max by (host) (rate(node_pressure_{kind}_seconds_total{{{HOST}}}[5m]))"


def _network(way: str) -> str:
    return f"sum by (host) (rate(hypercode_host_network_{way}_bytes_total{{{_LOOPBACK}}}[5m]))"


def _disk(way: str) -> str:
    return f"sum by (host) (rate(node_disk_{way}_bytes_total{{{HOST}}}[5m]))"


BOARD = Board(
    uid="hypercode-host",
    title="Host",
    about="Does the server answer, and has it room: disk, memory, processor?",
    rows=(
        (
            number(
                "Does it answer?",
                Query(f'max by (host) (max_over_time(up{{job!="probe", {HOST}}}[1m]))', _NAME),
                unit=NO_UNIT,
                words=YES_NO,
                alerts=["HostDown"],
                normal="✔ yes.",
                act="`ansible HOST -i inventories/production -m ping`; then the console of your provider.",
            ),
            number(
                "Disk that is left",
                Query(
                    f"min by (host) (hypercode_host_filesystem_avail_bytes{{{_DISKS}}}"
                    f" / (hypercode_host_filesystem_size_bytes{{{_DISKS}}} > 0) {_WRITABLE})",
                    _NAME,
                ),
                unit=PART,
                limits=limits.DISK_LEFT,
                decimals=0,
                alerts=["DiskAlmostFull", "DiskReadOnly"],
                normal="more than 20 %, on the fullest disk. Below 5 % and 10 GiB somebody is woken.",
                act="`df -h` on the host; the page says what may go.",
            ),
            number(
                "Disk that is left tomorrow",
                Query(
                    "min by (host) (predict_linear("
                    f"hypercode_host_filesystem_avail_bytes{{{_DISKS}}}[6h], {_DAY}) {_WRITABLE})",
                    _NAME,
                ),
                unit=BYTES,
                limits=limits.DISK_TOMORROW,
                decimals=0,
                alerts=["DiskFullSoon"],
                normal="about as much as today, if it goes on as in the last six hours.",
                act="less than nothing: it is full within a day. *Disks* shows which.",
            ),
            number(
                "Waits for memory",
                Query(f"max by (host) (rate(node_pressure_memory_stalled_seconds_total{{{HOST}}}[10m]))", _NAME),
                unit=PART,
                limits=limits.MEMORY_STALLED,
                decimals=1,
                alerts=["HostMemoryShort"],
                normal="0 % of the time.",
                act="all services are slow. *Fleet* shows which takes how much of its limit.",
            ),
            number(
                "Processor in use",
                Query(f"{_BUSY} / {_CORES}", _NAME),
                unit=PART,
                decimals=0,
                normal="less than 70 %.",
                act="*Who waits* says whether it matters.",
            ),
            number(
                "Clock is off by",
                Query(f"max by (host) (abs(node_timex_offset_seconds{{{HOST}}}))", _NAME),
                unit=SECONDS,
                limits=limits.CLOCK_OFFSET,
                alerts=["ClockWrong", "ClockNotSynchronised"],
                normal="thousandths of a second.",
                act="`timedatectl` on the host. Logins, certificates and backups go by it.",
            ),
        ),
        (
            trend(
                "Disks",
                [
                    Query(
                        f"min by (host, mountpoint) (hypercode_host_filesystem_avail_bytes{{{_DISKS}}})",
                        "{{host}} {{mountpoint}}",
                    )
                ],
                unit=BYTES,
                alerts=["DiskFullSoon", "DiskAlmostFull"],
                normal="level, with a step at each rollout and backup.",
                act="a slope that does not end: what grows? `sudo du -xhd2 /var | sort -h | tail`.",
            ),
            trend(
                "Files that can still be made (inodes)",
                [
                    Query(
                        f"min by (host, mountpoint) (hypercode_host_filesystem_files_free{{{_DISKS}}}"
                        f" / (hypercode_host_filesystem_files{{{_DISKS}}} > 0))",
                        "{{host}} {{mountpoint}}",
                    )
                ],
                unit=PART,
                limits=limits.INODES_LEFT,
                top=1,
                alerts=["DiskInodesLow"],
                normal="more than 50 %.",
                act="below 5 % no file can be made, however much room there is: `df -i`.",
            ),
        ),
        (
            trend(
                "Memory",
                [
                    Query(
                        f"max by (host) (node_memory_MemTotal_bytes{{{HOST}}}"
                        f" - node_memory_MemAvailable_bytes{{{HOST}}})",
                        "{{host}} in use",
                    ),
                    Query(f"max by (host) (node_memory_MemTotal_bytes{{{HOST}}})", "{{host}} all"),
                ],
                unit=BYTES,
                alerts=["HostMemoryShort"],
                normal="level, with room for a second copy of the largest service: a rollout needs that.",
                act="it rises steadily: *Soak* shows which service.",
            ),
            trend(
                "Who waits, and for what",
                [
                    Query(_pressure("cpu_waiting"), "{{host}} for the processor"),
                    Query(_pressure("memory_waiting"), "{{host}} for memory"),
                    Query(_pressure("io_waiting"), "{{host}} for the disk"),
                ],
                unit=PART,
                alerts=["HostMemoryShort"],
                normal="less than 10 % of the time.",
                act="memory is the worst of the three. The disk: a backup, or a database.",
            ),
        ),
        (
            trend(
                "Network",
                [Query(_network("receive"), "{{host}} in"), Query(_network("transmit"), "{{host}} out")],
                unit=BYTES_PER_SECOND,
                normal="follows the requests; more during a backup or a rollout.",
                act="much goes out and nobody knows why? Look at *Edge* for requests, then at the services.",
            ),
            trend(
                "Disk reads and writes",
                [Query(_disk("read"), "{{host}} read"), Query(_disk("written"), "{{host}} written")],
                unit=BYTES_PER_SECOND,
                normal="some MiB a second; more at 02:00, when the backup is made.",
                act="high all the time: a database that spills, or memory that is short.",
            ),
        ),
    ),
)
