# Two commands do all the set-up: `make quickstart` and `make test`. Everything is installed into .venv from requirements.txt.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
export TOKENIZERS_PARALLELISM := false
# One process per core, four at most: each imports everything, 1 GB. One that is done takes tests from the others.
WORKERS := --numprocesses auto --maxprocesses 4 --dist worksteal

.PHONY: quickstart test test-fast test-slow lint clean

$(STAMP): requirements.txt pyproject.toml
	@$(PYTHON) -c "import sys; v = sys.version_info[:2]; sys.exit(None if (3, 10) <= v <= (3, 12) else 'Python %d.%d found, 3.10 to 3.12 expected: call make PYTHON=python3.11' % v)"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $(STAMP)

quickstart: $(STAMP)
	$(BIN)/python tools/data.py mini
	$(BIN)/python tools/bench.py run mm_configs/benchmark/suites/quickstart.yaml
	$(BIN)/python tools/bench.py table mm_configs/benchmark/suites/quickstart.yaml
	$(BIN)/python tools/bench.py report mm_configs/benchmark/suites/quickstart.yaml

test: $(STAMP)
	$(BIN)/python -m pytest $(WORKERS) -m "not slow"

test-fast: $(STAMP)
	$(BIN)/python -m pytest $(WORKERS) -m "not slow and not train"

test-slow: $(STAMP)
	$(BIN)/python -m pytest $(WORKERS) -m slow

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache

clean:
	rm -rf $(VENV) data/mini .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
