# make quickstart and make test do their own set-up on a machine with Python 3.11 or newer.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: setup quickstart test test-all lint docs benchmark clean

PIP := $(BIN)/python -m pip --disable-pip-version-check

setup: $(VENV)/.ready

$(VENV)/.run: pyproject.toml
	@echo "installing deqjax into $(VENV): about 850 MB, a minute or two with a fast connection"
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --no-compile --progress-bar on --editable '.[report]'
	touch $@

$(VENV)/.ready: $(VENV)/.run
	@echo "installing the tools of the tests"
	$(PIP) install --quiet --editable '.[report,test,lint]'
	touch $@

quickstart: $(VENV)/.run
	$(BIN)/deqjax train quickstart

# Most tests compile more than they compute. With these flags XLA compiles in half the time; test-all does without them.
# A version of XLA ends the process at a flag that it does not know, so that each flag is tried first.
QUICK_COMPILATION := --xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false \
	--xla_cpu_parallel_codegen_split_count=1

test: setup lint
	known=; for flag in $(QUICK_COMPILATION); do \
		if XLA_FLAGS=$$flag $(BIN)/python -c "import jax; jax.devices()" 2> /dev/null; then known="$$known $$flag"; fi; \
	done; \
	XLA_FLAGS="$$known $$XLA_FLAGS" $(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

test-all: setup lint
	$(BIN)/python -m pytest -n 2

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: setup
	$(PIP) install --quiet --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "open build/site/index.html"

benchmark: setup
	$(BIN)/python benchmarks/reconstruction.py

clean:
	rm -rf $(VENV) runs build *.egg-info
