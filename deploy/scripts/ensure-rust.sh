#!/usr/bin/env bash
# Says what is missing where Cargo or a C linker, which rustc calls, is not installed.
set -euo pipefail

say() { printf 'orderflow: %s\n' "$*" >&2; }

if ! command -v cargo >/dev/null; then
  say 'Rust is needed and cargo is not in PATH. Install it from https://rustup.rs, then run this again.'
  exit 1
fi
if ! command -v cc >/dev/null; then
  say 'rustc needs a C linker and there is no cc in PATH. Install one, then run this again:'
  if command -v apt-get >/dev/null; then say '  apt-get install gcc libc6-dev'
  elif [ "$(uname -s)" = Darwin ]; then say '  xcode-select --install'
  else say '  gcc or clang, from your system'
  fi
  exit 1
fi
