# Everything runs in a virtual environment of its own; `make demo` and `make test` set it up when it is not there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS := $(VENV)/.peers
RELEASER := $(VENV)/.releaser
CONTRACTS := .cache/contracts.binpb
ARGS ?=
EXTRAS ?= dev
PARTS ?= context placement slo learners peers
# The first of ARGS may be a part of the benchmark: then it is the only one.
PART = $(filter context placement slo learners,$(firstword $(ARGS)))

.DEFAULT_GOAL := help

.PHONY: help
help: ## List what there is to do
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  \033[1m%-10s\033[0m %s\n", $$1, $$2}'

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'
	touch $@

$(PEERS): $(READY)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev,validate,sb3]'
	touch $@

$(RELEASER): $(READY)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev,release]'
	touch $@

.PHONY: venv
venv: $(READY) ## Make .venv and install lwmecps with the versions of constraints.txt

.PHONY: demo
demo: $(READY) ## The whole system in one command: meta-train, adapt, compare (ARGS="--profile DIR" and others)
	$(BIN)/lwmecps demo $(ARGS)

.PHONY: up
up: $(READY) ## Start Redis and the three services in this terminal; ctrl-C drains them
	$(BIN)/lwmecps up $(ARGS)

.PHONY: test
test: $(READY) ## Run the tests (ARGS="tests/rollout -k lease")
	$(BIN)/python -m pytest $(ARGS)

.PHONY: lint
lint: $(READY) buf-lint ## Style, types, layers, contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: buf-lint
buf-lint: $(READY) ## Lint the contracts
	$(BIN)/python scripts/generate_protos.py --image $(CONTRACTS)
	$(BIN)/buf lint $(CONTRACTS) --path lwmecps

.PHONY: check
check: lint test ## Everything that must hold before a change goes in

.PHONY: people
people: $(READY) ## What three kinds of people do, on a fresh clone with an empty home (ARGS="researcher --short")
	$(BIN)/python -m tests.people $(ARGS)

.PHONY: chaos
chaos: $(READY) ## The system under kills and hostile requests; writes out/chaos (ARGS="--load 1 --postgres")
	$(BIN)/python -m tests.chaos $(ARGS)

.PHONY: bench
bench: $(PEERS) ## Measure speed as ratios; writes bench/results/latest.json
	$(BIN)/python -m bench $(ARGS)

.PHONY: benchmark
benchmark: $(READY) ## Every method on held-out tasks; writes docs/context.*, docs/benchmark.*, docs/slo.*, docs/learners.* (goes on where it was cut; ARGS=slo)
	set -e; for part in $(or $(PART),$(PARTS)); do $(BIN)/python -m bench.$$part $(if $(PART),$(wordlist 2,99,$(ARGS)),$(ARGS)); done

.PHONY: validate
validate: $(PEERS) ## Known results reproduced, beside the published ones; writes docs/validation.md (ARGS="sinusoid")
	$(BIN)/python -m bench.validation $(ARGS)

.PHONY: release
release: $(RELEASER) ## Wheel, sdist and SBOM in dist/, each tried in an empty environment (ARGS=--final)
	$(BIN)/python scripts/release.py $(ARGS)

.PHONY: audit
audit: $(RELEASER) ## Known vulnerabilities of the pinned versions; says so where advisories can't be reached
	$(BIN)/python scripts/audit.py $(ARGS)

.PHONY: kube-up
kube-up: $(READY) ## A real Kubernetes control plane on loopback with fake nodes (ARGS="--nodes 10"); says how to reach it
	@$(BIN)/python -m scripts.kube up $(ARGS)

.PHONY: kube-down
kube-down: $(READY) ## Stop what kube-up started
	@$(BIN)/python -m scripts.kube down $(ARGS)

.PHONY: protos
protos: $(READY) ## Generate Python from the contracts, and write what settings and metrics say of themselves into contract and pages
	PYTHONPATH=. $(BIN)/python scripts/generate_protos.py
	PYTHONPATH=. $(BIN)/python scripts/explain_settings.py
	PYTHONPATH=. $(BIN)/python scripts/list_metrics.py

.PHONY: protos-image
protos-image: $(READY) ## The contracts as one file, for clients in other languages (examples/node/lwmecps.binpb)
	$(BIN)/python scripts/generate_protos.py --image examples/node/lwmecps.binpb

.PHONY: fmt
fmt: $(READY) ## Format, sort imports, and mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: clean
clean: ## Remove the virtual environment, caches and outputs
	rm -rf $(VENV) .cache out build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
