# The commands for people and for CI. All that is built or downloaded is in a cache outside the work tree, so that
# several work trees share one compilation of RocksDB.

SHELL := /bin/bash
RINGBACK_CACHE ?= $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/ringback
CARGO_TARGET_DIR ?= $(RINGBACK_CACHE)/target
# The tests mostly wait for time-outs. But each daemon needs memory, and most share one broker.
RUST_TEST_THREADS ?= 3
# The commit that ringback_build_info shows.
RINGBACK_COMMIT ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null)
export RINGBACK_CACHE CARGO_TARGET_DIR RUST_TEST_THREADS RINGBACK_COMMIT

.DEFAULT_GOAL := help
.PHONY: help demo quickstart build dist test bench simulate fuzz torture

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

demo: build ## run the demo: a broker, a receiver and the sample flows in one process
	"$(CARGO_TARGET_DIR)/release/ringback" demo

ONCE ?=
quickstart: own ## run it on a real Kafka with an endpoint and Prometheus: ONCE=1 ends after the first webhooks
	@ops/local/setup.sh quickstart
	cargo build --release --locked
	@ONCE="$(ONCE)" RINGBACK_BIN="$(CARGO_TARGET_DIR)/release/ringback" ops/quickstart/run.sh

# Cargo uses the artifacts of another work tree if they are newer than the sources. So the sources are touched after a
# change of the work tree.
.PHONY: own
own:
	@mkdir -p "$(CARGO_TARGET_DIR)"
	@if [ "$$(cat "$(CARGO_TARGET_DIR)/.work-tree" 2>/dev/null)" != "$(CURDIR)" ]; then \
		find src tests benches -name '*.rs' -exec touch {} +; \
		echo "$(CURDIR)" > "$(CARGO_TARGET_DIR)/.work-tree"; \
	fi

build: own ## build the release binary
	@ops/local/setup.sh build
	cargo build --release --locked

# A profile of its own makes the binary a fifth smaller, and compiles everything once more. RELR makes the table of
# relocations small.
DIST ?= $(RINGBACK_CACHE)/dist
dist: own ## make a Debian package, an archive, an SBOM and checksums in DIST (dist/ of the cache)
	@ops/local/setup.sh dist
	cargo rustc --profile dist --locked --bin ringback -- -C link-arg=-Wl,-z,pack-relative-relocs -C link-arg=-Wl,--icf=all
	ops/package/build.sh --sbom --most 30000000 "$(CARGO_TARGET_DIR)/dist/ringback" "$(DIST)"

test: own ## run everything that CI runs
	@ops/local/setup.sh test
	cargo fmt --check
	cargo clippy --release --locked --all-targets --all-features -- -D warnings
	cargo test --release --locked --features failpoints

PART ?=
bench: own ## run the benchmarks: single steps, then the whole daemon on a real Kafka. PART=drain runs one part of the latter
	@ops/local/setup.sh test
	@if [ -z "$(PART)" ]; then cargo bench --locked --bench steps --bench render --bench reload --bench accounts; fi
	cargo bench --locked --bench end_to_end -- $(PART)

SEEDS ?= 100000
FIRST ?= 0
simulate: own ## run simulated histories: SEEDS=1000000 FIRST=5000; RINGBACK_SIMULATION=7 prints the steps of one
	@ops/local/setup.sh build
	SEEDS=$(SEEDS) FIRST=$(FIRST) cargo test --release --locked --features failpoints --lib no_fault_loses -- --nocapture

# The intermediate artifacts with counters are beside the others, so that no dependency is compiled twice. The final ones,
# such as a binary that can't start, are in a directory of their own.
fuzz: own ## run every decoder on mutated input, for RINGBACK_FUZZ_SECONDS (600)
	@ops/local/setup.sh build
	@mkdir -p "$(RINGBACK_CACHE)/fuzz/found"
	RUSTC_WORKSPACE_WRAPPER="$(CURDIR)/ops/local/counted-rustc.sh" CARGO_BUILD_BUILD_DIR="$(CARGO_TARGET_DIR)" \
		CARGO_TARGET_DIR="$(RINGBACK_CACHE)/fuzz/target" RINGBACK_FUZZ_FOUND="$(RINGBACK_CACHE)/fuzz/found" \
		cargo test --release --locked --test fuzz -- --ignored --nocapture for_long

KILLS ?= 200
torture: own ## kill three instances and their broker many times under load: KILLS=1000 TORTURE_SEED=7
	@ops/local/setup.sh test
	TORTURE_KILLS=$(KILLS) cargo test --release --locked --features failpoints --test ringback torture:: -- --nocapture
