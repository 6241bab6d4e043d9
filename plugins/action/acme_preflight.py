# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Looks at a host as a CA does, from the controller. Documented in plugins/modules/acme_preflight.py."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.addresses import is_address
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import Finding, errors, refusal
from ansible_collections.hypercode.deploy.plugins.modules.acme_preflight import ARGUMENTS
from ansible_collections.hypercode.deploy.plugins.plugin_utils.acme_network import (
    fetch_within,
    lookup_at_owners,
    lookup_with,
)
from ansible_collections.hypercode.deploy.plugins.plugin_utils.acme_reach import (
    Fetch,
    Host,
    Lookup,
    LookupFailedError,
    identities_of,
    judge,
)
from ansible_collections.hypercode.deploy.plugins.plugin_utils.lenient_action import LenientAction

_MODULE = "hypercode.deploy.acme_preflight"
# Tests ask other name servers, and other hosts.
make_lookup = lookup_with
make_again = lookup_at_owners
make_fetch = fetch_within
now = time.time


class ActionModule(LenientAction):
    """See the documentation of the module."""

    settings = MappingProxyType({"addresses": "edge_public_addresses", "resolvers": "edge_acme_resolvers"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Have the host put a token in place, look at it from here, and have the token taken away."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        self._task_vars = task_vars or {}
        options, findings = self.judged_options(ARGUMENTS, "edge_", self._no_addresses)
        result.update(changed=False, names=[], findings=[])
        if findings:
            return self._refused(result, findings)
        begin = now()
        opened = self.on_host(_MODULE, {**options, "phase": "open"}, self._task_vars)
        if opened.get("failed"):
            return {**result, **opened}
        # The question takes a while: half of it each way.
        skew = float(opened["clock"]) - (begin + now()) / 2 if opened["names"] else 0.0
        try:
            findings = self._judge(options, opened, skew)
        finally:
            if opened["token"]:
                self.on_host(_MODULE, {**options, "phase": "close", "token": opened["token"]}, self._task_vars)
        result.update(names=list(opened["names"]), findings=[finding.as_dict() for finding in findings])
        if opened.get("note"):
            result["warnings"] = [opened["note"]]
        return self._verdict(result, findings, fail=bool(options["fail_on_findings"]))

    def _no_addresses(self, options: Mapping[str, Any]) -> list[Finding]:
        """What is written in place of an address."""
        return [
            Finding("option", "error", setting, f"{setting} has '{text}', which is no address.", "Write 192.0.2.7.")
            for option, setting in self.settings.items()
            for text in options[option]
            if not is_address(text)
        ]

    def _verdict(self, result: dict[str, Any], findings: list[Finding], *, fail: bool) -> dict[str, Any]:
        if errors(findings) and fail:
            return self._refused(result, findings)
        result["warnings"] = [*result.get("warnings", []), *(one.text() for one in findings)]
        return result

    def _refused(self, result: dict[str, Any], findings: list[Finding]) -> dict[str, Any]:
        outcome = f"No CA was asked for a certificate of {self._host_name()}, and its sites go on as they were"
        return {**result, **refusal(findings, outcome), "failed": True}

    def _judge(self, options: Mapping[str, Any], opened: Mapping[str, Any], skew: float) -> list[Finding]:
        if not opened["names"]:
            return []
        lookup: Lookup = make_lookup(options["resolvers"])
        fetch: Fetch = make_fetch(options["timeout"])
        host = Host(
            name=self._host_name(),
            names=opened["names"],
            addresses=self._addresses(options, opened, lookup),
            holders=opened["holders"],
            token=opened["token"],
            clock_skew=skew,
            ports=(options["http_port"], options["https_port"]),
            identities=identities_of(options["ca"], options["caa_identities"]),
        )
        return judge(host, lookup, fetch, make_again(lookup, options["resolvers"]))

    def _addresses(self, options: Mapping[str, Any], opened: Mapping[str, Any], lookup: Lookup) -> list[str]:
        """All addresses of the host, those by which people know it first."""
        login = str(self._task_vars.get("ansible_host") or self._task_vars.get("inventory_hostname") or "")
        by_name: list[str] = []
        if login and not is_address(login):
            for kind in ("A", "AAAA"):
                try:
                    by_name += lookup(login, kind)
                except LookupFailedError:
                    # The inventory may name a host that only this machine knows.
                    continue
        found = [*options["addresses"], login, *by_name, *opened["addresses"]]
        return list(dict.fromkeys(str(ipaddress.ip_address(one)) for one in found if is_address(one)))

    def _host_name(self) -> str:
        return str(self._task_vars.get("inventory_hostname", "the host"))
