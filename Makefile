# Needs python3 (3.10 or later, with venv), make and git. Everything else goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install test test-fast test-stack test-bad-day test-matrix test-jobs lint coverage wheel demo bench bench-load bench-page docs pictures clean

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

# Prose of the project: .codespell/words.txt has words that it does not use. Tests need only be spelled right.
PROSE := otelflask grafana/source grafana/provisioning collector docs .github .ci .env docker-compose.yml Makefile \
  README.md CHANGELOG.md CODE_OF_CONDUCT.md CONTRIBUTING.md SECURITY.md pyproject.toml

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/codespell -D - -D .codespell/words.txt $(PROSE)
	$(BIN)/codespell tests
	$(BIN)/proselint -o compact check $(filter-out docs/api.md docs/telemetry.md,$(wildcard *.md docs/*.md docs/servers/*.md))
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms $(filter-out %config.yml,$(wildcard .github/ISSUE_TEMPLATE/*.yml))
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	$(BIN)/pre-commit validate-config

# Of what tests run in their own processes. The plugin is left out as such, because it would import the package first.
COVERAGE := -p no:otelflask --cov

test: lint
	$(BIN)/python -m pytest -n 2 --no-loadscope-reorder $(COVERAGE) --cov-report=

test-fast: install
	$(BIN)/python -m pytest -m "not slow"

# The unit tests, and the lines that they do not run.
coverage: install
	$(BIN)/python -m pytest -n 2 tests/unit $(COVERAGE) --cov-report=term-missing:skip-covered --cov-fail-under=0

# The wheel and the source archive, in dist/.
wheel: install
	rm -rf dist
	$(BIN)/python -m hatchling build
	$(BIN)/twine check --strict dist/*

# Runs the compose bundle, on ports and volumes of its own; skips, with the reason, what it has no image for.
test-stack: install
	$(BIN)/python -m pytest tests/stack

# Stops each server of the stack in turn. BAD_DAY=loki stops only that one.
test-bad-day: install
	$(BIN)/python -m pytest -m bad_day tests/stack/test_bad_day.py

# Runs each server under load while its workers, the receiver and the server itself fail. ROWS=short is a short form, and
# ROWS="granian;waitress" chooses rows; REQUESTS is the length of a row. What is right at full length is written into
# docs/servers/matrix.md.
test-matrix: install
	$(BIN)/python -m tests.matrix.run

# Jobs of Celery and RQ over workers that are killed and restarted. JOBS is their number (10,000).
test-jobs: install
	$(BIN)/python -m tests.matrix.jobs

demo: install
	$(BIN)/python -m otelflask.demo --port $(or $(PORT),8000)

bench: install
	$(BIN)/python -m tests.benchmarks.bench

# Needs wrk.
bench-load: install
	$(BIN)/python -m tests.benchmarks.load

# Needs Chromium.
bench-page: install
	$(BIN)/python -m tests.benchmarks.page

# Makes what the docs have from the code: settings, API, names of telemetry, the picture of the structure; needs Python
# 3.11.
docs: install
	$(BIN)/python -m tests.settings_page > docs/settings.md
	$(BIN)/python -m tests.environment_page > docs/environment.md
	$(BIN)/python -m tests.api_page > docs/api.md
	$(BIN)/python -m tests.telemetry_page > docs/telemetry.md
	$(BIN)/python -m tests.structure > docs/images/structure.svg

# Takes the pictures of the live page that the docs show; needs Chromium.
pictures: install
	$(BIN)/python -m tests.pictures

clean:
	rm -rf $(VENV) .bench
