# Everything a developer types. Each target sets itself up: on a fresh machine `make demo` is enough.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
OUT ?= results

# One thread for each process: the tests and the workers run side by side.
export OMP_NUM_THREADS := 1

.PHONY: help demo deep-mlp bench bench-deep-mlp test test-fast check format clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@sed -n 's|^\([a-z-]*\):.*## *|make \1: |p' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(READY)  ## set up, train the built-in study of digits, print where its report is
	$(BIN)/fathom run digits --out $(OUT)

deep-mlp: $(READY)  ## one epoch of all 192 networks of study 001 on MNIST; prints the time it took
	@test -n "$(DATA)" || { echo "say where MNIST is: make deep-mlp DATA=folder"; exit 2; }
	bash -c 'time $(BIN)/fathom run deep-mlp --set train.epochs=1 --data-dir "$(DATA)" --out $(OUT)/one-epoch'

.venv/.bench: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]' \
	  && touch $@ || echo "JAX cannot be installed: it will be skipped"

bench: $(READY) .venv/.bench  ## seconds per epoch beside other ways to train, and shares of the product peak
	@mkdir -p $(OUT)
	$(BIN)/python -m benchmarks.step --out $(OUT)/bench.json $(if $(DATA),--data "$(DATA)")
	$(BIN)/python -m benchmarks.chart $(OUT)/bench.json $(OUT)/bench.svg
	$(BIN)/python -m benchmarks.scaling

bench-deep-mlp: $(READY)  ## deep-mlp, EPOCHS=50 of it, DEVICE=cpu or cuda; prints the time it took
	@test -n "$(DATA)" || { echo "say where MNIST is: make bench-deep-mlp DATA=folder"; exit 2; }
	bash -c 'time $(BIN)/fathom run deep-mlp --set train.epochs=$(or $(EPOCHS),50) \
	  --device $(or $(DEVICE),cpu) --data-dir "$(DATA)" --no-report \
	  --out $(OUT)/bench-$(or $(DEVICE),cpu)-$(or $(EPOCHS),50)-epochs'

test: $(READY)  ## every test
	$(BIN)/python -m pytest -n 2 --dist loadgroup

test-fast: $(READY)  ## every test that takes less than a few seconds
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m 'not slow'

check: $(READY)  ## format, lint, types and the direction of imports
	$(BIN)/ruff format --check .
	@# No cache: it knows a file by its own time and misses that an import has become one of ours.
	$(BIN)/ruff check --no-cache .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_layering.py

format: $(READY)  ## rewrite the files the way `check` wants them
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## remove what the other targets made, results excepted
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache
