# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bad settings of the edge: each gives one finding with its place and its fix, and all come at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.names import hostname, is_public
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.read import read_settings, secrets_in
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.settings import (
    LETS_ENCRYPT,
    Route,
)
from ansible_collections.hypercode.deploy.plugins.modules.edge_apply import ARGUMENTS
from ansible_collections.hypercode.deploy.plugins.plugin_utils.dns.names import to_ascii

DEFAULTS = Path(__file__).resolve().parents[6] / "roles" / "edge" / "defaults" / "main.yml"
HASH = "$2b$10$" + "a" * 53
APP = {"name": "app.example.com", "service": "app", "port": 8000}


def site(**entry: Any) -> dict[str, Any]:
    return {"sites": [{**APP, **entry}]}


@pytest.mark.parametrize(
    ("options", "rule", "words"),
    [
        ({"sites": [APP, {**APP, "name": "APP.example.com"}]}, "duplicate", "has the name app.example.com"),
        (site(aliases=["app.example.com"]), "duplicate", "app.example.com twice"),
        (site(name="a b.example.com"), "name", "'a b' is no part of a name"),
        (site(name=""), "name", "it is empty or no text"),
        (site(name="https://app.example.com"), "name", "an address with more than a name"),
        (site(name="*.com"), "name", "all names of a top-level domain"),
        (site(name="app..example.com"), "name", "two dots in a row"),
        (site(name="*.example.com"), "wildcard", "through DNS only"),
        (site(name="app.test"), "private-name", "app.test, for which no public CA"),
        (site(name="192.0.2.1"), "private-name", "192.0.2.1, for which no public CA"),
        (site(certificate="letsencrypt"), "edge-setting", "'letsencrypt'"),
        (site(certificate="files"), "edge-setting", "lacks certificate_file or key_file"),
        (site(certificate_file="/a.crt", key_file="/a.key"), "edge-setting", "gets its certificate by acme"),
        (site(certificate="files", certificate_file="a.crt", key_file="/a.key"), "edge-setting", "is 'a.crt'"),
        (site(certificate="acme_dns"), "edge-setting", "nothing says who changes DNS"),
        (site(port=0), "edge-setting", "Write a whole number from 1 to 65535"),
        (site(body_limit="10"), "edge-setting", "is '10', which is no size"),
        (site(headers={"X Y": "z"}), "edge-setting", "'X Y', which is no name of a header"),
        (site(headers={"X": "a\nb"}), "edge-setting", "is not one line of text"),
        (site(headers={"X": "{http.request.uri}"}), "edge-setting", "has braces"),
        (site(auth={"users": {}}), "edge-setting", "nobody could log in"),
        (site(auth={"users": {"ops": "plain"}}), "no-hash", "Passwords never stand in settings"),
        (site(colour="red"), "edge-setting", "unknown key colour"),
        (site(routes=[{"service": "b", "port": 1}]), "edge-setting", "beside routes"),
        ({"sites": [{"name": "a.example.com"}]}, "edge-setting", "leads nowhere"),
        ({"sites": "app"}, "edge-setting", "not a list"),
        ({**site(), "known_services": ["apps", "db"]}, "unknown-service", "Did you mean apps?"),
        ({**site(), "acme_ca": "http://ca"}, "edge-setting", "no https address"),
        ({**site(), "acme_email": "me"}, "edge-setting", "'me', which is no address"),
        ({**site(), "drain_timeout": -1}, "edge-setting", "edge_drain_timeout"),
        ({**site(), "trusted_proxies": ["all"]}, "edge-setting", "edge_trusted_proxies[0]"),
        ({**site(), "dns_challenge": {"provider": "rfc2136"}}, "edge-setting", "edge_dns_challenge.key is missing"),
        ({**site(), "dns_challenge": {"provider": "hetzner", "key": "abcdef"}}, "edge-setting", "settings of rfc2136"),
        ({**site(), "dns_challenge": {"provider": "x y"}}, "edge-setting", "edge_dns_challenge.provider"),
    ],
)
def test_each_fault_has_its_finding(options: dict[str, Any], rule: str, words: str) -> None:
    findings = read_settings(options)[1]
    assert [finding.rule for finding in findings if words in finding.message + finding.fix] == [rule], findings
    assert all(finding.fix and finding.name.startswith("edge_") for finding in findings)


def test_all_faults_come_at_once_and_none_repeats_a_secret() -> None:
    users = {"auth": {"users": {"ops": "canary-password"}}}
    options = {"sites": [{**APP, "port": "x"}, {**APP, **users, "name": "b.example.com"}], "acme_ca": "ftp://x"}
    findings = read_settings(options)[1]
    assert len(findings) == 3
    assert "canary" not in " ".join(finding.text() for finding in findings)
    assert set(secrets_in(options)) == {"canary-password"}


