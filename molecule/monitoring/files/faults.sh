#!/bin/bash
# Breaks one thing on the host for each alert that takes long to fire, and mends it again: faults.sh break|mend ALERT.
# Some alerts need nothing of their own, since another one's fault is theirs too.
set -u
faults=/run/faults
mkdir -p $faults
metrics=/var/lib/hypercode/metrics
prometheus=/etc/hypercode/stack/prometheus
alertmanager=/etc/hypercode/monitoring/alertmanager
me=$(readlink -f "$0")

container() { docker ps --all --quiet --filter "label=com.docker.compose.service=$1"; }
process() { docker inspect --format '{{.State.Pid}}' "$(container "$1")"; }
redis() { docker exec -i "$(container redis)" sh -c 'REDISCLI_AUTH=$REDIS_PASSWORD redis-cli "$@"' sh "$@"; }
stop() { docker stop --time 1 "$(container "$1")"; }
start() { docker start "$(container "$1")"; }
reload() { docker kill --signal HUP "$(container "$1")"; }
python_in() { docker exec --detach "$(container "$1")" python -c "$2"; }

# NAME SECONDS: do the function `often_NAME` over and over in the background, until `enough NAME`.
again() {
  touch "$faults/$1"
  setsid bash "$me" often "$1" "$2" > "$faults/$1.log" 2>&1 < /dev/null &
}
enough() { rm -f "$faults/$1"; }

# NAME [MKFS OPTION]...: a small disk of its own, at /mnt/NAME. Loop devices are shared with the whole machine.
disk() {
  local name=$1 device
  shift
  command -v mkfs.ext4 > /dev/null || apt-get install --yes --quiet e2fsprogs
  truncate --size 32M "/var/tmp/$name.img" && mkfs.ext4 -q "$@" "/var/tmp/$name.img"
  [ -e /dev/loop-control ] || mknod /dev/loop-control c 10 237
  # It says that a device is lost whose node is not there yet.
  device=$(losetup --find | cut --delimiter ' ' --fields 1) && { [ -e "$device" ] || mknod "$device" b 7 "${device#/dev/loop}"; }
  mkdir -p "/mnt/$name" && losetup "$device" "/var/tmp/$name.img" && mount "$device" "/mnt/$name"
  # Where the root of a host is not shared, as in a container, a service sees what was mounted before it began.
  systemctl restart hypercode-watch
}
no_disk() {
  umount --detach-loop "/mnt/$1"
  rm -rf "/var/tmp/$1.img" "/mnt/$1"
}

# Docker gives an agent up after three times; what is of the infrastructure it starts for ever.
often_crash() { kill -9 "$(process jaeger)"; }
break_ServiceCrashLooping() { again crash 20; }
mend_ServiceCrashLooping() { enough crash; }

# Frozen whenever it is well again: the watch restarts it, ever later, and gives it up in the end.
often_freeze() { kill -STOP "$(process qa-engineer)"; }
break_ServiceHealGivenUp() { again freeze 3; }
mend_ServiceHealGivenUp() { enough freeze && sleep 4 && docker restart "$(container qa-engineer)"; }

# Not in an agent: they are restarted while Redis refuses to store anything.
break_ServiceMemoryNearLimit() {
  local limit
  limit=$(docker inspect --format '{{.HostConfig.Memory}}' "$(container grafana)")
  python_in grafana "import time; held = bytearray(int($limit * 0.93)); time.sleep(7200)"
}
mend_ServiceMemoryNearLimit() { docker restart "$(container grafana)"; }

break_ServiceProcessesNearLimit() {
  local limit
  limit=$(docker inspect --format '{{.HostConfig.PidsLimit}}' "$(container ollama)")
  python_in ollama "
import threading, time
for _ in range(int($limit * 0.95)):
    threading.Thread(target=time.sleep, args=(7200,), daemon=True).start()
time.sleep(7200)"
}
mend_ServiceProcessesNearLimit() { docker restart "$(container ollama)"; }

break_DiskAlmostFull() { disk full && dd if=/dev/zero of=/mnt/full/file bs=1M status=none; }
mend_DiskAlmostFull() { no_disk full; }

break_DiskInodesLow() { disk small -N 64 && touch /mnt/small/{1..64}; }
mend_DiskInodesLow() { no_disk small; }

# It has to be seen whole first.
break_DiskReadOnly() { disk faulty && sleep 45 && mount --options remount,ro /mnt/faulty; }
mend_DiskReadOnly() { no_disk faulty; }

break_TextfileBroken() { echo 'no metric {' > $metrics/fault.prom; }
mend_TextfileBroken() { rm $metrics/fault.prom; }

break_TextfileVanished() { echo 'fault_seen 1' > $metrics/gone.prom && sleep 45 && rm $metrics/gone.prom; }

