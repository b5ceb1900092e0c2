# What a person or CI does with a checkout; `make` alone lists it. README and CI call these names and nothing else.
#
# Variables:  PYTHON    the interpreter to make .venv from (default: python3, else the newest of python3.11 to 3.14)
#             FEATURES  cargo features of the extension, such as crash-points (default: none)
#             FUZZ_SECONDS  how long each fuzz target runs (default: 60)
#             STRESS    what `make stress` is to do otherwise, such as '--seconds 3600' or '--seed 7' (default: nothing)

SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

# rustup's directory counts even when this shell's PATH does not have it yet.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin
# Tools in the environment find ours, not those of a virtual environment that happens to be active.
export VIRTUAL_ENV := $(CURDIR)/.venv
unexport CONDA_PREFIX PYTHONHOME PYTHONPATH
export PYTHON
# One interpreter for every build script: changing it would build pyo3 anew.
export PYO3_PYTHON := $(CURDIR)/.venv/bin/python

BIN := .venv/bin
TARGET := $(or $(CARGO_TARGET_DIR),target)
FEATURES :=
FUZZ_SECONDS := 60
STRESS :=
READY := .venv/.bootstrapped
PEERS := .venv/.peers
EXTENSION := .venv/.extension
RUST_SOURCES := $(shell find crates -name '*.rs' -o -name Cargo.toml)
PYTHON_SOURCES := python $(wildcard tests examples)

.PHONY: help demo test stress fuzz check check-rust check-python test-rust models planted test-python windows cross build wheel bench bench-all lock clean FORCE

help: ## list what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo: build ## build, then show a producer and a consumer passing numbers
	@$(BIN)/penstock demo

test: check test-rust models planted test-python ## build if needed, then every check and every test

check: check-rust check-python ## formats, lints, documentation, types, stubs

test-rust: | $(READY) ## the Rust tests, without and with crash points
	cargo test --locked -p penstock-core
	cargo test --locked -p penstock-core --features crash-points

models: | $(READY) ## every order in which two or three processes can run the core's code, within bounds
	CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 RUSTFLAGS='--cfg loom' \
	    cargo test --locked --release -p penstock-core --test model --target-dir $(TARGET)/loom -- --test-threads=1

planted: | $(READY) ## leave out each remedy once: a test has to fail then
	cargo test --locked -p penstock-core --features planted-bugs --test planted

fuzz: ## look for bytes that do harm, FUZZ_SECONDS (60) for each of two targets; needs a nightly Rust and cargo-fuzz
	@SECONDS_EACH='$(FUZZ_SECONDS)' tools/fuzz.sh

test-python: build ## the Python tests
	$(BIN)/python -m pytest

stress: build ## long random runs and kills: ten minutes at most, and a table of figures at the end
	PYTHONPATH=tests $(BIN)/python -m stress $(STRESS)

windows: | $(READY) ## the wheel for Windows, and all tests that mean something there, under Wine (Debian only)
	tools/windows/test.sh

cross: | $(READY) ## type-check for macOS and for Windows' own compiler; the core's tests on aarch64 (Debian only)
	tools/cross/check.sh

build: $(EXTENSION) ## the extension module, into python/penstock

wheel: | $(READY) ## a wheel for Python 3.11 and newer, into dist
	$(BIN)/python -m maturin build --release --locked --out dist

bench: build $(PEERS) ## five minutes beside what people use today, into docs/benchmarks.md
	$(BIN)/penstock bench --usual --bars --seconds 0.4 --json $(TARGET)/bench.json \
	    --page docs/benchmarks.md --chart docs/benchmarks.svg

bench-all: build $(PEERS) ## an hour: every axis, and the core alone
	$(BIN)/penstock bench --all --bars --json $(TARGET)/bench-all.json --csv $(TARGET)/bench-all.csv \
	    --chart $(TARGET)/bench-all.svg --page $(TARGET)/bench-all.md
	cargo bench --locked -p penstock-core

lock: ## pin requirements/*.in anew into requirements/*.txt
	tools/lock.sh

clean: ## remove everything that was built
	rm -rf .venv $(TARGET) fuzz/target fuzz/corpus-work dist .pytest_cache .mypy_cache .ruff_cache .hypothesis python/penstock/_core*.so
	find $(PYTHON_SOURCES) tools -name __pycache__ -prune -exec rm -rf {} +

# $(call with_component,rustfmt,fmt,arguments): `cargo fmt arguments`. rustfmt and clippy come with Rust but can be
# absent; then a person is told that a check was left out. CI has to have them.
define with_component
@if cargo $(2) --version >/dev/null 2>&1; then \
    echo "cargo $(2) $(3)"; cargo $(2) $(3); \
else \
    echo "Left out: cargo $(2), because $(1) is not installed ('rustup component add $(1)' adds it)." >&2; test -z "$$CI"; \
fi
endef

check-rust: | $(READY)
	$(call with_component,rustfmt,fmt,--all --check)
	$(call with_component,clippy,clippy,--locked --workspace --all-targets -- -D warnings)
	$(call with_component,clippy,clippy,--locked --workspace --all-targets --features crash-points -- -D warnings)
	$(call with_component,clippy,clippy,--locked -p penstock-core --all-targets --features planted-bugs -- -D warnings)
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps
	PYO3_CONFIG_FILE='$(CURDIR)/tools/free-threaded.pyo3' cargo check --locked -p penstock-py --target-dir $(TARGET)/free-threaded

check-python: build
	$(BIN)/ruff check $(PYTHON_SOURCES)
	$(BIN)/ruff format --check $(PYTHON_SOURCES)
	$(BIN)/python -m mypy $(PYTHON_SOURCES)
	$(BIN)/python -m mypy.stubtest penstock._core --mypy-config-file pyproject.toml \
	    --allowlist tools/stubtest-allowlist.txt

# Every tool in place and .venv as the lock says: looked at each time, done once. A new .venv gets a newer mark.
$(READY): FORCE
	@tools/bootstrap.sh

# The queues to measure, in the same .venv; only the benchmark imports them.
$(PEERS): requirements/bench.txt | $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input -r $< && touch $@

# The extension is built again when a source of it changed, when FEATURES is not what it was built with, or when it is gone.
ifneq ($(shell cat $(EXTENSION) 2>/dev/null),features:$(FEATURES))
$(EXTENSION): FORCE
endif
ifeq ($(wildcard python/penstock/_core*.so),)
$(EXTENSION): FORCE
endif
$(EXTENSION): $(READY) Cargo.toml Cargo.lock pyproject.toml $(RUST_SOURCES)
	$(BIN)/python -m maturin develop --release --locked $(if $(FEATURES),--features $(FEATURES))
	@echo 'features:$(FEATURES)' > $@
