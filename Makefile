.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
# Two processes; one that has finished takes over tests of the other.
PYTEST_TWICE := -m pytest --numprocesses 2 --dist worksteal
# Studies on CPU cores: one run per core.
AT_A_TIME = hydra/launcher=local trainer.threads=1
ATTENTIONS = $(shell ls conf/attention | sed 's/\.yaml//' | paste -sd,)

.PHONY: help install train study components evidence test test-all test-browser test-chaos test-cluster test-zoo zoo attentions notebook picture lint benchmark gpu-day simulate self-test

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

train: install  ## set up if needed, then the main job: YOLO26n with ACmix on the embedded digits
	$(RUN) -m src.train attention=acmix

study: install  ## run the study of the digits and report on it; continues where it stopped (hours on two cores)
	$(RUN) -m src.sweep digits
	$(RUN) -m src.report digits

components: install  ## run the study of components and report on it; continues where it stopped (hours on two cores)
	$(RUN) -m src.sweep components
	$(RUN) -m src.report components

# BCCD=FOLDER names a folder with the images of blood cells; without it they are downloaded (8 MB).
evidence: install  ## run the studies of blood cells and digits to their ends, and report on both (a night)
	$(RUN) -m src.sweep blood_cells $(if $(BCCD),data.source=$(BCCD),data.download=true) $(AT_A_TIME)
	$(RUN) -m src.sweep digits $(AT_A_TIME)
	$(RUN) -m src.report blood_cells
	$(RUN) -m src.report digits
	$(RUN) -m src.report digits blood_cells

test: install  ## set up if needed, then the default tests (10 to 20 minutes on two cores)
	$(RUN) $(PYTEST_TWICE) -m "not slow and not gpu and not chaos and not browser and not cluster"

test-all: install  ## run all tests, including slow ones, except those of test-chaos, test-browser and test-cluster
	$(RUN) $(PYTEST_TWICE) -m "not chaos and not browser and not cluster"

test-browser: install  ## test the report's page in headless Chromium (installed with apt-get if missing)
	@test -x /usr/bin/chromium || { apt-get update --quiet && apt-get install --quiet --yes chromium; }
	$(RUN) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[browser]'
	$(RUN) -m pytest -m browser

test-chaos: install  ## test that a study killed at 20 random moments ends like one that was never killed
	$(RUN) -m pytest -m chaos -s tests/test_chaos.py

test-cluster: install  ## test studies on a real Slurm and a real Ray with two nodes (on this machine: use a Debian container)
	@test "$$(id -u)" != 0 || command -v slurmctld slurmdbd mariadbd > /dev/null || { apt-get update --quiet && \
		apt-get install --quiet --yes --no-install-recommends slurm-wlm slurmdbd mariadb-server; }
	$(RUN) -m pytest -m cluster -rs tests/cluster

test-zoo: install  ## train, save and export every attention in every mode, and print a table (half an hour)
	$(RUN) -m pytest tests/test_zoo.py && cat outputs/zoo.md

attentions: install  ## write docs/attentions.md, every attention and its options, from the code
	$(RUN) -m yolo26_attention.config.attention_help > docs/attentions.md

notebook: install  ## run docs/notebook.ipynb again and store its outputs (a minute on two CPU cores)
	$(VENV)/bin/jupyter execute --inplace docs/notebook.ipynb

picture: install  ## record docs/terminal.svg, the README's picture, from a real run (a minute on two CPU cores)
	$(RUN) -m benchmarks.picture

lint: install  ## check formatting, lint, import rules and types
	$(RUN) -m ruff check src tests benchmarks
	$(RUN) -m ruff format --check src tests benchmarks
	$(VENV)/bin/lint-imports
	$(RUN) -m mypy

self-test: install  ## test the latency measurement: stock against stock, quiet and disturbed (up to 40 minutes)
	$(RUN) -m benchmarks.latency_self_test

zoo: install  ## print a table of what every attention costs at p3 and at the neck (about an hour on two cores)
	$(RUN) -m src.profile -m attention=$(ATTENTIONS) placement=p3,neck latency.imgsz=320

benchmark: install  ## time ACmix against the original code, the bootstrap over images, and the speed of use
	$(RUN) -m benchmarks.acmix
	$(RUN) -m benchmarks.deployed
	$(RUN) -m benchmarks.bootstrap
	$(RUN) -m benchmarks.use

gpu-day: install  ## on a GPU: tests, trainings, kernels and latency in nine minutes, and a page of verdicts
	$(RUN) -m benchmarks.gpu_day

simulate: install  ## simulate false verdicts and power of a study's comparisons (a few minutes)
	$(RUN) -m benchmarks.simulate

install: $(VENV)/.installed  ## create .venv and install the project into it

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@
