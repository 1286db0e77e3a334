# Two commands do everything on a fresh Debian or Ubuntu: `make demo` and `make test`.
# Both install what is missing (system packages as root or with sudo, Python packages into .venv).

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
APT_PACKAGES := gcc g++ clang cppcheck libc6-dev cmake make gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm \
    gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf qemu-system-misc
PYTEST_WORKERS ?= 2

.PHONY: help demo test lint docs bench bench-sparse setup tools browser clean

help:
	@echo "make demo    train on scikit-learn's digits, deploy to a Cortex-M4 budget, verify in QEMU"
	@echo "make test    lint and all tests (set-up included)"
	@echo "make lint    ruff, mypy --strict, import-linter"
	@echo "make docs    the documentation as a web site, in build/site"
	@echo "make bench   the figures of the README, as a table and as JSON (BENCH_ARGS='--data DIR')"
	@echo "make bench-sparse  cycles and flash of sparse kernels against density, on a Cortex-M4 and M55"
	@echo "make clean   remove the virtual environment and build results"

demo: setup
	$(BIN)/edgeprune demo

test: lint browser
	$(BIN)/pytest -n $(PYTEST_WORKERS) --dist worksteal

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: setup
	$(BIN)/mkdocs build --strict

bench: setup
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

bench-sparse: setup
	$(BIN)/python -m benchmarks.sparse --json benchmarks/results/sparse.json --plot docs/sparse.svg $(SPARSE_ARGS)
	$(BIN)/python -m benchmarks.sparse --device mps3-an547 \
	    --json benchmarks/results/sparse_mps3_an547.json --plot docs/sparse-m55.svg $(SPARSE_ARGS)

setup: tools $(VENV)/.installed

# System packages: installed only where a tool is missing.
tools:
	@missing=""; \
	for tool in gcc g++ clang cppcheck cmake arm-none-eabi-gcc qemu-system-arm riscv64-unknown-elf-gcc qemu-system-riscv32; do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	if command -v arm-none-eabi-gcc >/dev/null; then \
	    echo '#include <string.h>' | arm-none-eabi-gcc -E -x c - >/dev/null 2>&1 || missing="$$missing newlib"; \
	fi; \
	if command -v riscv64-unknown-elf-gcc >/dev/null; then \
	    echo '#include <string.h>' | riscv64-unknown-elf-gcc --specs=picolibc.specs -E -x c - >/dev/null 2>&1 || missing="$$missing picolibc"; \
	fi; \
	packages="$(APT_PACKAGES)"; \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || missing="$$missing python3"; \
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { missing="$$missing python3-venv"; packages="$$packages python3 python3-venv"; }; \
	if [ -n "$$missing" ]; then \
	    echo "Installing system packages (missing:$$missing)"; \
	    sudo=""; [ "$$(id -u)" = 0 ] || sudo="sudo"; \
	    $$sudo apt-get update -q && \
	    DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -q --no-install-recommends $$packages; \
	fi

# The tests of pages want a browser. Debian has one without a window, which takes 100 MB to fetch; Ubuntu has none as a
# package: there, and where else none can be had, these tests are skipped, except in CI, where they fail.
browser:
	@for tool in chromium-headless-shell chromium chromium-browser google-chrome; do \
	    command -v $$tool >/dev/null && exit 0; \
	done; \
	sudo=""; [ "$$(id -u)" = 0 ] || sudo="sudo"; \
	{ $$sudo apt-get update -q && \
	  DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -q --no-install-recommends chromium-headless-shell; } || \
	echo "No browser could be installed: the tests of pages are skipped"

$(VENV)/.installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || { echo "Creating $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "Installing Python packages into $(VENV) (a few minutes the first time)"
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
