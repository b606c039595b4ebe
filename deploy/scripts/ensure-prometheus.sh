#!/usr/bin/env bash
# Installs promtool and prometheus, which the tests of deploy/prometheus run, from the system's packages where they
# are missing, without leaving a Prometheus service running or enabled.
#
#   ensure-prometheus.sh            as any user; becomes root only for the installation
#   ensure-prometheus.sh --as-root  the installation itself
set -euo pipefail

policy=/usr/sbin/policy-rc.d

say() { printf 'orderflow: %s\n' "$*" >&2; }

have() {
  { [ -n "${PROMTOOL_BIN:-}" ] || command -v promtool >/dev/null; } &&
    { [ -n "${PROMETHEUS_BIN:-}" ] || command -v prometheus >/dev/null; }
}

# Forbids that packages start services, unless somebody has a policy of his own.
forbid_service_starts() {
  [ ! -e "$policy" ] || return 0
  trap 'rm -f "$policy"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  printf '#!/bin/sh\n# Temporary, by %s: packages start no services.\nexit 101\n' "$0" >"$policy"
  chmod 0755 "$policy"
}

# The package enables its service for the next boot, and may have started it despite the above.
disable_service() {
  if command -v systemctl >/dev/null; then
    systemctl --quiet disable prometheus.service || true
    [ ! -d /run/systemd/system ] || systemctl --quiet stop prometheus.service || true
  elif command -v update-rc.d >/dev/null; then
    update-rc.d prometheus disable || true
    [ ! -x /etc/init.d/prometheus ] || /etc/init.d/prometheus stop || true
  fi
}

install_as_root() {
  export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
  forbid_service_starts
  # An index that cannot be refreshed may still do.
  apt-get update -qq || say 'apt-get update failed; trying with the package lists as they are'
  apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=120 prometheus >/dev/null
  disable_service >/dev/null 2>&1
}

if [ "${1:-}" = --as-root ]; then
  install_as_root </dev/null
  exit
fi

! have || exit 0

if ! command -v apt-get >/dev/null; then
  say 'promtool and prometheus are needed for the tests and not installed. Install them (macOS: brew install prometheus;'
  say 'others: your system'"'"'s package or https://prometheus.io/download), then run this again; PROMTOOL_BIN and'
  say 'PROMETHEUS_BIN may name the programs.'
  exit 1
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  as_root=(sudo)
  # Without a terminal nobody can answer: better an error than a prompt that waits for ever.
  [ -t 0 ] || as_root=(sudo -n)
fi

say 'installing for the tests of the alert rules, without starting or enabling its service: prometheus'
"${as_root[@]}" bash "$0" --as-root || {
  say 'the installation failed (see above). Install by hand: prometheus'
  exit 1
}
if ! have; then
  say 'the package prometheus is installed, but promtool and prometheus are not in PATH.'
  exit 1
fi
