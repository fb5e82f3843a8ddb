# Everything happens in .venv; `make help` lists the targets.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# A rebuild happens when, and only when, a compiled module or the build itself changed.
BUILD_INPUTS := pyproject.toml setup.py $(shell find pvreplay -name '*_cy.py' -o -name '*_cy.pxd')

.PHONY: help build run test lint check goldens man bench bench-check bench-readme clean
.DEFAULT_GOAL := help

help: ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): $(BUILD_INPUTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "pvreplay needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	# editable_mode=compat: a line in a .pth file instead of an import hook that every start would pay for
	$(BIN)/python -m pip install -q --disable-pip-version-check --config-settings editable_mode=compat -e '.[dev]'
	@$(BIN)/python -m compileall -q pvreplay  # an editable install leaves that to the first run, which may not be allowed to
	@$(BIN)/pvreplay --version
	@touch $@

build: $(STAMP) ## set up .venv and compile the loop

run: $(STAMP) ## replay the recording that ships in traces/
	$(BIN)/pvreplay run traces/guest-n32-fpthreads.trace.txt

test: $(STAMP) ## run the tests
	$(BIN)/python -m pytest

lint: $(STAMP) ## ruff, then mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy pvreplay tests/bench

check: lint test ## what CI runs

goldens: $(STAMP) ## write the golden files of the tests anew; read the diff
	PVREPLAY_GOLDENS=write $(BIN)/python -m pytest tests -k golden

man: $(STAMP) ## write the manual page, build/pvreplay.1
	@mkdir -p build
	$(BIN)/pvreplay man > build/pvreplay.1

bench: $(STAMP) ## the speed table, as ratios side by side, also as build/bench.json (a quarter of an hour)
	-@$(BIN)/python -m pip install -q --disable-pip-version-check 'numpy>=1.24'  # a peer; without it its row is left out
	@mkdir -p build
	$(BIN)/python tests/bench/bench.py --write build/bench.json

bench-check: $(STAMP) ## fail when a ratio dropped by more than a fifth
	$(BIN)/python tests/bench/bench.py --check tests/bench/ratios.json

bench-readme: $(STAMP) ## put the table of tests/bench/ratios.json into the README
	$(BIN)/python tests/bench/bench.py --readme

clean: ## remove what was built
	rm -rf $(VENV) build dist *.egg-info
	find pvreplay \( -name '*.so' -o -name '*_cy.c' -o -name '*_cy.cpp' -o -name __pycache__ \) -prune -exec rm -rf {} +
