# `make demo` and `make test` need python3 and nothing else: they set up .venv themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Only tells of newer releases.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.PHONY: demo test lint versions versions-fast bench fuzz docs clean
.NOTPARALLEL:

demo: $(VENV)/installed-cli,plot
	$(BIN)/symgraph demo

# One thread: the products are small, tests run in two workers, and figures compare between machines.
demo test bench fuzz: export OMP_NUM_THREADS := 1

test: lint
	$(BIN)/python -m pytest -n 2

lint: $(VENV)/installed-all
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

# The suite on the oldest Python with the lowest versions, and on the newest with the newest.
versions: $(VENV)/installed-all
	$(BIN)/nox

versions-fast: $(VENV)/installed-all
	$(BIN)/nox -- -n 2 -m fast

bench: $(VENV)/installed-bench
	$(BIN)/symgraph bench compile

# Random programs on both backends, from a fresh seed: `make fuzz SECONDS=600`, `make fuzz SEED=7`.
SECONDS ?= 60
fuzz: $(VENV)/installed-all
	$(BIN)/python -m symgraph.testing.fuzz --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

docs: $(VENV)/installed-docs
	$(BIN)/mkdocs build --strict

# One environment; a stamp for each set of extras that is in it.
$(VENV)/installed-%: pyproject.toml
	@echo "Installing symgraph[$*] into $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --editable '.[$*]'
	@touch $@

clean:
	rm -rf $(VENV) build dist site symgraph-demo symgraph-bench .hypothesis .import_linter_cache .pytest_cache .ruff_cache .nox
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
