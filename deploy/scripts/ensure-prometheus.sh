#!/usr/bin/env bash
# What the tests of metrics, alerts and dashboards need: prometheus and promtool. Installs the system's package where
# they are missing, without leaving a Prometheus service running: the tests start servers of their own.
# PROMETHEUS_BIN and PROMTOOL_BIN may name the programs.
set -euo pipefail

say() { printf 'orderflow: %s\n' "$*" >&2; }

have() { command -v "${PROMETHEUS_BIN:-prometheus}" >/dev/null && command -v "${PROMTOOL_BIN:-promtool}" >/dev/null; }

! have || exit 0

if ! command -v apt-get >/dev/null; then
  say 'prometheus and promtool are needed and not installed. Install them (brew install prometheus, dnf install'
  say 'golang-github-prometheus, or https://prometheus.io/download), then run this again; PROMETHEUS_BIN and'
  say 'PROMTOOL_BIN may name the programs.'
  exit 1
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  as_root=(sudo)
  # Without a terminal nobody can answer: better an error than a prompt that waits for ever.
  [ -t 0 ] || as_root=(sudo -n)
fi
say 'installing prometheus for the tests, without starting or enabling its service'
"${as_root[@]}" bash "${BASH_SOURCE[0]%/*}/install-stopped.sh" prometheus >/dev/null || {
  say 'the installation failed (see above). Install by hand: prometheus'
  exit 1
}
have || { say 'the package prometheus is installed, but prometheus and promtool are not in PATH.'; exit 1; }
