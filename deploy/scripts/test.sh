#!/usr/bin/env bash
# Builds the binaries, which the end-to-end tests run, then runs every test. Ends with the closing
# lines of both runners, which are also left in $summary.
set -euo pipefail

target=${CARGO_TARGET_DIR:-target}
summary=$target/test-summary.txt
locked=${CI:+--locked}
mkdir -p "$target"
rm -f "$summary"
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# The pipe below hides the terminal from Cargo and nextest.
[ ! -t 1 ] || export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-always}

if ! cargo nextest --version >/dev/null 2>&1; then
  echo 'orderflow: cargo-nextest is not installed; building it (some minutes): cargo install --locked cargo-nextest' >&2
  cargo install --locked cargo-nextest
fi

# shellcheck disable=SC2086 # $locked is one flag or nothing
cargo build $locked --workspace --bins

status=0
# shellcheck disable=SC2086
cargo nextest run $locked --workspace 2>&1 | tee "$log" || status=1
nextest=$(sed -n '/Summary \[/,$p' "$log")
# shellcheck disable=SC2086
cargo test $locked --doc --workspace 2>&1 | tee "$log" || status=1
doctests=$(grep -E '^(test result:|error)' "$log" | grep -v ' 0 passed; 0 failed' || true)

{
  printf 'Documentation tests:\n%s\n' "${doctests:-none ran}"
  printf 'Tests:\n%s\n' "${nextest:-none ran}"
} | tee "$summary"
exit "$status"
