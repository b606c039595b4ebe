#!/usr/bin/env bash
# What the tests of CloudEvents need: the SDK of the CloudEvents project for Python, in a virtual environment in the
# target directory (5 MB, once).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly packages=(cloudevents==2.2.0 python-dateutil==2.9.0.post0)
venv=$(realpath -m "${CARGO_TARGET_DIR:-target}")/cloudevents-sdk

[ "$(cat "$venv/version" 2>/dev/null)" != "${packages[*]}" ] || exit 0
rm -rf "$venv"
if ! { python3 -m venv "$venv" \
  && "$venv/bin/pip" install -q --disable-pip-version-check --only-binary :all: "${packages[@]}"; }; then
  rm -rf "$venv"
  echo "orderflow: python3 with venv (apt-get install python3-venv) and ${packages[*]} are needed" >&2
  exit 1
fi
printf '%s' "${packages[*]}" >"$venv/version"
