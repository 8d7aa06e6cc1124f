# The two commands of the README are `make demo` and `make test`; `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
NEWMAN := tests/postman/node_modules/.installed

.PHONY: help install newman demo test check soak mutants bench docs lock clean

help:  ## what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(INSTALLED)  ## the virtual environment with everything pinned

$(INSTALLED): requirements/development.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Telvend needs Python 3.11 or newer; set PYTHON=/path/to/it")'
	@echo "Installing into $(VENV) (about half a minute, once) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/development.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

newman: $(NEWMAN)  ## what runs the Postman collections in the tests: Node.js where there is none, and newman

$(NEWMAN): tests/postman/package-lock.json
	@command -v npm > /dev/null || { echo "Installing Node.js with the system's package manager ..."; \
	  sudo=$$(test "$$(id -u)" = 0 || echo sudo); $$sudo apt-get update -qq && \
	  $$sudo apt-get install -y -qq --no-install-recommends nodejs npm > /dev/null; }
	@echo "Installing newman into tests/postman/node_modules (about half a minute, once) ..."
	@cd tests/postman && npm ci --no-progress --loglevel=error > /dev/null
	@touch $@

demo: $(INSTALLED)  ## a furnished shop that sells a bundle before your eyes, then serves (ARGS=--once ends after the sale)
	@$(BIN)/telvend demo --data-dir .demo $(ARGS)

test: $(INSTALLED) $(NEWMAN)  ## style, types, layers and every test, in a few minutes
	@$(BIN)/ruff check src tests bench
	@$(BIN)/ruff format --check src tests bench
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest -m "not soak" -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

soak: $(INSTALLED)  ## the tests that take minutes: long simulations, long kill -9 runs
	@$(BIN)/python -m pytest -m soak --timeout 3600 $(ARGS)

mutants: $(INSTALLED)  ## take the rules of money away, one at a time, and see that the tests notice
	@$(BIN)/python tests/mutants.py

bench: $(INSTALLED)  ## speed, beside pgbench on the same server, as a table
	@$(BIN)/python -m bench $(ARGS)

docs: $(INSTALLED)  ## write the pages of docs/reference/ that the code itself can tell
	@$(BIN)/python docs/generate.py

lock: $(INSTALLED)  ## pin the dependencies of pyproject.toml again
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --python-version 3.11 pyproject.toml -o requirements/telvend.lock
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --python-version 3.11 pyproject.toml --group dev requirements/build.in requirements/tools.in -o requirements/development.lock
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --python-version 3.11 -c requirements/development.lock requirements/build.in -o requirements/build.lock

clean:  ## everything that was made here
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .demo tests/postman/node_modules
