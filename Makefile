# One command each. `make demo` and `make test` do all their set-up on a machine that has nothing but python3 (3.11 or newer), pip and make.
#
#   PYTHON=python3.13    the interpreter that environments are made from (only read when there is no .venv yet)
#   WORKERS=0            how many processes share the tests; 0 runs them in this one

PYTHON  ?= python3
WORKERS ?= auto

# What runs in which environment.
BIN     := .venv/bin
INTEROP := .venv-interop/bin
PYTEST  := -m pytest --quiet -n $(WORKERS) --maxprocesses 4 --dist worksteal

# What we support; the tests run on each that this machine has.
PYTHONS := 3.11 3.12 3.13

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo test test-all-pythons interop soak docs check lint types contracts fix bench clean bare dev python

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: dev ## Create .venv and install the package with its development tools
	@echo "setup: .venv is ready; make demo, make test and make check run in it"

demo: bare ## Launch an example server over stdio and over HTTP, call it in both eras, print what was said
	@$(BIN)/python examples/demo.py

test: dev ## Run the tests, with the examples of README.md and docs/ among them
	$(BIN)/python $(PYTEST) tests

test-all-pythons: dev ## Run the tests on every other Python we support that is installed
	@set -e; for version in $(PYTHONS); do \
	    status=0; $(PYTHON) tools/bootstrap.py dev-$$version || status=$$?; \
	    if [ $$status -eq 3 ]; then continue; fi; \
	    if [ $$status -ne 0 ]; then exit $$status; fi; \
	    echo ".venv-$$version/bin/python $(PYTEST) tests"; \
	    .venv-$$version/bin/python $(PYTEST) tests; \
	done

interop: python ## Let foreign clients and servers (official SDKs, FastMCP, npm's servers, the official suite) talk to ours
	@$(PYTHON) tools/bootstrap.py interop
	$(INTEROP)/python $(PYTEST) interop

# What measures time and memory has the machine to itself: no second process of tests beside it.
soak: dev ## Play 10,000 random schedules of what can go wrong, for servers and for clients; then HTTP under load, slow clients, large bodies, restarts
	TYBALT_SCHEDULES=10000 $(BIN)/python $(PYTEST) --timeout 600 tests/server/test_schedules.py
	TYBALT_SCHEDULES=10000 $(BIN)/python $(PYTEST) --timeout 600 tests/client/test_schedules.py
	$(BIN)/python -m pytest --quiet --timeout 600 tests/soak

docs: dev ## Run every example in README.md and docs/
	$(BIN)/python $(PYTEST) tests/test_readme.py

# What CI runs. The tests come last, so that their count is the last line; the examples of the documentation are among them.
check: lint types contracts interop test-all-pythons test ## Everything: lint, types, contracts, interop, tests on every Python, docs

lint: dev ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: dev ## Check the types of src/
	$(BIN)/basedpyright --project pyproject.toml

contracts: dev ## Check which layer imports which
	$(BIN)/lint-imports --no-cache

fix: dev ## Mend style and formatting where a machine can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: dev ## Measure every row of the performance table against its floor and its peers
	$(BIN)/python bench/run.py

clean: ## Remove the environments and caches
	rm -rf .venv .venv-* interop/node_modules .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist
	find src tests tools interop bench examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# The environments themselves: quick when there is nothing to do.
bare dev: python
	@$(PYTHON) tools/bootstrap.py $@

python:
	@command -v "$(PYTHON)" >/dev/null || { \
	    echo "setup: there is no $(PYTHON) on this machine."; \
	    echo "       Install Python 3.11, 3.12 or 3.13 (Debian, Ubuntu: apt-get install python3 python3-venv), or name yours with PYTHON=/path/to/python3.13."; \
	    exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 7))' || { \
	    echo "setup: $(PYTHON) is very old, and Tybalt needs Python 3.11 or newer. Name one with PYTHON=/path/to/python3.13."; \
	    exit 1; }
