# Every target builds what it needs in a local virtual environment from
# python3 and the package registry. VENV=... puts it elsewhere.
VENV ?= .venv
PYTHON ?= python3
PIP = $(VENV)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt
RUN = $(VENV)/bin/

.PHONY: demo test lint docs bench clean

demo: $(VENV)/.demo ## run the main job on real measures of 17 scanners
	$(RUN)isoscan demo --output demo-output --overwrite

test: $(VENV)/.dev ## all tests, in random order, warnings as errors
	$(RUN)python -m pytest -q -n 2 --dist worksteal

lint: $(VENV)/.dev ## style, types, layers, docstrings
	$(RUN)ruff check .
	$(RUN)ruff format --check .
	$(RUN)mypy
	$(RUN)lint-imports
	$(RUN)python -m numpydoc lint $$(find src/isoscan -name '*.py' -not -path '*/cli/*' -not -name '*checks.py')

docs: $(VENV)/.docs ## HTML pages in docs/_build/html
	$(RUN)sphinx-build -W --keep-going -b html docs docs/_build/html

bench: ## side by side with other packages
	$(PYTHON) benchmarks/run.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e ".[demo]"
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e ".[dev]"
	touch $@

$(VENV)/.docs: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) demo-output docs/_build dist
