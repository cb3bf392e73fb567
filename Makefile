# Thin: each target is one idea. Tests, bench and images share one profile (release), so that the
# workspace is built once.
export PATH := $(PATH):$(HOME)/.cargo/bin
CARGO ?= cargo
# .cargo/config.toml builds for the host as an explicit target.
HOST = $(shell rustc -vV | sed -n 's/^host: //p')

.DEFAULT_GOAL := help
.PHONY: help setup setup-check run build test check check-chart bench images push test-kind doc clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what building and testing need and is missing (asks for nothing)
	@scripts/setup

setup-check: ## the same, and cargo-deny
	@scripts/setup check

run: setup ## start gateway and dispatcher in one process, with a ready token and API key
	$(CARGO) run --release -p carillon -- standalone --dev

build: setup ## build every binary and test, once; the programs are in target/bin then
	$(CARGO) build --release --workspace --bins --tests
	@mkdir -p target/bin
	@for program in carillon carillon-gateway carillon-dispatcher; do \
	    ln -sf "../$(HOST)/release/$$program" target/bin/; done

test: build ## run every test: units, contract suite, whole system over real Redis
	$(CARGO) test --release --workspace

check: setup-check ## formatting, lints, documentation, dependencies' licences and sources
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc --release --locked --workspace --no-deps
	$(CARGO) deny --locked --workspace check bans licenses sources

check-chart: ## lint, drift, unit tests and every value set of the Helm chart and of k8s/; needs no cluster
	@scripts/setup chart
	scripts/chart check

bench: build ## measure cost per connection, delivery, connect and send against a floor
	$(CARGO) run --release -p carillon-tests --bin bench -- $(ARGS)

images: build ## build the container images, and the list of what is in each, from the same programs
	@scripts/setup images
	images/build

test-kind: build ## run the scenarios in a real Kubernetes: make test-kind ARGS='rollout --keep' (FULL=1: 5000 sockets)
	@scripts/setup kind
	tests/e2e/run $(ARGS)

push: images ## publish them: make push REGISTRY=ghcr.io/carillon-io
	images/push $(REGISTRY)

doc: ## build the documentation of the crates: target/doc/carillon/index.html
	$(CARGO) doc --release --workspace --no-deps

clean: ## remove what was built
	$(CARGO) clean
