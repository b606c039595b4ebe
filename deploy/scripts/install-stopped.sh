#!/usr/bin/env bash
# Installs one of the system's packages, as root, without leaving its service running or enabled: Orderflow starts
# servers of its own.
#
#   install-stopped.sh PACKAGE     the service is called like the package
set -euo pipefail
exec </dev/null

package=${1:?which package}
policy=/usr/sbin/policy-rc.d

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
    systemctl --quiet disable "$package.service" || true
    [ ! -d /run/systemd/system ] || systemctl --quiet stop "$package.service" || true
  elif command -v update-rc.d >/dev/null; then
    update-rc.d "$package" disable || true
    [ ! -x "/etc/init.d/$package" ] || "/etc/init.d/$package" stop || true
  fi
}

export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
forbid_service_starts
# An index that cannot be refreshed may still do.
apt-get update -qq || printf 'orderflow: apt-get update failed; trying with the package lists as they are\n' >&2
apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=120 "$package"
disable_service >/dev/null 2>&1
