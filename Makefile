# Everything that one does with this checkout. `make` alone lists it.
# Nothing here needs more than python3 with venv, make and git; the rest is set up into .venv and .cache.
# Tests start a container engine, as root, and a browser: set-up has apt install their programs.

PYTHON ?= python3
BIN := .venv/bin
OPA = $$($(BIN)/python -m broker.policy.opa_binary where)
POLICIES := policies
PROTOS := $(sort $(wildcard proto/*/v1/*.proto))
PROTO_OUT ?= .
LOCK := uv pip compile --quiet --generate-hashes --no-emit-index-url --no-header --universal --python-version 3.11

STATIC := check-format check-lint check-types check-imports check-proto check-policies

# Says how a part went and how long it took; its own output is shown where it fails.
part = @begun=$$(date +%s); said=$$( { $(2); } 2>&1 ) || { printf '%s\n%-16s FAILED\n' "$$said" '$(1)' >&2; exit 1; }; \
	printf '%-16s ok %6s s\n' '$(1)' "$$(( $$(date +%s) - begun ))"

# Set-up leaves compiling to the first start; where nothing may be kept of it, every process of a test run compiles
# all that it imports, and the run takes twice as long.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test check static $(STATIC) fmt proto bench soak screenshots lock replay clean set-up-run set-up-check set-up-test

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: set-up-run ## set up, start the broker with the support desk, play the agents; ONCE=1 ends after them
	@exec $(BIN)/python -m examples.support_desk $(if $(ONCE),--once)

test: set-up-test ## set up, then everything: static checks and every test; PART=units is one part, SEED=7 an order seen before
	@$(if $(PART),,$(MAKE) --no-print-directory static)
	@exec $(BIN)/python -m tests.lanes $(if $(SEED),--seed $(SEED)) $(PART)

check: set-up-check ## the quick ones: static checks, unit tests, tests of the project
	@$(MAKE) --no-print-directory static
	@exec $(BIN)/python -m tests.lanes $(if $(SEED),--seed $(SEED)) units

static: set-up-check ## static checks alone; each of the following is one
	@$(MAKE) --no-print-directory -j2 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) $(STATIC)

check-format: ## ruff format
	$(call part,format,$(BIN)/ruff format --check .)

check-lint: ## ruff, every rule but those that pyproject.toml gives a reason against
	$(call part,lint,$(BIN)/ruff check .)

check-types: ## mypy, strict
	$(call part,types,$(BIN)/mypy)

check-imports: ## who may import whom
	$(call part,imports,$(BIN)/lint-imports)

check-proto: ## buf lint
	$(call part,proto,$(BIN)/buf lint proto)

check-policies: ## opa check --strict and opa fmt
	$(call part,policies,$(OPA) check --strict --bundle --capabilities $(POLICIES)/capabilities.json --schema $(POLICIES)/schemas $(POLICIES) \
		&& $(OPA) fmt --fail --list $(POLICIES))

fmt: set-up-check ## format Python and Rego, and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(OPA) fmt --write $(POLICIES)

bench: set-up-test ## measure whole calls beside the floors under them; BENCH=flat, peers; sandboxes, as root, what containers cost
	@exec $(BIN)/python -m tests.benchmarks $(BENCH)

soak: set-up-test ## kill containers, node and engine at random under many calls, as root; SOAK="--runs 10000"; CRASH="--runs 10000" kills brokers
	@exec $(BIN)/python -m $(if $(CRASH),tests.crash.soak $(CRASH),tests.benchmarks.soak_sandboxes $(SOAK))

screenshots: set-up-test ## take the pictures in docs/pictures anew, of the support desk's review pages
	@exec $(BIN)/python -m tests.browser.screenshots

proto: set-up-check ## generate the stubs in broker/v1 and sandboxes/v1 from proto/
	@mkdir -p $(PROTO_OUT)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I proto --python_out=$(PROTO_OUT) \
		--grpc_python_out=$(PROTO_OUT) --mypy_out=quiet:$(PROTO_OUT) --mypy_grpc_out=quiet:$(PROTO_OUT) $(PROTOS)

replay: set-up-check ## print how recorded traffic is decided; CALLBROKER_REPLAY names the evaluator's folder
	@if [ -n "$$CALLBROKER_REPLAY" ]; then exec $(BIN)/python -m tests.replay $(REPLAY); \
	else echo "CALLBROKER_REPLAY is not set: it names the folder of the recorded traffic's evaluator"; exit 2; fi

lock: ## compile the locks anew (needs uv on PATH)
	$(LOCK) pyproject.toml --extra server --extra sandboxes requirements/server.in -o requirements/server.txt
	$(LOCK) requirements/build.in -c requirements/server.txt -o requirements/build.txt
	$(LOCK) pyproject.toml --extra server --extra sandboxes requirements/server.in requirements/build.in requirements/development.in \
		-c requirements/server.txt -o requirements/development.txt
	$(LOCK) requirements/go.in --no-annotate -o broker/policy/go.txt
	$(LOCK) requirements/peers.in --no-annotate -o requirements/peers.txt

clean: ## remove what was set up and built
	rm -rf .venv .cache build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage

set-up-run:
	@$(PYTHON) requirements/install.py run

set-up-check:
	@$(PYTHON) requirements/install.py check

set-up-test:
	@$(PYTHON) requirements/install.py test
