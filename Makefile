# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors
#
# The one task runner. 'make' says what there is.

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export ANSIBLE_COLLECTIONS_PATH = $(shell tests/tree.sh)
export MOLECULE_GLOB := molecule/*/molecule.yml
export LC_ALL := C.UTF-8
export ANSIBLE_HOME := $(CURDIR)/.ansible

.PHONY: help setup demo demo-clean bench bench-idle test test-all lint docs docs-site changelog ecosystem unit mutants scenario faults cores clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: ## install what the other targets need (they do it themselves)
	@tests/setup.sh

demo: setup ## the main job on a throw-away host: open a daemon to the network, move its data
	@python3 tests/demo.py

demo-clean: ## remove the demo's host
	@python3 tests/demo.py --remove

bench: setup ## a move's downtime beside a restart's, measured: docs/benchmark.md (SIZE_FACTOR=4 for more)
	@python3 tests/bench/run.py
	@python3 tests/bench/idle.py

bench-idle: setup ## what a run costs that has nothing to change, for 1, 5 and 20 hosts: docs/benchmark-idle.md (part of bench)
	@python3 tests/bench/idle.py

test: ## all tests
	@tests/setup.sh --images
	@python3 tests/run.py

test-all: ## all tests, the mutants, and the matrix of engines
	@tests/setup.sh --images
	@python3 tests/run.py --all

lint: setup ## the quick linters only
	@python3 tests/run.py yamllint ruff ruff-format reuse changelog readmes patches mypy shellcheck antsibull-docs ansible-lint

docs: setup ## write the variables of the roles into their READMEs
	@python3 tests/readmes.py

docs-site: setup ## the documentation as a site, offline: .cache/site/build/html/index.html
	@python3 tests/run.py site

changelog: setup ## take changelogs/fragments into CHANGELOG.md
	@antsibull-changelog release --update-existing

ecosystem: setup ## the collection as others take it: tarball, Galaxy's importer, ansible-test sanity, other Pythons, the oldest and the newest ansible-core
	@python3 tests/run.py galaxy site importer sanity target:3.9 target:3.14 controller:2.16 controller:2.21

unit: setup ## the unit tests only; TEST=tests/unit/.../test_mounts.py for one file, with ::test_it for one test
	@python3 tests/run.py 'unit$(if $(TEST),:$(TEST))'

mutants: setup ## take out one protection at a time: a test has to fail each time; NAME=no-log-sync for one
	@python3 tests/mutants $(NAME)

scenario: setup ## one Molecule scenario: make scenario NAME=data_root
	@python3 tests/run.py molecule:$(NAME)

faults: setup ## real power cuts and kills at every step of a move, and at ROUNDS=20 random moments; SEED=... repeats them
	@python3 tests/faults $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SEED),--seed $(SEED)) $(if $(SUITE),--suite $(SUITE))

cores: setup ## scenario awx with the oldest and the newest ansible-core, 2.16 and 2.21
	@python3 tests/ecosystem/jobs.py

clean: ## remove all lab hosts of this checkout
	@molecule/lab/remove.sh
