# Every target creates the environment it needs. You need only make and Python 3.11 or newer.
PYTHON ?= python3
PORT ?= 3000
VENV ?= .venv
CONSOLE_VENV ?= .venv-console
SAM_VENV ?= .venv-sam
MINISTACK_VENV ?= .venv-ministack
CHECKOV_VENV ?= .venv-checkov
AUDIT_VENV ?= .venv-pip-audit
BIN := $(VENV)/bin
SAM := SAM_CLI_TELEMETRY=0 $(SAM_VENV)/bin/sam
# Keep byte code; without it every command compiles the libraries again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup run test check invoke seed lock clean
help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

setup: $(CONSOLE_VENV)/bin/conversations $(SAM_VENV)/bin/sam ## Install what a deployer needs: the commands conversations and sam
	@echo 'Paste this line, so that your shell finds them:'
	@echo '  alias conversations=$(abspath $(CONSOLE_VENV))/bin/conversations sam=$(abspath $(SAM_VENV))/bin/sam'

run: $(BIN)/conversations ## Serve the endpoint on http://127.0.0.1, PORT=3000, with demo data; VERBOSE=1 shows the functions' logs, FAIL=429:0.5 makes half of the requests fail
	@$(BIN)/python -m dev serve --port $(PORT) $(if $(VERBOSE),--verbose) $(if $(FAIL),--fail $(FAIL))

# Three workers for two cores, since some tests wait. CI runs all cases, and measures the coverage of the
# unit tests only: the others have an AWS in the same process, where measuring would double the time.
PARALLEL := --numprocesses 3 --dist loadfile
test: $(BIN)/conversations $(CONSOLE_VENV)/bin/conversations $(MINISTACK_VENV)/bin/ministack ## Run the unit and integration tests
	$(if $(CI),$(BIN)/pytest $(PARALLEL) tests/unit --cov)
	$(BIN)/pytest $(PARALLEL) $(if $(CI),,tests/unit) tests/integration

check: $(BIN)/conversations $(SAM_VENV)/bin/sam $(CHECKOV_VENV)/bin/checkov ## Lint, format, types, import layers, template
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(SAM) validate --lint
	$(BIN)/pytest --quiet tests/template

.PHONY: e2e faults fuzz differential simulate load smoke audit sbom
e2e: $(BIN)/conversations $(SAM_VENV)/bin/sam $(MINISTACK_VENV)/bin/ministack ## Deploy template.yaml to an emulator of AWS, use it over HTTP, remove it
	$(BIN)/pytest tests/e2e

faults: $(BIN)/conversations $(MINISTACK_VENV)/bin/ministack ## Inject every fault between the endpoint and DynamoDB, and write docs/faults.md
	WRITE_FAULTS=1 $(BIN)/pytest tests/integration/test_faults.py

fuzz: $(BIN)/conversations ## Send N=… random requests to the endpoint, and load N=… damaged files; CI sends and loads the same each time
	FUZZ_REQUESTS=$(or $(N),50000) $(BIN)/pytest tests/integration/test_fuzz.py
	FUZZ_FILES=$(or $(N),50000) $(BIN)/pytest --numprocesses 3 tests/integration/test_load_fuzz.py

differential: $(BIN)/conversations ## Compare the endpoint with a plain-Python model of the contract on N=… random data sets; CI uses 300
	DIFFERENTIAL_DATA_SETS=$(or $(N),2000) DIFFERENTIAL_SEED=$(or $(SEED),$(shell date +%s)0000) \
		$(BIN)/pytest tests/integration/test_differential.py

simulate: $(BIN)/conversations ## Simulate STEPS=… steps of every actor on a virtual clock, from SEED=…; a failing run is reduced to the shortest steps that fail
	@seed=$(or $(SEED),$$(date +%s)); echo "make simulate SEED=$$seed STEPS=$(or $(STEPS),50000)"; \
	SIMULATION_SEED=$$seed SIMULATION_STEPS=$(or $(STEPS),50000) \
		$(BIN)/pytest --show-capture=no tests/integration/test_simulation.py -k contract

load: $(BIN)/conversations $(MINISTACK_VENV)/bin/ministack ## Put load on the local API for SECONDS=…, and report the results
	$(BIN)/python -m tests.load.load $(SECONDS)

smoke: $(BIN)/conversations ## Check a deployment in ten seconds: URL=… KEY=… WORKSPACE=…
	@$(BIN)/python -m dev.smoke

audit: $(AUDIT_VENV)/bin/pip-audit ## Look up known vulnerabilities of what ships; an incomplete look-up fails
	$< --strict --require-hashes --disable-pip --progress-spinner off --requirement src/requirements.txt

sbom: $(AUDIT_VENV)/bin/pip-audit ## Write build/sbom.json, a CycloneDX list of what ships
	@mkdir -p build
	@$(AUDIT_VENV)/bin/python -W ignore -m cyclonedx_py requirements src/requirements.txt \
		--pyproject pyproject.toml --output-reproducible --output-file build/sbom.json

invoke: $(BIN)/conversations ## Run EVENT=events/list.json in Lambda's own runtime client (Linux)
	@$(BIN)/python -m dev invoke "$(or $(EVENT),events/list.json)"

seed: $(BIN)/conversations ## Create tables with the demo data in the DynamoDB Local at AWS_ENDPOINT_URL_DYNAMODB
	@$(BIN)/python -m dev seed

.PHONY: sam-local
sam-local: $(BIN)/conversations $(SAM_VENV)/bin/sam ## Run every event with sam local invoke, and ask sam local start-api; compare with what is recorded (Docker)
	@$(BIN)/python -m tests.support.answers sam

