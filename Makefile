# On a fresh machine: `make demo` or `make test`. Nothing else is needed but Python 3.11 or later.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile --constraint envs/constraints.txt
# What pip would do on one core, less what is hardly ever imported.
COMPILE := $(BIN)/python -m compileall -qq -j 0 -x '/tests?/|/transformers/' $(VENV)/lib || true
PYTEST := $(BIN)/pytest -n 2 --dist loadfile

.PHONY: demo test test-all test-long test-slurm bench seeds docs screenshots lint format clean-venv

demo: $(VENV)/installed
	$(BIN)/snakemake --cores all
	$(BIN)/cortune summary

test: $(VENV)/installed-test lint
	OMP_NUM_THREADS=1 $(PYTEST) -m "not long" tests/unit
	$(PYTEST) -m "not long" tests/workflow

# And what takes long: the demo, many kills, faults at every change, every torchvision model,
# transfer at two correlations, SLURM.
test-all: test test-long test-slurm

test-long: $(VENV)/installed-test
	OMP_NUM_THREADS=1 $(PYTEST) -m long tests/unit
	$(PYTEST) -m long tests/workflow

test-slurm: $(VENV)/installed-slurm
	$(BIN)/pytest tests/slurm

bench: $(VENV)/installed-test
	$(BIN)/python benchmarks/run.py

# What the demo claims, over ten demos (an hour or two).
seeds: $(VENV)/installed
	$(BIN)/python benchmarks/seeds.py results-of-seeds

docs: $(VENV)/installed-test
	$(BIN)/mkdocs build --strict

# Of the last run's report, by Chromium, which must be there.
screenshots: $(VENV)/installed
	$(BIN)/python docs/screenshots.py results/latest/report.html

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow/rules
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/snakemake --lint

format: $(VENV)/installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow/rules

$(VENV)/installed: pyproject.toml envs/constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	$(COMPILE)
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(PIP) --editable '.[test,docs]'
	$(COMPILE)
	touch $@

$(VENV)/installed-slurm: $(VENV)/installed-test
	$(PIP) --editable '.[test,docs,slurm]'
	$(COMPILE)
	touch $@

clean-venv:
	rm -rf $(VENV)
