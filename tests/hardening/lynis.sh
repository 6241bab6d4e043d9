# Runs Lynis and prints its report, as root. It leaves nothing on the host.
#
# Lynis as it is installed, else Debian's package, unpacked into a folder that is removed again: that only on a test
# host, where nobody minds a program that came this way. Exit code 3: neither. SKIP is set in front: tests to leave out.
set -eu
export LC_ALL=C DEBIAN_FRONTEND=noninteractive PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
lynis=lynis
if ! command -v lynis >/dev/null; then
  if ! [ -d /etc/testbed ]; then
    echo "Lynis is not installed." >&2
    exit 3
  fi
  {
    apt-get download -qq lynis 2>/dev/null || { apt-get update -qq && apt-get download -qq lynis; }
    dpkg-deb -x lynis_*.deb .
  } >&2
  # Started in its own folder, Lynis finds its parts, its profile and its plugins beside it.
  cd usr/share/lynis
  rm -rf plugins
  mv "$folder"/etc/lynis/* .
  printf 'skip-test=%s\n' $SKIP >custom.prf
  lynis=../../sbin/lynis
fi
# Its exit code says whether there are warnings: they stand in the report.
"$lynis" audit system --quick --no-colors --logfile "$folder/log" --report-file "$folder/report" \
  </dev/null >"$folder/out" 2>&1 || true
if ! grep -q '^hardening_index=' "$folder/report"; then
  tail -n 5 "$folder/out" >&2
  exit 1
fi
cat "$folder/report"
