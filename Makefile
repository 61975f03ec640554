SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test test-system test-all test-full test-lowest test-studies torture lint bench docs dist audit clean
VENV ?= .venv
BIN  := $(VENV)/bin
UV   := $(shell command -v uv)
ifneq ($(PIP_FIND_LINKS),)
# uv does not read pip's settings
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
endif
install_in = $(if $(UV),$(UV) pip install -q --python $(1)/bin/python,$(1)/bin/python -m pip install -q --disable-pip-version-check)
group_of = <($(1)/bin/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml","rb"))["dependency-groups"]["$(2)"], sep="\n")')
PIP  := $(call install_in,$(VENV))
export OMP_NUM_THREADS ?= 1
# hundreds of processes are started, each of which would compile all modules again
unexport PYTHONDONTWRITEBYTECODE

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s $$'\t'

$(BIN)/python:
	python3 -m venv $(VENV)

$(VENV)/.base: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -c constraints.txt -e . && touch $@

$(VENV)/.dev: $(VENV)/.base
	$(PIP) -c constraints.txt -r $(call group_of,$(VENV),dev) && touch $@

$(VENV)/.docs: $(VENV)/.base
	$(PIP) -c constraints.txt -r $(call group_of,$(VENV),docs) && touch $@

demo: $(VENV)/.base  ## the whole path in minutes: trains, corrupts, evaluates, reports
	$(BIN)/regrow demo

test: $(VENV)/.dev  ## the tests, under 5 minutes on 2 cores
	$(BIN)/python -m pytest -n 2 --dist=loadfile -m "not slow and not system and not torture and not full"

test-system: $(VENV)/.dev  ## what `make test` leaves to CI: studies, clusters, kills, pages, notebooks, each whole
	$(BIN)/python -m pytest -n 2 --dist=loadfile -m "system and not slow and not torture and not full" --timeout=900

test-all: $(VENV)/.dev  ## also the slow end-to-end tests, under an hour
	$(BIN)/python -m pytest -n 2 --dist=worksteal --timeout=1800 -m "not torture and not full"

# in an environment of its own: what the server needs cannot be had beside the rest
$(VENV)-mlflow/.made: constraints.txt
	python3 -m venv $(VENV)-mlflow
	$(call install_in,$(VENV)-mlflow) mlflow==$$(sed -n 's/^mlflow-skinny==//p' constraints.txt) && touch $@

test-full: $(VENV)/.dev $(VENV)-mlflow/.made  ## against a real MLflow server, which is installed for it (800 MB)
	REGROW_MLFLOW_PYTHON=$(VENV)-mlflow/bin/python $(BIN)/python -m pytest -m full --timeout=900

torture: $(VENV)/.dev  ## kill -9, faults and damaged files by the hundreds; writes benchmarks/results/torture.json
	REGROW_TABLE=benchmarks/results/torture.json $(BIN)/python -m pytest tests/torture --timeout=3600

test-studies: $(VENV)/.dev  ## runs the packaged recipes whole, but for those at the paper's scale
	for recipe in $$($(BIN)/regrow list recipes --json | $(BIN)/python -c 'import json,sys; print(*[r["name"] for r in json.load(sys.stdin) if not r["name"].startswith(("paper/", "gpu/"))])'); do $(BIN)/regrow study $$recipe || exit 1; done

# in an environment of its own; on Linux the lowest torch is a CUDA build of several GB
$(VENV)-lowest/.made: pyproject.toml constraints.txt .ci/lowest.py
	python3 -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/python .ci/lowest.py > $(VENV)-lowest/lowest.txt
	$(call install_in,$(VENV)-lowest) -c $(VENV)-lowest/lowest.txt -e ".[all]" pytest pytest-xdist pytest-timeout hypothesis && touch $@

test-lowest: $(VENV)-lowest/.made  ## the tests with the lowest versions that pyproject.toml allows
	$(VENV)-lowest/bin/python -m pytest -n 2 --dist=loadfile -m "not slow and not system and not browser and not torture and not full"

lint: $(VENV)/.dev  ## style, types, and the one-way flow between the rooms
	$(BIN)/ruff check src tests benchmarks examples docs/*.py docs/tutorials/*.py
	$(BIN)/ruff format --check src tests benchmarks examples docs/*.py docs/tutorials/*.py
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev  ## the benchmarks; writes benchmarks/results
	for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

docs: $(VENV)/.docs  ## the documentation as pages, in site/: notebooks run, strict, every link checked
	$(BIN)/python docs/make_site.py build/docs
	$(BIN)/python -m zensical build --strict
	$(BIN)/python docs/check_site.py site

$(VENV)-dist/.made: pyproject.toml constraints.txt
	python3 -m venv $(VENV)-dist
	$(call install_in,$(VENV)-dist) -c constraints.txt -r $(call group_of,$(VENV)-dist,dist) && touch $@

dist: $(VENV)-dist/.made  ## wheel and sdist in dist/: the same bytes wherever this commit is built
	rm -rf dist
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(VENV)-dist/bin/python -m build --no-isolation
	$(VENV)-dist/bin/twine check --strict dist/*.whl dist/*.tar.gz

audit: $(VENV)/.base $(VENV)-dist/.made  ## known faults of the pinned packages, and dist/bom.cdx.json; never a gate
	mkdir -p dist
	$(VENV)-dist/bin/python .ci/audit.py
	$(VENV)-dist/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --of JSON -o dist/bom.cdx.json $(BIN)/python

clean:  ## removes what was made here, but no results
	rm -rf $(VENV) $(VENV)-dist $(VENV)-lowest $(VENV)-mlflow site dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
