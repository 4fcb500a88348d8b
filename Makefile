# Everything one does with the project. Each target makes what it needs.
PYTHON ?=
VENV := .venv
BIN := $(VENV)/bin
GUEST := src/aetherium/_guest/aetherium-guest-x86_64
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast check format bench docs lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/ready: requirements/dev.txt scripts/bootstrap.sh pyproject.toml
	@PYTHON="$(PYTHON)" scripts/bootstrap.sh

$(GUEST): $(VENV)/ready hatch_build.py $(shell find guest -name '*.zig' 2>/dev/null)
	@$(BIN)/python hatch_build.py
	@touch $(GUEST)

demo: $(GUEST) ## run the main job: a real project's tests in an isolated VM (STEP=1 waits between steps)
	@$(BIN)/aetherium demo $(if $(STEP),--step)

test: $(GUEST) ## run all tests
	@$(BIN)/python -m pytest -n $(JOBS) $(PYTEST)

test-fast: $(GUEST) ## run the tests that take no more than a few seconds each
	@$(BIN)/python -m pytest -n $(JOBS) -m "not slow" $(PYTEST)

check: $(GUEST) ## format, lint, types, imports, generated code up to date
	@scripts/check.sh

format: $(VENV)/ready ## rewrite the code in the project's format
	@$(BIN)/ruff format && $(BIN)/ruff check --fix

bench: $(GUEST) ## measure, beside the plain tools, in one run
	@$(BIN)/python -m benchmarks

docs: $(GUEST) ## write the generated pages
	@$(BIN)/python scripts/generate_cli_docs.py && $(BIN)/python scripts/generate_sync.py

lock: $(VENV)/ready ## resolve the locked versions anew
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile --quiet --upgrade pyproject.toml --group dev --generate-hashes --universal \
	  --python-version 3.11 --no-emit-index-url --custom-compile-command "make lock" -o requirements/dev.txt

clean: ## remove what the targets made
	@rm -rf $(VENV) .venv.part dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find src/aetherium/_guest -type f ! -name .gitkeep -delete
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
