"""What cannot work is refused with one message and the fix; the server is as reachable as before."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from checks.footprint import difference
from checks.operator import run


@pytest.fixture(autouse=True)
def as_before(desk, fresh):
    """After each refusal: the same login, the same server, the same inventory."""
    # The first login of a boot writes things of its own.
    assert desk.ssh(fresh, "root", password=fresh.password).output == "root"
    before, files = fresh.footprint(), desk.files()
    assert len(before["files"]) > 1000
    yield
    assert desk.ssh(fresh, "root", password=fresh.password).output == "root"
    assert difference(before, fresh.footprint()) == {}
    assert desk.files() == files


def refused(done, *words):
    """One message, one fix, no traceback, and what it has to name."""
    assert done.code == 1, done.output
    assert done.output.count("ERROR") == 1, done.output
    assert done.output.count("Fix: ") == 1, done.output
    assert "Traceback" not in done.output
    for word in words:
        assert word in done.output, done.output


def test_a_trace_would_be_seen(fresh):
    before = fresh.footprint()
    fresh.shell("touch /etc/hypercode-was-here")
    assert any("/etc/hypercode-was-here" in line for line in difference(before, fresh.footprint())["files"])
    # The folder's time of change is put back too.
    fresh.shell("rm /etc/hypercode-was-here; touch -d @0 /etc")
    fresh.shell(f"touch -d @{_etc_time(before)} /etc")


def _etc_time(footprint):
    return next(line.split()[5] for line in footprint["files"] if line.startswith("/etc d"))


def test_a_host_key_that_nobody_compared(desk, fresh):
    done = desk.onboard(fresh, "--password-file", desk.password_file(fresh))
    refused(done, "not known yet", fresh.fingerprint, "--host-key")


def test_another_host_key_than_was_said(desk, fresh, keyed):
    words = ("--host-key", keyed.fingerprint, "--password-file", desk.password_file(fresh))
    refused(desk.onboard(fresh, *words), "another host key", keyed.fingerprint, fresh.fingerprint)


def test_a_wrong_password(desk, fresh):
    wrong = desk.secret_file("wrong", "Not-The-Password-4711\n")
    done = desk.onboard(fresh, "--host-key", fresh.fingerprint, "--password-file", wrong)
    refused(done, "refused the password of root", "--password-file")
    assert "Not-The-Password-4711" not in done.output


def test_a_password_file_that_others_can_read(desk, fresh):
    open_to_all = desk.secret_file("open", f"{fresh.password}\n")
    open_to_all.chmod(0o644)
    done = desk.onboard(fresh, "--host-key", fresh.fingerprint, "--password-file", open_to_all)
    refused(done, "Others can read", "chmod 600")


def test_no_key_login_and_no_password(desk, fresh):
    refused(desk.onboard(fresh, "--host-key", fresh.fingerprint), "No key login works", "--password-file")


def test_a_key_with_wrong_permissions(desk, fresh):
    key = desk.home / "loose_key"
    shutil.copy(desk.key, key)
    key.chmod(0o644)
    done = desk.onboard(fresh, "--host-key", fresh.fingerprint, key=key)
    refused(done, "0644", f"chmod 600 {key}")


def test_a_system_that_is_not_supported(desk, keyed):
    keyed.shell("cp -a /etc/os-release /etc/os-release.kept && rm /etc/os-release")
    keyed.shell("printf 'ID=fedora\\nVERSION_ID=43\\nPRETTY_NAME=\"Fedora Linux 43\"\\n' > /etc/os-release")
    before = keyed.footprint()
    try:
        done = desk.onboard(keyed, "--host-key", keyed.fingerprint)
        refused(done, "Fedora Linux 43", "not supported", "debian 13")
        assert difference(before, keyed.footprint()) == {}
    finally:
        keyed.shell("mv /etc/os-release.kept /etc/os-release")
    assert desk.ssh(keyed, "root").output == "root"


def test_a_port_that_the_providers_firewall_closes(desk, fresh):
    """The server gets the packets, and its answers come nowhere: the same silence."""
    gateway = fresh.shell("ip route show default").split()[2]
    fresh.shell(f"ip route add blackhole {gateway}/32")
    try:
        done = desk.onboard(fresh, "--host-key", fresh.fingerprint)
    finally:
        fresh.shell(f"ip route del blackhole {gateway}/32")
    refused(done, "does not answer within", "firewall", "security group")


def test_a_port_on_which_nothing_listens(desk, fresh):
    refused(desk.onboard(fresh, "--port", "2299"), "refuses connections on port 2299", "--port NUMBER")


def test_a_port_of_something_else(desk, fresh):
    fresh.shell("systemd-run --collect --unit=other sh -c 'exec sleep 30'")
    fresh.shell("systemctl stop other")
    with subprocess.Popen(
        ["docker", "exec", fresh.host.backend.name, "perl", "-MIO::Socket::INET", "-e", _HTTP],
        stdin=subprocess.DEVNULL,
    ) as listener:
        fresh.shell("for i in 1 2 3 4 5 6 7 8 9; do ss -ltn | grep -q :8022 && break; sleep 0.3; done")
        refused(desk.onboard(fresh, "--port", "8022"), "not an SSH server", "--port NUMBER")
        listener.wait(timeout=10)


_HTTP = (
    "$s = IO::Socket::INET->new(LocalPort => 8022, Listen => 1, ReuseAddr => 1) or die;"
    "$c = $s->accept; print $c qq(HTTP/1.1 400 Bad Request\\r\\n\\r\\n); close $c;"
)


def test_an_ipv6_only_server_and_no_ipv6_here(desk, fresh):
    words = desk.words(fresh, "--name", "web9")
    words[1] = fresh.ipv6
    # A network of its own, in which there is nothing but loopback.
    done = run("unshare", "--net", "--", *words)
    refused(done, "only an IPv6 address", fresh.ipv6, "ping -6")


def test_a_name_that_stands_for_nothing(desk, fresh):
    words = desk.words(fresh)
    words[1] = "no-such-server.invalid"
    refused(run(*words), "stands for no address")


def test_no_vault_password(desk, fresh):
    words = [word for word in desk.words(fresh) if word not in ("--vault-password-file", str(desk.vault_password))]
    refused(run(*words), "No vault password", "--new-password-file")


def test_a_user_who_may_not_use_sudo(desk, sudoer):
    sudoer.shell("mv /etc/sudoers.d/90-cloud-init-users /root/kept")
    try:
        words = ("--user", "debian", "--password-file", desk.password_file(sudoer), "--host-key", sudoer.fingerprint)
        refused(desk.onboard(sudoer, *words), "debian may not use sudo")
    finally:
        sudoer.shell("mv /root/kept /etc/sudoers.d/90-cloud-init-users")
    assert desk.ssh(sudoer, "debian", password=sudoer.password).output == "debian"