def test_paths_of_one_site_differ() -> None:
    twice = [{"path": path, "service": "a", "port": 1} for path in ("/api", "/api/")]
    findings = read_settings({"sites": [{"name": "a.example.com", "routes": twice}]})[1]
    assert [finding.rule for finding in findings] == ["duplicate"]


@pytest.mark.parametrize("path", ["api", "/a*", "/a b", "/a//b", "/a/../b", '/a"'])
def test_a_path_is_the_beginning_of_one(path: str) -> None:
    routes = [{"path": path, "service": "a", "port": 1}]
    assert read_settings({"sites": [{"name": "a.example.com", "routes": routes}]})[1]


def test_a_site_reads_as_it_is_meant() -> None:
    entry = {
        "name": "App.Example.com.",
        "auth": {"users": {"ops": HASH}},
        "routes": [
            {"path": "/", "service": "app", "port": 8000, "timeout": 5},
            {"path": "/open/", "service": "app", "port": "9", "auth": False, "websocket": "no"},
        ],
    }
    settings, findings = read_settings({"sites": [entry]})
    assert findings == []
    found = settings.sites[0]
    assert found.names == ("app.example.com",)
    assert found.routes == (
        Route("/", "app", 8000, users=(("ops", HASH),), timeout=5),
        Route("/open", "app", 9, websocket=False),
    )
    assert settings.upstreams == {"app": (9, 8000)}
    assert settings.acme_ca == LETS_ENCRYPT


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("bücher.example", "xn--bcher-kva.example"),
        ("例え.jp", "xn--r8jz45g.jp"),
        ("*.Example.COM.", "*.example.com"),
        ("localhost", "localhost"),
    ],
)
def test_names_are_as_dns_has_them(written: str, name: str) -> None:
    assert hostname(written, to_ascii) == name
    # As the host gets it.
    assert hostname(name) == name


@pytest.mark.parametrize(
    "written", ["straße.de", "Straße.DE", "ςίγμα.gr", "xn--strae-oqa.de", "BÜCHER.example", "a.de"]
)
def test_a_name_is_the_same_here_and_in_its_records(written: str) -> None:
    assert hostname(written, to_ascii) == to_ascii(written)
    assert hostname(f"*.{written}", to_ascii) == to_ascii(f"*.{written}")


@pytest.mark.parametrize("written", ["☃.net", "xn--a.example.com", "ü" * 70 + ".example"])
def test_a_name_that_dns_cannot_hold_is_refused(written: str) -> None:
    (finding,) = read_settings(site(name=written), to_ascii)[1]
    assert finding.message.startswith(f"edge_sites[{written}].name is '{written}': its part '")
    assert "is no IDN name: " in finding.message


def test_a_host_does_not_read_other_letters_in_a_way_of_its_own() -> None:
    with pytest.raises(ValueError, match="letters that DNS does not have"):
        hostname("straße.de")


def test_public_names() -> None:
    assert is_public("*.example.com")
    assert not any(map(is_public, ("localhost", "a.local", "a.internal", "192.0.2.1", "host")))


def test_rfc2136_becomes_what_lego_wants() -> None:
    challenge = {"provider": "rfc2136", "server": "2001:db8::53", "key_name": "k", "key": "c2VjcmV0"}
    settings, findings = read_settings({**site(), "dns_challenge": {**challenge, "resolvers": ["192.0.2.53"]}})
    assert findings == []
    assert settings.dns is not None
    assert dict(settings.dns.environment) == {
        "RFC2136_NAMESERVER": "[2001:db8::53]:53",
        "RFC2136_TSIG_ALGORITHM": "hmac-sha256.",
        "RFC2136_TSIG_KEY": "k",
        "RFC2136_TSIG_SECRET": "c2VjcmV0",
    }
    assert settings.dns.resolvers == ("192.0.2.53:53",)


def test_the_roles_defaults_are_the_modules() -> None:
    defaults = yaml.safe_load(DEFAULTS.read_text(encoding="utf-8"))
    same = set(ARGUMENTS) - {"state", "binary", "project", "known_services", "acme_ca_root", "headers"}
    assert {name: defaults[f"edge_{name}"] for name in same} == {name: ARGUMENTS[name]["default"] for name in same}
    assert (
        read_settings({**{name: defaults[f"edge_{name}"] for name in same}, "headers": defaults["edge_headers"]})[1]
        == []
    )
