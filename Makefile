# Needs python3 (3.10 or later, with venv), make and git. Everything else goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install test test-fast test-stack lint demo bench bench-page docs pictures clean

install: $(VENV)/.installed

# What cannot stand beside the rest, such as versions that are too old, has folders of its own, for single tests.
BESIDE := $(wildcard tests/beside/*.txt)

$(VENV)/.installed: requirements.txt pyproject.toml $(BESIDE)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	for file in $(BESIDE); do $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade \
	  --target $(VENV)/beside/$$(basename $$file .txt) -r $$file || exit 1; done
	touch $@

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

test: lint
	$(BIN)/python -m pytest -n 2 --no-loadscope-reorder

test-fast: install
	$(BIN)/python -m pytest -m "not slow"

# Runs the compose bundle, on ports and volumes of its own; skips, with the reason, what it has no image for.
test-stack: install
	$(BIN)/python -m pytest tests/stack

demo: install
	$(BIN)/python -m otelflask.demo --port $(or $(PORT),8000)

bench: install
	$(BIN)/python -m tests.benchmarks.bench

# Needs Chromium.
bench-page: install
	$(BIN)/python -m tests.benchmarks.page

# Makes what the docs have from the code: settings, API, the picture of the structure; needs Python 3.11.
docs: install
	$(BIN)/python -m tests.settings_page > docs/settings.md
	$(BIN)/python -m tests.api_page > docs/api.md
	$(BIN)/python -m tests.structure > docs/images/structure.svg

# Takes the pictures of the live page that the docs show; needs Chromium.
pictures: install
	$(BIN)/python -m tests.pictures

clean:
	rm -rf $(VENV) .bench
