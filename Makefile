# Two commands do everything: `make run` and `make test`. Both set themselves up in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

.PHONY: run test setup lint types imports bench locks clean

run: $(VENV)/.run
	@exec $(BIN)/hematovision up $(UP)

# One process a core, each with its own databases; a file's tests share what it sets up.
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

# Everything that compares, in one table; about an hour, on a machine that does nothing else.
IMAGES ?= ../shared/data/bccd4/TRAIN
bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks $(IMAGES) $(BENCH)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "HematoVision needs Python 3.11 or newer; set PYTHON=/path/to/python3."; exit 1; }
	$(PYTHON) -m venv $(VENV)

# What `make run` needs: no TensorFlow.
$(VENV)/.run: locks/run.txt pyproject.toml | $(VENV)/bin/python
	@echo "Setting up $(VENV) (once; a minute or so)"
	$(PIP) install --require-hashes -r locks/run.txt
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

# All of it: the checks, training, PostgreSQL for the tests.
$(VENV)/.dev: locks/dev.txt $(VENV)/.run | $(VENV)/bin/python
	@echo "Setting up $(VENV) for the checks (once; a few minutes)"
	$(PIP) install --require-hashes -r locks/dev.txt
	@touch $@

# The locks, for every platform at once, with hashes. `dev` is made first and holds the others to it.
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