break_WatchJournalErrors() {
  mount --bind /var/lib/hypercode/watch /var/lib/hypercode/watch
  mount --options remount,bind,ro /var/lib/hypercode/watch
  # What is open already goes by the place where it was opened.
  systemctl restart hypercode-watch
}
mend_WatchJournalErrors() { umount /var/lib/hypercode/watch && systemctl restart hypercode-watch; }

# Sessions that are held open: more than 80 of the 100 that are allowed, with those of the others.
break_PostgresConnectionsNearLimit() {
  python_in hypercode-core "
import os, time, psycopg2
held = [psycopg2.connect(os.environ['HYPERCODE_DB_URL']) for _ in range(84)]
time.sleep(7200)"
}
mend_PostgresConnectionsNearLimit() { docker restart "$(container hypercode-core)"; }

# Memory for a little more than it has, and keys that may be thrown away.
often_evict() {
  redis eval 'for i = 1, 300 do redis.call("setex", "fault:" .. math.random(1000000000), 7200, string.rep("x", 9000)) end' 0
}
break_RedisEvicts() {
  local used
  used=$(redis info memory | tr -d '\r' | sed -n 's/^used_memory://p')
  redis config set maxmemory-policy volatile-lru
  redis config set maxmemory $((used + 4000000))
  again evict 4
}
mend_RedisEvicts() {
  enough evict
  redis config set maxmemory 0
  redis config set maxmemory-policy noeviction
}

often_save() { redis bgsave; }
data=/var/lib/docker/volumes/hypercode_redis-data/_data
break_RedisCannotSave() { chmod 555 $data && again save 15; }
mend_RedisCannotSave() {
  enough save
  chmod 755 $data
  sleep 16
  redis bgsave
}

# Whoever asks for the figures has to get through now and then.
often_connect() {
  docker exec "$(container celery-worker)" python -c '
import socket, time
held = [socket.create_connection(("redis", 6379)) for _ in range(60)]
time.sleep(5)'
}
break_RedisRejectsConnections() { redis config set maxclients 40 && again connect 20; }
mend_RedisRejectsConnections() {
  enough connect
  sleep 6
  redis config set maxclients 10000
}

# Not that of Redis, which is in trouble itself then.
break_TargetVanished() {
  cp $prometheus/prometheus.yml $faults/vanished.yml
  python3 - $prometheus/prometheus.yml <<'PROGRAM'
import re, sys
with open(sys.argv[1], "r+", encoding="utf-8") as stream:
    text = re.sub(r'  - job_name: "?postgres"?\n(?:    .*\n)+', "", stream.read())
    stream.seek(0)
    stream.truncate()
    stream.write(text)
PROGRAM
  reload prometheus
}
mend_TargetVanished() { cp $faults/vanished.yml $prometheus/prometheus.yml && reload prometheus; }

# More than the half core that it may have.
often_throttle() { docker exec "$(container grafana)" timeout 30 sh -c 'while :; do :; done'; }
break_ServiceThrottled() { again throttle 0.1; }

look_at_certificates() {
  # It may be asked again at once here.
  systemctl reset-failed hypercode-certificates.service
  systemctl start hypercode-certificates.service
}
certificates=/var/lib/caddy/caddy/certificates/local
# SITE FROM TO: a certificate for that time, with the key that the site has.
certificate() {
  local path=$certificates/$1/$1
  cp --archive "$path.crt" "$faults/$1.crt"
  openssl req -x509 -key "$path.key" -subj /CN=fault -addext "subjectAltName=DNS:$1" \
    -not_before "$(date --utc --date "$2" +%Y%m%d%H%M%SZ)" -not_after "$(date --utc --date "$3" +%Y%m%d%H%M%SZ)" \
    -out "$path.crt"
  look_at_certificates
}
no_certificate() {
  cp --archive "$faults/$1.crt" "$certificates/$1/$1.crt"
  look_at_certificates
}
break_CertificateRenewalLate() { certificate down.test '80 days ago' '20 days'; }
mend_CertificateRenewalLate() { no_certificate down.test; }
break_CertificateNearlyExpired() { certificate near.test '95 days ago' '5 days'; }
mend_CertificateNearlyExpired() { no_certificate near.test; }
break_CertificateUnusable() { certificate core.test '5 days' '100 days'; }
mend_CertificateUnusable() { no_certificate core.test; }
break_CertificatesNotWatched() { systemctl stop hypercode-certificates.timer && rm $metrics/certificates.prom; }
mend_CertificatesNotWatched() { systemctl start hypercode-certificates.timer && look_at_certificates; }

