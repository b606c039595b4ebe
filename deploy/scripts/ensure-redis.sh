#!/usr/bin/env bash
# Installs redis-server from the system's packages if neither it nor valkey-server is there, without
# leaving a Redis service running: Orderflow starts servers of its own.
#
#   ensure-redis.sh            as any user; becomes root only for the installation
#   ensure-redis.sh --as-root  the installation itself
set -euo pipefail

policy=/usr/sbin/policy-rc.d

say() { printf 'orderflow: %s\n' "$*" >&2; }

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
    systemctl --quiet disable redis-server.service || true
    [ ! -d /run/systemd/system ] || systemctl --quiet stop redis-server.service || true
  elif command -v update-rc.d >/dev/null; then
    update-rc.d redis-server disable || true
    [ ! -x /etc/init.d/redis-server ] || /etc/init.d/redis-server stop || true
  fi
}

install_as_root() {
  export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
  forbid_service_starts
  # An index that cannot be refreshed may still do.
  apt-get update -qq || say 'apt-get update failed; trying with the package lists as they are'
  apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=120 redis-server
  disable_service >/dev/null 2>&1
}

if [ "${1:-}" = --as-root ]; then
  install_as_root </dev/null
  exit
fi

if command -v redis-server >/dev/null || command -v valkey-server >/dev/null; then
  exit 0
fi

if ! command -v apt-get >/dev/null; then
  say 'redis-server is needed and not installed. Install it, then run this again:'
  case $(uname -s) in
    Darwin) say '  brew install redis' ;;
    FreeBSD) say '  pkg install redis' ;;
    *)
      if command -v dnf >/dev/null; then say '  sudo dnf install redis      (or: valkey)'
      elif command -v pacman >/dev/null; then say '  sudo pacman -S valkey'
      elif command -v zypper >/dev/null; then say '  sudo zypper install redis   (or: valkey)'
      elif command -v apk >/dev/null; then say '  apk add redis               (or: valkey)'
      else say '  redis-server or valkey-server, 7.0 or newer, from https://redis.io or https://valkey.io'
      fi ;;
  esac
  exit 1
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    say 'redis-server is needed and not installed, and there is no sudo. As root, run:'
    say '  apt-get install redis-server'
    exit 1
  fi
  as_root=(sudo)
  # Without a terminal nobody can answer: better an error than a prompt that waits for ever.
  [ -t 0 ] || as_root=(sudo -n)
fi

say 'redis-server is not installed. Installing it, without starting or enabling its service:'
say "  ${as_root[*]:+${as_root[*]} }apt-get update && ${as_root[*]:+${as_root[*]} }apt-get install --no-install-recommends redis-server"
"${as_root[@]}" bash "$0" --as-root || {
  say 'the installation failed (see above). Install redis-server by hand, then run this again.'
  exit 1
}
if ! command -v redis-server >/dev/null; then
  say 'the package redis-server is installed, but no redis-server is in PATH.'
  exit 1
fi
