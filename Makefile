# make demo: everything from nothing, without an account.  make test: the tests. Both set up what they need first.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
export PATH := $(CURDIR)/.tools/bin:$(CURDIR)/.venv/bin:$(PATH)
PYTHON ?= python3

.PHONY: demo test test-slow faults cluster-tools bench lint setup clean pipeline lock audit pin-engine

demo: setup
	@python -m localcloud.demo

test: setup lint
	@pytest -n 3 --dist worksteal -rs -m "not slow" tests
	@echo "left out: the slow tests; make test-slow runs them, and so does CI"

# Long forms, tests of the engine that take more than ten seconds, and rehearsals with a real Kubernetes API.
test-slow: setup
	@pytest -n 3 --dist worksteal -rs -m slow tests

# What the tests of the cluster run for real; about 20 minutes, once per user. Without it `make test-slow` leaves them out.
cluster-tools:
	@bash ci/cluster-tools/install.sh

# Hours on two cores; `python -m tests.faults --share 0.25 kills` runs a quarter of the kill trials.
faults: setup
	@nice python -m tests.faults

# BENCH_RULES="10 100" narrows it; bench/rules.py has its other variables.
bench: setup
	@python -m bench.rules $(BENCH_RULES)
	@python -m bench.mirrorctl
	@python -m bench.replication

lint: setup
	@ruff format --check .
	@ruff check .
	@mypy
	@lint-imports --no-logo
	@vulture
	@vulture localcloud bench tests
	@shellcheck .ci/run
	@ci/lint.sh
	@python ci/reference.py --check

setup: .venv/installed .tools/bin/pulumi

.venv/installed: requirements.txt requirements-dev.txt pyproject.toml
	@echo "$$(date +%T) python: installing requirements into .venv"
	@$(PYTHON) -m venv .venv
	@.venv/bin/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.tools/bin/pulumi:
	@bash ci/engine/install.sh

# For jobs that hold credentials: only what the program runs on, and nothing that was not checked against this repository.
pipeline: .venv/locked
	@ci/engine/install.sh --verified

# With pulumi-kubernetes only if a stack has a cluster: Pulumi fetches the plugin of every package that is installed.
ENVIRONMENTS := $(shell sed -n 's/^ENVIRONMENTS=(\(.*\))/\1/p' ci/lib.sh)
LOCK := ci/requirements$(if $(shell grep -ls harbor-mirror:cluster $(ENVIRONMENTS:%=Pulumi.%.yaml)),-cluster).lock

.venv/locked: $(LOCK)
	@echo "$$(date +%T) python: installing $< into .venv"
	@$(PYTHON) -m venv .venv
	@.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@

# After a change of a requirements file. `make lock UPGRADE=--upgrade` also updates indirect requirements.
COMPILE = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate $(UPGRADE) \
	--custom-compile-command "make lock"

lock: .venv/installed
	@$(COMPILE) ci/requirements.txt --output-file ci/requirements.lock
	@$(COMPILE) ci/requirements.txt requirements-cluster.txt --output-file ci/requirements-cluster.lock

# Known vulnerabilities in what the pipelines install. Needs a network path to PyPI's own API.
audit: .venv/installed
	@pip-audit --strict --disable-pip --require-hashes --requirement ci/requirements-cluster.lock

# After a change of the version in ci/engine/install.sh: record the checksums of Pulumi's release. Review before you commit.
pin-engine:
	@ci/engine/pin.sh

clean:
	rm -rf .venv .tools .demo