break_ServiceDown() { stop devops-engineer; }
mend_ServiceDown() { start devops-engineer; }
break_PostgresDown() { stop postgres; }
mend_PostgresDown() { start postgres; }
break_RedisDown() { stop redis; }
mend_RedisDown() { start redis; }
break_TargetDown() { stop hypercode-core; }
mend_TargetDown() { start hypercode-core; }
break_ProberDown() { stop blackbox-exporter; }
mend_ProberDown() { start blackbox-exporter; }

break_PrometheusRuleFailures() {
  echo 'groups: [{name: bad, rules: [{record: bad, expr: "up * on (host) up"}]}]' > $prometheus/rules/bad.yml
  reload prometheus
}
mend_PrometheusRuleFailures() { rm $prometheus/rules/bad.yml && reload prometheus; }

# The fault above has to be read first.
break_PrometheusConfigReloadFailed() {
  sleep 20
  cp $prometheus/prometheus.yml $faults/settings.yml
  echo 'no: setting' >> $prometheus/prometheus.yml
  reload prometheus
}
mend_PrometheusConfigReloadFailed() { cp $faults/settings.yml $prometheus/prometheus.yml && reload prometheus; }

break_AlertmanagerConfigReloadFailed() {
  cp $alertmanager/alertmanager.yml $faults/routes.yml
  echo 'no: setting' >> $alertmanager/alertmanager.yml
  reload alertmanager
}
mend_AlertmanagerConfigReloadFailed() { cp $faults/routes.yml $alertmanager/alertmanager.yml && reload alertmanager; }

# One of two whom Alertmanager tells answers that it cannot take it.
pager_answers() {
  python3 -c 'import sys, urllib.request as u; u.urlopen(u.Request(sys.argv[1], sys.argv[2].encode(), method="PUT"))' \
    "$(cat $alertmanager/secrets/pager.url)" "$1"
}
break_AlertmanagerNotDelivering() { pager_answers 500; }
mend_AlertmanagerNotDelivering() { pager_answers 200; }

break_DockerDown() { systemctl stop docker.socket docker.service; }
mend_DockerDown() { systemctl start docker.socket docker.service; }

break_WatchStale() { systemctl stop hypercode-watch; }
mend_WatchStale() { systemctl start hypercode-watch; }
break_EdgeStale() { systemctl stop hypercode-edge; }
mend_EdgeStale() { systemctl start hypercode-edge; }

# Only one at a time may work with a repository, and the night's run may be at it.
backup() {
  while pgrep --full 'hypercode backup (run|verify|drill)' > /dev/null; do sleep 2; done
  hypercode backup "$1"
}

# The ends of all that is stored are cut off, which is seen at once, and its beginnings are overwritten.
repository=/var/backups/near
sql() { docker exec -i "$(container postgres)" sh -c 'psql --quiet --username "$POSTGRES_USER" "$POSTGRES_DB"'; }
# Somebody took the disk with the repository away. As long as nothing is written nothing is missing.
often_write() { sql <<< "CREATE TABLE IF NOT EXISTS written (at timestamptz); INSERT INTO written VALUES (now())"; }
break_BackupLogLags() { mv $repository $faults/away && again write 20; }
mend_BackupLogLags() {
  enough write
  rm -rf $repository && mv $faults/away $repository
}

rows() { sql <<< "DROP TABLE IF EXISTS fault; CREATE TABLE fault AS SELECT sha512(i::text::bytea) FROM generate_series(1, 60000) AS i"; }
# Most of what was there is gone. What was saved before has to be seen first.
# A table that is empty would be no backup at all.
break_BackupShrank() { rows && backup run && sleep 60 && sql <<< "DELETE FROM fault WHERE random() < 0.9" && backup run; }
mend_BackupShrank() { rows && backup run; }

# While nobody listens the log goes on: what is missing here is nowhere any more.
break_BackupLogGap() {
  systemctl stop hypercode-backup-wal
  sql <<< "SELECT pg_drop_replication_slot('hypercode_wal')"
  for _ in 1 2 3 4; do sql <<< "SELECT pg_switch_wal(); CHECKPOINT"; done
  systemctl start hypercode-backup-wal
}

break_BackupDamaged() {
  local pack
  cp --archive $repository $faults/repository
  for pack in $(find $repository/data -type f); do
    truncate --size -64 "$pack"
    printf '%0512d' 0 | dd of="$pack" conv=notrunc status=none
  done
  backup verify
}
mend_BackupDamaged() {
  rm -rf $repository
  mv $faults/repository $repository
  backup verify
  backup drill
}
break_BackupDrillFailed() { backup drill; }

case "$1" in
  often)
    while [ -e "$faults/$2" ]; do
      "often_$2"
      sleep "$3"
    done
    ;;
  *) if declare -F "$1_$2" > /dev/null; then "$1_$2"; fi ;;
esac
