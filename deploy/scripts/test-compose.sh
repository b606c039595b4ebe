#!/usr/bin/env bash
# Runs docker-compose.yml as it is, under a project name of its own: posts events, scales and kills
# workers while more are posted, and checks that nothing was lost or counted twice, that Prometheus finds
# every replica and forgets those that are gone, and that every container ends by itself when stopped.
# Grafana is left out. Needs bash, curl and a Docker engine with Compose.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

export COMPOSE_PROJECT_NAME=${COMPOSE_PROJECT_NAME:-orderflow-test}
export ORDERFLOW_IMAGE_TAG=${ORDERFLOW_IMAGE_TAG:-test}
readonly stream=events:orders
readonly services=(redis admin-token producer-api notifications-worker analytics-worker reaper console prometheus)
readonly scraped=(producer-api:9101 notifications-worker:9102 analytics-worker:9103 reaper:9104 console:9105)
readonly batch_events=100 batches_before=20 batches_during=60
work=$(mktemp -d)
passed=0 failed=0 poster=

say() { printf '\n== %s (%d s)\n' "$*" "$SECONDS"; }
die() { printf 'test-compose: %s\n' "$*" >&2; exit 1; }
pass() { passed=$((passed + 1)); printf 'ok    %s\n' "$*"; }
fail() { failed=$((failed + 1)); printf 'FAIL  %s\n' "$*"; }

# expect WHAT EXPECTED FOUND
expect() { if [ "$2" = "$3" ]; then pass "$1: $3"; else fail "$1: expected '$2', found '$3'"; fi; }

# A developer's .env must not change what is tested.
dc() { docker compose --env-file /dev/null "$@"; }
rcli() { dc exec -T redis redis-cli "$@" </dev/null; }

# within SECONDS WHAT COMMAND…: repeats the command until it succeeds; counts as one check.
within() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    if [ "$SECONDS" -ge "$deadline" ]; then fail "$what: not in time"; return 1; fi
    sleep 0.3
  done
  pass "$what"
}

finish() {
  local status=$?
  trap - EXIT INT TERM
  [ -z "$poster" ] || kill "$poster" 2>/dev/null || true
  if [ "$status" -ne 0 ] || [ "$failed" -ne 0 ]; then
    say 'containers and their last lines'
    dc ps -a || true
    dc logs --no-color --tail 40 || true
  fi
  dc down --volumes --remove-orphans --timeout 5 >/dev/null 2>&1 || true
  rm -rf "$work"
  # An end before all checks had run is a failure, whatever was counted.
  if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then failed=1; fi
  printf '\n%d passed, %d failed\n' "$passed" "$failed"
  [ "$failed" -eq 0 ] || exit 1
}

# free_port PORT: the port itself, or the next that nothing listens on.
free_port() {
  local port=$1
  while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 100)); done
  echo "$port"
}

# Where the host's Cargo replaces crates.io, so must the build: those tables, and no others, since a
# linker or wrapper of the host is not in the image.
pass_on_cargo_config() {
  local config=${CARGO_HOME:-$HOME/.cargo}/config.toml
  if [ -n "${ORDERFLOW_CARGO_CONFIG:-}" ] || ! grep -qs '^\[source' "$config"; then return; fi
  awk '/^\[/ { keep = /^\[(source|registry|registries|http|net)[].]/ } keep' "$config" >"$work/cargo-config.toml"
  export ORDERFLOW_CARGO_CONFIG=$work/cargo-config.toml
}

# all_healthy: every container that was created runs and is healthy, but for the one that ends by itself.
all_healthy() {
  local ids
  ids=$(comm -23 <(dc ps -aq | sort) <(dc ps -aq admin-token | sort))
  # shellcheck disable=SC2086 # one argument for each ID
  [ -n "$ids" ] && ! docker inspect -f '{{.State.Running}} {{if .State.Health}}{{.State.Health.Status}}{{end}}' $ids |
    grep -qv '^true healthy$'
}

