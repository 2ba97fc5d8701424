# Two commands do all the set-up on a machine with python3, make and git:
#   make run    start longtake on its embedded default and print the URL
#   make test   install what the tests need and run them
# Everything lives in .venv of this checkout.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run test check bench fmt lock clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

run: .venv/base.stamp  ## start longtake and print its URL (ARGS="--port 8080")
	@$(BIN)/longtake serve $(ARGS)

test: .venv/dev.stamp  ## install what the tests need, then run them all
	@$(BIN)/python -m tests.programs
	@$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile $(ARGS)

check: .venv/dev.stamp  ## lint, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/dev.stamp  ## measure every figure against its baseline
	@$(BIN)/python -m bench $(ARGS)

fmt: .venv/dev.stamp  ## format and mend what can be mended by a machine
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: .venv/dev.stamp  ## write the locks anew (names, versions and hashes; never an address)
	$(BIN)/uv pip compile -q --universal -p 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links pyproject.toml --group dev -o requirements-dev.lock
	$(BIN)/uv pip compile -q --universal -p 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links -c requirements-dev.lock pyproject.toml --group build -o requirements.lock

clean:  ## remove what the other targets made
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "longtake needs Python 3.11 or newer")'
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

# A lock that is already installed costs nothing: the stamp is newer than the lock.
.venv/base.stamp: requirements.lock pyproject.toml | .venv/bin/python
	@test -e .venv/dev.stamp || echo "longtake: installing into .venv (once)"
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

.venv/dev.stamp: requirements-dev.lock .venv/base.stamp
	@echo "longtake: installing the development tools into .venv (once)"
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@
