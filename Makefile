# Everything works from a fresh checkout: each target first sets up .venv from requirements.lock.
#   make demo PROFILE=music DATA=path/to/lfm      any profile on any data
#   make PYTHON=/path/to/python3.12 demo          another Python than the first fitting one on PATH

SHELL := /bin/bash
BIN := .venv/bin
READY := .venv/.ready
SPARK := .venv/.spark

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow lint up down bench bench-quality clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) ## run the nightly chain in a real Airflow and print recommendations (PROFILE=, DATA=)
	@$(BIN)/python -m recommender.local.demo $(if $(PROFILE),--profile '$(PROFILE)') $(if $(DATA),--data '$(DATA)')

up: $(READY) ## start Airflow's UI and PostgreSQL in the background
	@$(BIN)/python -m recommender.local.up

down: $(READY) ## stop both
	@$(BIN)/python -m recommender.local.down

test: $(READY) $(SPARK) ## run the tests on up to four cores (ARGS= goes to pytest)
	@$(BIN)/python -m pytest -m "not slow" -n logical --maxprocesses 4 --dist loadfile $(ARGS)

test-slow: $(READY) $(SPARK) ## run the tests that take minutes
	@$(BIN)/python -m pytest -m slow $(ARGS)

lint: $(READY) ## check style and types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy recommender dags

bench: $(READY) ## run the benchmarks; writes benchmarks/results/latest.json
	@$(BIN)/python -m benchmarks.run

bench-quality: $(READY) ## compare the models with the usual peers, an hour or more; writes docs/figures.md (ARGS=--set lfm)
	@$(BIN)/python -m benchmarks.quality.run $(ARGS)

clean: ## stop everything and delete what was made here, except .venv: .recommender and caches
	@if [ -e $(READY) ]; then $(BIN)/python -m recommender.local.down; fi
	@rm -rf .recommender .pytest_cache .mypy_cache .ruff_cache .hypothesis build
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@scripts/setup $(PYTHON)
	@touch $@

# half a gigabyte that only tests and clusters need, and only where there is Java to run it
$(SPARK): requirements-spark.lock $(READY)
	@if command -v java >/dev/null; then \
		echo "adding PySpark to .venv for the tests (once) …"; $(BIN)/python -m pip install -qq --disable-pip-version-check -r requirements-spark.lock; fi
	@touch $@
