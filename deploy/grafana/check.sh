#!/usr/bin/env bash
# Fails if dashboards/*.json are not what generate.py writes, or do not fit Grafana's schema. The schema comes from
# Grafana's Foundation SDK, which is put into a virtual environment in the target directory (30 MB, once).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# The number before the mark is the SDK's build, the one behind it the Grafana that it describes.
readonly sdk='grafana-foundation-sdk==1769699379!11.6.0'
venv=$(realpath -m "${CARGO_TARGET_DIR:-../../target}")/grafana-sdk

./generate.py --check
if [ "$(cat "$venv/version" 2>/dev/null)" != "$sdk" ]; then
  rm -rf "$venv"
  if ! { python3 -m venv "$venv" && "$venv/bin/pip" install -q --disable-pip-version-check --only-binary :all: "$sdk"; }; then
    rm -rf "$venv"
    echo "dashboards: python3 with venv (apt-get install python3-venv) and the package $sdk are needed" >&2
    exit 1
  fi
  printf '%s' "$sdk" >"$venv/version"
fi
"$venv/bin/python" -B validate.py
