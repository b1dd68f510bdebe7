# Everything that people, tests and CI run. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:

CARGO ?= cargo
TESTBED := tests/testbed
TIMED := $(TESTBED)/times.py run
# Where steps and tests note how long they took.
TIMES := $(CURDIR)/target/times
# Suites of the crate `milvus-tests`, which need real parts (a Swarm, real Milvus, a real Kubernetes); the integration tests of
# all other crates need nothing and are part of `make check`. Both are built for the whole workspace, so that nothing is built
# twice with other features.
SUITES = $(sort $(basename $(notdir $(wildcard tests/tests/*.rs))))
IN_CHECK = $(sort $(basename $(notdir $(wildcard crds/tests/*.rs operator/*/tests/*.rs))))
QUICK = --locked --workspace --lib --bins $(addprefix --test ,$(IN_CHECK)) --quiet

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1|/' | column -t -s'|'

.PHONY: demo
demo: ## From nothing to a searchable Milvus cluster on a 3-node Docker Swarm on this machine (or on your Swarm: DOCKER_HOST)
	@$(TESTBED)/demo.sh up

.PHONY: demo-down
demo-down: ## Remove the demo and everything that it made (KEEP=1 keeps the images for the next time)
	@$(TESTBED)/demo.sh down

.PHONY: build
build: ## Build the operator and the gateway, statically linked
	@deploy/build.sh

.PHONY: image
image: build ## Build the images milvus-operator:dev and milvus-gateway in the engine of DOCKER_HOST, or in the testbed's engine
	@if [ -z "$${DOCKER_HOST:-}" ]; then $(TESTBED)/packages.sh; $(TESTBED)/engine.sh up; export "$$($(TESTBED)/engine.sh env)"; fi; deploy/image.sh

.PHONY: check
check: ## The quick loop: format, lints, unit tests, goldens, simulator, names in documents
	@$(TESTBED)/compiled.sh restore || true
	@$(TIMED) format $(CARGO) fmt --all --check
	@$(TIMED) 'planted bugs apply' tests/museum/museum.py check
	@$(TIMED) lints $(CARGO) clippy --locked --workspace --all-targets --quiet -- -D warnings
	@$(TIMED) 'build of tests' $(CARGO) test $(QUICK) --no-run
	@$(TIMED) 'unit tests, goldens, simulator' $(CARGO) test $(QUICK)

.PHONY: sim
sim: ## Random lives of simulated clusters, run by the operator that ships (CASES=200 of each kind, from SEED on)
	@export SIM_CASES=$${CASES:-200} $${SEED:+SIM_SEED=$$SEED}
	$(CARGO) test --locked --package milvus-sim --profile sim --quiet
	@echo "sim: the lives above, and every fixed scenario: no promise was broken"

.PHONY: museum
museum: ## Build the operator with planted bugs and see that the simulator catches every one (BUGS="name ...": only those)
	@tests/museum/museum.py run $${BUGS:-}

.PHONY: test
test: export TIMES := $(TIMES)
test: ## Everything: check, then the suites on real parts (needs root, 24 GiB; installs what is missing)
	@mkdir -p target; rm -f $(TIMES); code=0
	{ $(MAKE) --no-print-directory check && $(TESTBED)/run.sh $(SUITES); } || code=$$?
	$(TESTBED)/times.py report; exit $$code

.PHONY: drills
drills: export TIMES := $(TIMES)
drills: ## What is exhaustive and not needed at every change: CASES=2000 random lives, planted bugs, the raw wire, long tests on real parts
	@mkdir -p target; rm -f $(TIMES); failed=0
	$(TIMED) simulator $(MAKE) --no-print-directory sim CASES=$${CASES:-2000} || failed=1
	$(TIMED) 'planted bugs' $(MAKE) --no-print-directory museum || failed=1
	FUZZ_CASES=$${FUZZ_CASES:-100000} $(TIMED) 'raw wire of the API server' $(CARGO) test --locked --workspace --test hostile --quiet || failed=1
	$(TESTBED)/run.sh --drills $(SUITES) || failed=1
	$(TESTBED)/times.py report; exit $$failed

.PHONY: bench
bench: ## Compare with a hand-written stack and print speed and cost (RUNS=5)
	@tests/bench/bench.sh $${RUNS:-5}

.PHONY: bench-kubernetes
bench-kubernetes: ## Speed and cost on Kubernetes at 1, 10 and 100 resources (15 minutes)
	@tests/bench/kubernetes.sh

.PHONY: suite
suite: export TIMES := $(TIMES)
suite: ## One suite on real parts: make suite SUITE=swarm (needs root, 24 GiB; installs what is missing)
	@case " $(SUITES) " in *" $${SUITE:-} "*) ;; *) echo "make suite: SUITE is one of: $(SUITES)" >&2; exit 2 ;; esac
	mkdir -p target; rm -f $(TIMES); code=0
	$(TESTBED)/run.sh "$$SUITE" || code=$$?
	$(TESTBED)/times.py report; exit $$code

.PHONY: doc
doc: ## Build the documentation of the crates, without warnings
	@RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --workspace --no-deps --document-private-items --quiet

.PHONY: regen
regen: ## Write all generated files anew: definitions, manifests, rights, docs/api.md, docs/troubleshooting.md (needs Go for Helm)
	@UPDATE_CRDS=1 $(CARGO) test --locked --workspace --test definition --quiet
	export UPDATE_DOCS=1 UPDATE_MANIFESTS=1
	$(CARGO) test --locked --workspace --test reference --test rights --quiet
	$(CARGO) test --locked --workspace --lib --quiet -- the_committed_page the_stack_file
	MILVUS_TEST_HELM=$$($(TESTBED)/kubernetes/build.sh helm) $(CARGO) test --locked --workspace --test chart --quiet -- the_plain_manifests
