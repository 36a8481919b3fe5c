#!/usr/bin/env bash
# In place of redis-server for redis-rs's tests, which start a server for each test: a front for the
# cluster in KEYWAY_FOREIGN_CLUSTER, on the port that they ask for. Its servers, on
# KEYWAY_FOREIGN_PORTS, stay from test to test, and are emptied here.
set -euo pipefail

while [ $# -gt 0 ]; do
  [ "$1" = --port ] && port=$2
  shift
done
for server in $KEYWAY_FOREIGN_PORTS; do
  redis-cli -p "$server" >/dev/null <<'COMMANDS'
REPLICAOF NO ONE
FLUSHALL
FUNCTION FLUSH
SCRIPT FLUSH
CONFIG SET notify-keyspace-events ""
CONFIG SET maxmemory-policy noeviction
CONFIG RESETSTAT
COMMANDS
done
exec "$KEYWAY_FOREIGN_FRONT" "$KEYWAY_FOREIGN_CLUSTER" "127.0.0.1:${port:?}"
