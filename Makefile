# make demo   sets up and runs the main job on the built-in faces
# make demo-multihost   one training of it, by two processes over loopback
# make test   sets up and passes the tests; make test-quick: the quick ones
# Needs Python 3.11, 3.12 or 3.13; another than `python3`: make PYTHON=python3.12

PYTHON ?= python3
VENV ?= .venv
WORKDIR ?= runs/demo
PORT ?= 29400
RUN = $(VENV)/bin/python

# Of every core a process, but each takes a gigabyte.
PYTEST = $(RUN) -m pytest --numprocesses=logical --maxprocesses=4 --dist=loadfile

.PHONY: demo demo-multihost test test-quick lint benchmark clean

demo: $(VENV)/installed
	$(RUN) -m bfjax.main --config=configs/synthetic.py --workdir=$(WORKDIR)

# Two processes of four virtual devices each; other hosts: docs/multihost.md.
demo-multihost: $(VENV)/installed
	@for i in 0 1; do \
	  XLA_FLAGS=--xla_force_host_platform_device_count=4 $(RUN) -m bfjax.main \
	    --config=configs/synthetic.py --config.compare="{}" \
	    --workdir=$(WORKDIR)-multihost --coordinator=localhost:$(PORT) \
	    --num_processes=2 --process_id=$$i & started="$$started $$!"; \
	done; \
	for one in $$started; do wait $$one || status=$$?; done; exit $$status

test: $(VENV)/installed-test lint
	$(PYTEST)

test-quick: $(VENV)/installed-test
	$(PYTEST) -m 'not slow'

lint: $(VENV)/installed-test
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict --quiet

benchmark: $(VENV)/installed-test
	$(RUN) tools/benchmark.py

clean:
	rm -rf $(VENV) runs build *.egg-info

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and "bfjax needs Python 3.11, 3.12 or 3.13; this is %d.%d. Give another with make PYTHON=..." % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python setup.py constraints.txt
	$(RUN) -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(RUN) -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@
