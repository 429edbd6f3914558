# flowstitch: `make` lists what can be done.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
# Cargo and the test runners use every core by themselves; two of them at once use too many.
.NOTPARALLEL:

CARGO ?= cargo
# How long `make torture` goes on.
SECONDS ?= 600
RELEASE_BIN := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)/release/flowstitch
# Everything that `make bench` measured last.
SPEED_JSON := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)/speed.json

.PHONY: help build run check fmt clippy doc deny test unit torture torture-proof \
    bench bench-plots bench-attacks browser browser-tools torture-tools schemathesis fuzz \
    fuzz-quick fuzz-build fuzz-clippy fuzz-tools

help: ## List what can be done
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build the optimised binary, target/release/flowstitch
	$(CARGO) build --release --locked

run: ## Build and serve on http://127.0.0.1:8080, data in the working directory
	$(CARGO) run --release --locked

check: fmt clippy doc deny ## Check format, lints, documentation and dependencies

fmt:
	$(CARGO) fmt --check
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml

clippy:
	$(CARGO) clippy --all-targets --locked -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --locked

# What a machine without a network cannot check is a line, not a failure: the dependencies are those
# of Cargo.lock, here as elsewhere. `cargo metadata` needs those for other systems, too, and fetches
# them; the advisories are a repository of their own.
deny: ## Check licences, sources, versions and advisories of all dependencies
	@if ! $(CARGO) deny --version >/dev/null 2>&1; then \
	    echo "Not run: the checks of the dependencies. Missing: cargo install --locked cargo-deny."; \
	    exit; \
	fi; \
	if $(CARGO) metadata --locked --all-features --format-version 1 >/dev/null 2>&1; then \
	    $(CARGO) deny --locked check --hide-inclusion-graph licenses sources bans; \
	else \
	    echo "Not run: licences, sources and versions. Missing: the manifests of all dependencies."; \
	fi; \
	if $(CARGO) deny --locked fetch db >/dev/null 2>&1; then \
	    $(CARGO) deny --locked check --hide-inclusion-graph advisories; \
	else \
	    echo "Not run: advisories. Missing: the database (https://github.com/RustSec/advisory-db)."; \
	fi

# The runner stands last, so that the output ends with its counts. Documentation tests come before
# the others, which are the many.
test: check browser fuzz-quick unit ## Run everything: check, browser and Rust tests, fuzz targets

unit: torture-tools
	$(CARGO) test --locked --doc
	$(CARGO) test --locked --all-targets

torture: torture-tools ## Attack the optimised binary for SECONDS=600 and print what it lost
	$(CARGO) test --release --locked --test torture -- --seconds $(SECONDS)

# ROUNDS: how many times each is measured. ONLY: some of the groups that `--help` names. FULL=1: with
# files of 20 GiB. BENCH_DIR: a folder on the disk that is meant.
bench: ROUNDS ?= 5
bench: ## Measure speed beside the limits of this machine; ROUNDS=5 ONLY=large,small FULL=1
	$(CARGO) bench --locked --bench speed -- --rounds $(ROUNDS) $(if $(ONLY),--only $(ONLY)) \
	    $(if $(FULL),--full) $(if $(BENCH_DIR),--dir $(BENCH_DIR)) --json $(SPEED_JSON)

bench-plots: ## Draw what `make bench` measured: docs/performance/*.svg
	$(CARGO) bench --locked --bench speed -- --from $(SPEED_JSON) --plots docs/performance

bench-attacks: ROUNDS ?= 7
bench-attacks: ## Measure an upload under slow heads, slow bodies and 10,000 idle connections
	$(CARGO) test --release --locked --test attacks -- --rounds $(ROUNDS)

torture-proof: torture-tools ## Take each sync out of the server and see that it is missed
	$(CARGO) test --release --locked --test torture -- --seconds 1 --fault power-order \
	    --fault proof-bytes --fault proof-names --fault proof-journal --fault proof-database

# What breaks machines in ways that a process cannot. What is missing is a line of the table: that
# fault is not run. RUNLEVEL=1 keeps nginx from being started as a service.
torture-tools:
	@missing=""; \
	for tool in strace:strace xfs_io:xfsprogs mkfs.btrfs:btrfs-progs fiu-run:fiu-utils \
	    faketime:faketime nginx:nginx-light; do \
	    PATH="$$PATH:/usr/sbin:/sbin" command -v "$${tool%%:*}" >/dev/null \
	        || missing="$$missing $${tool##*:}"; \
	done; \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing for the torture program: $$missing"; \
	    export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1; \
	    { apt-get update -qq && apt-get install -qq -y --no-install-recommends $$missing; } \
	        >/dev/null || echo "Could not install them."; \
	fi

# Schemathesis is installed beside what is built, and nowhere else. SECONDS has no say here: EXAMPLES
# is how many requests are made of each operation, besides those that its edges suggest.
EXAMPLES ?= 10
TARGET_DIR := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
SCHEMATHESIS := $(TARGET_DIR)/schemathesis

schemathesis: ## Hold a server to its /openapi.json, as every kind of caller
	@if ! [ -x "$(SCHEMATHESIS)/bin/schemathesis" ] \
	    && ! { python3 -m venv "$(SCHEMATHESIS)" && "$(SCHEMATHESIS)/bin/pip" install --quiet \
	        --disable-pip-version-check -r tests/schemathesis/requirements.txt; } >/dev/null 2>&1; \
	then \
	    echo "Not run: schemathesis. Missing: python3 with venv, or its packages (pip)."; \
	    [ "$${CI:-}" != true ]; exit; \
	fi; \
	$(CARGO) build --locked; \
	"$(SCHEMATHESIS)/bin/python" tests/schemathesis/run.py "$(SCHEMATHESIS)/bin/schemathesis" \
	    "$(TARGET_DIR)/debug/flowstitch" $(EXAMPLES)

