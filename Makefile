# make help lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
PYTHON := .venv/bin/python
PYTEST := $(PYTHON) -m pytest -q
FLOOR := .cache/floor
# Beside another tier each line says whose it is.
SAYS = $(if $(BESIDE),| sed -u 's/^/$@: /')
BEHIND = $(if $(BESIDE),nice -n 5)
IDLE = $(if $(BESIDE),nice -n 19)
BENCH := .cache/bench

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

demo: ## the whole story on a throwaway Btrfs (root), or a read-only plan of this host
	@sh .ci/setup demo
	@$(PYTHON) tests/demo.py

# Each waits for disks and containers long enough for more of them than there are cores. The containers
# take longest, so they go first; what waits for nothing takes what the others leave.
test: setup ## the tests; installs what they need (root: Debian packages too)
	@$(MAKE) --no-print-directory --jobs=4 --keep-going BESIDE=yes btrfs host unit lint

setup:
	@sh .ci/setup test

lint: setup ## style and types
	$(PYTHON) -m ruff check . $(SAYS)
	$(PYTHON) -m ruff format --check . $(SAYS)
	$(IDLE) $(PYTHON) -m mypy $(SAYS)

unit: setup ## what needs neither root nor Btrfs, and who may import whom
	$(IDLE) $(PYTEST) tests/house tests/unit tests/property $(SAYS)

btrfs: setup ## real loop-mounted Btrfs (root)
	$(BEHIND) $(PYTEST) --numprocesses=3 --dist=worksteal -m "not sweep" tests/btrfs $(SAYS)

sweeps: setup ## a kill, an error, a rival or a power cut at each moment of a run (root)
	$(PYTEST) --numprocesses=2 --dist=worksteal -m sweep tests/btrfs

MACHINES := tests/host/images tests/host/subvolume
host: setup ## a booted container with systemd, fstab and cron (root)
	$(PYTEST) --numprocesses=2 --dist=loadfile tests/host $(addprefix --ignore=,$(MACHINES)) $(SAYS)

machines: setup ## hosts with libvirt: machines that run, are saved, and go on; rollbacks (root)
	$(PYTEST) $(MACHINES)

# Guests without KVM take all of a processor for as long as they live: others go first. Two at a time:
# what runs in a guest is one thread for the most part.
vm: ## virtual machines with kernels 6.1 and 6.12, and docs/systems.md anew (root; an hour)
	@sh .ci/setup vm
	VMTUNE_REQUIRE_TIERS=vm VMTUNE_VM_TABLE=yes nice -n 10 $(PYTEST) --verbose --numprocesses=2 \
		--dist=loadscope --no-loadscope-reorder --durations=30 tests/vm $(ONLY)

guest: ## the shortest walk in one of them: apply, a real reboot, nothing differs (root; two minutes)
	@sh .ci/setup vm
	VMTUNE_REQUIRE_TIERS=vm $(PYTEST) tests/vm/test_walk.py \
		-k "bookworm and (boots or plan or apply or compression or reboot)"

vm-suite: ## the tests themselves on Debian 13 with kernel 6.12, and with other Pythons (root; hours)
	@sh .ci/setup test
	nice -n 10 $(PYTHON) tests/vm/suite.py $(ONLY); code=$$?; nice -n 10 .ci/pythons && exit $$code

.PHONY: vm guest vm-suite

deb: ## the Debian package, into dist/
	@.ci/deb

dist: ## the source archive and the wheel, into dist/
	@.ci/dist $(or $(INTO),dist)

packages: setup ## every package, built, judged and installed on Debian 12 and 13 (root)
	@sh .ci/setup packages
	$(PYTEST) tests/packages
	VMTUNE_TEST_SUITE=trixie $(PYTEST) tests/packages/test_deb.py

fleet: setup ## Ansible, pyinfra, Salt and dotfiles on booted hosts of two releases (root)
	@sh .ci/setup fleet
	$(PYTEST) tests/fleet

man: setup ## the manual pages, anew from help texts and schema; `man -l man/vmtune.1` shows one
	$(PYTHON) .ci/man > man/vmtune.1
	$(PYTHON) .ci/man vmtune.yaml > man/vmtune.yaml.5

codes: setup ## docs/codes.md, anew from what `vmtune explain` prints
	$(PYTHON) .ci/man codes > docs/codes.md

pictures: setup ## the pictures of the README, from a real run of its first vmtune.yaml (root)
	$(PYTHON) .ci/picture $(or $(INTO),.ci)

validator: setup ## the validator of vmtune.yaml and the copies of its schema, anew
	$(PYTHON) .ci/copies
	$(PYTHON) .ci/validator > reconciler/config/schema_validator.py

floor: setup ## the same unit tests with the oldest supported libraries
	@sh .ci/floor $(FLOOR)
	$(FLOOR)/bin/python -m pytest -q tests/unit tests/property

bench: setup ## figures against peers, in one run (root; under 20 minutes)
	@$(PYTHON) -m tests.bench --table $(BENCH)/table.md --picture $(BENCH)/growth.svg $(ROWS)

clean: ## remove what the targets above made here
	rm -rf .venv .cache build dist
	find . -name __pycache__ -prune -exec rm -rf {} +

.PHONY: help demo test setup lint unit btrfs sweeps host machines deb dist packages fleet man codes pictures \
	validator floor bench clean
