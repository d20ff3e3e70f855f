# make quickstart and make test do their own set-up on a machine with Python 3.11 or newer.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: setup quickstart test test-all lint benchmark clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[report,test,lint]'
	touch $@

quickstart: setup
	$(BIN)/deqjax train quickstart

# Most tests compile more than they compute: here XLA compiles quickly, in test-all as it does for users.
test: setup lint
	XLA_FLAGS="--xla_backend_optimization_level=0 $$XLA_FLAGS" $(BIN)/python -m pytest -n 2 -m "not slow"

test-all: setup lint
	$(BIN)/python -m pytest -n 2

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

benchmark: setup
	$(BIN)/python benchmarks/reconstruction.py

clean:
	rm -rf $(VENV) runs build *.egg-info
