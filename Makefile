# `make run` starts the system, `make test` checks it. Both set up .venv by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

.PHONY: run test setup lint types imports bench locks clean

run: $(VENV)/.run
	@exec $(BIN)/hematovision up $(UP)

# One process per core, each with its own databases; the tests of one file share their set-up.
test: $(VENV)/.dev lint types imports
	$(BIN)/pytest -n auto --maxprocesses 8 --dist loadfile

setup: $(VENV)/.dev

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports

# All comparisons in one table. Takes about an hour; the machine must do nothing else meanwhile.
IMAGES ?= ../shared/data/bccd4/TRAIN
bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks $(IMAGES) $(BENCH)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "HematoVision needs Python 3.11 or newer; set PYTHON=/path/to/python3."; exit 1; }
	$(PYTHON) -m venv $(VENV)

# What `make run` needs: no TensorFlow.
$(VENV)/.run: locks/run.txt pyproject.toml | $(VENV)/bin/python
	@echo "Setting up $(VENV) (only once; takes about a minute)"
	$(PIP) install --require-hashes -r locks/run.txt
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

# Everything: the checks, training, PostgreSQL for the tests.
$(VENV)/.dev: locks/dev.txt $(VENV)/.run | $(VENV)/bin/python
	@echo "Setting up $(VENV) for the checks (only once; takes a few minutes)"
	$(PIP) install --require-hashes -r locks/dev.txt
	@touch $@

# Lock files for all platforms, with hashes. `dev` is made first and constrains the others.
LOCK := $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-emit-find-links --no-header --no-annotate pyproject.toml
RUN := --extra build --extra web --extra worker --extra postgres --extra local

locks: $(VENV)/.dev
	$(LOCK) --upgrade $(RUN) --extra train --extra dev -o locks/dev.txt
	$(LOCK) -c locks/dev.txt $(RUN) -o locks/run.txt
	$(LOCK) -c locks/dev.txt --extra web --extra postgres -o locks/web.txt
	$(LOCK) -c locks/dev.txt --extra worker --extra postgres -o locks/worker-cpu.txt
	$(LOCK) -c locks/dev.txt --extra gpu --extra postgres -o locks/worker-gpu.txt

clean:
	rm -rf $(VENV) build *.egg-info
