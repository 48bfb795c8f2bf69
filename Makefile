# Every command of this project. They need make and Python 3.11, nothing else; each installs what it is missing.
# Another Python goes into another folder: make test PYTHON=python3.13 VENV=.venv-3.13
PYTHON ?= python3.11
VENV ?= .venv
VENV_AIRFLOW2 ?= .venv-airflow2
PYTEST_ARGS ?=

AIRFLOW3 = apache-airflow==3.3.2
AIRFLOW2 = apache-airflow==2.11.2
EXTRAS = credentials,test,judges,lint
EXTRAS_AIRFLOW2 = credentials,test

# The pins travel as PIP_CONSTRAINT and not as -c: only so they also hold for the build backend that pip fetches by itself.
install = PIP_CONSTRAINT=$(1) $(2)/bin/python -m pip install --quiet --disable-pip-version-check --no-input

# One file of pins that serves several Pythons: $(1) file, $(2) Pythons, $(3) extras, $(4) further requirements.
# Each Python keeps the pins of those before it and adds what only it needs.
define compile
	: > .venv-uv/pins.txt
	for version in $(2); do \
		printf '%s\n' $(4) | .venv-uv/bin/uv pip compile --quiet --no-header --no-annotate --no-python-downloads --upgrade \
			--python "$$(command -v $(PYTHON))" --python-version $$version --constraints .venv-uv/pins.txt \
			--extra $(3) --output-file .venv-uv/$$version.txt pyproject.toml - || exit 1; \
		LC_ALL=C sort -u .venv-uv/pins.txt .venv-uv/$$version.txt -o .venv-uv/pins.txt || exit 1; \
	done
	cp .venv-uv/pins.txt $(1)
endef

.DEFAULT_GOAL := help
.PHONY: help venv venv-airflow-2 test test-airflow-2 lint types architecture mutants benchmark-reliability benchmark-emulator demo constraints clean

help: ## print this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1|\2/p' Makefile | awk -F'|' '{ printf "make %-22s %s\n", $$1, $$2 }'

venv: $(VENV)/.installed ## make .venv: Airflow 3.3.2, this project (editable) and all tools

venv-airflow-2: $(VENV_AIRFLOW2)/.installed ## make .venv-airflow2: Airflow 2.11.2 and this project (editable)

test: $(VENV)/.installed ## run all tests on Airflow 3.3.2 (PYTEST_ARGS="tests/core -k page" for a part)
	$(VENV)/bin/python -m pytest $(PYTEST_ARGS)

test-airflow-2: $(VENV_AIRFLOW2)/.installed ## run the tests of everything that touches Airflow on 2.11.2
	$(VENV_AIRFLOW2)/bin/python -m pytest tests/airflow tests/e2e $(PYTEST_ARGS)

lint: $(VENV)/.installed ## ruff: rules and format
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(VENV)/.installed ## mypy --strict
	$(VENV)/bin/mypy

architecture: $(VENV)/.installed ## who may import whom (import-linter)
	$(VENV)/bin/lint-imports

mutants: $(VENV)/.installed ## break one important rule at a time; the test that guards it must notice
	$(VENV)/bin/python tests/mutants/run.py

benchmark-reliability: $(VENV)/.installed ## five minutes of faults and throttling on a real clock
	$(VENV)/bin/python benchmarks/reliability.py

benchmark-emulator: $(VENV)/.installed ## what large listings cost the local Function Compute
	$(VENV)/bin/python benchmarks/emulator.py

demo: $(VENV)/.installed ## run an example DAG against the local Function Compute
	$(VENV)/bin/python scripts/demo.py

constraints: .venv-uv/.installed ## renew the pins in constraints/
	$(call compile,constraints/airflow-3.3.txt,3.11 3.12 3.13,$(EXTRAS),$(AIRFLOW3) build hatchling uv)
	$(call compile,constraints/airflow-2.11.txt,3.11,$(EXTRAS_AIRFLOW2),$(AIRFLOW2) hatchling)

clean: ## remove the virtual environments and everything generated
	rm -rf .venv*/ .demo/ .pytest_cache/ .mypy_cache/ .ruff_cache/ .import_linter_cache/ .hypothesis/ dist/ build/ *.egg-info/
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is newer than pins and metadata: nothing is installed twice.
$(VENV)/.installed: pyproject.toml constraints/airflow-3.3.txt
	$(PYTHON) -m venv $(VENV)
	$(call install,constraints/airflow-3.3.txt,$(VENV)) $(AIRFLOW3) hatchling --editable '.[$(EXTRAS)]'
	touch $@

$(VENV_AIRFLOW2)/.installed: pyproject.toml constraints/airflow-2.11.txt
	$(PYTHON) -m venv $(VENV_AIRFLOW2)
	$(call install,constraints/airflow-2.11.txt,$(VENV_AIRFLOW2)) $(AIRFLOW2) --editable '.[$(EXTRAS_AIRFLOW2)]'
	touch $@

.venv-uv/.installed: constraints/airflow-3.3.txt
	$(PYTHON) -m venv .venv-uv
	$(call install,constraints/airflow-3.3.txt,.venv-uv) uv
	touch $@
