# Every command of this project. They need make, git and Python 3.11, nothing else; each installs what it is missing.
# Another Python goes into another folder: make test PYTHON=python3.13 VENV=.venv-3.13
# What has VERSION= chooses the folder itself: make test-airflow VERSION=3.3.2 PYTHON=python3.13
PYTHON ?= python3.11
VENV ?= .venv
PYTEST_ARGS ?=
# Processes that share the tests; each runs whole files, because a file's tests share what is costly to set up.
WORKERS ?= auto
# The same for e2e: each has an Airflow of its own, which mostly waits.
E2E_WORKERS ?= 2
# For make search-histories.
HISTORIES ?= 27000
SEEDS ?= 1 2 3 4

# The Airflow that this project is developed on, and the others it is run on: the last patch of each minor version.
AIRFLOW = 3.3.2
OTHER_AIRFLOWS = 2.11.2 3.0.6 3.1.8 3.2.2
PYTHONS_2.11.2 = 3.11 3.12
PYTHONS_3.0.6 = 3.11
PYTHONS_3.1.8 = 3.11
PYTHONS_3.2.2 = 3.11
PYTHONS_3.3.2 = 3.11 3.12 3.13
MATRIX = $(foreach airflow,$(OTHER_AIRFLOWS) $(AIRFLOW),$(foreach python,$(PYTHONS_$(airflow)),$(airflow):$(python)))
VERSION ?=
# The environment of VERSION and PYTHON: .venv-airflow-3.3.2, .venv-airflow-3.3.2-py3.13.
AIRFLOW_VENV = .venv-airflow-$(VERSION)$(patsubst python%,-py%,$(filter-out python3.11,$(notdir $(PYTHON))))
EXTRAS = credentials,test,judges,lint
EXTRAS_OTHERS = credentials,test
EXTRAS_PINNED = $(EXTRAS),pictures,browser
EXTRAS_BROWSER = $(EXTRAS_OTHERS),browser

# Releases that came out after these Airflows: with the newest of them they do not start, imports warn, or dag.test() fails.
BOUNDS_3_0 = 'pydantic<2.12' 'fastapi<0.118' 'cadwyn<6' 'pyjwt<2.11' 'starlette<0.48' 'svcs<26.2' 'universal-pathlib<0.3'
BOUNDS_3_1 = 'pydantic<2.13' 'sqlalchemy<2.1' 'starlette<0.48' 'svcs<26.2'
BOUNDS_3_2 = 'pydantic<2.14' 'sqlalchemy<2.1' 'fastapi<0.137' 'svcs<26.2'

# uv makes the environments: the one on PATH, else one that pip puts into .venv-uv. `make test UV=` does without it.
ifeq ($(origin UV),undefined)
UV := $(shell uv --version >/dev/null 2>&1 && echo uv || echo .venv-uv/bin/uv)
endif
OWN_UV = $(filter .venv-uv/bin/uv,$(UV))

# Where PYTHON is. pyenv has a stand-in on PATH for each Python that it knows, which fails unless that one is chosen.
find_python = $$($(PYTHON) --version >/dev/null 2>&1 && command -v $(PYTHON) || pyenv whence --path $(PYTHON) | tail -n 1)

# The pins hold for the build backend too, which is fetched apart from all else. pip takes pins for it only from the
# environment: old ones as PIP_CONSTRAINT, new ones as PIP_BUILD_CONSTRAINT.
PINS = constraints/$(patsubst airflow-cluster,cluster,$(patsubst airflow-docs,docs,airflow-$(strip $(1)))).txt
ifeq ($(UV),)
new_venv = "$(find_python)" -m venv $(1)
install = PIP_CONSTRAINT=$(PINS) PIP_BUILD_CONSTRAINT=$(PINS) \
	$(2)/bin/python -m pip install --quiet --disable-pip-version-check --no-input
else
new_venv = $(UV) venv --quiet --no-project --no-python-downloads --allow-existing --python "$(find_python)" $(1)
install = $(UV) pip install --quiet --compile-bytecode --python $(2)/bin/python --constraints $(PINS) --build-constraints $(PINS)
endif

# What the documentation site is made with: an environment of its own, since none of it belongs beside an Airflow.
# mkdocs below 2, whose plugins differ; ruff formats the signatures of the reference.
DOCS = 'mkdocs>=1.6,<2' 'mkdocs-material>=9.6' 'mkdocstrings-python>=1.16' 'ruff>=0.14'

# What Airflow needs beside itself as a cluster on PostgreSQL and Redis, and the packages of Debian that it is run on.
CLUSTER = apache-airflow-providers-celery asyncpg psycopg2-binary redis
SYSTEM_PACKAGES = postgresql redis-server chromium
# The size of make e2e-cluster, and of make e2e-scale.
INVOCATIONS ?= 500
SENSORS ?= $(if $(filter e2e-scale,$@),300,200)

