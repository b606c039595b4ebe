#!/usr/bin/env bash
# What the tests of the OpenAPI documents need: Schemathesis, which makes requests of a document, good and bad ones, and
# holds the answers against it. It goes into a virtual environment in the target directory (95 MB, once).
# SCHEMATHESIS_BIN may name the program instead.
set -euo pipefail

[ -z "${SCHEMATHESIS_BIN:-}" ] || exit 0

requirements=${BASH_SOURCE[0]%/*}/schemathesis.txt
venv=${CARGO_TARGET_DIR:-target}/schemathesis

! cmp -s "$requirements" "$venv/requirements.txt" || exit 0
echo 'orderflow: fetching Schemathesis for the tests of the OpenAPI documents' >&2
rm -rf "$venv"
if ! { python3 -m venv "$venv" &&
  "$venv/bin/pip" install -q --disable-pip-version-check --only-binary :all: -r "$requirements"; }; then
  rm -rf "$venv"
  echo 'orderflow: python3 3.10 or newer with venv (apt-get install python3-venv) and the packages of' >&2
  echo "orderflow: $requirements are needed; SCHEMATHESIS_BIN may name the program 'st' instead." >&2
  exit 1
fi
cp "$requirements" "$venv/requirements.txt"
