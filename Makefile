# `make run` and `make test` set up everything in .venv first; nothing outside this folder is touched.
PYTHON ?= python3
SHELL := /bin/bash
# A file's tests stay in one process, for the fixtures that they share. Threads that spin would take the other's core.
PYTEST = OMP_WAIT_POLICY=PASSIVE python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: help install run test test-all test-gpu learn proof study bench bench-quick gpu check format lock clean

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

install: .venv/.installed  ## .venv with the locked versions and the project

.venv/.installed: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check uv
	.venv/bin/uv pip install --quiet --compile-bytecode --python .venv/bin/python --requirement requirements.txt
	.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
	touch $@

run: install  ## the demo end to end, then a dvc repro that finds nothing to do
	python -m pipeline run
	dvc repro --quiet && dvc status
	@echo
	@echo "table of epochs   data/runs/demo/history.csv"
	@echo "curves            data/runs/demo/figures/curves.png"
	@echo "clusters          data/runs/demo/figures/clusters.png"
	@echo "try (after: source .venv/bin/activate)"
	@echo "  python -m pipeline show --epoch 1"
	@echo "  python -m pipeline nmi"
	@echo "  python -m pipeline run --run mine --images FOLDER"

test: install  ## the tests, 10 minutes at most on two cores
	$(PYTEST)

test-all: install  ## all tests: kills, DVC edits, the command line as a user has it
	$(PYTEST) -m "slow or not slow"

test-gpu: install  ## those that need a CUDA device, and are skipped without
	python -m pytest -m gpu

learn: install  ## proof that the demo learns: three seeds, controls, the table of docs/results.md
	python benchmarks/learn.py

proof: install  ## proof that section 4's evaluations tell trained from random: the table of docs/evaluation.md
	python benchmarks/evaluation.py

study: install  ## section 4.1 in small, IMAGES=FOLDER with train/CLASS and test/CLASS: docs/results.md; hours, and goes on
	python benchmarks/study.py $(IMAGES)
	python benchmarks/study.py $(IMAGES) --whole

bench: install  ## speed, memory and the price of persistence, the table of docs/performance.md; over an hour
	python benchmarks/bench.py

bench-quick: install  ## the same in three minutes, printed only: too small to decide a bar
	python benchmarks/bench.py --quick

gpu: install  ## what a CUDA device makes of each stage, the table of docs/performance.md; six minutes or so
	python benchmarks/gpu.py

check: install  ## ruff, mypy, import-linter
	ruff check .
	ruff format --check .
	mypy
	lint-imports --no-logo

format: install  ## rewrite the code as ruff formats it
	ruff check --fix .
	ruff format .

lock: install  ## requirements.txt from pyproject.toml
	uv pip compile --quiet --generate-hashes --no-emit-index-url --no-annotate --no-header --universal \
		--extra dev pyproject.toml --output-file requirements.txt

clean:  ## delete .venv and caches; data/ stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
