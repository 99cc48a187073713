# ChainGraph. `make setup` first on a fresh machine; every other target does it by itself.
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGES := crds flow process store worker operator gateway cli
SOURCES := $(foreach p,$(PACKAGES),$(p)/chaingraph_$(p))
PYTHON ?= python3

.PHONY: setup demo test lint fmt generate lock bench clean help

help: ## this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

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
	$(BIN)/pytest $(PYTEST_FLAGS)

lint: setup ## format, lint, types, layers, generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONSAFEPATH=1 $(BIN)/lint-imports
	$(BIN)/python -m chaingraph_cli.generated --check

fmt: setup ## format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

generate: setup ## write every generated file again: CRD YAML, reference docs
	$(BIN)/python -m chaingraph_cli.generated

lock: setup ## resolve the dependencies again, with hashes
	cd requirements && ./lock

bench: setup ## make bench NAME=...: writes bench/results/NAME.json
	@test -n "$(NAME)" || { echo 'make bench: say which, as in: make bench NAME=throughput'; ls bench/*.py 2>/dev/null; exit 2; }
	$(BIN)/python -m bench.$(NAME) --output bench/results/$(NAME).json

clean: ## end what `chaingraph up` left running here, and remove what make made
	@test ! -x $(BIN)/chaingraph || $(BIN)/chaingraph down || true
	rm -rf $(VENV) .chaingraph .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
