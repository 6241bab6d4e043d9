# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Caddyfile is one that Caddy itself takes, and says what was meant: real Caddy reads it."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.storage import ca_folder
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge import layout, render
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.caddy import Caddy
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.read import read_settings
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.settings import Settings
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.tree import texts, to_judge, wanted_tree
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.upstreams import upstream_files
from ansible_collections.hypercode.deploy.plugins.plugin_utils.dns.names import to_ascii

HASH = "$2b$10$" + "a" * 53
NEW, OLD = (2, 11), (2, 6)
SITES: list[dict[str, Any]] = [
    {
        "name": "bücher.test",
        "aliases": ["www.app.test"],
        "certificate": "internal",
        "headers": {"X-Frame-Options": "", "X-Quote": 'say "hi" \\ back'},
        "routes": [
            {"path": "/", "service": "app", "port": 8000},
            {"path": "/api", "service": "app", "port": 9000, "websocket": False, "auth": {"users": {"ops": HASH}}},
            {"path": "/api/v2", "service": "other", "port": 80, "timeout": 7},
        ],
    },
    {"name": "b.example.com", "service": "other", "port": 80},
]


@pytest.fixture(scope="module")
def caddy() -> Caddy:
    program = shutil.which("caddy", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("caddy is not installed: scripts/test makes an environment that has it")
    return Caddy(program)


def settings(**options: Any) -> Settings:
    found, findings = read_settings({"sites": SITES, "acme_email": "ops@example.com", **options}, to_ascii)
    assert findings == []
    return found


def judged(caddy: Caddy, wanted: Settings, tmp_path: Path, *, live: bool = True) -> str:
    upstreams = upstream_files(wanted.upstreams, {"app": ["172.18.0.2", "[2001:db8::2]"]}, live=live)
    return caddy.judge(to_judge(wanted, texts(wanted, NEW, {}), upstreams, layout.Paths(tmp_path)), tmp_path)


def adapted(caddy: Caddy, wanted: Settings, tmp_path: Path, bridges: dict[str, str] | None = None) -> Any:
    paths = layout.Paths(tmp_path)
    for path, text in texts(wanted, NEW, bridges or {}).items():
        paths.at(path).parent.mkdir(parents=True, exist_ok=True)
        paths.at(path).write_text(text, encoding="utf-8")
    for name, text in upstream_files(wanted.upstreams, {"app": ["172.18.0.2"]}, live=False).items():
        (paths.at(layout.UPSTREAMS)).mkdir(exist_ok=True)
        (paths.at(layout.UPSTREAMS) / name).write_text(text, encoding="utf-8")
    return Caddy(caddy.binary, paths).adapted()


def handlers(node: Any, name: str) -> list[dict[str, Any]]:
    """Every handler of a kind, however deep, in its order."""
    found = []
    if isinstance(node, dict):
        found += [node] if node.get("handler") == name else []
        for item in node.values():
            found += handlers(item, name)
    elif isinstance(node, list):
        for item in node:
            found += handlers(item, name)
    return found


def test_caddy_takes_it(caddy: Caddy, tmp_path: Path) -> None:
    assert (
        judged(caddy, settings(trusted_proxies=["192.0.2.0/24"], headers={"Referrer-Policy": "no-referrer"}), tmp_path)
        == ""
    )


def test_caddy_says_what_is_wrong(caddy: Caddy, tmp_path: Path) -> None:
    files = {"Caddyfile": "app.test {\n\tno_such_thing\n}\n"}
    assert "unrecognized directive: no_such_thing" in caddy.judge(files, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_is_not_there_is_seen(caddy: Caddy, tmp_path: Path) -> None:
    site = {**SITES[1], "certificate": "files", "certificate_file": "/no/such.crt", "key_file": "/no/such.key"}
    assert "/no/such.crt" in judged(caddy, settings(sites=[site]), tmp_path)


def test_what_comes_through_dns_may_be_missing_while_it_is_judged(caddy: Caddy, tmp_path: Path) -> None:
    challenge = {"provider": "rfc2136", "server": "192.0.2.53", "key_name": "k", "key": "c2VjcmV0"}
    site = {**SITES[1], "name": "*.example.com", "certificate": "acme_dns"}
    wanted = settings(sites=[site], dns_challenge=challenge)
    assert judged(caddy, wanted, tmp_path) == ""
    assert "c2VjcmV0" not in json.dumps(
        {path: text for path, text in texts(wanted, NEW, {}).items() if path != layout.DNS_ENV}
    )


def test_the_longest_path_comes_first_and_each_leads_where_it_should(caddy: Caddy, tmp_path: Path) -> None:
    document = adapted(caddy, settings(), tmp_path)
    found = handlers(document["apps"]["http"]["servers"], "reverse_proxy")
    assert [[up["dial"] for up in proxy.get("upstreams", [])] for proxy in found[:3]] == [
        [],  # /api/v2: nothing runs there
        ["172.18.0.2:9000"],
        ["172.18.0.2:8000"],
    ]
    assert [proxy["transport"]["response_header_timeout"] for proxy in found[:3]] == [7e9, 300e9, 300e9]
    assert ["stream_close_delay" in proxy for proxy in found[:3]] == [True, False, True]


def test_the_admin_endpoint_is_a_socket_and_nothing_is_kept(caddy: Caddy, tmp_path: Path) -> None:
    document = adapted(caddy, settings(), tmp_path)
    assert document["admin"] == {"listen": "unix//run/caddy/admin.socket", "config": {"persist": False}}


def test_modern_tls_only(caddy: Caddy, tmp_path: Path) -> None:
    servers = adapted(caddy, settings(), tmp_path)["apps"]["http"]["servers"]
    policies = [
        policy
        for server in servers.values()
        for policy in server.get("tls_connection_policies", [])
        if "match" in policy
    ]
    assert {policy.get("protocol_min", "tls1.2") for policy in policies} == {"tls1.2"}
    assert {suite for policy in policies for suite in policy["cipher_suites"]} == set(render.CIPHERS.split())


def test_answers_of_caddy_itself_have_the_same_headers(caddy: Caddy, tmp_path: Path) -> None:
    for server in adapted(caddy, settings(), tmp_path)["apps"]["http"]["servers"].values():
        for where in ("routes", "errors"):
            sets = json.dumps(handlers(server[where], "headers"))
            assert sets.count("Strict-Transport-Security") == 2, where
            assert 'say \\"hi\\" \\\\ back' in sets.replace("\\\\\\", "\\"), where


def test_a_bridge_serves_beside_what_is_managed(caddy: Caddy, tmp_path: Path) -> None:
    document = adapted(caddy, settings(), tmp_path, {"b.example.com": "/var/lib/caddy/bridge/b.example.com"})
    assert document["apps"]["tls"]["certificates"]["load_folders"] == ["/var/lib/caddy/bridge/b.example.com"]
    servers = document["apps"]["http"]["servers"].values()
    assert all(server["automatic_https"]["ignore_loaded_certificates"] for server in servers)


def test_an_old_caddy_gets_only_what_it_knows() -> None:
    text = render.caddyfile(settings(trusted_proxies=["192.0.2.0/24"]), OLD)
    assert "stream_close_delay" not in text
    assert "persist_config" not in text
    assert "trusted_proxies static" not in text
    assert "basicauth {" in render.users_file(settings(), OLD)
    assert "basic_auth {" in render.users_file(settings(), NEW)


def test_hashes_and_secrets_are_shown_in_no_diff() -> None:
    files = {file.path: file for file in wanted_tree(texts(settings(), NEW, {})).files}
    assert HASH not in files[layout.CADDYFILE].content.decode()
    assert HASH in files[layout.USERS].content.decode()
    assert files[layout.USERS].sensitive
    assert files[layout.USERS].mode == 0o640


@pytest.mark.parametrize(
    ("names", "contact"),
    [
        (("a.example.com", "b.example.com"), "hostmaster@a.example.com"),
        (("*.example.com",), "hostmaster@example.com"),
    ],
)
def test_the_ca_has_an_address_in_any_case(names: tuple[str, ...], contact: str) -> None:
    """Without one, names that are new at the same time fight over the account."""
    own = {**SITES[1], "name": "own.test", "certificate": "internal"}
    sites = [own, *({**SITES[1], "name": name} for name in names)]
    asked = {"certificate": "acme_dns", "dns_challenge": {"provider": "hetzner"}} if "*" in names[0] else {}
    found = settings(sites=sites, acme_email="", **asked)
    assert f"\temail {contact}\n" in render.caddyfile(found, NEW)
    assert json.loads(render.manifest(found, NEW))["acme_email"] == contact
    assert "email" not in render.caddyfile(settings(sites=[own], acme_email=""), NEW)


def test_what_others_watch() -> None:
    wanted = json.loads(render.certificates(settings()))
    assert wanted[0]["names"] == ["xn--bcher-kva.test", "www.app.test"]
    assert [(item["mode"], item["ca"]) for item in wanted] == [("internal", ""), ("acme", settings().acme_ca)]
    assert json.loads(render.manifest(settings(), NEW))["upstreams"] == {"app": [8000, 9000], "other": [80]}


def test_the_folder_of_a_ca_is_the_one_that_caddy_makes() -> None:
    assert ca_folder("https://acme-v02.api.letsencrypt.org/directory") == "acme-v02.api.letsencrypt.org-directory"
    assert ca_folder("https://192.0.2.1:14000/dir") == "192.0.2.1-14000-dir"