lock: $(BIN)/conversations ## Update the hash-pinned locks from pyproject.toml
	$(COMPILE) pyproject.toml --output-file src/requirements.txt
	$(COMPILE) pyproject.toml --extra console --group dev --constraint src/requirements.txt --output-file requirements/dev.txt
	$(COMPILE) pyproject.toml --extra console --group console --constraint src/requirements.txt --output-file requirements/console.txt
	$(COMPILE) --group sam --output-file requirements/sam.txt
	$(COMPILE) --group ministack --output-file requirements/ministack.txt
	$(COMPILE) --group checkov --output-file requirements/checkov.txt
	$(COMPILE) --group pip-audit --output-file requirements/pip-audit.txt
	$(COMPILE) --group uv --output-file requirements/uv.txt
	$(COMPILE) pyproject.toml --group bench --constraint src/requirements.txt --output-file requirements/bench.txt

COMPILE = $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate \
	--python-version 3.11 --custom-compile-command 'make lock'

clean: ## Remove environments and build output
	rm -rf .venv* .aws-sam build

$(BIN)/uv: requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 …")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@touch $@

$(BIN)/conversations: $(BIN)/uv requirements/dev.txt pyproject.toml
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes --requirement requirements/dev.txt
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# These pin older versions of what ships, so each has a separate environment.
$(SAM_VENV)/bin/sam: requirements/sam.txt
$(MINISTACK_VENV)/bin/ministack: requirements/ministack.txt
$(CHECKOV_VENV)/bin/checkov: requirements/checkov.txt
$(AUDIT_VENV)/bin/pip-audit: requirements/pip-audit.txt
# The emulator runs the functions in its own interpreter, so use the runtime's version if installed.
$(MINISTACK_VENV)/bin/ministack: OWN_PYTHON := 3.13
RUNTIME_BIN := $(lastword $(wildcard $(HOME)/.pyenv/versions/3.13*/bin))
$(SAM_VENV)/bin/sam $(MINISTACK_VENV)/bin/ministack $(CHECKOV_VENV)/bin/checkov $(AUDIT_VENV)/bin/pip-audit: $(BIN)/uv
	PATH="$(RUNTIME_BIN):$$PATH" UV_PYTHON_DOWNLOADS=never $(BIN)/uv venv --quiet --clear \
		--python $(or $(OWN_PYTHON),$(BIN)/python) $(@:/bin/$(@F)=) || \
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(@:/bin/$(@F)=)
	VIRTUAL_ENV=$(@:/bin/$(@F)=) $(BIN)/uv pip install --quiet --require-hashes --requirement requirements/$(@F).txt
	@touch $@

# What an operator installs, and nothing else.
$(CONSOLE_VENV)/bin/conversations: requirements/console.txt pyproject.toml $(BIN)/uv
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(CONSOLE_VENV)
	VIRTUAL_ENV=$(CONSOLE_VENV) $(BIN)/uv pip install --quiet --require-hashes --requirement requirements/console.txt
	VIRTUAL_ENV=$(CONSOLE_VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: openapi contract
openapi: $(BIN)/conversations ## Regenerate docs/reference/ from the code
	@$(BIN)/python -m dev openapi

contract: $(BIN)/conversations ## Run clients generated from docs/reference/openapi.json against the local API
	$(BIN)/pytest tests/contract

# Without npm, the tests that need it are skipped.
test: examples/node_modules
contract: tests/contract/node_modules
tests/contract/node_modules examples/node_modules: %/node_modules: %/package-lock.json
	@if command -v npm >/dev/null; then npm ci --prefix $(@D) --silent --no-audit --no-fund && touch $@; \
	else echo "npm is missing: what needs $@ is not tested" >&2; fi

.PHONY: bench test-artifact
bench: $(BIN)/conversations ## Measure the endpoint and its peers, and write the tables of docs/performance.md
	$(BIN)/python -m benchmarks

ARTIFACT := build/artifact
ARTIFACT_VENV := .venv-artifact
# The other integration tests need the console or, in fuzz, the local server: neither is in the package.
ARTIFACT_TESTS = $(addprefix tests/unit/, handlers/test_response.py handlers/test_warm_up.py) \
	$(addprefix tests/integration/test_, \
	authorize.py connections.py faults.py fuzz.py list_conversations.py package.py reader.py reads.py simulation.py strict_dynamodb.py) \
	--deselect tests/integration/test_fuzz.py::test_no_bytes_bring_the_server_down_or_out_of_its_shape
test-artifact: $(BIN)/conversations $(MINISTACK_VENV)/bin/ministack ## Test the handlers from the package that sam build makes
	@if python=$$($(BIN)/python -c 'from dev.package.build import runtime_python as p; print(p())'); then set -e; \
	rm -rf $(ARTIFACT); \
	$(BIN)/python dev/package/build.py $(subst aarch64,arm64,$(shell uname -m)) $(ARTIFACT); \
	$(BIN)/uv venv --quiet --allow-existing --python $$python $(ARTIFACT_VENV); \
	export VIRTUAL_ENV=$(ARTIFACT_VENV); \
	$(BIN)/uv pip install --quiet --require-hashes --requirement requirements/dev.txt; \
	$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .; \
	ARTIFACT="$$PWD/$(ARTIFACT)" PYTHONPATH="$$PWD/$(ARTIFACT)" $(ARTIFACT_VENV)/bin/pytest --numprocesses 3 --dist loadfile $(ARTIFACT_TESTS); \
	else echo "test-artifact is skipped"; fi
