# make demo: everything from nothing, with no account.  make test: all tiers.  Both set up what they need first.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
export PATH := $(CURDIR)/.tools/bin:$(CURDIR)/.venv/bin:$(PATH)
PYTHON ?= python3

.PHONY: demo test bench lint setup clean

demo: setup
	@python -m localcloud.demo

test: setup lint
	@pytest -n 2 --dist worksteal -rs tests

bench: setup
	@python -m bench.mirrorctl

lint: setup
	@ruff format --check .
	@ruff check .
	@mypy
	@lint-imports --no-logo
	@shellcheck ci/engine/install.sh .ci/run
	@ci/lint.sh
	@python ci/reference.py --check

setup: .venv/installed .tools/bin/pulumi

.venv/installed: requirements.txt requirements-dev.txt
	@echo "$$(date +%T) python: installing requirements into .venv"
	@$(PYTHON) -m venv .venv
	@.venv/bin/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

.tools/bin/pulumi:
	@bash ci/engine/install.sh

clean:
	rm -rf .venv .tools .demo
