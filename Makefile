# One entrance for people and for CI. Everything that is built or fetched lives in a cache outside the work tree, so that
# several work trees share RocksDB's one compilation.

SHELL := /bin/bash
RINGBACK_CACHE ?= $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/ringback
CARGO_TARGET_DIR ?= $(RINGBACK_CACHE)/target
# Most tests wait for a time-out most of the time. Each daemon costs memory, and there is one broker for all of them.
RUST_TEST_THREADS ?= 3
export RINGBACK_CACHE CARGO_TARGET_DIR RUST_TEST_THREADS

.DEFAULT_GOAL := help
.PHONY: help demo build test bench simulate fuzz torture

help: ## what can be made
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

demo: build ## see it work: a broker, a receiver and the sample flows in one process
	"$(CARGO_TARGET_DIR)/release/ringback" demo

# Cargo takes another work tree's artifacts of the same name for this one's, if they are younger than the sources.
.PHONY: own
own:
	@mkdir -p "$(CARGO_TARGET_DIR)"
	@if [ "$$(cat "$(CARGO_TARGET_DIR)/.work-tree" 2>/dev/null)" != "$(CURDIR)" ]; then \
		find src tests benches -name '*.rs' -exec touch {} +; \
		echo "$(CURDIR)" > "$(CARGO_TARGET_DIR)/.work-tree"; \
	fi

build: own ## the release binary
	@ops/local/setup.sh build
	cargo build --release --locked

test: own ## everything that CI runs
	@ops/local/setup.sh test
	cargo fmt --check
	cargo clippy --release --locked --all-targets --all-features -- -D warnings
	cargo test --release --locked --features failpoints

bench: own ## the benchmarks: the steps, then the whole on a real Kafka, which takes some minutes
	@ops/local/setup.sh test
	cargo bench --locked --bench steps --bench render --bench reload --bench end_to_end

SEEDS ?= 100000
FIRST ?= 0
simulate: own ## many simulated histories: SEEDS=1000000 FIRST=5000; RINGBACK_SIMULATION=7 tells the story of one
	@ops/local/setup.sh build
	SEEDS=$(SEEDS) FIRST=$(FIRST) cargo test --release --locked --features failpoints --lib no_fault_loses -- --nocapture

# The counted artifacts stand beside the others, so that no dependency is compiled twice; what is final, such as a binary that
# would not start, stands apart.
fuzz: own ## mutated input for every decoder, for RINGBACK_FUZZ_SECONDS (600)
	@ops/local/setup.sh build
	@mkdir -p "$(RINGBACK_CACHE)/fuzz/found"
	RUSTC_WORKSPACE_WRAPPER="$(CURDIR)/ops/local/counted-rustc.sh" CARGO_BUILD_BUILD_DIR="$(CARGO_TARGET_DIR)" \
		CARGO_TARGET_DIR="$(RINGBACK_CACHE)/fuzz/target" RINGBACK_FUZZ_FOUND="$(RINGBACK_CACHE)/fuzz/found" \
		cargo test --release --locked --test fuzz -- --ignored --nocapture for_long

KILLS ?= 200
torture: own ## kills of three instances and their broker under load: KILLS=1000 TORTURE_SEED=7
	@ops/local/setup.sh test
	TORTURE_KILLS=$(KILLS) cargo test --release --locked --features failpoints --test ringback torture:: -- --nocapture
