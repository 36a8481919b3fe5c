#!/usr/bin/env bash
# An environment with uhashring, a ring in Python, for a line in the table of `make bench-simulation`. Never required: what is missing is said, and
# the bench goes on without.
set -euo pipefail
directory=$(dirname "$0")/../benches/simulation/target/uhashring
[ -x "$directory/bin/python3" ] && "$directory/bin/python3" -c 'import uhashring' 2>/dev/null && exit 0
mkdir -p "$(dirname "$directory")"
if python3 -m venv "$directory" && "$directory/bin/pip" --quiet --disable-pip-version-check install uhashring==2.5; then
  exit 0
fi
rm -rf "$directory"
echo "setup-uhashring: no uhashring: its line in the table will say so" >&2
