# Everything runs in the environment $(VENV), made once by `pip install` with the exact versions of
# $(CONSTRAINTS) and made again only when they, setup.py or EXTRAS change.

PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
EXTRAS ?= test
ARGS ?=
# Processes that share the tests; compiling graphs keeps one core busy.
JOBS ?= 2

comma := ,
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-$(notdir $(CONSTRAINTS))-$(subst $(comma),-,$(EXTRAS))

FOUND = $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
REQUIRE_PYTHON = $(if $(filter 3.9 3.10 3.11,$(FOUND)),,$(error PYTHON=$(PYTHON) is \
$(if $(FOUND),Python $(FOUND),not a Python that runs), but TensorFlow 2.15 needs Python 3.9, 3.10 \
or 3.11; install one and name it, as in `PYTHON=python3.11 make $(or $(MAKECMDGOALS),demo)`))

.DEFAULT_GOAL := help
.PHONY: help demo paint test test-slow lint clean

help:
	@echo 'make demo       train the main system on the built-in phantom (or ARGS="--data DIR ...")'
	@echo 'make paint      paint a lesion on a local page (ARGS="--run RUN" for networks of your own)'
	@echo 'make test       run the fast tests (ARGS="tests/data -k name" narrows them)'
	@echo 'make test-slow  run the tests that take minutes'
	@echo 'make lint       check the style with ruff'
	@echo 'make clean      remove $(VENV), caches and build leftovers; runs are kept'
	@echo
	@echo 'PYTHON=$(PYTHON)  the Python 3.9-3.11 that makes the environment, e.g. PYTHON=python3.11'
	@echo 'VENV=$(VENV)  where the environment lives'
	@echo 'CONSTRAINTS=$(CONSTRAINTS)  the exact versions; constraints-lowest.txt has the oldest ones'
	@echo 'JOBS=$(JOBS)  processes that share the tests of `make test`'
	@echo 'EXTRAS=$(EXTRAS)  EXTRAS=test,gpu installs the CUDA libraries too'

$(STAMP): setup.py $(CONSTRAINTS)
	$(REQUIRE_PYTHON)@echo 'Making $(VENV) with $(CONSTRAINTS): about 2.7 GB, a few minutes.'
	$(PYTHON) -m venv $(VENV)
	rm -f $(VENV)/.installed-*
	$(BIN)/python -m pip install --disable-pip-version-check -c $(CONSTRAINTS) -e ".[$(EXTRAS)]"
	@touch $@

demo: $(STAMP)
	$(BIN)/python experiments/train_brats.py $(ARGS)

paint: $(STAMP)
	$(BIN)/python experiments/paint.py $(ARGS)

test: $(STAMP)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup $(ARGS)

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow $(ARGS)

lint: $(STAMP)
	$(BIN)/python -m ruff check .

clean:
	@if [ -f $(VENV)/pyvenv.cfg ]; then rm -rf $(VENV); fi
	rm -rf build *.egg-info .pytest_cache .ruff_cache
	find models losses data experiments utils tests -name __pycache__ -prune -exec rm -rf {} +
