# Thin: each target is one idea, and needs nothing that another one left behind. Tests, bench and images
# share one profile (release).
export PATH := $(PATH):$(HOME)/.cargo/bin
CARGO ?= cargo
# .cargo/config.toml builds for the host as an explicit target.
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
PROGRAMS = carillon carillon-gateway carillon-dispatcher
# Always of the whole workspace, whose features are one set: with -p, dependencies would be compiled once more
# for a smaller set.
BUILD = $(CARGO) build --release --workspace
# Makes some of the programs, and puts them into target/bin.
define programs
$(BUILD) $(1:%=--bin %)
@mkdir -p target/bin && ln -sf $(1:%=../$(HOST)/release/%) target/bin/
endef

.DEFAULT_GOAL := help
.PHONY: help setup setup-check run build test soak check check-chart dashboards contract-docs contract bench attack overhead pictures traces images push test-client conformance compare test-kind doc clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what building and testing need and is missing (asks for nothing)
	@scripts/setup

setup-check: ## the same, and cargo-deny
	@scripts/setup check

run: setup ## start gateway and dispatcher in one process, with a page that shows what they do, tokens and an API key
	$(call programs,carillon)
	@exec target/bin/carillon standalone --dev

build: setup ## build the programs; they are in target/bin then
	$(call programs,$(PROGRAMS))

test: build ## run every test: units, contract suite, whole system over real Redis
	$(CARGO) test --release --workspace

soak: build ## `make test` twenty times on a busy machine, to find what fails now and then (over an hour)
	scripts/soak $(ARGS)

check: setup-check ## formatting, lints, documentation, dependencies' licences and sources
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc --release --locked --workspace --no-deps
	$(CARGO) deny --locked --workspace check bans licenses sources

check-chart: ## lint, drift, unit tests and every value set of the Helm chart and of k8s/; needs no cluster
	@scripts/setup chart
	scripts/chart check

dashboards: setup ## make the dashboards and the rules of the service levels out of observability/
	$(BUILD) --bin carillon-observability
	target/$(HOST)/release/carillon-observability
	@scripts/setup chart
	scripts/chart docs

contract-docs: setup ## write docs/openapi.json, docs/asyncapi.json and docs/errors.md out of the code
	$(BUILD) --bin carillon-contract
	target/$(HOST)/release/carillon-contract

contract: build ## ask a running service by its own contract what nobody thought of (schemathesis, from PyPI)
	scripts/schemathesis $(ARGS)

bench: build ## measure cost per connection, delivery, connect and send against a floor
	$(BUILD) --bin bench
	target/$(HOST)/release/bench $(ARGS)

attack: build ## what others notice while somebody attacks: latency, memory, probes
	$(BUILD) --bin attack
	target/$(HOST)/release/attack $(ARGS)

overhead: build ## what metrics cost: instructions of each send and delivery (valgrind), series of a full gateway
	@scripts/setup overhead
	$(BUILD) --bin overhead
	target/$(HOST)/release/overhead $(ARGS)

pictures: build ## draw the dashboards into docs/dashboards/, from a running deployment to which things happen
	$(BUILD) --bin pictures
	target/$(HOST)/release/pictures

traces: build ## one notification's way as a real Jaeger has it, which is built for it (needs Go)
	$(BUILD) --bin traces
	scripts/jaeger target/jaeger
	target/$(HOST)/release/traces $(ARGS)

images: build ## build the container images, and the list of what is in each, from the same programs
	images/build

test-client: build ## client/js: sizes, types, tests in virtual time, against a real server and in Chromium; and conformance
	@scripts/setup client
	cd client/js && npm ci --no-audit --no-fund && npm test
	node --test tests/conformance/test/*.test.js
	node tests/conformance/here.js

conformance: build ## hold servers and clients to docs/protocol.md: standalone over both stores, client/js, client/rust
	@scripts/setup client
	[ -e client/js/node_modules/ws ] || (cd client/js && npm ci --no-audit --no-fund)
	node tests/conformance/here.js $(ARGS)

compare: setup ## client/js beside other clients: size, CPU, memory, time to return (from npm; two minutes)
	@scripts/setup client
	cd client/js && npm ci --no-audit --no-fund && npm run --silent build
	cd tests/compare && npm ci --no-audit --no-fund && node src/compare.js $(ARGS)

test-kind: build ## run the scenarios in a real Kubernetes: make test-kind ARGS='rollout --keep' (FULL=1: 5000 sockets)
	@scripts/setup kind
	$(BUILD) --bin e2e
	tests/e2e/run $(ARGS)

push: images ## publish them: make push REGISTRY=ghcr.io/carillon-io
	images/push $(REGISTRY)

doc: setup ## build the documentation of the crates, and say where it is
	$(CARGO) doc --release --workspace --no-deps

clean: ## remove what was built
	$(CARGO) clean
