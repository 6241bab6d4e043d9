"""The host itself: who may log in and how, what the kernel was told, what is on and what is off."""

from __future__ import annotations

import socket
import subprocess

import pytest
from checks import stack


def login(host, user, *options):
    """Try to log in over a connection of its own; return the code and what ssh said."""
    about = host.backend.get_variables()
    words = ["ssh", *about["ansible_ssh_common_args"].split(), "-i", about["ansible_ssh_private_key_file"]]
    words += ["-o", "ControlPath=none", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", *options]
    done = subprocess.run(
        [*words, f"{user}@{about['ansible_host']}", "true"], capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stderr


@pytest.fixture(scope="module", autouse=True)
def spared(host):
    """Keep our own address in while we fail to log in on purpose."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        way.connect((host.backend.get_variables()["ansible_host"], 22))
        address = way.getsockname()[0]
    stack.root(host, f"fail2ban-client set sshd addignoreip {address}")
    yield
    stack.root(host, f"fail2ban-client set sshd delignoreip {address}")


@pytest.fixture(scope="module")
def sshd(host):
    """Return what sshd says that holds for the user of the deploy."""
    text = stack.root(host, "/usr/sbin/sshd -T -C user=debian,host=x,addr=198.51.100.129")
    return dict(line.split(" ", 1) for line in text.splitlines() if " " in line)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("permitrootlogin", "no"),
        ("passwordauthentication", "no"),
        ("kbdinteractiveauthentication", "no"),
        ("permitemptypasswords", "no"),
        ("x11forwarding", "no"),
        ("allowagentforwarding", "no"),
        ("allowtcpforwarding", "local"),
        ("logingracetime", "30"),
        ("maxauthtries", "4"),
        ("clientaliveinterval", "60"),
    ],
)
def test_how_people_log_in(sshd, setting, value):
    assert sshd[setting] == value


def test_only_modern_algorithms(sshd):
    chosen = ",".join(
        sshd[name] for name in ("kexalgorithms", "ciphers", "macs", "hostkeyalgorithms", "pubkeyacceptedalgorithms")
    ).split(",")
    assert {"curve25519-sha256", "chacha20-poly1305@openssh.com", "ssh-ed25519"} <= set(chosen)
    weak = ("sha1", "cbc", "md5", "ssh-dss", "ssh-rsa", "3des", "group14", "umac-64")
    assert not [name for name in chosen if any(word in name for word in weak)]


def test_the_user_of_the_deploy_gets_in(host):
    assert login(host, "debian")[0] == 0


def test_root_is_refused_even_with_a_key(host):
    stack.root(host, "install -D -m 600 /home/debian/.ssh/authorized_keys /root/.ssh/authorized_keys")
    try:
        code, said = login(host, "root")
    finally:
        stack.root(host, "rm -r /root/.ssh")
    assert (code, "Permission denied" in said) == (255, True)


def test_a_password_is_not_even_asked_for(host):
    code, said = login(host, "debian", "-o", "PubkeyAuthentication=no")
    assert code == 255
    assert "Permission denied (publickey)." in said


def test_an_old_cipher_is_refused(host):
    code, said = login(host, "debian", "-o", "MACs=hmac-sha1", "-o", "Ciphers=aes128-ctr")
    assert (code, "no matching MAC found" in said) == (255, True)


def test_no_trial_is_left_behind(host):
    assert "pending" not in stack.root(host, "ls /var/lib/hypercode/sshd")
    assert stack.root(host, "find /etc/systemd/system -name 'hypercode-sshd*'") == ""


def test_fail2ban_watches_sshd_and_keeps_nobody_out(host):
    status = stack.root(host, "fail2ban-client status sshd")
    assert "_SYSTEMD_UNIT=ssh.service" in status
    assert "Total banned:\t0" in status
    assert stack.root(host, "fail2ban-client get sshd actions").strip().endswith("nftables")


def test_fail2ban_sees_a_failure(host):
    """What its filter finds in the journal of the unit, whatever the process of sshd is called."""
    assert login(host, "nobody-of-ours")[0] == 255
    found = "fail2ban-regex --journalmatch '_SYSTEMD_UNIT=ssh.service' systemd-journal sshd --print-all-matched"
    assert "Invalid user nobody-of-ours" in stack.root(host, found)


def test_fail2ban_keeps_an_attacker_out_in_a_table_of_its_own(host):
    stack.root(host, "fail2ban-client set sshd banip 203.0.113.9")
    try:
        rules = stack.root(host, "nft list table inet f2b-table")
        assert "203.0.113.9" in rules
        assert "dport" in rules
    finally:
        stack.root(host, "fail2ban-client set sshd unbanip 203.0.113.9")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("net.ipv4.ip_forward", "1"),
        ("net.ipv4.conf.all.accept_redirects", "0"),
        ("net.ipv4.conf.all.accept_source_route", "0"),
        ("net.ipv4.conf.all.rp_filter", "2"),
        ("net.ipv4.tcp_syncookies", "1"),
        ("net.core.somaxconn", "4096"),
    ],
)
def test_kernel_settings_are_loaded(host, key, value):
    assert stack.root(host, f"sysctl -n {key}").strip() == value


def test_updates_are_due_and_leave_the_engine_alone(host):
    assert host.run("systemctl is-active apt-daily.timer apt-daily-upgrade.timer").rc == 0
    settings = stack.root(host, "apt-config dump")
    assert 'APT::Periodic::Unattended-Upgrade "1";' in settings
    origins = [line for line in settings.splitlines() if line.startswith("Unattended-Upgrade::Origins-Pattern:: ")]
    assert origins
    assert all("security" in line for line in origins)
    done = stack.root(host, "unattended-upgrade --dry-run --debug 2>&1")
    assert "Allowed origins are: origin=Debian,codename=trixie-security,label=Debian-Security" in done


def test_limits_and_dumps(host):
    # A login of its own: testinfra's was made before.
    files, most, dumps = stack.root(host, "su -l debian -c 'ulimit -Sn; ulimit -Hn; ulimit -Hc'").split()
    # A container may have less to give; then a login still works.
    assert (int(files), dumps) == (min(65536, int(most)), "0")


def test_a_clock_is_kept(host):
    assert host.service("systemd-timesyncd").is_enabled


def test_sudo_is_whole(host):
    assert "parsed OK" in stack.root(host, "visudo -c -f /etc/sudoers")
