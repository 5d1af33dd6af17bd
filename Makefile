# `make demo` and `make test` need Python >= 3.11 with pip, and nothing else: each sets up .venv
# first. A second call installs nothing, unless pyproject.toml or constraints.txt has changed.

PYTHON ?= python3
BIN := .venv/bin
DEMO := .venv/demo
READY := .venv/ready
# Two processes; what a file's tests share is made once, so its tests stay together.
BY_TWO := -n 2 --dist loadfile
# Without --no-compile pip compiles all of PyTorch on one core; Python compiles what it imports.
INSTALL = $(PYTHON) -m pip --python $(BIN)/python install --quiet --no-compile \
	--constraint constraints.txt --editable

.PHONY: demo notebook test test-fast soak smoke-gpu lint format bench clean help

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

demo: $(DEMO)  ## a study on drawn lesions: 5 minutes on two free cores, of which 1 sets up .venv
	$(BIN)/python -m tuning.search

notebook: .venv/notebook  ## the newest study in JupyterLab: its tables, its rows, figures of your own
	@mkdir -p studies && { [ -e studies/notebook.ipynb ] \
	    || cp ablations/summary.ipynb studies/notebook.ipynb; }
	$(BIN)/jupyter-lab studies/notebook.ipynb

test: $(READY)  ## all tests but those of `make soak`
	$(BIN)/python -m pytest $(BY_TWO) -m "not soak"

test-fast: $(READY)  ## the tests that take seconds
	$(BIN)/python -m pytest $(BY_TWO) -m "not slow and not soak"

soak: $(READY)  ## tests that kill a study again and again, minutes each
	$(BIN)/python -m pytest -m soak

lint: $(READY)  ## style, types, who may import whom, declared packages
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry masll tuning ablations cluster

smoke-gpu: $(READY)  ## does it work on this machine's GPUs? A page for an issue, under 10 minutes
	$(BIN)/python -m tuning.smoke

bench: $(READY)  ## every figure that is aimed at, measured now: some 20 minutes of a quiet machine
	$(BIN)/python -m tests.benchmarks

format: $(READY)  ## let ruff put the code in order
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:  ## remove the virtual environment and caches, not studies
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis

# What a search needs: neither a cluster's dashboard, which Ray starts where it is installed, nor the
# tools of developers.
$(DEMO): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "error: $(PYTHON) is older than Python 3.11; run make PYTHON=python3.11"; exit 2; }
	$(PYTHON) -m venv --without-pip .venv
	$(INSTALL) '.[search,offline]'
	@touch $(DEMO)

$(READY): $(DEMO)
	$(INSTALL) '.[all,dev]'
	@touch $(READY)

.venv/notebook: $(DEMO)
	$(INSTALL) '.[notebook]'
	@touch .venv/notebook
