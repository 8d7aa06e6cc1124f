# The two commands of the README are `make demo` and `make test`; `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NEWMAN := tests/postman/node_modules/.installed
CLIENTS := .clients
GENERATORS := .generators
LINTERS := .linters
READERS := tests/clients/node_modules/.installed
AXE := tests/browser/node_modules/.installed

# Not empty where somebody has named a Python: an environment of another one is then made anew.
CHOSEN := $(filter-out file default,$(origin PYTHON))
PIN := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --python-version 3.11
ENVIRONMENT := PYTHON="$(PYTHON)" CHOSEN="$(CHOSEN)" requirements/environment.sh

# Where a machine forbids writing bytecode, each process that a test starts would compile every module anew: twice the time.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help install newman browser chromium screenshots clients generators linters monitors npm php demo test check soak mutants bench docs lock clean

help:  ## what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install:  ## the virtual environment with everything pinned
	@$(ENVIRONMENT) $(VENV) requirements/development.lock --editable

npm:
	@command -v npm > /dev/null || requirements/system.sh Node.js nodejs npm

php:
	@php -m 2> /dev/null | grep -qi '^curl$$' || requirements/system.sh PHP php-cli php-curl

newman: npm $(NEWMAN)  ## what runs the Postman collections in the tests: Node.js where there is none, and newman

$(NEWMAN): tests/postman/package-lock.json | npm
	@echo "Installing newman into tests/postman/node_modules (about half a minute, once) ..."
	@cd tests/postman && npm ci --no-progress --loglevel=error > /dev/null
	@touch $@

# The shell without windows opens a page in a third of the time; where there is no such package a whole browser does.
chromium:
	@command -v chromium-headless-shell > /dev/null || requirements/system.sh "a browser" chromium-headless-shell 2> /dev/null \
	  || command -v chromium > /dev/null || command -v chromium-browser > /dev/null || command -v google-chrome > /dev/null \
	  || requirements/system.sh "a browser" chromium

browser: npm chromium $(AXE)  ## what the tests of pages need: Chromium and Node.js where there are none, and axe

$(AXE): tests/browser/package-lock.json | npm
	@echo "Installing axe into tests/browser/node_modules (some seconds, once) ..."
	@cd tests/browser && npm ci --no-progress --loglevel=error > /dev/null
	@touch $@

screenshots: install browser  ## take the pictures of docs/images anew
	@$(BIN)/python -m tests.browser.screenshots docs/images

clients:  ## what generates a Python client of each API in the tests, in an environment of its own
	@$(ENVIRONMENT) $(CLIENTS) requirements/clients.lock

linters:  ## what checks deploy/ in the tests: hadolint and the schema of compose files, in an environment of its own
	@$(ENVIRONMENT) $(LINTERS) requirements/linters.lock

monitors:  ## what the soak test runs beside Telvend: nginx, Caddy and promtool, where there are none
	@command -v nginx > /dev/null || requirements/system.sh nginx nginx-light
	@command -v caddy > /dev/null || requirements/system.sh Caddy caddy
	@command -v promtool > /dev/null || requirements/system.sh promtool prometheus

generators: npm $(READERS)  ## what the soak test generates other clients with: Java and PHP where there are none, tools of npm and PyPI
	@command -v java > /dev/null || requirements/system.sh Java default-jre-headless
	@php -r 'exit(extension_loaded("curl") && extension_loaded("mbstring") && is_dir("/usr/share/php/GuzzleHttp") ? 0 : 1);' 2> /dev/null \
	  || requirements/system.sh "PHP and Guzzle" php-cli php-curl php-mbstring php-guzzlehttp-guzzle php-guzzlehttp-psr7
	@$(ENVIRONMENT) $(GENERATORS) requirements/generators.lock

$(READERS): tests/clients/package-lock.json | npm
	@echo "Installing what reads OpenAPI into tests/clients/node_modules (about half a minute, once) ..."
	@cd tests/clients && npm ci --no-progress --loglevel=error > /dev/null
	@touch $@

demo: install  ## a furnished shop that sells a bundle before your eyes, then serves (ARGS=--once ends after the sale)
	@$(BIN)/telvend demo --data-dir .demo $(ARGS)

test: install newman clients browser linters  ## style, types, layers and every test, in a few minutes
	@$(BIN)/ruff check src tests bench
	@$(BIN)/ruff format --check src tests bench
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest -m "not soak" -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

soak: install clients generators linters monitors  ## the tests that take minutes: long simulations, long kill -9 runs, property tests with new examples
	@$(BIN)/python -m pytest -m "soak or hypothesis" --hypothesis-profile search --timeout 3600 $(ARGS)

mutants: install  ## take the rules of money away, one at a time, and see that the tests notice
	@$(BIN)/python tests/mutants.py

bench: install  ## speed, beside pgbench on the same server, as a table
	@command -v wrk > /dev/null || requirements/system.sh wrk wrk || true
	@$(BIN)/python -m bench $(ARGS)

docs: install  ## write the pages of docs/reference/ that the code itself can tell
	@$(BIN)/python docs/generate.py

lock: install  ## pin the dependencies of pyproject.toml again
	@$(PIN) pyproject.toml -o requirements/telvend.lock
	@$(PIN) pyproject.toml --all-extras --group dev requirements/build.in requirements/tools.in -o requirements/development.lock
	@$(PIN) -c requirements/development.lock requirements/build.in -o requirements/build.lock
	@$(PIN) pyproject.toml --all-extras -c requirements/development.lock -o requirements/extras.lock
	@$(PIN) requirements/linters.in -o requirements/linters.lock
	@$(PIN) requirements/clients.in -o requirements/clients.lock
	@$(PIN) requirements/generators.in -o requirements/generators.lock

clean:  ## everything that was made here
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .demo .browser tests/postman/node_modules tests/clients/node_modules tests/browser/node_modules $(CLIENTS) $(GENERATORS) $(LINTERS)
