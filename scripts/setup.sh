#!/usr/bin/env bash
# What a fresh machine needs before the tests and the demo run: cargo, a C compiler and linker, make, Redis 7.
# Installs what is missing where it may (apt-get, as root or with sudo); otherwise says what to install and fails.
# With --tests also what only the tests need: Chromium, for the pages of simulations. With --ci that, rustfmt and clippy.
set -euo pipefail

redis_server=${KEYWAY_REDIS_SERVER:-redis-server}
chromium=${KEYWAY_CHROMIUM:-chromium}

have() { command -v "$1" >/dev/null 2>&1; }

explain_and_fail() {
  cat >&2 <<EOF
setup: missing: $*
  Debian, Ubuntu:  apt-get install make gcc libc6-dev redis-server
  Fedora:          dnf install make gcc redis
  macOS:           xcode-select --install; brew install redis
  or set KEYWAY_REDIS_SERVER to the path of a redis-server of version 7.0 or newer
  for the tests, also chromium (macOS: brew install --cask chromium), or set KEYWAY_CHROMIUM to the path of a Chromium or Chrome
EOF
  exit 1
}

if ! have cargo && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
  PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
fi
if ! have cargo; then
  echo "setup: missing: cargo. Install Rust 1.88 or newer: https://rustup.rs" >&2
  exit 1
fi

packages=()
have make || packages+=(make)
have cc || packages+=(gcc libc6-dev)
if ! have "$redis_server"; then
  if [ -n "${KEYWAY_REDIS_SERVER:-}" ]; then
    echo "setup: KEYWAY_REDIS_SERVER=$KEYWAY_REDIS_SERVER cannot be run" >&2
    exit 1
  fi
  packages+=(redis-server)
fi

if { [ "${1:-}" = --tests ] || [ "${1:-}" = --ci ]; } && ! have "$chromium"; then
  if [ -n "${KEYWAY_CHROMIUM:-}" ]; then
    echo "setup: KEYWAY_CHROMIUM=$KEYWAY_CHROMIUM cannot be run" >&2
    exit 1
  fi
  packages+=(chromium)
fi

if [ ${#packages[@]} -gt 0 ]; then
  have apt-get || explain_and_fail "${packages[@]}"
  as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    have sudo || explain_and_fail "${packages[@]}"
    as_root=(sudo)
  fi
  echo "setup: installing ${packages[*]}"
  # env: sudo does not pass the variable on.
  ${as_root[@]+"${as_root[@]}"} apt-get update -qq
  ${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null || explain_and_fail "${packages[@]}"
fi

version=$("$redis_server" --version)
major=$(sed -E 's/.* v=([0-9]+)\..*/\1/' <<<"$version")
if ! [ "$major" -ge 7 ] 2>/dev/null; then
  echo "setup: keyway needs Redis 7.0 or newer, and $redis_server is: $version" >&2
  exit 1
fi

if [ "${1:-}" = --ci ]; then
  for component in rustfmt clippy; do
    "cargo-${component/rustfmt/fmt}" --version >/dev/null 2>&1 && continue
    have rustup || { echo "setup: missing: $component" >&2; exit 1; }
    rustup component add "$component"
  done
fi
