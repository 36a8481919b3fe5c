#!/usr/bin/env bash
# The model of pub/sub finds each fault that is put in on purpose, and nothing without one.
# Usage: pubsub-planted.sh
set -euo pipefail
cd "$(dirname "$0")/.."
export RUSTFLAGS="--cfg keyway_planted" CARGO_TARGET_DIR=target/planted
test=pubsub::tests::every_gap_is_said_once_at_its_place_whatever_happens
cargo test --quiet --lib --all-features --no-run
KEYWAY_PLANTED='' cargo test --quiet --lib --all-features "$test" >/dev/null || {
  echo "pubsub-planted: the model fails without a fault" >&2
  exit 1
}
# B1, B4 and B5 of the track record.
for fault in refused-batch silent-switch early-gap; do
  if output=$(KEYWAY_PLANTED=$fault cargo test --quiet --lib --all-features "$test" 2>&1); then
    echo "pubsub-planted: the model does not find $fault" >&2
    exit 1
  fi
  printf '%-20s found: %s\n' "$fault" "$(grep -m 1 -o 'seed [0-9]*: .*' <<<"$output")"
done
