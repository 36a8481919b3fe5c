#!/usr/bin/env bash
# Other projects' test suites over a front on keyway: what runs, and how to read the result, is in
# tests/foreign/README.md. Options go to tests/foreign/run.py: --only SUITE, --steadiness.
set -euo pipefail
cd "$(dirname "$0")/.."

have() { command -v "$1" >/dev/null 2>&1; }

packages=()
python3 -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || packages+=(python3 python3-venv)
have node || packages+=(nodejs)
have npm || packages+=(npm)
have redis-cli || packages+=(redis-tools)
if [ ${#packages[@]} -gt 0 ]; then
  as_root=()
  [ "$(id -u)" -eq 0 ] || as_root=(sudo)
  have apt-get || { echo "foreign suites: install ${packages[*]} (Python 3.11 or newer)" >&2; exit 1; }
  echo "foreign suites: installing ${packages[*]}" >&2
  ${as_root[@]+"${as_root[@]}"} apt-get update -qq
  ${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
fi

cargo build --quiet --example front
exec python3 tests/foreign/run.py "$@"
