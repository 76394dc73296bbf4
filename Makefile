# Everything lives in .venv; a second call installs nothing unless pyproject.toml or constraints.txt changed.
PYTHON ?= python3
WORKERS ?= auto

VENV := .venv
BIN := $(VENV)/bin
# Without byte code, which Python writes when a module is first used, the install is some 25 MB smaller.
INSTALL := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt

.PHONY: demo test slow check format docs clean

demo: $(VENV)/.base ## the tour, on the weights that ship
	$(BIN)/kinema demo

test: $(VENV)/.dev ## the default tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

slow: $(VENV)/.dev ## the tests that train for minutes
	$(BIN)/python -m pytest -m slow

check: $(VENV)/.dev ## what a change must pass, beside the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

format: $(VENV)/.dev ## mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.docs ## the documentation as a site in site/
	$(BIN)/zensical build --clean

clean: ## forget the environment
	rm -rf $(VENV) site

$(BIN)/python:
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.base: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing kinema into $(VENV) (PyTorch is the large part)"
	$(INSTALL) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.base
	@echo "installing what the tests and checks need"
	$(INSTALL) --editable ".[dev]"
	-KINEMA_CACHE=$(VENV)/cache $(BIN)/kinema data fetch face-landmarker
	@touch $@

$(VENV)/.docs: $(VENV)/.base
	$(INSTALL) --editable ".[docs]"
	@touch $@
