# `make` prints the targets. Every command runs in .venv, which tools/setup.py makes and keeps current.
PYTHON ?= python3
LOCKFLAGS ?=
PORT ?= 8000
VENV := .venv/bin/python
NBVAL := $(VENV) -m pytest --nbval -n 2 book/*.ipynb book/chapters book/appendices exercises/instructor

# One thread and fixed hashes: what a notebook prints is the same on every machine.
export OMP_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
export PYTHONHASHSEED := 0
export TQDM_DISABLE := 1

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup book notebooks serve site test test-quick test-style test-types test-code test-notebooks test-site \
  pdf offline fragility bench doctor evidence shapeset laboratory solving course lock clean

help:  ## Print this list
	@echo "make TARGET, with one of these targets:"
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/  \1|\2/p' Makefile | awk -F '|' '{printf "%-20s%s\n", $$1, $$2}'

book: notebooks site  ## Set up, run the chapters that changed, build the site, print where to open it

test: test-style test-types test-code test-notebooks test-site  ## Everything that must hold: style, types, tests, notebooks, site

test-quick: test-style test-types  ## Style, types, and the tests that are not marked slow: a minute or so, while you edit
	@echo "== quick tests"
	@$(VENV) -m pytest -n 2 --doctest-modules src tests --ignore=tests/site -m "not slow" --durations=5

notebooks: setup  ## Run chapters and exercises whose .md changed and store them as .ipynb
	@$(VENV) tools/notebooks.py compile
	@$(VENV) tools/editions.py

serve: notebooks site  ## Build the site and show it at http://127.0.0.1:8000 (PORT=8001 for another), to nobody else
	@echo "Open http://127.0.0.1:$(PORT)/ and press Ctrl+C here to stop"
	@$(VENV) -m http.server --bind 127.0.0.1 --directory book/_build/html $(PORT)

pdf: site  ## Print the whole book as one PDF with bookmarks, minutes: book/_build/good-starts.pdf
	@$(VENV) tools/browser.py
	@$(VENV) tools/pdf.py

offline: site  ## Pack the site, search and explorers included, to be opened from the disk: book/_build/good-starts.zip
	@ln -sfn html book/_build/good-starts
	@cd book/_build && ../../$(VENV) -m zipfile -c good-starts.zip good-starts
	@echo "Unpack book/_build/good-starts.zip anywhere and open good-starts/index.html"

fragility: setup  ## Run notebooks and claims with two threads and the instructions of an older processor, minutes
	@echo "== plain instruction set"
	@ATEN_CPU_CAPABILITY=default OMP_NUM_THREADS=2 MKL_NUM_THREADS=2 $(NBVAL)
	@ATEN_CPU_CAPABILITY=default OMP_NUM_THREADS=2 MKL_NUM_THREADS=2 $(VENV) -m pytest tests/test_claims.py -k verdict_holds

bench: site  ## Measure speed
	@set -e; for script in measuring sweeping exploring; do \
	  echo "== $$script"; PYTHONPATH=tools $(VENV) benchmarks/$$script.py; done

doctor: setup  ## How well diagnose and its alternatives judge healthy and broken models, a quarter of an hour; its chapter reads what this writes
	@PYTHONPATH=benchmarks $(VENV) -m doctor --store src/tutorial_utils/diagnose/benchmark.csv

evidence: setup  ## Measure every claim again and write the ledger; an error says which verdicts changed
	@env -u TQDM_DISABLE $(VENV) -m tutorial_utils.claims --json src/tutorial_utils/claims/ledger.json

shapeset: setup  ## Train the Shapeset column of table 1 again, minutes; its appendix reads what this writes
	@env -u TQDM_DISABLE $(VENV) experiments/shapeset.py

laboratory: setup  ## Train the Laboratory's networks again, a quarter of an hour; its page reads what this writes
	@env -u TQDM_DISABLE $(VENV) experiments/laboratory.py

solving: setup  ## Measure how long the solutions of the exercises run; the page for instructors states it
	@OMP_NUM_THREADS=1 PYTHONPATH=tools $(VENV) experiments/solving.py

course: setup  ## Make a folder to hand out, collect and grade the exercises: make course DIR=~/my-course
	@$(VENV) tools/course.py $(if $(DIR),"$(DIR)")

lock:  ## Write requirements.lock from pyproject.toml (LOCKFLAGS=--upgrade: all to the newest)
	@command -v uv > /dev/null || { echo "uv is needed: https://docs.astral.sh/uv" >&2; exit 1; }
	uv pip compile --universal --python-version 3.11 --all-extras --no-annotate --no-header $(LOCKFLAGS) \
	  pyproject.toml -o requirements.lock

clean:  ## Remove the built site and the caches (.venv and the notebooks stay)
	rm -rf book/_build build .hypothesis .mypy_cache .pytest_cache .ruff_cache src/*.egg-info
	find . -name .venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

setup:
	@$(PYTHON) tools/setup.py

site: setup
	@$(VENV) tools/website.py

test-style: setup
	@echo "== style"
	@$(VENV) -m ruff check
	@$(VENV) -m ruff format --check

test-types: setup
	@echo "== types"
	@$(VENV) -m mypy

test-code: setup
	@echo "== code"
	@$(VENV) -m pytest -n 3 --doctest-modules src tests --ignore=tests/site

test-notebooks: setup
	@echo "== notebooks"
	@$(NBVAL)

test-site: site
	@echo "== site"
	@$(VENV) tools/browser.py
	@$(VENV) -m pytest -n 2 tests/site
