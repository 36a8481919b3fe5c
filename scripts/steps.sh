#!/usr/bin/env bash
# Runs make targets one after the other, stops at the first that fails, and prints the minutes of each.
# A word with a colon is a target with its ARGS: "chaos:--seconds 300".
# Usage: steps.sh TARGET...
set -uo pipefail
cd "$(dirname "$0")/.."

table=""
finish() {
  printf '\n%s' "$table"
  [ "$1" -eq 0 ] || printf 'failed: %s\n' "$2"
  exit "$1"
}

for step in "$@"; do
  target=${step%%:*}
  arguments=""
  [ "$step" = "$target" ] || arguments=${step#*:}
  begun=$SECONDS
  make --no-print-directory "$target" ${arguments:+ARGS="$arguments"}
  code=$?
  took=$((SECONDS - begun))
  table+=$(printf '%-16s %3d min %02d s' "$target" $((took / 60)) $((took % 60)))$'\n'
  [ "$code" -eq 0 ] || finish "$code" "$target"
done
finish 0 ""