# run.mjs says in one line which tests did not run when there is no browser, and fails with CI=true.
browser: build browser-tools ## Run the tests in a real browser
	@if ! node -e '$(NODE_IS_NEW)' 2>/dev/null || ! command -v npm >/dev/null; then \
	    echo "Not run: all tests in tests/browser. Missing: node 20.19 or newer, with npm."; \
	    [ "$${CI:-}" != true ]; exit; \
	fi; \
	cd tests/browser; \
	npm ci --no-audit --no-fund; \
	FLOWSTITCH_BIN="$(RELEASE_BIN)" node run.mjs

NODE_IS_NEW := const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)

# Installs what is missing, where that is possible without asking. What is still missing then is
# reported by the target above.
browser-tools:
	@missing=""; \
	command -v node >/dev/null && command -v npm >/dev/null || missing="nodejs npm"; \
	[ -x "$${CHROMIUM:-/usr/bin/chromium}" ] || [ -x /usr/bin/chromium-browser ] \
	    || missing="$$missing chromium"; \
	[ -x "$${FIREFOX:-/usr/bin/firefox-esr}" ] || [ -x /usr/bin/firefox ] \
	    || missing="$$missing firefox-esr"; \
	[ -x "$${FFMPEG:-/usr/bin/ffmpeg}" ] || missing="$$missing ffmpeg"; \
	[ -x /usr/bin/WebKitWebDriver ] && [ -x /usr/bin/Xvfb ] \
	    || missing="$$missing webkit2gtk-driver xvfb gstreamer1.0-plugins-good gstreamer1.0-libav"; \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing for the browser tests: $$missing"; \
	    export DEBIAN_FRONTEND=noninteractive; \
	    { apt-get update -qq && apt-get install -qq -y --no-install-recommends $$missing; } \
	        >/dev/null || echo "Could not install them."; \
	fi
	@[ -x target/browser-venv/bin/python ] || { \
	    echo "Installing for the browser tests: aiosmtpd"; \
	    { python3 -m venv target/browser-venv \
	        && target/browser-venv/bin/pip install --quiet aiosmtpd==1.4.6; } >/dev/null 2>&1 \
	        || { rm -rf target/browser-venv; echo "Could not install it."; }; \
	}

# The targets are plain programs that bring libFuzzer along: any stable toolchain builds them, and
# nothing needs to be installed but a C++ compiler. Without sanitizers: no unsafe code is ours.
FUZZ_TARGETS := config content_ranges file_names flow_fields raw_form session
FUZZ_SECONDS ?= 300
FUZZ_HOST := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
FUZZ_BIN = fuzz/target/$(FUZZ_HOST)/release
FUZZ_FLAGS := --cfg fuzzing -Cpasses=sancov-module \
    $(addprefix -Cllvm-args=-sanitizer-coverage-,level=4 inline-8bit-counters pc-table \
    trace-compares)

# What a run finds worth keeping is kept for the next one, but outside of what is committed:
# $(1) where, $(2) more options. A finding ends in fuzz/artifacts.
define FUZZ
	@$(FUZZ_READY) || { $(FUZZ_NOT_RUN); exit; }; \
	for target in $(FUZZ_TARGETS); do \
	    echo "fuzz $$target"; \
	    mkdir -p "$(1)/$$target" "fuzz/artifacts/$$target"; \
	    "$(FUZZ_BIN)/$$target" "$(1)/$$target" "fuzz/corpus/$$target" \
	        -dict="fuzz/dict/$$target.dict" -artifact_prefix="fuzz/artifacts/$$target/" \
	        -max_len=4096 -timeout=20 -print_final_stats=1 $(2) >"$(1)/$$target.log" 2>&1 \
	        || { tail -n 60 "$(1)/$$target.log"; exit 1; }; \
	    grep -a 'cov:' "$(1)/$$target.log" | tail -n 1; \
	done
endef
FUZZ_READY = command -v c++ >/dev/null
FUZZ_NOT_RUN = echo "Not run: all fuzz targets. Missing: a C++ compiler."; [ "$${CI:-}" != true ]

fuzz: fuzz-clippy fuzz-build ## Fuzz every target for FUZZ_SECONDS (300)
	$(call FUZZ,fuzz/target/corpus,-max_total_time=$(FUZZ_SECONDS))

# The same inputs each time, but for ids of ours, which are random.
fuzz-quick: fuzz-build ## Run every fuzz target for a few seconds
	@rm -rf fuzz/target/quick
	$(call FUZZ,fuzz/target/quick,-runs=5000 -seed=1)

# Not in check: a workspace of its own has all dependencies checked once more, for minutes.
fuzz-clippy: fuzz-tools
	@! $(FUZZ_READY) || CARGO_TARGET_DIR=fuzz/target \
	    $(CARGO) clippy --manifest-path fuzz/Cargo.toml --locked -- -D warnings

fuzz-build: fuzz-tools
	@! $(FUZZ_READY) || CARGO_TARGET_DIR=fuzz/target RUSTFLAGS="$(FUZZ_FLAGS)" \
	    $(CARGO) build --manifest-path fuzz/Cargo.toml --release --locked --target $(FUZZ_HOST)

fuzz-tools:
	@if ! $(FUZZ_READY) && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing for the fuzz targets: g++"; \
	    export DEBIAN_FRONTEND=noninteractive; \
	    { apt-get update -qq && apt-get install -qq -y --no-install-recommends g++; } \
	        >/dev/null || echo "Could not install it."; \
	fi