# make_batches FIRST COUNT: files batch-N.json, each an array of events whose amounts follow from their number.
make_batches() {
  awk -v first="$1" -v count="$2" -v size="$batch_events" -v dir="$work" 'BEGIN {
    split("order.placed order.paid order.shipped order.cancelled", types, " ")
    for (b = first; b < first + count; b++) {
      file = dir "/batch-" b ".json"
      for (i = b * size; i < (b + 1) * size; i++) {
        cents = (i * 7919) % 100000
        printf "%s{\"type\":\"%s\",\"order_id\":\"order-%d\",\"customer\":\"c-%d\",\"amount\":\"%d.%02d\"}",
          i == b * size ? "[" : ",", types[i % 4 + 1], int(i / 4), int(i / 4) % 97, int(cents / 100), cents % 100 >file
      }
      printf "]" >file
      close(file)
    }
  }'
}

# expected_of TYPE_INDEX EVENTS: "count amount" of one type among the first EVENTS events.
expected_of() {
  awk -v kind="$1" -v events="$2" 'BEGIN {
    for (i = kind; i < events; i += 4) { count++; cents += (i * 7919) % 100000 }
    printf "%d %d.%02d", count, int(cents / 100), cents % 100
  }'
}

# post FIRST COUNT PAUSE: posts the batches one after the other; each must be answered 201.
post() {
  local batch answer
  for ((batch = $1; batch < $1 + $2; batch++)); do
    answer=$(curl -sS --max-time 15 -H 'content-type: application/json' --data-binary "@$work/batch-$batch.json" \
      -w ' %{http_code}' "http://127.0.0.1:$ORDERFLOW_PRODUCER_PORT/v1/events" 2>&1) || true
    [[ $answer == *"\"accepted\":$batch_events"*' 201' ]] || printf 'batch %d: %.300s\n' "$batch" "$answer" >>"$work/refused"
    sleep "$3"
  done
}

# group_field GROUP FIELD: from XINFO GROUPS.
group_field() {
  rcli XINFO GROUPS "$stream" |
    awk -v group="$1" -v field="$2" 'NR % 2 { key = $0; next } key == "name" { mine = $0 == group } mine && key == field { print }'
}

# pending_of GROUP CONTAINER: entries delivered to the consumers of one container and not acked.
pending_of() {
  local host
  host=$(docker inspect -f '{{.Config.Hostname}}' "$2")
  rcli XINFO CONSUMERS "$stream" "$1" |
    awk -v host="$host-" 'NR % 2 { key = $0; next } key == "name" { mine = index($0, host) == 1 } mine && key == "pending" { sum += $0 } END { print sum + 0 }'
}

has_pending() { [ "$(pending_of "$@")" -gt 0 ]; }

redis_answers() { [ "$(rcli PING 2>/dev/null)" = PONG ]; }

settled() {
  local group
  for group in notifications analytics; do
    [ "$(group_field "$group" pending) $(group_field "$group" lag)" = '0 0' ] || return 1
  done
}

# crash SERVICE GROUP CONTAINER: stops the process in its tracks, waits until entries have been
# delivered to it that it will never ack, then kills it.
crash() {
  docker kill --signal STOP "$3" >/dev/null
  within 20 "$1 holds entries when it is killed" has_pending "$2" "$3" || true
  docker kill --signal KILL "$3" >/dev/null
}

# containers_that_took_part: how many containers of notifications-worker have been delivered an entry.
containers_that_took_part() {
  rcli XINFO CONSUMERS "$stream" notifications |
    awk 'NR % 2 { key = $0; next } key == "name" { sub(/-[0-9]+$/, ""); name = $0 } key == "inactive" && $0 >= 0 { seen[name] } END { for (n in seen) c++; print c + 0 }'
}

# amount_of JSON TYPE: "count amount" of one type in an analytics summary.
amount_of() {
  local part
  part=$(tr -d ' \n' <<<"$1" | sed -n "s/.*\"$2\":{\([^}]*\)}.*/,\1,/p")
  echo "$(sed -n 's/.*,"count":\([0-9]*\),.*/\1/p' <<<"$part") $(sed -n 's/.*,"amount":"\([0-9.]*\)",.*/\1/p' <<<"$part")"
}

check_summary() {
  local summary=$1 events=$2 kind=0 type
  for type in order.placed order.paid order.shipped order.cancelled; do
    expect "analytics counts $type" "$(expected_of "$kind" "$events")" "$(amount_of "$summary" "$type")"
    kind=$((kind + 1))
  done
  local revenue
  revenue=$(expected_of 1 "$events")
  expect 'analytics revenue' "${revenue#* }" "$(tr -d ' \n' <<<"$summary" | sed -n 's/.*"revenue":"\([0-9.]*\)".*/\1/p')"
}

