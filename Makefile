# ChainGraph. `make setup` first on a fresh machine; every other target does it by itself.
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGES := crds flow runtime store worker operator gateway cli
SOURCES := $(foreach p,$(PACKAGES),$(p)/chaingraph_$(p))
PYTHON ?= python3

# One process more than there are cores, since tests wait now and then; each has an API server and a PostgreSQL of its own.
# The order is random; the first lines of the output say how to repeat it.
PROCESSES ?= $(shell expr 1 + $$(nproc 2>/dev/null || sysctl -n hw.ncpu))
PARALLEL := --numprocesses $(PROCESSES) --dist worksteal
SOAK_SECONDS ?= 3600

# The image. Name BASE_IMAGE by digest for a build that anybody can repeat.
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
IMAGE ?= chaingraph:$(VERSION)
BASE_IMAGE ?= python:3.11-slim
REVISION = $(shell git rev-parse HEAD 2>/dev/null)$(shell git diff --quiet HEAD 2>/dev/null || echo -dirty)
COMMITTED = $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
SOURCE ?= $(shell git config --get remote.origin.url)

.PHONY: setup demo test test-fast soak lint fmt generate lock bench image e2e clean help

help: ## this list
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

setup: $(STAMP) ## .venv with everything; .venv/bin/chaingraph then works

$(STAMP): requirements/bootstrap.txt requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

demo: setup ## a cluster on this machine, a flow on real input, its result on screen
	$(BIN)/chaingraph demo $(DEMO_FLAGS)

test: setup ## unit, property, integration and crash tests: real API server, real PostgreSQL
	PYTHONPATH=tests $(BIN)/python tests/build_programs.py
	$(BIN)/pytest $(PARALLEL) $(PYTEST_FLAGS)

test-fast: setup ## unit and property tests alone, in under three minutes
	$(BIN)/pytest $(PARALLEL) -m 'not integration' $(PYTEST_FLAGS)

soak: setup ## the random tests for SOAK_SECONDS (3600), each round with a new seed
	$(BIN)/python tests/soak.py --seconds $(SOAK_SECONDS)

lint: setup ## format, lint, types, layers, generated files, words of the documentation
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONSAFEPATH=1 $(BIN)/lint-imports
	$(BIN)/python -m tools.generated --check
	$(BIN)/python -m tools.words --check
	$(BIN)/python -m tools.words --check --code

fmt: setup ## format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

generate: setup ## write every generated file again: CRD YAML, reference docs
	$(BIN)/python -m tools.generated

lock: setup ## resolve the dependencies again, with hashes
	cd requirements && ./lock

image: ## the image, as IMAGE=... from BASE_IMAGE=...; needs Docker with BuildKit
	DOCKER_BUILDKIT=1 docker build --tag $(IMAGE) --build-arg BASE_IMAGE=$(BASE_IMAGE) \
	  --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) \
	  --build-arg CREATED=$$(date -u -d @$(COMMITTED) +%FT%TZ 2>/dev/null || date -u -r $(COMMITTED) +%FT%TZ) \
	  --build-arg SOURCE=$(SOURCE) .

e2e: setup ## real Pods: image, kind cluster, chart, and what can happen to them; see tests/e2e
	$(BIN)/pytest tests/e2e -p no:randomly --capture=no --timeout=900 --exitfirst $(E2E_FLAGS)

bench: setup ## make bench NAME=...: writes bench/results/NAME.json
	@test -n "$(NAME)" || { echo 'make bench: say which, as in: make bench NAME=throughput'; ls bench/*.py 2>/dev/null; exit 2; }
	$(BIN)/python -m bench.$(NAME) --output bench/results/$(NAME).json

clean: ## end what `chaingraph up` left running here, and remove what make made
	@test ! -x $(BIN)/chaingraph || $(BIN)/chaingraph down || true
	rm -rf $(VENV) .chaingraph .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
