# make repro   the whole reproduction: corpus, networks, ablations, talking heads, tables, report
# make test    the tests
# make flow    the same reproduction as a Prefect flow, to watch in its UI
# make ui      Prefect and MLflow in the browser, on localhost

PYTHON ?= $(shell for p in python3.11 python3.12 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null && echo $$p && exit; done; echo python3)
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: install repro test slow-test paper-test lint flow ui

install:
	@$(PYTHON) bootstrap.py

repro: install
	@dvc repro
	@echo "Done: open reports/index.html"

test: install
	@python -m pytest

slow-test: install
	@python -m pytest -m "slow and not paper"

paper-test: install
	@python -m pytest -m paper

lint: install
	@ruff check .
	@ruff format --check .

flow: install
	@dreamtalk reproduce

ui: install
	@dreamtalk ui
