#!/usr/bin/env bash
# An environment with rb, nydus's heir in Python, for a line in the tables of `make bench-applications`. Never required: what is missing is said, and
# the bench goes on without.
set -euo pipefail
directory=$(dirname "$0")/../benches/peers/target/rb
[ -x "$directory/bin/python3" ] && "$directory/bin/python3" -c 'import rb' 2>/dev/null && exit 0
mkdir -p "$(dirname "$directory")"
# rb 1.11.0 needs a redis-py that does not ask its pool for its settings: 3.5.3 works, 5 and later do not.
if python3 -m venv "$directory" && "$directory/bin/pip" --quiet --disable-pip-version-check install rb==1.11.0 redis==3.5.3; then
  exit 0
fi
rm -rf "$directory"
echo "setup-rb: no rb: its lines in the tables will say so" >&2
