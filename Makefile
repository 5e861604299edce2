# Targets: demo, test, lint, docs, bench, clean. Everything happens in .venv, made on the first call.
# Options:  BACKEND=tensorflow|jax|torch (demo, bench)   JOBS=n (backends tested at a time)
#           PYTHON=...  the interpreter that makes .venv   ARGS="..."  passed on to the demo or to pytest

BACKEND  ?= tensorflow
BACKENDS := tensorflow jax torch
JOBS     ?= 2
ARGS     ?=
PYTHON   ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

# The backends that take longest have two workers, so that both cores are busy to the end: torch, with one, ends beside
# TensorFlow, and JAX comes last. Files in their order: xdist would put those of few tests, which are long ones, last.
WORKERS            := -n 2 --dist loadfile --no-loadscope-reorder
WORKERS_tensorflow := $(WORKERS)
WORKERS_jax        := $(WORKERS)

VENV := .venv
BIN  := $(VENV)/bin
PIP  := $(BIN)/python -m pip install --quiet --disable-pip-version-check

export OMP_WAIT_POLICY := PASSIVE
export TF_CPP_MIN_LOG_LEVEL := 3
# Compiling is most of JAX's time, and the tests compile the same functions again and again.
export JAX_COMPILATION_CACHE_DIR := $(CURDIR)/.cache/jax
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS := 0
export JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES := -1

ifeq ($(filter $(BACKEND),$(BACKENDS)),)
$(error BACKEND must be one of: $(BACKENDS). Received: BACKEND=$(BACKEND))
endif

.PHONY: demo test lint docs bench clean $(BACKENDS:%=test-%)
.DELETE_ON_ERROR:

demo: $(VENV)/.plots $(VENV)/.$(BACKEND)
	KERAS_BACKEND=$(BACKEND) $(BIN)/python -m applications.conditional_vae $(ARGS)

# JOBS at a time, each in its own process, and all of them even if one fails: lint, the documentation, the three
# backends. A backend prints its whole output when it ends.
test: $(VENV)/.dev $(BACKENDS:%=$(VENV)/.%) $(VENV)/.tfp
	@rm -f .cache/test-*.log
	@$(MAKE) --no-print-directory -k -j$(JOBS) lint docs test-tensorflow test-torch test-jax; status=$$?; \
	for b in $(BACKENDS); do printf '%-11s' $$b; tail -n 1 .cache/test-$$b.log; done; exit $$status

$(BACKENDS:%=test-%): test-%: $(VENV)/.dev $(VENV)/.%
	@mkdir -p .cache
	@KERAS_BACKEND=$* $(BIN)/python -m pytest -p no:cacheprovider $(WORKERS_$*) $(ARGS) >.cache/test-$*.log 2>&1; \
	status=$$?; echo "== pytest, KERAS_BACKEND=$*"; cat .cache/test-$*.log; exit $$status

test-tensorflow: $(VENV)/.tfp

lint: $(VENV)/.dev
	$(BIN)/ruff check .

docs: $(VENV)/.dev $(VENV)/.$(BACKEND)
	KERAS_BACKEND=$(BACKEND) NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(VENV)/.dev $(BACKENDS:%=$(VENV)/.%)
	@mkdir -p runs/benchmarks
	@for file in $(wildcard benchmarks/step_overhead.py benchmarks/random_cost.py); do \
	name=$$(basename $$file .py)-$(BACKEND); echo "== $$name"; \
	KERAS_BACKEND=$(BACKEND) $(BIN)/python -m benchmarks.$$(basename $$file .py) \
	--output runs/benchmarks/$$name.json || exit 1; done

clean:
	rm -rf $(VENV) .cache site build dist

# The environment. Each stamp adds to the same .venv, so no target undoes what another installed.
$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later, with the venv module, is needed. Name one: make PYTHON=/path/to/python"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.plots: $(VENV)/.made pyproject.toml
	$(PIP) -e '.[plots]'
	@touch $@

$(VENV)/.dev: $(VENV)/.made pyproject.toml
	$(PIP) -e '.[dev,docs]'
	@touch $@

# tensorflow and tensorflow-cpu fill the same folder, so one environment holds one of them: the small one where it exists.
$(VENV)/.tensorflow: $(VENV)/.made
	$(BIN)/python -m pip --disable-pip-version-check show --quiet tensorflow 2>/dev/null || $(PIP) tensorflow-cpu || $(PIP) tensorflow
	@touch $@

# tf-keras asks for the package tensorflow, which would be put over tensorflow-cpu: it is installed without what it asks
# for, in the version that is TensorFlow's own or the last one before it.
TF_VERSION = $(BIN)/python -c 'from importlib.metadata import *; print(version(packages_distributions()["tensorflow"][0]))'

$(VENV)/.tfp: $(VENV)/.tensorflow
	$(PIP) absl-py cloudpickle decorator dm-tree gast six 'setuptools; python_version >= "3.12"'
	$(PIP) --no-deps 'tensorflow-probability>=0.25' "tf-keras<=$$($(TF_VERSION) | cut -d. -f1-2).99"
	@touch $@

$(VENV)/.jax: $(VENV)/.made
	$(PIP) 'jax>=0.5'
	@touch $@

$(VENV)/.torch: $(VENV)/.made
	$(PIP) 'torch==2.13.0'
	@touch $@
