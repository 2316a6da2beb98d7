# Everything a developer types. `run` and `test` set up what they need by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := proto libs/flowkit services/opamp-gateway services/agent-registry services/config-push services/supervisor-control services/api-gateway cli
DATA ?= flowgate-data

.PHONY: help setup run ui types test test-kubernetes lint fmt proto lock bench bench-ui env clean

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 17

setup: $(VENV)/.ready ## make .venv with everything in it, flowgate included

$(VENV)/.ready: requirements.lock Makefile $(addsuffix /pyproject.toml,$(PACKAGES))
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "FlowGate needs Python 3.11 or later; set PYTHON=python3.x")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation $(addprefix -e ,$(PACKAGES))
	@touch $@

run: setup ## start FlowGate on this machine, with a small demo fleet (Ctrl-C stops it)
	$(BIN)/python frontend/tool.py build --optional
	$(BIN)/flowgate up --demo --data-dir $(DATA)

ui: setup ## build the UI into frontend/dist, once per content
	$(BIN)/python frontend/tool.py build

types: setup ## regenerate the UI's types from the API's own description
	$(BIN)/python frontend/tool.py types

test: setup ## lint and every test, the real supervisor and collector included
	$(MAKE) --no-print-directory lint
	$(BIN)/python frontend/tool.py types --check
	$(BIN)/python frontend/tool.py check
	$(BIN)/python frontend/tool.py test
	$(BIN)/python -m pytest $(ARGS)

test-kubernetes: setup ## the Helm chart on a real cluster in namespaces of its own, under load (root on Linux)
	$(BIN)/python tests/kubernetes/run.py $(ARGS)

lint: setup ## ruff, mypy --strict, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: setup ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

proto: setup ## regenerate proto/gen and docs/events.md from proto/
	$(BIN)/python proto/generate.py
	$(BIN)/python proto/events_doc.py

lock: ## pin the newest allowed versions into requirements.lock (no download addresses in it)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/python -m uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  $(foreach p,flowgate-proto flowkit opamp-gateway agent-registry config-push supervisor-control api-gateway flowgate,--no-emit-package $(p)) \
	  --group dev pyproject.toml -o requirements.lock

bench: setup ## measure the ingress beside the opamp-go server (bench/REPORT.md)
	$(BIN)/python bench/run.py

bench-ui: ui ## measure the UI with 20,000 agents in Chromium, and hold it to its limits (bench/REPORT.md)
	$(BIN)/python bench/ui.py --check $(ARGS)

env: ## make .env for docker compose, with passwords and tokens of its own
	deploy/docker/make-env.sh

clean: ## remove the virtual environment and caches (not your data)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache frontend/node_modules frontend/dist
