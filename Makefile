# Every target makes the environment it needs; a machine with Python 3.11+ and make is enough.
PYTHON ?= python3
PORT ?= 3000
VENV ?= .venv
SAM_VENV ?= .venv-sam
MINISTACK_VENV ?= .venv-ministack
BIN := $(VENV)/bin
SAM := SAM_CLI_TELEMETRY=0 $(SAM_VENV)/bin/sam

.PHONY: help run test check invoke lock clean
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

run: $(BIN)/conversations ## Serve the endpoint on http://127.0.0.1:$(PORT) with demo data
	@$(BIN)/conversations serve --port $(PORT)

test: $(BIN)/conversations $(SAM_VENV)/bin/sam $(MINISTACK_VENV)/bin/ministack ## Run all tests
	$(BIN)/pytest --cov

check: $(BIN)/conversations $(SAM_VENV)/bin/sam ## Lint, format, types, floors, template
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(SAM) validate --lint

invoke: $(BIN)/conversations $(SAM_VENV)/bin/sam ## Play EVENT=events/….json in the real runtime interface client
	@$(BIN)/conversations invoke $(EVENT)

lock: $(BIN)/conversations ## Renew the hash-pinned locks from pyproject.toml
	$(COMPILE) pyproject.toml --output-file src/requirements.txt
	$(COMPILE) pyproject.toml --group dev --constraint src/requirements.txt --output-file requirements-dev.txt
	$(COMPILE) --group sam --output-file requirements-sam.txt
	$(COMPILE) --group ministack --output-file requirements-ministack.txt
	$(COMPILE) --group uv --output-file requirements-uv.txt

COMPILE = $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate \
	--python-version 3.11 --custom-compile-command 'make lock'

clean: ## Remove environments and build output
	rm -rf .venv* .aws-sam build

$(BIN)/uv: requirements-uv.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@touch $@

$(BIN)/conversations: $(BIN)/uv requirements-dev.txt pyproject.toml
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes --requirement requirements-dev.txt
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# An environment of its own for what pins older versions of what ships.
$(SAM_VENV)/bin/sam: requirements-sam.txt
$(MINISTACK_VENV)/bin/ministack: requirements-ministack.txt
$(SAM_VENV)/bin/sam $(MINISTACK_VENV)/bin/ministack: $(BIN)/uv
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python $(@:/bin/$(@F)=)
	VIRTUAL_ENV=$(@:/bin/$(@F)=) $(BIN)/uv pip install --quiet --require-hashes --requirement requirements-$(@F).txt
	@touch $@

.PHONY: openapi contract
openapi: $(BIN)/conversations ## Write docs/ anew from the code
	@$(BIN)/conversations openapi

contract: $(BIN)/conversations ## Run the clients made of docs/openapi.json against the local API
	$(BIN)/pytest tests/contract

# Without node its tests are skipped.
test contract: tests/contract/node_modules
tests/contract/node_modules: tests/contract/package-lock.json
	@if command -v npm >/dev/null; then npm ci --prefix $(@D) --silent --no-audit --no-fund && touch $@; \
	else echo "npm is missing: the TypeScript client and the linter of OpenAPI are not tested" >&2; fi
