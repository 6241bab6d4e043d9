# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What people read of a fleet before and after an update."""

from __future__ import annotations

from typing import Any

from ansible_collections.hypercode.deploy.plugins.filter.fleet_report import fleet_report

ONE, TWO = {"id": "20261129T120000Z-aaaaaaaa", "version": "1"}, {"id": "20261129T130000Z-bbbbbbbb", "version": "2"}
COMMAND = "ansible-playbook back.yml --limit {host} -e to={release}"


def noted(now: Any = None, before: Any = None, **more: Any) -> dict[str, Any]:
    end = {"unreachable": True} if now is None else {"release": now}
    return {"__update_before": before or ONE, "__update_wanted": "2", "__update_end": end, **more}


def told(**hosts: dict[str, Any]) -> dict[str, Any]:
    return fleet_report(list(hosts), hosts, command=COMMAND)


def test_all_are_updated() -> None:
    found = told(web1=noted(TWO), web2=noted(TWO))
    assert (found["good"], found["bad"]) == (True, [])
    assert found["text"].splitlines() == [
        "host  version",
        "web1  2        updated",
        "web2  2        updated",
        "All 2 hosts are on version 2.",
    ]
    assert told(web1=noted(TWO))["text"].endswith("The host is on version 2.")


def test_one_failed_and_all_are_back() -> None:
    found = told(web1=noted(ONE), web2=noted(ONE, __update_error="app did not get healthy"), web3=noted(ONE))
    assert (found["good"], found["bad"]) == (False, ["web2"])
    assert found["text"].splitlines()[1:] == [
        "web1  1        as before",
        "web2  1        failed, and is back",
        "web3  1        as before",
        "The update to 2 failed on web2: app did not get healthy",
        "All 3 hosts are on version 1 again.",
    ]


def test_a_host_that_is_gone_is_named_with_what_to_do() -> None:
    found = told(web1=noted(ONE), web2=noted(None, __update_error="it is gone"), web3=noted(ONE))
    assert found["bad"] == ["web2"]
    assert "web2  not reached  failed" in found["text"]
    assert "2 of 3 hosts are on version 1 again." in found["text"]
    assert (
        "web2 could not go back to 1: it cannot be reached. Fix: when that is mended, ansible-playbook back.yml "
        "--limit web2 -e to=20261129T120000Z-aaaaaaaa" in found["text"]
    )


def test_a_way_back_that_failed_is_told() -> None:
    found = told(web1=noted(TWO, __update_back_error="the disk is full."), web2=noted(ONE, __update_error="broken"))
    assert found["bad"] == ["web1", "web2"]
    assert "web1 could not go back to 1: the disk is full. Fix: when" in found["text"]
    assert "1 of 2 hosts are on version 1 again." in found["text"]
    nobody = told(web1=noted(None, __update_error="gone"))
    assert "No host is known to be on the version that it had." in nobody["text"]


def test_a_host_that_goes_at_the_very_end_is_not_called_well() -> None:
    found = told(web1=noted(TWO), web2=noted(None))
    assert (found["good"], found["bad"]) == (False, ["web2"])
    assert "web2 cannot be reached any more" in found["text"]


def test_hosts_that_were_on_several_versions_before() -> None:
    hosts = {"web1": noted(ONE), "web2": noted(TWO, before=TWO, __update_error="broken")}
    assert "these are not one version: 1, 2." in told(**hosts)["text"]
    planned = fleet_report(list(hosts), hosts, stage="plan")["text"]
    assert "The hosts are not on one version now." in planned
    assert "web1  1    2     nothing to do" in planned


def test_the_plan_says_what_happens_to_which_service() -> None:
    hosts = {"web1": noted(ONE, __update_plan={"app": "replace: its image changed", "board": "start"})}
    planned = fleet_report(list(hosts), hosts, stage="plan")["text"]
    assert "app: replace: its image changed; board: start" in planned
    assert "not on one version" not in planned
