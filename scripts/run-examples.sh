#!/usr/bin/env bash
# Builds and runs every example, each against two fresh redis-servers that this script starts, and fails if one fails.
# An example takes no argument; KEYWAY_EXAMPLE_CONFIG is the path of its cluster file. Everything is gone at the end.
set -euo pipefail
cd "$(dirname "$0")/.."

redis_server=${KEYWAY_REDIS_SERVER:-redis-server}
example_seconds=${EXAMPLE_SECONDS:-60}
directory=$(mktemp -d "${TMPDIR:-/tmp}/keyway-examples.XXXXXX")
pids=()

stop_servers() {
  local pid
  for pid in ${pids[@]+"${pids[@]}"}; do
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  pids=()
}
trap 'stop_servers; rm -rf "$directory"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Starts a server and sets $port. Ports are below those that the system gives to outgoing connections.
start_server() {
  local log="$directory/$1.log" pid
  for _ in $(seq 20); do
    port=$((20000 + RANDOM % 12000))
    "$redis_server" --port "$port" --bind 127.0.0.1 --save "" --dir "$directory" >"$log" 2>&1 &
    pid=$!
    pids+=("$pid")
    for _ in $(seq 200); do
      grep -q 'Ready to accept connections' "$log" && return 0
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.05
    done
    grep -q 'Address already in use' "$log" || break
  done
  echo "run-examples: $redis_server does not start:" >&2
  cat "$log" >&2
  exit 1
}

# Polls: macOS has no timeout(1), and a watchdog in the background would leave its sleep behind.
run_within_limit() {
  local pid deadline=$((SECONDS + example_seconds))
  "$@" &
  pid=$!
  pids+=("$pid")
  while kill -0 "$pid" 2>/dev/null; do
    [ "$SECONDS" -lt "$deadline" ] || kill -KILL "$pid" 2>/dev/null || true
    sleep 0.05
  done
  wait "$pid"
}

examples=()
for source in examples/*.rs examples/*/main.rs; do
  [ -e "$source" ] || continue
  name=${source#examples/}
  name=${name%/main.rs}
  examples+=("${name%.rs}")
done
if [ ${#examples[@]} -eq 0 ]; then
  echo "run-examples: there is nothing in examples/" >&2
  exit 1
fi

cargo build --quiet --examples --all-features
target=$(cargo metadata --format-version 1 --no-deps | sed -E 's/.*"target_directory":"([^"]*)".*/\1/')

failed=()
for name in "${examples[@]}"; do
  start_server a; port_a=$port
  start_server b; port_b=$port
  export KEYWAY_EXAMPLE_CONFIG="$directory/cluster.toml"
  cat >"$KEYWAY_EXAMPLE_CONFIG" <<EOF
name = "examples"

[placement]
algorithm = "ketama"
nodes = 64

[servers.a]
url = "redis://127.0.0.1:$port_a"
nodes = "0-31"

[servers.b]
url = "redis://127.0.0.1:$port_b"
nodes = "32-63"
EOF
  status=0
  run_within_limit "$target/debug/examples/$name" >"$directory/output" 2>&1 || status=$?
  if [ "$status" -eq 0 ]; then
    echo "example $name: ok"
  else
    failed+=("$name")
    echo "example $name: FAILED with status $status (137: killed after $example_seconds s); its output:" >&2
    sed 's/^/    /' "$directory/output" >&2
  fi
  stop_servers
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "run-examples: ${#failed[@]} of ${#examples[@]} failed: ${failed[*]}" >&2
  exit 1
fi
echo "run-examples: all ${#examples[@]} ran"
