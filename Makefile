.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
ATTENTIONS = $(shell ls conf/attention | sed 's/\.yaml//' | paste -sd,)

.PHONY: help install train test test-all lint benchmark self-test zoo

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

train: install  ## set up if needed, then the main job: YOLO26n with ACmix on the embedded digits
	$(RUN) -m src.train attention=acmix

test: install  ## set up if needed, then the default tests (under 10 minutes on two cores)
	$(RUN) -m pytest -m "not slow and not gpu"

test-all: install  ## every test, the slow ones too
	$(RUN) -m pytest

lint: install  ## formatting, lint and import rules
	$(RUN) -m ruff check src tests benchmarks
	$(RUN) -m ruff format --check src tests benchmarks

self-test: install  ## the latency instrument's own test: stock against stock, quiet and disturbed (up to 40 minutes)
	$(RUN) -m benchmarks.latency_self_test

zoo: install  ## what every attention costs at p3 and at the neck, as one table (about an hour on two cores)
	$(RUN) -m src.profile -m attention=$(ATTENTIONS) placement=p3,neck latency.imgsz=320

benchmark: install  ## original ACmix against every implementation, ratios taken in one run
	$(RUN) -m benchmarks.acmix

install: $(VENV)/.installed  ## create .venv and install the project into it

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@