# prometheus PATH [CURL ARGUMENT…]: asks Prometheus's API.
prometheus() { curl -sS --max-time 10 "http://127.0.0.1:$ORDERFLOW_PROMETHEUS_PORT/api/v1/$1" "${@:2}"; }

# running_targets: "JOB ADDRESS:PORT" of every running container that is to be scraped, sorted.
running_targets() {
  local service address
  for service in "${scraped[@]}"; do
    for address in $(dc ps -q "${service%:*}" | xargs docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}'); do
      echo "${service%:*} $address:${service#*:}"
    done
  done | sort
}

# found_targets: "JOB ADDRESS:PORT VALUE" of every target of ours, as the last scrape of it found it (1: it answered).
found_targets() {
  prometheus query --data-urlencode 'query=up{job!="prometheus"}' | grep -o '"metric":{[^}]*},"value":\[[^]]*\]' |
    sed -n 's/.*"instance":"\([^"]*\)".*"job":"\([^"]*\)".*,"\([0-9.]*\)"\]$/\2 \1 \3/p' | sort
}

# finds_what_runs: Prometheus scrapes every running container, each answers, and it scrapes nothing else.
finds_what_runs() {
  local targets
  targets=$(running_targets | sed 's/$/ 1/')
  [ -n "$targets" ] && [ "$(found_targets)" = "$targets" ]
}

# figure EXPRESSION: the one number that it gives now.
figure() {
  prometheus query --data-urlencode "query=$1" | sed -n 's/.*"value":\[[^,]*,"\([^"]*\)"\].*/\1/p'
}

# rules_evaluated: every rule has been, without an error.
rules_evaluated() {
  local rules
  rules=$(prometheus rules) && grep -q '"health":"ok"' <<<"$rules" && ! grep -qE '"health":"(unknown|err)"' <<<"$rules"
}

docker info >/dev/null 2>&1 || die 'no Docker engine answers (docker info). Start one, then run this again.'
docker compose version >/dev/null 2>&1 || die 'the Docker CLI has no Compose plugin (docker compose version).'
command -v curl >/dev/null || die 'curl is needed and not in PATH.'
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

ORDERFLOW_PRODUCER_PORT=$(free_port 8080)
ORDERFLOW_PRODUCER_OPS_PORT=$(free_port 9101)
ORDERFLOW_ANALYTICS_PORT=$(free_port 8081)
ORDERFLOW_ANALYTICS_OPS_PORT=$(free_port 9103)
ORDERFLOW_REAPER_OPS_PORT=$(free_port 9104)
ORDERFLOW_CONSOLE_PORT=$(free_port 8788)
ORDERFLOW_CONSOLE_OPS_PORT=$(free_port 9105)
ORDERFLOW_PROMETHEUS_PORT=$(free_port 9090)
export ORDERFLOW_CONSOLE_PORT ORDERFLOW_CONSOLE_OPS_PORT ORDERFLOW_PROMETHEUS_PORT
export ORDERFLOW_PRODUCER_PORT ORDERFLOW_PRODUCER_OPS_PORT ORDERFLOW_ANALYTICS_PORT ORDERFLOW_ANALYTICS_OPS_PORT ORDERFLOW_REAPER_OPS_PORT
ORDERFLOW_REVISION=${ORDERFLOW_REVISION:-$(git rev-parse --short HEAD 2>/dev/null || echo unknown)}
export ORDERFLOW_REVISION
pass_on_cargo_config

say 'building the images and starting'
# What an interrupted run left behind.
dc down --volumes --remove-orphans --timeout 5 >/dev/null 2>&1
dc up --build -d "${services[@]}"
within 90 'every service is healthy' all_healthy || die 'the services did not start'

events=$((batches_before * batch_events))
make_batches 0 $((batches_before + batches_during))
say "posting $events events to one worker each"
post 0 "$batches_before" 0
expect 'batches refused' '' "$(cat "$work/refused" 2>/dev/null || true)"
within 30 'both groups have settled them' settled || true

say 'scaling notifications-worker to 4'
dc up -d --no-build --no-recreate --scale notifications-worker=4 "${services[@]}"
within 60 'four workers are healthy' all_healthy || true

