# Two commands do all the set-up: `make quickstart` and `make test`. Everything is installed into .venv from requirements.txt.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
export TOKENIZERS_PARALLELISM := false
# One process per core, four at most: each imports everything, 1 GB. One that is done takes tests from the others.
WORKERS := --numprocesses auto --maxprocesses 4 --dist worksteal

# Another torch, in an environment of its own: make test-versions TORCH=2.12.0 TORCHVISION=0.27.0 PYTHON=python3.10
TORCH ?=
TORCHVISION ?=
VERSIONS := .venv-versions
EXPORT := .venv-export

.PHONY: gpu quickstart test test-fast test-slow test-slurm test-versions test-export lint clean

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

# A real Slurm of two nodes on this machine, from Debian's packages. It says which are missing, and installs nothing.
test-slurm: $(STAMP)
	$(BIN)/python -m tests.slurm.cluster
	$(BIN)/python -m pytest -v --durations=0 tests/slurm/on_a_cluster.py

# requirements.txt, but the newest torch that a torchvision exists for (or TORCH, TORCHVISION). What was tried: README.
test-versions:
	$(PYTHON) -m venv --clear $(VERSIONS)
	grep -vE '^(torch|torchvision)==' requirements.txt > $(VERSIONS)/rest.txt
	$(VERSIONS)/bin/python -m pip install --quiet --disable-pip-version-check \
		torch$(if $(TORCH),==$(TORCH)) torchvision$(if $(TORCHVISION),==$(TORCHVISION)) -r $(VERSIONS)/rest.txt
	$(VERSIONS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	$(VERSIONS)/bin/python -c "import sys, torch, torchvision; print(sys.version.split()[0], torch.__version__, torchvision.__version__)"
	$(VERSIONS)/bin/python -m pytest $(WORKERS) -m "not slow and not train"

# Weights in and out, compared with transformers and onnxruntime, in an environment of its own (requirements-export.txt).
test-export:
	$(PYTHON) -m venv --clear $(EXPORT)
	$(EXPORT)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-export.txt
	$(EXPORT)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	$(EXPORT)/bin/python -m pytest $(WORKERS) -rs tests/weights -m "not slow"

# On a machine with a GPU, with whatever Python has PyTorch: make gpu MINUTES=10 PYTHON=python3. Call again to go on.
MINUTES ?= 10
gpu:
	$(PYTHON) tools/gpu.py --minutes $(MINUTES)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache

clean:
	rm -rf $(VENV) $(VERSIONS) $(EXPORT) data/mini .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
