# Everything runs from a plain .venv beside this file; nothing is installed anywhere else.
# Only relative paths are used, so the checkout may stand anywhere, also under a name with a space.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:

BIN := .venv/bin
STAMP := .venv/.installed
UPGRADE ?=
PYTEST ?=

.PHONY: help setup demo test lint types flows-check unit lock bench clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP) ## Make .venv and install what the lock names (quick when nothing changed)

# The stamp is younger than the locks exactly when .venv holds what they name. Every line checks hashes;
# uv takes seconds, and plain pip stands in for it where uv cannot run or cannot reach an index.
$(STAMP): boot.lock requirements.lock pyproject.toml
	@python=; for name in "$${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11; do \
	  if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$name; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "Voiceback needs Python 3.11 or newer as python3, or named by PYTHON=/path/to/python3." >&2; exit 3; fi; \
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
	  echo "Python's venv module is missing. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 3; fi; \
	if ! $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  echo "making .venv"; "$$python" -m venv --clear .venv; fi
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r boot.lock \
	  || echo "uv cannot be installed here; going on with pip" >&2
	@[ -w "$${HOME:-/nonexistent}" ] || export UV_CACHE_DIR="$$PWD/.venv/.uv-cache"; \
	$(BIN)/python -m uv --no-config --system-certs pip sync --quiet --require-hashes --python $(BIN)/python requirements.lock || { \
	  echo "uv cannot install the lock here; going on with pip, which takes a minute" >&2; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-build-isolation -e .
	@touch $(STAMP)

demo: setup ## Run the whole service on embedded defaults with a make-believe outside world
	@$(BIN)/voiceback demo

test: lint types flows-check unit ## Run every check and every test

lint: setup ## Style, format and the direction of imports
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/lint-imports

types: setup ## Strict types
	$(BIN)/python -m mypy

flows-check: setup ## Flows and translations
	$(BIN)/voiceback flows check

unit: setup ## The tests, on two cores; PYTEST="tests/flow -x" runs a part of them
	$(BIN)/python -m pytest -n 2 --dist loadfile $(PYTEST)

lock: setup ## Resolve the locks anew; UPGRADE=--upgrade takes the newest versions
	echo uv | $(BIN)/python -m uv --no-config --system-certs pip compile --quiet --universal --python-version 3.11 \
	  --generate-hashes --custom-compile-command "make lock" $(UPGRADE) - -o boot.lock
	$(BIN)/python -m uv --no-config --system-certs pip compile --quiet --universal --python-version 3.11 \
	  --generate-hashes --custom-compile-command "make lock" $(UPGRADE) --group dev pyproject.toml -o requirements.lock
	@if grep -nE '://|file:|^ *-[^ ]*(index|find)' boot.lock requirements.lock; then \
	  echo "an address stands in a lock; it would only work here" >&2; exit 1; fi

bench: setup ## Measure (see benchmarks/)
	$(BIN)/python -m benchmarks

clean: ## Remove .venv and caches; var/ with its data and keys stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