events=$((events + batches_during * batch_events))
say "posting up to $events events, killing a worker of each group meanwhile"
post "$batches_before" "$batches_during" 0.3 &
poster=$!
sleep 2
crash notifications-worker notifications "$(dc ps -q notifications-worker | head -n 1)"
analytics=$(dc ps -q analytics-worker)
crash analytics-worker analytics "$analytics"
docker start "$analytics" >/dev/null
wait "$poster"
poster=
expect 'batches refused' '' "$(cat "$work/refused" 2>/dev/null || true)"
within 60 'both groups have settled everything' settled || true

say 'checking'
expect 'entries in the stream' "$events" "$(rcli XLEN "$stream")"
last_id=$(rcli XINFO STREAM "$stream" | awk 'p { print; exit } $0 == "last-generated-id" { p = 1 }')
for group in notifications analytics; do
  expect "$group: entries pending" 0 "$(group_field "$group" pending)"
  expect "$group: lag" 0 "$(group_field "$group" lag)"
  expect "$group: entries read" "$events" "$(group_field "$group" entries-read)"
  expect "$group: last entry delivered" "$last_id" "$(group_field "$group" last-delivered-id)"
  expect "$group: dead letters" 0 "$(rcli XLEN "{$stream}:dlq:$group")"
done
summary=$(curl -sS --max-time 10 "http://127.0.0.1:$ORDERFLOW_ANALYTICS_PORT/v1/analytics/summary" || true)
check_summary "$summary" "$events"
shares=$(containers_that_took_part)
if [ "$shares" -ge 3 ]; then pass "$shares notifications workers took a share"; else fail "only $shares notifications workers took a share"; fi

say 'the console, through its own API'
console() { curl -sS --max-time 10 "http://127.0.0.1:$ORDERFLOW_CONSOLE_PORT$1" "${@:2}"; }
state=$(console /api/state || true)
expect 'processes that the console reaches' 4 "$(grep -o '"reachable":true' <<<"$state" | wc -l)"
expect 'entries that the console sees' "$events" "$(sed -n 's/.*"length":\([0-9]*\).*/\1/p' <<<"$state")"
expect 'a lever pulled through the console' 200 \
  "$(console /api/groups/notifications/claiming -o /dev/null -w '%{http_code}' -H 'content-type: application/json' -d '{"auto":true}')"
page=$(console / || true)
if [[ $page == *'<title>'* ]]; then pass 'the console shows its page'; else fail "the console shows: ${page:0:100}"; fi

say 'starting the killed worker again'
dc up -d --no-build --no-recreate --scale notifications-worker=4 "${services[@]}"
within 60 'every container is healthy again' all_healthy || true

say 'Prometheus'
within 60 'Prometheus finds every replica, and each answers' finds_what_runs || found_targets
expect 'replicas of notifications-worker among them' 4 "$(found_targets | grep -c '^notifications-worker ')"
rules=$(prometheus rules || true)
expect 'rules loaded' "$(cat deploy/prometheus/rules/*.yml | grep -cE '^ *- (alert|record): ')" \
  "$(grep -oE '"type":"(alerting|recording)"' <<<"$rules" | wc -l)"
within 60 'every rule has been evaluated' rules_evaluated || prometheus rules
expect 'entries that Prometheus sees' "$events" "$(figure 'max(stream_length)')"
dc up -d --no-build --no-recreate --scale notifications-worker=2 "${services[@]}"
within 60 'the replicas that were scaled away are not scraped any more' finds_what_runs || found_targets
expect 'replicas of notifications-worker left' 2 "$(found_targets | grep -c '^notifications-worker ')"

say 'stopping'
dc stop
for container in $(dc ps -aq); do
  # shellcheck disable=SC2046 # three words
  set -- $(docker inspect -f '{{.Name}} {{.State.ExitCode}} {{.State.Running}}' "$container")
  expect "exit code of ${1#/}, ended within its grace period" '0 false' "$2 $3"
done

say 'starting Redis alone'
dc up -d --no-build --no-recreate redis
within 30 'redis answers' redis_answers || true
expect 'entries in the stream after a restart' "$events" "$(rcli XLEN "$stream")"
for group in notifications analytics; do
  expect "$group: entries pending after the drain" 0 "$(group_field "$group" pending)"
  expect "$group: consumers left after the drain" 0 "$(group_field "$group" consumers)"
done