DOCS_TESTS = tests/test_docs.py tests/test_reference.py tests/test_troubleshooting.py \
	tests/airflow/test_example_dags.py tests/airflow/test_docs_shell.py

# One file of pins: $(1) Airflow's version, $(2) extras, $(3) further requirements and bounds.
# Each Python keeps the pins of those before it and adds what only it needs. What is pinned stays as far as it fits.
UPGRADE ?=
define compile
	mkdir -p build
	: > build/pins.txt
	for version in $(PYTHONS_$(1)); do \
		$(if $(UPGRADE),rm -f,cp $(call PINS,$(1))) build/$$version.txt; \
		printf '%s\n' apache-airflow==$(1) hatchling $(3) | $(or $(UV),.venv-uv/bin/uv) pip compile --quiet --no-header \
			--no-annotate --no-python-downloads --python "$(find_python)" --python-version $$version \
			--constraints build/pins.txt --extra $(2) --output-file build/$$version.txt pyproject.toml - || exit 1; \
		LC_ALL=C sort -u build/pins.txt build/$$version.txt -o build/pins.txt || exit 1; \
	done
	cp build/pins.txt $(call PINS,$(1))
endef

.DEFAULT_GOAL := help
.PHONY: help venv test test-fast coverage e2e test-airflow smoke-airflow test-airflow-2 lint types architecture mutants search-histories \
	benchmark benchmark-pictures benchmark-reliability benchmark-emulator demo constraints clean

help: ## print this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1|\2/p' Makefile | awk -F'|' '{ printf "make %-22s %s\n", $$1, $$2 }'

venv: $(VENV)/.lint ## make .venv: Airflow 3.3.2, this project (editable) and all tools

test: $(VENV)/.test ## run all tests that need no scheduler (PYTEST_ARGS="tests/core -k page" for a part)
	$(VENV)/bin/python -m pytest --numprocesses $(WORKERS) --dist loadfile -m "not e2e" $(PYTEST_ARGS)

test-fast: $(VENV)/.test ## the same without Airflow and without what takes seconds: an answer in a minute
	$(VENV)/bin/python -m pytest --numprocesses $(WORKERS) --dist loadfile -m "not e2e and not airflow and not heavy" $(PYTEST_ARGS)

