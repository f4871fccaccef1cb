# What a person types; CI types the same.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Programs that tests start find the product compiled, wherever a person forbids that.
export PYTHONDONTWRITEBYTECODE :=
WORKERS ?= 2
# Tests that start browsers, kernels and commands wait more than they compute, so they run beside
# those that compute.
WAITING ?= 3
# What `others` runs of its tests: samples of the matrices.
SELECTED =
# Four at once, also those that another one of them starts.
AT_ONCE = $(if $(findstring jobserver,$(MAKEFLAGS)),,--jobs=4)
SIDE_BY_SIDE = $(MAKE) --no-print-directory $(AT_ONCE) --output-sync=target
# Tests that mirror the product's layers, and those of the sandbox, in parts; the longest begins.
# Each is a process: for tests as short as these, pytest-xdist takes as long as pytest itself.
UNITS = tests/unit tests/sandbox
PARTS = units-of-others units-of-engine units-of-evidence units-of-odd-files
# Of odd files every test is a matrix, so without matrices there is none.
WITHOUT_MATRICES = -m "not matrix"
SHORTER = $(filter-out units-of-odd-files,$(PARTS))
units-of-engine: PART = tests/unit/engine tests/unit/operations
units-of-odd-files: PART = tests/unit/odd
units-of-evidence: PART = tests/unit/evidence tests/unit/cli tests/unit/remote tests/sandbox
units-of-others: PART = tests/unit $(addprefix --ignore=tests/unit/,engine operations evidence cli remote odd)
# What runs them, and what more it is given.
RUN = $(BIN)/python
MORE =
# They run in a random order, whose seed is printed: `make test SEED=…` repeats it.
SEED ?=
ORDER = $(if $(SEED),--randomly-seed=$(SEED))
# The other tests go file by file, in the order in which they are written.
AS_WRITTEN = -p no:randomly --numprocesses $(WAITING) --dist loadfile --no-loadscope-reorder
OTHERS = tests $(addprefix --ignore=,$(UNITS)) $(AS_WRITTEN)
# Of those, `make test` has a run of each scenario, a walk in a browser and a client of Facebook's.
WALKS = tests/runs/test_scenarios.py tests/browser/test_walkthrough.py tests/sandbox/sdk/test_facebook_business.py
SLOWEST = --costs 40
NODE := tests/support/node
NODE_MODULES := $(NODE)/node_modules/.package-lock.json
# `make lock UPGRADE=--upgrade` takes the newest releases that pyproject.toml allows.
UPGRADE =
LOCK = $(BIN)/uv pip compile --quiet --universal --no-strip-extras --python-version 3.11 --no-header --no-annotate $(UPGRADE)
# What is installed is a wheel whose hash is in a lock: nothing is built from source on the way.
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all:
COUNT = grep -c '^[a-z].*=='

.PHONY: run practice lab test units $(PARTS) architecture walks tests others coverage quick programs matrices unit-matrices other-matrices check wheel \
	lint types lock newest notebooks outcomes responses fidelity bench clean

run: $(VENV)/.installed  ## practise the whole procedure headless, against the embedded sandbox
	$(BIN)/runbook run --sandbox approved

practice: $(VENV)/.installed  ## practise the walkthrough in JupyterLab, against the embedded sandbox
	$(BIN)/runbook lab --sandbox fresh

lab: $(VENV)/.installed  ## open the walkthrough in JupyterLab
	$(BIN)/runbook lab

test: $(VENV)/.installed-tests programs  ## what to run before a commit: six minutes on two idle cores
	@echo "Unit tests; beside them a run of each scenario, a walk in a browser, and Facebook's own client" \
		"against the sandbox. About 6 minutes on two idle cores; each part prints when it ends."
	@echo "make check adds all browsers, kills, fleets, archives, clients, whole matrices, lint, types" \
		"and the wheel: about 30 minutes."
	@$(SIDE_BY_SIDE) walks $(PARTS) architecture MORE=--ignore=tests/sandbox/sdk

units: $(VENV)/.installed-tests  ## unit tests and the sandbox's
	@$(SIDE_BY_SIDE) $(PARTS) architecture MORE=--ignore=tests/sandbox/sdk

$(PARTS):
	$(RUN) -m pytest $(PART) $(ORDER) $(MORE)

architecture: $(VENV)/.installed-tests  ## who imports whom, and what no class says twice
	$(BIN)/python -m pytest tests/test_architecture.py

walks: $(VENV)/.installed-tests programs  ## a run of each scenario, a walk in a browser, one client
	$(BIN)/python -m pytest $(WALKS) $(AS_WRITTEN)

others: $(VENV)/.installed-tests programs  ## every test beside the unit tests
	$(BIN)/python -m pytest $(OTHERS) $(SELECTED) $(SLOWEST)

