# Everything happens in .venv; nothing is installed elsewhere.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
QUICK := tests/test_[!bp]*.py tests/test_bounds.py tests/events tests/naming/test_[p-s]*.py tests/routing tests/redcap \
  tests/source/test_[abd]*.py tests/delivery/test_*.py tests/projections tests/simulator tests/operations/test_[gh]*.py \
  tests/doctor/test_findings.py tests/explain/test_[ers][nue]*.py tests/web/test_[gpr]*.py tests/security/test_[ft][oh]*.py \
  tests/flow/test_routing.py tests/flow/test_coupling.py tests/autoid/test_identity.py

# Each of the processes that tests start would compile everything anew.
export PYTHONDONTWRITEBYTECODE :=

HISTORIES ?= 500
SEED ?= 1
SUMMARIES ?= 100000
RECORDS ?= 20000

.PHONY: demo bundle lock test test-servers suite quick check audit machine bench soak fuzz mutants clean

demo: $(INSTALLED)  ## run the main job on real summaries against a simulated REDCap
	@$(BIN)/fiona-ledger demo

test: $(INSTALLED)  ## everything that must hold
	@$(MAKE) --no-print-directory --jobs=2 check suite

test-servers: $(INSTALLED)  ## the ledger and the audit on each PostgreSQL from 15 to 18 that is installed
	$(BIN)/python -m tests.servers

suite: $(INSTALLED)  ## all tests, without style and types
	$(BIN)/python -m pytest -n auto --dist worksteal

quick: $(INSTALLED)  ## what finds most mistakes, within a minute
	$(BIN)/ruff check .
	$(BIN)/python -m pytest -n auto --dist worksteal --hypothesis-profile quick $(QUICK)

check: $(INSTALLED)  ## style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml ledger processors alembic

bundle: $(INSTALLED)  ## one file in dist/ with all that a machine without a network needs beside Python
	@$(BIN)/python -m bundle

lock: $(INSTALLED)  ## requirements.lock anew, each package at its newest version that fits
	$(BIN)/python -m bundle.lock

audit: $(INSTALLED)  ## whether a vulnerability is known in what requirements.lock names
	@$(BIN)/python -m bundle.audit

machine: $(INSTALLED)  ## docs/install.md, as root, on a machine in namespaces with a systemd of its own, from the bundle
	$(BIN)/python -m tests.machine

bench: $(INSTALLED)  ## how fast it is, against limits and peers measured in the same run
	$(BIN)/python -m tests.benchmarks

mutants: $(INSTALLED)  ## does a test notice it when a decision is made otherwise? (hours)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,mutants]'
	$(BIN)/python -m tests.mutants

soak: $(INSTALLED)  ## as many random histories as are wanted: make soak HISTORIES=5000 SEED=1
	$(BIN)/python -m tests.lifecycle $(HISTORIES) $(SEED)

fuzz: $(INSTALLED)  ## as many spoilt summaries, and records of each list, as are wanted: make fuzz SUMMARIES=100000 RECORDS=20000 SEED=1
	$(BIN)/python -m tests.source.fuzz $(SUMMARIES) $(SEED)
	$(BIN)/python -m tests.autoid.fuzz $(RECORDS) $(SEED)

clean:
	rm -rf $(VENV) .demo

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "fiona-ledger needs Python 3.11 or newer; found $$($(PYTHON) --version 2>&1). Name one: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@
