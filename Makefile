# What a person types. `make lab` and `make test` work on a fresh Debian 12 machine with Python 3.11, as root.
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help setup lab lab-down lock artifacts release check test test-unit test-serving test-lab test-long \
	bench-bare bench-closure bench-converge bench-day-two bench-fanout bench-names bench-serving \
	depot-gc bundle

help:            ## Show what can be done
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/\t/' | expand -t 20

setup: .venv/ready  ## Make the virtual environment and install what the simulated Macs need

.venv/ready: pyproject.toml uv.lock lab/apt-packages.txt lab/setup.sh
	@lab/setup.sh $(PYTHON)
	@touch $@

artifacts: setup ## Build what the simulated Macs install: a conda channel, wheels, a tiny model
	@python -m lab.artifacts

release: artifacts ## Lay the release on a simulated Mac once, to be shared by all of them
	@lab/bake-release.sh

lab: release     ## Three simulated Macs, one command, an endpoint
	@lab up
	pyinfra -y inventory/lab.py deploy/cluster.py

lab-down:        ## End every simulated Mac and take down their network
	@if [ -x $(BIN)/lab ]; then lab down; fi

depot-gc:        ## Remove from the depots what no inventory needs (INVENTORIES="…": only these count)
	@python -m depot.gc $(INVENTORIES)

bundle:          ## One tar with all that INVENTORY=inventory/x.py needs, for a control machine without network
	@python -m depot.bundle $(INVENTORY) $(OUTPUT)

lock:            ## Make the locks from their inputs, and print what changed
	@python -m depot.lock

check: setup     ## Lint and types
	@ruff check .
	@ruff format --check .
	@mypy

test-unit: setup ## Tests that need no simulated Mac
	@pytest tests/unit tests/roles tests/launchd tests/relay tests/fanout tests/door

test-serving: release ## Tests of what runs inside Ray, with the release of the simulated Macs
	@tests/serving/run.sh

test-lab: release ## Tests on simulated Macs
	@pytest tests/lab_mac tests/lab

test-long: release ## What takes too long for continuous integration
	@tests/serving/run.sh -m long tests/serving
	@lab/bake-release.sh locks-python
	@pytest -m long tests/lab

test:            ## Everything but test-long, as continuous integration runs it; goes on after a failure
	@$(MAKE) --no-print-directory --keep-going check test-unit test-serving test-lab

bench-names: setup ## Seconds of an engine's start with and without the hosts file (lab up and converged)
	@python -m benchmarks.names

bench-converge: release ## Seconds of a converge that changes nothing, beside ansible-core
	@uv sync -q --group bench
	@python -m benchmarks.converge

bench-fanout: setup ## One file to N Macs: the relay chain beside scp, pyinfra and libtorrent (40 minutes)
	@uv sync -q --group bench
	@command -v iperf3 > /dev/null || \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq iperf3 > /dev/null; }
	@python -m benchmarks.fanout

bench-serving: release ## Each engine through Ray Serve, beside its own server: 1, 8 and 32 streams
	@python -m benchmarks.serving

bench-bare: release ## Seconds from bare Macs to a healthy fleet, step by step
	@python -m benchmarks.bare

bench-day-two: release ## Every command of day two and pulled plugs under load: a table, docs/day-two/*.svg
	@lab/bake-release.sh locks-python
	@lab up
	pyinfra -y --data at_once=1 inventory/rolling.py deploy/cluster.py
	@python -m benchmarks.day_two.verbs

bench-closure: setup ## Fetch every wheel of the locks for Macs, and count them
	@python -m benchmarks.closure