# Of these every line and branch is run by the tests; of the rest, where Airflow's versions differ, 95 %.
COVERED_WHOLLY = airflow_provider_fc/core/*,airflow_provider_fc/emulator/*,airflow_provider_fc/event_triggers.py

coverage: $(VENV)/.test ## check that `make test PYTEST_ARGS=--cov` has run every branch of core, events and emulator
	$(VENV)/bin/coverage report --skip-covered --show-missing --include '$(COVERED_WHOLLY)' --fail-under 100
	$(VENV)/bin/coverage report --skip-covered --show-missing --omit '$(COVERED_WHOLLY)' --fail-under 95

e2e: $(VENV)/.test ## run the tests that start a real Airflow: scheduler, triggerer, kills and restarts
	$(VENV)/bin/python -m pytest --numprocesses $(E2E_WORKERS) --dist loadfile tests/e2e $(PYTEST_ARGS)

.PHONY: system-packages e2e-cluster e2e-scale

system-packages: ## install PostgreSQL, Redis and Chromium from Debian's packages, where they are missing (as root)
	@missing=; for package in $(SYSTEM_PACKAGES); do \
		dpkg-query --show --showformat='$${db:Status-Status}' $$package 2>/dev/null | grep -qx installed || missing="$$missing $$package"; \
	done; \
	if [ -z "$$missing" ]; then echo "nothing to do: $(SYSTEM_PACKAGES) are installed"; \
	elif [ "$$(id -u)" != 0 ]; then echo "not installed:$$missing. Only root can: sudo make system-packages" >&2; exit 2; \
	else apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $$missing; fi

e2e-cluster: .venv-cluster/.cluster ## check a deployment: Celery on PostgreSQL and Redis, with kills (INVOCATIONS=500 SENSORS=200)
	.venv-cluster/bin/python scripts/e2e_cluster.py --invocations $(INVOCATIONS) --sensors $(SENSORS)

e2e-scale: $(VENV)/.test ## check that one triggerer of `airflow standalone` carries many waits (SENSORS=300)
	$(VENV)/bin/python scripts/e2e_scale.py --sensors $(SENSORS)

.PHONY: e2e-browser screenshots

e2e-browser: $(VENV)/.browser .venv-airflow-2.11.2/.browser ## look at Airflow's web interface with a browser, which make system-packages installs
	$(VENV)/bin/python scripts/e2e_browser.py .venv-airflow-2.11.2/bin/python

screenshots: e2e-browser ## the same, and renew the pictures of it in docs/images/
	$(VENV)/bin/python scripts/screenshots.py

test-airflow: $(AIRFLOW_VENV)/.test ## run what touches Airflow on another version: VERSION=3.2.2 (PYTHON=python3.12)
	$(AIRFLOW_VENV)/bin/python -m pytest --numprocesses $(WORKERS) --dist loadfile tests/airflow $(PYTEST_ARGS)
	$(AIRFLOW_VENV)/bin/python -m pytest --numprocesses $(E2E_WORKERS) --dist loadfile tests/e2e $(PYTEST_ARGS)

smoke-airflow: $(AIRFLOW_VENV)/.test ## a small part of that: import, metadata, one deferred DAG
	$(AIRFLOW_VENV)/bin/python -m pytest tests/airflow/test_imports.py tests/airflow/test_provider_info.py \
		tests/e2e/test_deferred.py $(PYTEST_ARGS)

airflow-python: $(AIRFLOW_VENV)/.test ## make the environment of test-airflow, and say where its Python is
	@echo $(AIRFLOW_VENV)/bin/python

test-airflow-2: ## the same as test-airflow VERSION=2.11.2
	$(MAKE) --no-print-directory test-airflow VERSION=2.11.2

.PHONY: airflow-python e2e-matrix e2e-full

e2e-matrix: ## tests/airflow on every Airflow and Python, e2e on the oldest and newest Airflow: build/e2e/matrix.json
	"$(find_python)" scripts/e2e_matrix.py $(MATRIX)

e2e-full: ## e2e-matrix, e2e-cluster, e2e-browser and e2e-scale; the reports of all of them must say that they passed
	"$(find_python)" scripts/e2e_full.py build/e2e matrix cluster browser scale

lint: $(VENV)/.lint ## ruff: rules and format
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(VENV)/.lint ## mypy: strict for the package, scripts/ and benchmarks/; tests/ are checked too
	$(VENV)/bin/mypy

architecture: $(VENV)/.lint ## who may import whom (import-linter)
	$(VENV)/bin/lint-imports

mutants: $(VENV)/.test ## break one important rule at a time; the test that guards it must notice
	$(VENV)/bin/python tests/mutants/run.py

search-histories: $(VENV)/.test ## search random histories for wrong or late verdicts (HISTORIES=27000 SEEDS="1 2 3 4")
	nice $(VENV)/bin/python tests/histories.py --histories $(HISTORIES) --seeds $(SEEDS)

benchmark-reliability: $(VENV)/.test ## five minutes of faults and throttling on a real clock
	$(VENV)/bin/python benchmarks/reliability.py

benchmark: $(VENV)/.test ## what listing, waiting, importing and the emulator cost, each beside its peer (ten minutes)
	$(VENV)/bin/python benchmarks/everything.py

benchmark-pictures: $(VENV)/.pictures ## draw docs/images/ from what `make benchmark` has measured
	$(VENV)/bin/python benchmarks/pictures.py

benchmark-emulator: $(VENV)/.test ## what large listings cost the local Function Compute
	$(VENV)/bin/python benchmarks/emulator.py

demo: $(VENV)/.demo ## run an example DAG against the local Function Compute
	$(VENV)/bin/python scripts/demo.py

.PHONY: docs docs-serve docs-test build release-check

docs: .venv-docs/.docs ## build the documentation site: build/site/index.html
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --quiet --strict

docs-serve: .venv-docs/.docs ## show the documentation at http://127.0.0.1:8000, anew with each change
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs serve

docs-test: $(VENV)/.test ## execute what README and docs/ show, and compare them with the code
	$(VENV)/bin/python -m pytest --numprocesses $(WORKERS) --dist loadfile $(DOCS_TESTS) $(PYTEST_ARGS)

build: $(VENV)/.test ## build the source distribution and the wheel into dist/
	rm -rf dist
	$(VENV)/bin/python -m hatchling build --directory dist

release-check: build | $(OWN_UV) ## check what is in dist/, and install the wheel into clean environments
	$(VENV)/bin/python scripts/release_check.py "$(if $(OWN_UV),$(abspath $(UV)),$(UV))" $(OTHER_AIRFLOWS) $(AIRFLOW)

constraints: | $(or $(OWN_UV),$(if $(UV),,.venv-uv/bin/uv)) ## make constraints/ fit pyproject.toml and the bounds above (UPGRADE=1: renew all)
	$(call compile,2.11.2,$(EXTRAS_BROWSER),)
	$(call compile,3.0.6,$(EXTRAS_OTHERS),$(BOUNDS_3_0))
	$(call compile,3.1.8,$(EXTRAS_OTHERS),$(BOUNDS_3_1))
	$(call compile,3.2.2,$(EXTRAS_OTHERS),$(BOUNDS_3_2))
	$(call compile,$(AIRFLOW),$(EXTRAS_PINNED),build uv)
	$(if $(UPGRADE),rm -f,cp constraints/docs.txt) build/docs.txt
	printf '%s\n' $(DOCS) | $(or $(UV),.venv-uv/bin/uv) pip compile --quiet --no-header --no-annotate \
		--no-python-downloads --python "$(find_python)" --python-version 3.11 --output-file build/docs.txt -
	LC_ALL=C sort build/docs.txt -o constraints/docs.txt
	$(if $(UPGRADE),rm -f,cp constraints/cluster.txt) build/cluster.txt
	printf '%s\n' apache-airflow==$(AIRFLOW) hatchling $(CLUSTER) | $(or $(UV),.venv-uv/bin/uv) pip compile --quiet --no-header \
		--no-annotate --no-python-downloads --python "$(find_python)" --python-version 3.11 \
		--constraints $(call PINS,$(AIRFLOW)) --extra $(EXTRAS_OTHERS) --output-file build/cluster.txt pyproject.toml -
	LC_ALL=C sort build/cluster.txt -o constraints/cluster.txt

clean: ## remove the virtual environments and everything generated
	rm -rf .venv*/ .demo/ .coverage* .pytest_cache/ .mypy_cache/ .ruff_cache/ .import_linter_cache/ .hypothesis/ dist/ build/ *.egg-info/
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: each is newer than the pins and the metadata, so nothing is installed twice. The demo needs least.
$(VENV)/.demo: pyproject.toml $(call PINS,$(AIRFLOW)) | $(OWN_UV)
	$(call new_venv,$(VENV))
	$(call install,$(AIRFLOW),$(VENV)) apache-airflow==$(AIRFLOW) --editable .
	touch $@

