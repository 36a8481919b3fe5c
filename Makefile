.DEFAULT_GOAL := help
.PHONY: help setup demo test sweep steady ci ci-full fmt clippy layers doc examples bench bench-applications bench-placement bench-pubsub bench-simulation bench-test instructions foreign-suites fuzz

FUZZ_SECONDS ?= 600
TIMES ?= 20
LOOPS ?= 8

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing, redis-server included, or say what to install
	@scripts/setup.sh

demo: setup ## two real servers, a social graph: sets, timelines, a crash amid a delivery, a retry; ARGS="--edges FILE" for your own graph
	cargo run --release --features cli --bin keyway -- demo $(ARGS)

test: ## all tests, against real servers and in a real browser, which they start themselves
	@scripts/setup.sh --tests
	cargo test --workspace --all-features

sweep: ## the unit tests with all the keys, cases and rounds that they can have, some minutes
	KEYWAY_SWEEP=1 cargo test --workspace --all-features --lib

steady: ## the tests that read a clock, TIMES (20) times beside LOOPS (8) busy loops, half an hour; TESTS="module::name ..." for some of them
	@scripts/setup.sh
	scripts/steady.sh $(TIMES) $(LOOPS) $(TESTS)

ci: ## everything that must hold before a merge
	scripts/setup.sh --ci
	@scripts/steps.sh fmt layers clippy test chaos-ci bench-test doc examples

ci-full: ci ## what must hold before an issue is closed, at most 75 minutes: ci, foreign suites, chaos, planted faults
	@scripts/steps.sh foreign-suites "chaos:--seconds 300" chaos-planted

fmt: ## the sources are formatted
	cargo fmt --all --check

clippy: ## no lint is broken, with every feature and with none
	cargo clippy --workspace --all-targets --all-features -- -D warnings
	cargo clippy --lib --no-default-features -- -D warnings
	@# What `make instructions` reaches of the library; nothing else compiles it.
	cargo clippy --lib -- -D warnings --cfg keyway_instructions

layers: ## every module imports only from the layers above it, and every crate from those that it may
	scripts/check-layers.sh

doc: ## the documentation builds without a warning
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features

examples: setup ## run every example against servers of its own
	scripts/run-examples.sh

bench: setup ## keyway beside its peers in one run, half an hour; ARGS=--quick, ARGS=--help, ARGS=--publish writes BENCHMARKS.md
	cargo run --release --manifest-path benches/peers/Cargo.toml -- $(ARGS)

bench-applications: setup ## sets and timelines beside the same by hand, six minutes; exit code 1 when a floor is missed; ARGS="--only sets --publish"
	@scripts/setup-rb.sh
	cargo run --release --manifest-path benches/peers/Cargo.toml -- applications $(ARGS)

bench-pubsub: setup ## what subscriptions and messages cost, beside redis-rs and fred; exit code 1 when a ceiling is missed; ARGS=--quick
	cargo run --release --manifest-path benches/peers/Cargo.toml -- pubsub $(ARGS)

bench-placement: ## what finding a key's node costs, beside other crates; exit code 1 when a floor is missed; ARGS=--quick, ARGS=--help
	@cargo run --quiet --release --manifest-path benches/placement/Cargo.toml -- $(ARGS)

bench-simulation: ## how fast simulations are, and their memory, beside bare lookups and other rings; exit code 1 when a floor is missed; ARGS=--quick
	@scripts/setup-uhashring.sh
	@cargo run --quiet --release --manifest-path benches/simulation/Cargo.toml -- $(ARGS)

bench-test: ## the benches themselves: lints and tests
	cargo fmt --check --manifest-path benches/peers/Cargo.toml
	cargo clippy --manifest-path benches/peers/Cargo.toml --all-targets -- -D warnings
	cargo test --manifest-path benches/peers/Cargo.toml
	cargo fmt --check --manifest-path benches/placement/Cargo.toml
	cargo clippy --manifest-path benches/placement/Cargo.toml --all-targets -- -D warnings
	cargo test --manifest-path benches/placement/Cargo.toml
	cargo fmt --check --manifest-path benches/simulation/Cargo.toml
	cargo clippy --manifest-path benches/simulation/Cargo.toml --all-targets -- -D warnings
	cargo test --manifest-path benches/simulation/Cargo.toml

instructions: ## instructions per operation of the hot paths against the baseline; ARGS="--profile get-64", ARGS=--save
	@# The dependencies that users of this lock file have: cargo only takes away what is not used.
	cp Cargo.lock benches/instructions/Cargo.lock
	RUSTFLAGS="--cfg keyway_instructions" \
	  cargo run --quiet --release --manifest-path benches/instructions/Cargo.toml -- $(ARGS)

foreign-suites: setup ## the tests of redis-py, redis-rs, BullMQ and Celery over a front on keyway, ten minutes; ARGS="--only celery", ARGS=--steadiness
	@scripts/foreign-suites.sh $(ARGS)

fuzz: ## fuzz the reply decoder for FUZZ_SECONDS (600); needs a nightly toolchain and cargo-fuzz
	@cargo +nightly fuzz --version >/dev/null 2>&1 || { \
	  echo "fuzz: first run: rustup toolchain install nightly && cargo install cargo-fuzz" >&2; exit 1; }
	cargo +nightly fuzz run decode -- -max_total_time=$(FUZZ_SECONDS)

.PHONY: chaos chaos-ci chaos-planted

chaos: ## faults by a seed, and an oracle that checks every call, a minute; ARGS="--seconds 1800", ARGS="--seed 7", ARGS=--help
	@scripts/setup.sh --tests
	cargo run --quiet --example chaos -- $(ARGS)

chaos-ci: ## the same on committed seeds, a minute of faults
	@scripts/setup.sh --tests
	cargo run --quiet --example chaos -- --seeds 1,2,3,4 --round-seconds 15

chaos-planted: ## a build with faults put in on purpose, each of which the oracle must find, some four minutes
	@scripts/setup.sh --tests
	RUSTFLAGS="--cfg keyway_planted" CARGO_TARGET_DIR=target/planted cargo run --quiet --example chaos -- planted
	@scripts/pubsub-planted.sh
