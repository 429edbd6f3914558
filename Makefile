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

.PHONY: help build run check fmt clippy doc test unit torture torture-proof browser browser-tools

help: ## List what can be done
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build the optimised binary, target/release/flowstitch
	$(CARGO) build --release --locked

run: ## Build and serve on http://127.0.0.1:8080, data in the working directory
	$(CARGO) run --release --locked

check: fmt clippy doc ## Check format, lints and documentation

fmt:
	$(CARGO) fmt --check

clippy:
	$(CARGO) clippy --all-targets --locked -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --locked

# The runner stands last, so that the output ends with its counts. Documentation tests come before
# the others, which are the many.
test: check browser unit ## Run everything: check, browser tests, Rust tests

unit:
	$(CARGO) test --locked --doc
	$(CARGO) test --locked --all-targets

torture: ## Attack the optimised binary for SECONDS=600 and print what it lost
	$(CARGO) test --release --locked --test torture -- --seconds $(SECONDS)

torture-proof: ## Take each sync out of the server and see that it is missed
	$(CARGO) test --release --locked --test torture -- --seconds 1 --fault power-order \
	    --fault proof-bytes --fault proof-names --fault proof-journal --fault proof-database

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
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing for the browser tests: $$missing"; \
	    export DEBIAN_FRONTEND=noninteractive; \
	    { apt-get update -qq && apt-get install -qq -y --no-install-recommends $$missing; } \
	        >/dev/null || echo "Could not install them."; \
	fi
