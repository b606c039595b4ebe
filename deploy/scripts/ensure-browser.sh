#!/usr/bin/env bash
# What the console's tests need beside Redis: Chromium with its driver, and axe-core, the accessibility checker, which
# is put into the target directory. Whatever is missing is installed where that can be done; else this says what to do.
set -euo pipefail

readonly axe_version=4.14.1
# Of the package, as its registry publishes it: what is downloaded is this, or nothing.
readonly axe_sha512=1477dafa598d8d065f273d6af302aa203c02e83131707b7fa648cd41bd3d6b734f8c22a0dab86ee6a6f64b8afbe804b214d36db85a2826965edfb3a0b9d546b5
axe=${CARGO_TARGET_DIR:-target}/axe/axe.min.js

say() { printf 'orderflow: %s\n' "$*" >&2; }

# have VARIABLE PROGRAM…: one of the programs is in PATH, or the variable names one.
have() {
  local named=${!1:-} program
  [ -z "$named" ] || return 0
  shift
  for program in "$@"; do ! command -v "$program" >/dev/null || return 0; done
  return 1
}

install_packages() {
  local as_root=()
  if ! command -v apt-get >/dev/null; then
    say "needed and not installed: $*. Install them, then run this again; CHROMIUM_BIN and CHROMEDRIVER_BIN may name the programs."
    exit 1
  fi
  if [ "$(id -u)" -ne 0 ]; then
    as_root=(sudo)
    # Without a terminal nobody can answer: better an error than a prompt that waits for ever.
    [ -t 0 ] || as_root=(sudo -n)
  fi
  say "installing for the console's tests: $*"
  "${as_root[@]}" apt-get update -qq || say 'apt-get update failed; trying with the package lists as they are'
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
    apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=120 "$@" >/dev/null || {
    say "the installation failed (see above). Install by hand: $*"
    exit 1
  }
}

if ! have CHROMIUM_BIN chromium chromium-browser google-chrome || ! have CHROMEDRIVER_BIN chromedriver; then
  install_packages chromium chromium-driver
fi

if [ -e "$axe" ] && [ "$(cat "$axe.version" 2>/dev/null)" = "$axe_version" ]; then
  exit 0
fi
command -v npm >/dev/null || install_packages npm
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
say "fetching axe-core $axe_version for the console's tests"
(cd "$work" && npm pack --silent "axe-core@$axe_version" >/dev/null)
found=$(sha512sum "$work/axe-core-$axe_version.tgz" | cut -d ' ' -f 1)
if [ "$found" != "$axe_sha512" ]; then
  say "axe-core $axe_version is not what it was when it was chosen: expected $axe_sha512, found $found"
  exit 1
fi
mkdir -p "${axe%/*}"
tar -xzf "$work/axe-core-$axe_version.tgz" -C "$work" package/axe.min.js
mv "$work/package/axe.min.js" "$axe"
printf '%s' "$axe_version" >"$axe.version"
