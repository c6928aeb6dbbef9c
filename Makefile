# Everything here starts from a bare checkout: make and a Python >= 3.11 with pip are enough.

PYTHON = python3
# make asv: how many commits of history, and the ratio that counts as a change
ASV_COMMITS = 3
ASV_FACTOR = 1.25

BIN = .venv/bin
ASV = PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/asv

# A user-wide pip configuration must not leak into the environments, nor pip wait for an answer.
export PIP_USER = false
export PIP_NO_INPUT = 1
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL = help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.SUFFIXES:
.PHONY: help report test test-long lint asv-check bench speed shapes sparse cv paths asv test-oldest clean

help: ## this list
	@echo "Targets (PYTHON=$(PYTHON) makes the environment, once, in .venv):"
	@sed -n -e 's/^\([a-z-]*\):.*## /  \1             /' \
	    -e 's/^\(  .\{13\}\) *\(.*\)/\1 \2/p' $(firstword $(MAKEFILE_LIST))

report: .venv/.installed-report ## the comparison report: report/index.html and report/report.md
	$(BIN)/python -m bench.report

test: lint asv-check ## lint, check the benchmark suite, run all tests
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
	@echo "The tests of scikit-learn itself, with our class in place of theirs, both suites at once, shown as they end:"
	@printf '%s\n' sklearn sklearn_users | xargs -P 2 -I SUITE sh -c '\
	    $(BIN)/python -m pytest -c tests/SUITE.ini > .venv/SUITE.log 2>&1; status=$$?; cat .venv/SUITE.log; exit $$status'
	@echo "The kernel tests again, as plain Python (NUMBA_DISABLE_JIT=1):"
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest -n 2 tests/test_kernels*.py

test-long: .venv/.installed-test ## the long versions of some tests
	$(BIN)/python -m pytest -m long

lint: .venv/.installed-test ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/mypy

# In this environment as it stands: nothing is cloned, built or timed.
asv-check: .venv/.installed-test
	$(BIN)/asv check --environment existing

bench: .venv/.installed-bench ## pytest-benchmark: kernels and fits by shape
	$(BIN)/python -m pytest bench --benchmark-only --benchmark-columns=min,median,iqr,rounds

speed: .venv/.installed-report ## the table of speed claims, measured here
	$(BIN)/python -m bench.speed

shapes: .venv/.installed-report ## every shape of data against every rival, measured here (half an hour)
	$(BIN)/python -m bench.shapes

sparse: .venv/.installed-report ## fits with L1 against its rivals, measured here (minutes)
	$(BIN)/python -m bench.sparse

cv: .venv/.installed-report ## cross-validation against scikit-learn and cv.glmnet, measured here (minutes)
	$(BIN)/python -m bench.cv

paths: .venv/.installed-report ## paths against glmnet and adelie, measured here (minutes)
	$(BIN)/python -m bench.paths

# asv continuous ends with 1 when something got slower: a finding, not a reason to publish nothing.
asv: .venv/.installed-bench ## history of ASV_COMMITS commits, HEAD~1 against HEAD, site in .asv/html
	@test "$$(git rev-parse --is-shallow-repository)" = false || \
	    { echo "make asv needs the history: git fetch --unshallow" >&2; exit 1; }
	$(ASV) machine --yes
	git rev-list --first-parent --max-count=$(ASV_COMMITS) HEAD | \
	    $(ASV) run --skip-existing-successful HASHFILE:-
	$(ASV) continuous --factor $(ASV_FACTOR) HEAD~1 HEAD || test $$? -eq 1
	$(ASV) publish
	@echo "Look at it with: $(BIN)/asv preview"

test-oldest: .venv-oldest/.installed-test ## the tests on the oldest supported versions
	NUMBA_CACHE_DIR="$(CURDIR)/.venv-oldest/numba-cache" .venv-oldest/bin/python -m pytest

clean: ## remove all that make has made, the environments too
	rm -rf .venv .venv-oldest .asv report build dist
	rm -rf .benchmarks .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Environments. A stamp for each extra; pip runs again only when what it read has changed.

.venv/.installed-%: pyproject.toml constraints/test.txt | .venv/bin/python
	.venv/bin/python -m pip install -c constraints/test.txt -e '.[$*]'
	@touch $@

.venv-oldest/.installed-%: pyproject.toml constraints/oldest.txt | .venv-oldest/bin/python
	.venv-oldest/bin/python -m pip install -c constraints/oldest.txt -e '.[$*]'
	@touch $@

# Debian and Ubuntu split ensurepip off into python3-venv; the system's pip stands in for it.
.venv/bin/python .venv-oldest/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
	    "fastlogreg needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
	    "Name another one: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(@:/bin/python=) || { \
	    $(PYTHON) -m venv --clear --without-pip $(@:/bin/python=) && \
	    $(PYTHON) -m pip --python $@ install pip; }
