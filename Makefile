# Two commands: `make demo` and `make test`. Both make .venv by themselves; nothing outside this folder is written to,
# but for Debian packages where they are missing and the person is root.
SHELL := /bin/bash
VENV := .venv
PYTHON := $(VENV)/bin/python
PIP := $(PYTHON) -m pip install --quiet --disable-pip-version-check --no-input
# a process for each core, up to four (each takes about 1.5 GB), with one thread each
PYTEST := OMP_NUM_THREADS=1 $(PYTHON) -m pytest -q -n auto --maxprocesses 4 --dist loadfile
# caches that would otherwise want a home folder that can be written to
export MPLCONFIGDIR ?= $(CURDIR)/$(VENV)/cache/matplotlib

.DEFAULT_GOAL := help
.PHONY: help env demo test test-env lint pictures docs clean

help:
	@echo "make demo   restore a real brain slice; results go to demo-output (makes .venv first)"
	@echo "make test   linters, types and tests (makes .venv first)"
	@echo "make pictures  draw the pictures of README.md and docs again (some minutes)"
	@echo "make docs   build the site (site/index.html)"
	@echo "make env    make .venv; make lint: linters and types only; make clean: remove .venv and results"

env: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml .ci/debian-packages
	@.ci/debian-packages
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "python3 of version 3.11 or newer is needed"; exit 1; }
	@$(PYTHON) -m pip --version >/dev/null 2>&1 || python3 -m venv --clear $(VENV) || \
		{ echo "python3 cannot make a virtual environment; install python3-venv"; exit 1; }
	@echo "installing into $(VENV) (about 6 GB, some minutes)"
	@$(PIP) -e '.[gui]'
	@mkdir -p $(MPLCONFIGDIR) && touch $@

test-env: $(VENV)/.installed-test

$(VENV)/.installed-test: $(VENV)/.installed
	@$(PIP) -e '.[gui,test]'
	@touch $@

demo: env
	@$(PYTHON) -m napari_brgm demo --out demo-output --overwrite

lint: test-env
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports
	$(VENV)/bin/mypy

test: lint
	@.ci/debian-packages xvfb iproute2
	@if command -v Xvfb >/dev/null || [ -n "$$DISPLAY" ] || [ "$$(uname)" = Darwin ]; then \
		$(PYTEST); \
	else \
		echo "there is neither a display nor Xvfb: the viewer's tests are left out" >&2; \
		QT_QPA_PLATFORM=offscreen $(PYTEST) --ignore=tests/plugin/restore/test_panel.py; \
	fi

# those of docs/calibration.md are of a measurement: `napari-brgm evaluate calibration` and `evaluate sbc` draw them
pictures: env
	@.ci/debian-packages xvfb
	@$(PYTHON) tests/draw_demo.py --out docs/images
	@$(PYTHON) tests/draw_samples.py --out docs/images/samples-finished.png
	@$(PYTHON) tests/draw_stack.py --out docs/images/stack-sagittal.png
	@xvfb-run -a -s "-screen 0 1920x1200x24" $(PYTHON) tests/draw_widgets.py --out docs/images

docs: env
	@$(PIP) -e '.[docs]'
	@NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict --quiet
	@echo "site/index.html"

clean:
	rm -rf site $(VENV) demo-output dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
