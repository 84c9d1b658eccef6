# Finntelligence. `make help` lists what can be made.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:
.DELETE_ON_ERROR:

PYTHON ?= python3.11
PORTFOLIO ?= simulated
HOST ?= 127.0.0.1
PORT ?= 3000
ENGINE ?= docker
IMAGE ?= finntelligence:latest
SOURCE ?=
QUICK ?=
# whole files to as many processes as there are cores, two at most: some start servers of their own
PARALLEL ?= --numprocesses logical --maxprocesses 2 --dist loadfile --no-loadscope-reorder --benchmark-disable
VENV := .venv
BIN := $(VENV)/bin
export BENTOML_DO_NOT_TRACK := True
export MLFLOW_DISABLE_TELEMETRY := true
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help env serve pipeline worlds bento image image-check sbom model-risk-pack mlflow load bench test check format protos pins clean

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	echo
	echo "  PORTFOLIO=$(PORTFOLIO) PORT=$(PORT) HOST=$(HOST) SOURCE=<a portfolio's original file>"

env: $(VENV)/.ready ## the virtual environment, from the pinned requirements

$(VENV)/.ready: requirements.txt pyproject.toml setup.py finntelligence/_search.c
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install Python 3.11, or say make PYTHON=<path to it>"; exit 1; }
	command -v git >/dev/null || { echo "git is missing: install it"; exit 1; }
	echo "[1/2] virtual environment in $(VENV)"
	[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	[ -x $(BIN)/uv ] || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	echo "[2/2] pinned packages (about 1 GB)"
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --compile-bytecode --requirement requirements.txt
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --editable .
	touch $@

pipeline: env ## data to published models (PORTFOLIO, SOURCE); finished stages are skipped
	@[ -z "$(SOURCE)" ] || finnt data add "$(PORTFOLIO)" "$(SOURCE)"
	finnt pipeline --portfolio "$(PORTFOLIO)"

serve: pipeline ## offers on http://127.0.0.1:3000 (PORTFOLIO, HOST, PORT)
	@exec finnt serve --portfolio "$(PORTFOLIO)" --host "$(HOST)" --port "$(PORT)"

worlds: env ## profit each form of model captures where the truth is known (QUICK=1: minutes)
	@exec python -m training.simulator.attainment $(if $(QUICK),--quick)

bento: pipeline ## build the Bento of PORTFOLIO
	@bentoml build --arg portfolio="$(PORTFOLIO)"

image: pipeline ## the container image of PORTFOLIO's Bento (ENGINE, IMAGE)
	@tag=$$(bentoml build --arg portfolio="$(PORTFOLIO)" --output tag | sed -n 's/^__tag__://p')
	# BentoML reads a template below its working folder alone, and builds in the temporary one
	cd "$${TMPDIR:-/tmp}"
	bentoml containerize "$$tag" --backend "$(ENGINE)" --image-tag "$(IMAGE)"

image-check: image ## run the image hardened; its size, start, memory, offers and end
	@python deploy/check_image.py "$(IMAGE)" --engine "$(ENGINE)" --portfolio "$(PORTFOLIO)"

sbom: image ## what the image holds, asked of itself, as CycloneDX: build/sbom.json
	@python deploy/sbom.py "$(IMAGE)" --engine "$(ENGINE)" --output build/sbom.json

model-risk-pack: env ## model cards, and all evidence on one page for a validator (PORTFOLIO)
	@python -m training.documents.model_card "$(PORTFOLIO)"
	python -m training.documents.risk_pack "$(PORTFOLIO)"

mlflow: env ## MLflow's pages on http://127.0.0.1:5000
	@exec mlflow ui --host 127.0.0.1 --port 5000 --backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}"

load: env ## customers of the service on HOST:PORT over both doors, every answer checked (PORTFOLIO)
	@python -m loadtests.mix "$(PORTFOLIO)" "build/load/$(PORTFOLIO).jsonl"
	exec locust --headless --only-summary -f loadtests/locustfile.py --mix "build/load/$(PORTFOLIO).jsonl" \
		--host "http://$(HOST):$(PORT)" --grpc "$(HOST):$${FINNT_GRPC_PORT:-50051}" --csv build/load/run --html build/load/run.html

bench: PORTFOLIO := simulated
bench: pipeline ## this service beside its rivals on this machine, in ten minutes: loadtests/report.md
	@exec python -m loadtests.compare

test: check ## checks and the whole test suite
	@OMP_NUM_THREADS=1 pytest $(PARALLEL)  # threads that spin while they wait take the others' time

check: env ## formatting, lint, types, import arrows
	@ruff format --check --quiet .
	ruff check --quiet .
	mypy
	lint-imports --no-cache

format: env ## format and fix what can be fixed
	@ruff format --quiet .
	ruff check --fix .

protos: env ## the gRPC stubs, from proto/
	@python -m grpc_tools.protoc -Iserving/stubs=proto/finntelligence/v1 --python_out=. --pyi_out=. --grpc_python_out=. serving/stubs/offers.proto

pins: env ## resolve the pinned requirements anew
	@uv pip compile pyproject.toml --quiet --python-version 3.11 --all-extras --no-header --no-annotate --no-emit-index-url -o requirements.txt
	uv pip compile pyproject.toml --quiet --python-version 3.11 --extra serving --no-header --no-annotate --no-emit-index-url -c requirements.txt -o requirements-bento.txt

clean: ## remove what was built (data, keys, decisions, history and the environment stay)
	@rm -rf .mypy_cache .ruff_cache .pytest_cache *.egg-info
	[ ! -d build ] || find build -type f ! -name keys.json ! -name 'decisions.db*' ! -name history.jsonl -delete
	[ ! -d build ] || find build -type d -empty -delete
