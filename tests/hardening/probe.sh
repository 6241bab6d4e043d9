# Prints all that the points are judged by, once, as root. It changes nothing on the host.
#
# Each part begins with a line "MARK name" and ends with one "MARK end CODE"; the caller puts a mark of its own in front,
# which no output has in it. A command that is missing leaves its part empty, with another code than 0.
# What is secret (hashes of passwords, environments of containers) is left out here and never leaves the host.
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

part() {
  name=$1
  shift
  printf '\n%s %s\n' "$MARK" "$name"
  "$@" 2>/dev/null </dev/null
  printf '\n%s end %s\n' "$MARK" "$?"
}

# Owner, group, mode and kind of each file that is there.
owners() {
  for path in /etc/passwd /etc/passwd- /etc/group /etc/group- /etc/shadow /etc/shadow- /etc/gshadow /etc/gshadow- \
    /etc/shells /etc/security/opasswd /etc/ssh/sshd_config /etc/ssh/sshd_config.d/* /etc/ssh/ssh_host_*_key \
    /etc/ssh/ssh_host_*_key.pub /etc/crontab /etc/cron.hourly /etc/cron.daily /etc/cron.weekly /etc/cron.monthly \
    /etc/cron.d /etc/cron.allow /etc/at.allow /etc/motd /etc/issue /etc/issue.net /etc/sudoers /etc/sudoers.d/* \
    /boot/grub/grub.cfg /etc/docker /etc/docker/daemon.json /etc/docker/certs.d/*/* /etc/default/docker \
    /run/docker.sock /run/containerd/containerd.sock /var/lib/docker /opt/hypercode/releases/*/env \
    /etc/hypercode/docker/config.json /etc/nftables.conf /var/log/journal /root \
    "$(systemctl show -p FragmentPath --value docker.service)" \
    "$(systemctl show -p FragmentPath --value docker.socket)"; do
    if [ -e "$path" ]; then stat -L -c '%n|%U|%G|%a|%F' "$path"; fi
  done
}

homes() {
  awk -F: '$3 >= 1000 && $3 < 60000 { print $6 }' /etc/passwd | while read -r home; do
    for path in "$home" "$home"/.ssh "$home"/.ssh/authorized_keys "$home"/.netrc "$home"/.rhosts; do
      if [ -e "$path" ]; then stat -L -c '%n|%U|%G|%a|%F' "$path"; fi
    done
  done
}

# Whether a password is set, never what it is: P set, L locked, NP none.
passwords() {
  cut -d: -f1 /etc/passwd | while read -r name; do passwd -S "$name" | cut -d' ' -f1,2,5,7; done
}

# Without the environment, in which secrets are.
containers() {
  ids=$(docker ps --all --quiet --no-trunc)
  [ -n "$ids" ] || return 1
  # shellcheck disable=SC2086
  docker inspect $ids | python3 -c 'import json, sys
found = json.load(sys.stdin)
for one in found:
    one["Config"].pop("Env", None)
json.dump(found, sys.stdout)'
}

images() {
  # shellcheck disable=SC2046
  docker image inspect $(docker ps --all --quiet | xargs -r docker inspect --format '{{.Image}}' | sort -u) |
    python3 -c 'import json, sys
found = json.load(sys.stdin)
for one in found:
    (one.get("Config") or {}).pop("Env", None)
    (one.get("ContainerConfig") or {}).pop("Env", None)
json.dump(found, sys.stdout)'
}

networks() {
  # shellcheck disable=SC2046
  docker network inspect $(docker network ls --quiet)
}

commands_inside() {
  docker ps --quiet | while read -r id; do docker top "$id" -eo pid,comm | tail -n +2; done
}

files() { for path in "$@"; do if [ -f "$path" ]; then grep -hvE '^[[:space:]]*(#|$)' "$path"; fi; done; }

# Below /var/lib/docker lie the files of the containers.
loose() {
  find / -xdev \( -path /proc -o -path /sys -o -path /var/lib/docker -o -path /var/lib/containerd \) -prune -o \( "$@" \) -print
}

part virtualization systemd-detect-virt
part packages dpkg-query -W -f '${db:Status-Status} ${Package} ${Version}\n'
part mounts cat /proc/self/mounts
part sysctl sysctl -a
part sysctl-config systemd-analyze cat-config sysctl.d
part modprobe sh -c 'modprobe --showconfig | grep "^install "'
part apparmor cat /sys/module/apparmor/parameters/enabled
part unit-files systemctl list-unit-files --no-legend --no-pager --plain
part units systemctl list-units --all --no-legend --no-pager --plain
part failed systemctl list-units --failed --no-legend --no-pager --plain
part listening ss -H -tuln
part sshd sshd -T
part sudoers files /etc/sudoers /etc/sudoers.d/*
part passwd cut -d: -f1,3,4,6,7 /etc/passwd
part group cat /etc/group
part passwords passwords
part login-defs files /etc/login.defs
part useradd useradd -D
part pam files /etc/pam.d/common-password /etc/pam.d/common-auth /etc/pam.d/su
part limits files /etc/security/limits.conf /etc/security/limits.d/*.conf
part coredump systemd-analyze cat-config systemd/coredump.conf
part profile files /etc/profile /etc/profile.d/*.sh /etc/bash.bashrc
part owners owners
part homes homes
part world-writable loose \( -type f -perm -0002 \) -o \( -type d -perm -0002 ! -perm -1000 \)
part unowned loose \( -nouser -o -nogroup \)
part issue cat /etc/issue /etc/issue.net /etc/motd
part journald systemd-analyze cat-config systemd/journald.conf
part apt-config apt-config dump
part apt-sources files /etc/apt/sources.list /etc/apt/sources.list.d/*
part fail2ban fail2ban-client status sshd
part nft-tables nft list tables
part nft nft list table inet hypercode
part docker-info docker info --format '{{json .}}'
part dockerd sh -c 'tr "\0" " " < "/proc/$(pidof -s dockerd)/cmdline"'
part daemon-json cat /etc/docker/daemon.json
part containers containers
part images images
part networks networks
part dangling docker images --filter dangling=true --quiet
part commands-inside commands_inside
part audit-rules auditctl -l
