#!/usr/bin/env bash
# What the tests of notifications-worker need beside Redis: a mail server and a verifier of webhooks that nobody here
# wrote, from PyPI, in a virtual environment in the target directory (10 MB, once).
set -euo pipefail

readonly packages=(aiosmtpd==1.4.6 atpublic==9.0.0 attrs==26.1.0 standardwebhooks==1.1.0)
venv=${CARGO_TARGET_DIR:-target}/notification-tools

[ "$(cat "$venv/version" 2>/dev/null)" != "${packages[*]}" ] || exit 0

rm -rf "$venv"
if ! { python3 -m venv "$venv" \
  && "$venv/bin/pip" install -q --disable-pip-version-check --no-deps --only-binary :all: "${packages[@]}"; }; then
  rm -rf "$venv"
  echo "orderflow: the tests of notifications-worker need python3 with venv (apt-get install python3-venv) and, from PyPI, ${packages[*]}" >&2
  exit 1
fi
printf '%s' "${packages[*]}" >"$venv/version"
