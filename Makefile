# Every target does the set-up that it needs. Wants: Python 3.11 to 3.13 with venv, make, a package registry.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c '$(FITS)' 2>/dev/null && echo $$p && break; done)

.DEFAULT_GOAL := help
.PHONY: help setup up demo test check format bench docs notebook lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## the set-up alone: .venv, pinned by hash

$(READY): requirements/uv.txt requirements/dev.txt pyproject.toml client/pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed (PYTHON=... names one)." >&2; exit 1; }
	@echo "Setting up $(VENV); the first time takes a minute or so."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e . -e ./client
	@touch $(READY)

up: $(READY) ## start the service; Ctrl-C stops it
	@$(BIN)/tuneserve-server up

demo: $(READY) ## tune a classifier of handwritten digits from start to end, in a temporary folder
	@$(BIN)/python examples/demo.py

# Files share the cores; those that run the whole service wait a lot, for leases and for workers to start.
test: $(READY) ## all tests, on SQLite and PostgreSQL
	@$(BIN)/python -m pytest --ignore=tests/whole --numprocesses=auto --maxprocesses=4 --dist=loadfile
	@$(BIN)/python -m pytest tests/whole --numprocesses=2 --dist=loadfile --no-loadscope-reorder

check: $(READY) ## style, types, import rules
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest tests/service/test_fence.py

format: $(READY) ## put the code into form
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

bench: $(READY) ## the numbers that the README claims
	@for script in benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python -m benchmarks.$$(basename $$script .py) || exit 1; done

docs: $(READY) ## the page of all fields and the JSON Schema of a spec, from the schemas
	@$(BIN)/python docs/make_fields.py
	@$(BIN)/python docs/make_schema.py

notebook: $(READY) ## run the notebook of the docs on a service of its own, and keep what it shows
	@$(BIN)/python docs/make_notebook.py

# Names, versions and hashes only: where a package comes from is the business of whoever installs it.
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-header --no-emit-index-url --no-emit-find-links

lock: $(READY) ## pin the newest versions that fit
	@echo "uv" | $(COMPILE) --upgrade - -o requirements/uv.txt
	@$(COMPILE) --upgrade --extra api --extra worker --extra dev --extra cli --extra charts pyproject.toml client/pyproject.toml \
		-o requirements/dev.txt
	@$(COMPILE) -c requirements/dev.txt --extra api pyproject.toml -o requirements/api.txt
	@$(COMPILE) -c requirements/dev.txt --extra worker pyproject.toml -o requirements/worker.txt

clean: ## remove what the set-up made
	@rm -rf $(VENV)
