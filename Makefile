# Orderflow: run it, test it, check it.

# Where rustup and `cargo install` put programs, for a shell that has not been restarted since.
export PATH := $(PATH):$(HOME)/.cargo/bin

TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
# In CI the lock file must be up to date; on a developer's machine a new dependency updates it.
LOCKED := $(if $(CI),--locked)
# For `orderflow up`: make up ARGS="--demo"; for the program that measures: make bench-overhead ARGS="--pairs 30"
ARGS =
# For `make test-chaos`: how long, on which server's program (redis-server by default), with which faults (random
# ones if there is no seed).
CHAOS_SECONDS = 600
CHAOS_SERVER =
CHAOS_SEED =
CHAOS_FAULT_INTERVAL_MS = 2500
CHAOS_RATE = 50

.PHONY: help up demo test test-chaos bench-overhead check fmt clippy doc deny shellcheck dashboards test-compose metrics-doc rust redis browser prometheus schemathesis cloudevents notification-tools test-import

help:
	@echo 'make up            build and start everything on this machine; Ctrl-C stops it'
	@echo 'make demo          the same with the demo stream; or: make up ARGS="--demo ..."'
	@echo 'make test          every test, against real Redis servers'
	@echo 'make test-chaos    faults under load for ten minutes, then a proof that nothing was lost; 50 drains;'
	@echo '                   with CHAOS_SECONDS=, CHAOS_SERVER=, CHAOS_SEED=, CHAOS_FAULT_INTERVAL_MS=, CHAOS_RATE='
	@echo 'make test-import   a million lines of NDJSON over HTTP, with the memory that they took'
	@echo 'make bench-overhead  what one variant of the services costs compared with another; ARGS=--help'
	@echo 'make check         format, lints, documentation, licences, dependencies, dashboards'
	@echo 'make metrics-doc   docs/METRICS.md anew, from what the services show'
	@echo 'make test-compose  the images and docker-compose.yml with Prometheus, scaled and with workers killed'

up: rust redis
	cargo build --release --locked --bins
	@exec $(TARGET_DIR)/release/orderflow up $(ARGS)

demo:
	@exec $(MAKE) --no-print-directory up ARGS='--demo $(ARGS)'

test: rust redis browser prometheus schemathesis cloudevents notification-tools
	@exec deploy/scripts/test.sh

# Not under nextest, which would show the table only of a run that failed.
test-chaos: rust redis
	cargo build $(LOCKED) --workspace --bins
	cargo build $(LOCKED) -p e2e --examples
	CHAOS_SECONDS='$(CHAOS_SECONDS)' CHAOS_SERVER='$(CHAOS_SERVER)' CHAOS_SEED='$(CHAOS_SEED)' \
	  CHAOS_FAULT_INTERVAL_MS='$(CHAOS_FAULT_INTERVAL_MS)' CHAOS_RATE='$(CHAOS_RATE)' \
	  cargo test $(LOCKED) -p e2e --test chaos -- --nocapture
	E2E_DRAIN_ROUNDS=50 cargo test $(LOCKED) -p e2e --test handlers -- sigterm_under_load

# A million lines over HTTP into a release build, whose memory is watched.
test-import: rust redis
	cargo build $(LOCKED) --release -p producer-api
	PRODUCER_API_BIN='$(abspath $(TARGET_DIR))/release/producer-api' \
	  cargo test $(LOCKED) -p producer-api --test api -- --ignored --nocapture a_million_lines

# Two variants that are the same show how far the machine can be trusted; CONTRIBUTING.md has more.
bench-overhead: rust redis
	cargo build --release $(LOCKED) -p producer-api -p notifications-worker -p analytics-worker
	cargo build --release $(LOCKED) -p e2e --example overhead
	@exec $(TARGET_DIR)/release/examples/overhead --a $(TARGET_DIR)/release $(ARGS)

check: fmt clippy doc deny shellcheck dashboards

fmt: rust
	cargo fmt --all --check

clippy: rust
	cargo clippy $(LOCKED) --workspace --all-targets -- -D warnings

doc: rust
	RUSTDOCFLAGS='-D warnings' cargo doc $(LOCKED) --workspace --no-deps

# Licences, banned crates and sources need nothing but the lock file. Building cargo-deny takes
# longer than everything else here, so that it is only done when asked for: CARGO_DENY=1 make check.
deny: rust
	@if ! cargo deny --version >/dev/null 2>&1; then \
	  if [ "$$CARGO_DENY" = 1 ]; then cargo install --locked cargo-deny; \
	  else echo 'deny: skipped, cargo-deny is not installed (CARGO_DENY=1 make check installs it)'; exit 0; fi; \
	fi; \
	echo 'cargo deny check licenses bans sources'; cargo deny $(LOCKED) check licenses bans sources || exit 1; \
	if cargo deny fetch db >/dev/null 2>&1; then \
	  echo 'cargo deny check advisories'; cargo deny $(LOCKED) check advisories; \
	else echo 'advisories: skipped, the RustSec database cannot be fetched'; fi

shellcheck:
	@if command -v shellcheck >/dev/null; then \
	  echo shellcheck; shellcheck deploy/scripts/*.sh deploy/redis/*.sh deploy/grafana/*.sh .ci/run; \
	else echo 'shellcheck: skipped, it is not installed'; fi

dashboards:
	@if python3 -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	  echo dashboards; deploy/grafana/check.sh; \
	elif [ -n "$(CI)" ]; then echo 'dashboards: python3 3.11 or newer is needed' >&2; exit 1; \
	else echo 'dashboards: skipped, there is no python3 3.11 or newer'; fi

test-compose:
	@exec deploy/scripts/test-compose.sh

# make test fails if the file is not what this writes.
metrics-doc: rust redis
	cargo build $(LOCKED) --workspace --bins
	METRICS_DOC=write cargo test $(LOCKED) -p e2e --test observability -- metrics_doc

rust:
	@deploy/scripts/ensure-rust.sh

redis:
	@deploy/scripts/ensure-redis.sh

browser:
	@deploy/scripts/ensure-browser.sh

prometheus:
	@deploy/scripts/ensure-prometheus.sh

notification-tools:
	@deploy/scripts/ensure-notification-tools.sh

schemathesis:
	@deploy/scripts/ensure-schemathesis.sh

cloudevents:
	@deploy/scripts/ensure-cloudevents.sh
