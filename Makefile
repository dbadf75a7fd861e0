# `make run` serves the app to its owner, `make serve` to others behind a proxy, `make test` runs every check; each sets
# up what it needs in .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check

.PHONY: run serve test lint clean

run: $(VENV)/.app
	PARALLAX_ALLOW_HOME_FOLDER=$${PARALLAX_ALLOW_HOME_FOLDER-true} $(BIN)/streamlit run app.py

serve: $(VENV)/.app
	$(BIN)/streamlit run app.py

test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist worksteal -m "not browser"
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --maxprocesses 2 --dist loadfile tests/browser

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .

$(VENV)/.app: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) -r requirements.txt
	touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.app
	$(PIP) -r requirements-dev.txt
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
