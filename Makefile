# What a person types; CI types the same.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
# Tests that start browsers, kernels and commands wait more than they compute.
WAITING ?= 3
# Tests that mirror the product's rooms, and those of the sandbox.
UNITS = tests/unit tests/sandbox
# They run in a random order, whose seed is printed: `make test SEED=…` repeats it.
SEED ?=
ORDER = --numprocesses $(WORKERS) --dist worksteal $(if $(SEED),--randomly-seed=$(SEED))
# The other tests go file by file, in the order in which they are written.
AS_WRITTEN = $(addprefix --ignore=,$(UNITS)) -p no:randomly --numprocesses $(WAITING) --dist loadfile --no-loadscope-reorder
NODE := node_modules/.package-lock.json
LOCK := uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate

.PHONY: run lab test coverage quick programs faults matrices mutants check wheel rooms lint types lock notebooks bench soak clean

run: $(VENV)/.installed  ## practise the whole procedure headless, against the embedded sandbox
	$(BIN)/runbook run --sandbox approved

lab: $(VENV)/.installed  ## open the walkthrough in JupyterLab
	$(BIN)/runbook lab

test: $(VENV)/.installed-tests programs  ## every test
	$(BIN)/python -m pytest $(UNITS) $(ORDER)
	$(BIN)/python -m pytest tests $(AS_WRITTEN)

# Every command with every odd file, every client with every hostile answer.
matrices: $(VENV)/.installed-tests programs  ## the whole of what `make test` only samples
	$(BIN)/python -m pytest $(UNITS) --matrices $(ORDER)
	$(BIN)/python -m pytest tests --matrices $(AS_WRITTEN)

coverage: $(VENV)/.installed-tests  ## unit tests and the sandbox's in another random order, with the branches that they cover
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(UNITS) $(ORDER)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --include="runbook_lib/*"
	$(BIN)/coverage report --include="facebook_cyclr_sandbox/*"

# Where it may not install, tests are left out by name; CI refuses that.
programs:  ## install what tests need beside Python (Debian, as root)
	.ci/programs || echo "The tests that need them are left out."

quick: $(VENV)/.installed-tests  ## unit tests and the sandbox's, without coverage, matrices and foreign clients
	$(BIN)/python -m pytest $(UNITS) --ignore=tests/sandbox/sdk -m "not matrix" --numprocesses $(WAITING) --dist worksteal

check: lint types test matrices coverage wheel rooms  ## what CI runs

wheel: $(VENV)/.installed  ## build the wheel, and run what it installs in an empty environment
	.ci/wheel

rooms: $(VENV)/.installed-tests  ## the lines of each room; none is above its budget
	$(BIN)/python -m tools.rooms

lint: $(VENV)/.installed-tests $(NODE)  ## ruff, and biome for the browser scripts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	npm run --silent lint

types: $(VENV)/.installed-tests $(NODE)  ## mypy, and tsc for the browser scripts
	$(BIN)/mypy
	npm run --silent types

notebooks: $(VENV)/.installed  ## build the notebooks from the procedure
	$(BIN)/runbook notebooks

bench: $(VENV)/.installed-tests  ## measure, and print the tables
	$(BIN)/python -m tools.bench --json bench.json

soak: $(VENV)/.installed-tests  ## long histories, kills, neighbours, hostile remotes: an hour, beside the tests
	$(BIN)/python -m tools.soak
	$(BIN)/python -m tools.soak.disturbances
	$(BIN)/python -m tools.soak.watched_week

faults: $(VENV)/.installed-tests  ## plant faults one at a time, and see the tests go red
	$(BIN)/python -m tools.faults

mutants: $(VENV)/.installed-tests  ## change one line at a time, 400 of them, and list those that no test sees: an hour
	nice $(BIN)/python -m tools.mutants --workers $(WORKERS)

lock:  ## compile both lock files from the ranges in pyproject.toml (needs uv)
	$(LOCK) pyproject.toml --output-file requirements.txt
	$(LOCK) --group test --constraint requirements.txt --output-file tests/requirements.txt
	echo "-e ." >>requirements.txt

clean:
	rm -rf $(VENV) node_modules .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache

$(VENV)/.installed: requirements.txt pyproject.toml
	@echo "Setting up $(VENV), once; about a minute: the $$(grep -c == requirements.txt) packages of" \
		"requirements.txt (JupyterLab, papermill, …) and the runbook itself."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.installed-tests: $(VENV)/.installed tests/requirements.txt
	@echo "Adding what tests and tools need: the $$(grep -c == tests/requirements.txt) packages of" \
		"tests/requirements.txt (pytest, mypy, Playwright, …)."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	@touch $@

$(NODE): package-lock.json | programs
	@echo "Adding the tools that check browser scripts: the packages of package-lock.json (biome, TypeScript)."
	@npm ci
	@touch $@