# Every command with every odd file, every client with every hostile answer, every point of a kill.
matrices: $(VENV)/.installed-tests programs  ## the whole of what other runs only sample
	@$(SIDE_BY_SIDE) unit-matrices other-matrices

unit-matrices: $(VENV)/.installed-tests
	@$(SIDE_BY_SIDE) $(PARTS) MORE="--matrices $(SLOWEST)"

other-matrices: $(VENV)/.installed-tests programs
	$(BIN)/python -m pytest $(OTHERS) --matrices $(SLOWEST)

# Tracing doubles the time of these tests, so CI does not measure it.
coverage: $(VENV)/.installed-tests  ## unit tests and the sandbox's, with the branches that they cover; before a release
	$(BIN)/coverage erase
	@$(SIDE_BY_SIDE) $(SHORTER) RUN="$(BIN)/coverage run" MORE='$(WITHOUT_MATRICES) $(SLOWEST)'
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --include="runbook_lib/*"
	$(BIN)/coverage report --include="facebook_cyclr_sandbox/*"

# Where it may not install, tests are left out by name; CI refuses that.
programs:  ## install what tests need beside Python (Debian, as root)
	.ci/programs || echo "The tests that need them are left out."

quick: $(VENV)/.installed-tests  ## unit tests and the sandbox's, without coverage, matrices and foreign clients
	@$(SIDE_BY_SIDE) $(SHORTER) MORE='--ignore=tests/sandbox/sdk $(WITHOUT_MATRICES)'

check: lint tests  ## what CI runs: each test once

tests: $(VENV)/.installed-tests $(NODE_MODULES) programs  ## every test with its whole matrix, types, and the wheel
	@$(SIDE_BY_SIDE) others $(PARTS) types wheel SELECTED=--all MORE='--all $(SLOWEST)'

wheel: $(VENV)/.installed  ## build the wheel, and run what it installs in an empty environment
	.ci/wheel

lint: $(VENV)/.installed-tests $(NODE_MODULES)  ## ruff, and biome for the browser scripts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(NODE)/node_modules/.bin/biome ci --error-on-warnings --config-path=$(NODE) runbook_lib tests/unit/walkthrough/scripts

types: $(VENV)/.installed-tests $(NODE_MODULES)  ## mypy, and tsc for the browser scripts
	$(BIN)/mypy
	$(NODE)/node_modules/.bin/tsc --project $(NODE)

fidelity: $(VENV)/.installed-tests  ## list what the sandbox infers or does not know in docs/sandbox.md
	$(BIN)/python -m tools.fidelity

notebooks: $(VENV)/.installed  ## build the notebooks from the procedure
	$(BIN)/runbook notebooks

responses: $(VENV)/.installed-tests  ## every check with every response: print how many cells have which outcome
	$(BIN)/python -m tests.unit.connectors.response_counts

outcomes: $(VENV)/.installed-tests  ## write docs/outcomes.md from the codes of findings and errors
	$(BIN)/python -m tools.outcomes

bench: $(VENV)/.installed-tests  ## measure how long a user waits, and print the table
	$(BIN)/python -m tools.bench --json bench.json

lock: $(VENV)/.installed-tests  ## compile the lock files anew from the ranges in pyproject.toml
	$(LOCK) --generate-hashes pyproject.toml --group build --output-file requirements.lock
	$(LOCK) --generate-hashes --group test --constraint requirements.lock --output-file tests/requirements.lock
	$(LOCK) pyproject.toml --constraint requirements.lock --output-file requirements.txt
	$(LOCK) --group test --constraint tests/requirements.lock --output-file tests/requirements.txt
	echo "-e ." >>requirements.txt

newest:  ## test with the newest release of every dependency: fails when an upper bound must stay
	.ci/newest

clean:
	rm -rf $(VENV) $(NODE)/node_modules .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache

$(VENV)/.installed: requirements.lock pyproject.toml
	@echo "Setting up $(VENV), once; about a minute: the $$($(COUNT) requirements.lock) packages of" \
		"requirements.lock (JupyterLab, papermill, …), each checked by its hash, and the runbook itself."
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)  # or it was interrupted
	@$(INSTALL) -r requirements.lock
	@$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-tests: $(VENV)/.installed tests/requirements.lock
	@echo "Adding what tests and tools need: the $$($(COUNT) tests/requirements.lock) packages of" \
		"tests/requirements.lock (pytest, mypy, Playwright, …), each checked by its hash."
	@$(INSTALL) --quiet -r tests/requirements.lock
	@touch $@

$(NODE_MODULES): $(NODE)/package-lock.json | programs
	@echo "Adding what tests and linters need of npm: the packages of $(NODE) (biome, TypeScript, axe, …)."
	@cd $(NODE) && npm ci
	@touch $@