$(VENV)/.test: $(VENV)/.demo
	$(call install,$(AIRFLOW),$(VENV)) hatchling --editable '.[credentials,test,judges]'
	touch $@

$(VENV)/.pictures: $(VENV)/.test
	$(call install,$(AIRFLOW),$(VENV)) --editable '.[pictures]'
	touch $@

$(VENV)/.browser: $(VENV)/.test
	$(call install,$(AIRFLOW),$(VENV)) --editable '.[browser]'
	touch $@

.venv-airflow-2.11.2/.browser: .venv-airflow-2.11.2/.test
	$(call install,2.11.2,.venv-airflow-2.11.2) --editable '.[browser]'
	touch $@

$(VENV)/.lint: $(VENV)/.test
	$(call install,$(AIRFLOW),$(VENV)) --editable '.[$(EXTRAS)]'
	touch $@

.venv-cluster/.cluster: pyproject.toml constraints/cluster.txt | $(OWN_UV)
	$(call new_venv,.venv-cluster)
	$(call install,cluster,.venv-cluster) apache-airflow==$(AIRFLOW) $(CLUSTER) hatchling --editable '.[$(EXTRAS_OTHERS)]'
	touch $@

.venv-docs/.docs: constraints/docs.txt | $(OWN_UV)
	$(call new_venv,.venv-docs)
	$(call install,docs,.venv-docs) $(DOCS)
	touch $@

ifeq ($(VERSION),)
$(AIRFLOW_VENV)/.test:
	@echo "say which Airflow: VERSION=$(firstword $(OTHER_AIRFLOWS)), or another of $(OTHER_AIRFLOWS) $(AIRFLOW)" >&2; exit 2
else
$(AIRFLOW_VENV)/.test: pyproject.toml $(call PINS,$(VERSION)) | $(OWN_UV)
	$(call new_venv,$(AIRFLOW_VENV))
	$(call install,$(VERSION),$(AIRFLOW_VENV)) apache-airflow==$(VERSION) hatchling --editable '.[$(EXTRAS_OTHERS)]'
	touch $@
endif

constraints/airflow-%.txt:
	@echo "Airflow $* has no pins in constraints/; there are: $(OTHER_AIRFLOWS) $(AIRFLOW)" >&2; exit 2

.venv-uv/bin/uv: $(call PINS,$(AIRFLOW))
	"$(find_python)" -m venv .venv-uv
	PIP_CONSTRAINT=$(call PINS,$(AIRFLOW)) .venv-uv/bin/python -m pip install --quiet --disable-pip-version-check --no-input uv
	touch $@
