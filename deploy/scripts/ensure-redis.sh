#!/usr/bin/env bash
# Installs redis-server from the system's packages if neither it nor valkey-server is there, without
# leaving a Redis service running: Orderflow starts servers of its own. Runs as any user, and becomes root only for
# the installation.
set -euo pipefail

say() { printf 'orderflow: %s\n' "$*" >&2; }

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
"${as_root[@]}" bash "${BASH_SOURCE[0]%/*}/install-stopped.sh" redis-server || {
  say 'the installation failed (see above). Install redis-server by hand, then run this again.'
  exit 1
}
if ! command -v redis-server >/dev/null; then
  say 'the package redis-server is installed, but no redis-server is in PATH.'
  exit 1
fi
