# Everything runs in .venv, which `make setup` makes from the locks in setup/.

bin := .venv/bin
export PATH := $(CURDIR)/$(bin):$(PATH)
export PYTHONUTF8 := 1

.PHONY: setup demo test lint bench fuzz mutants scenarios clean
.DEFAULT_GOAL := test

setup: .venv/ready

.venv/ready: setup/install.sh setup/requirements.txt setup/build.txt setup/uv.txt \
		pyproject.toml $(wildcard sim/chain/node/*)
	setup/install.sh
	touch $@

# A verdict is not a failure of the demonstration: only bad input or a broken machine is.
demo: setup
	plimsoll run black-thursday || [ $$? -eq 1 ]

test: setup
	python -m pytest

lint: setup
	ruff check
	ruff format --check
	mypy
	find contracts -name '*.vy' -print0 | xargs -0 -n 8 -P 2 natrix lint
	find contracts -name '*.vy' -not -path '*/modules/*' -print0 | \
		xargs -0 -n 1 -P 2 vyper -W error -p contracts -f bytecode >/dev/null

# The long ones, which `make test` does without.
bench: setup
	plimsoll bench all

fuzz: setup
	python -m pytest --fuzz 50

mutants: setup
	python -m tests.mutants

scenarios: setup
	@for name in $$(plimsoll list scenarios --json | \
		python -c 'import json, sys; print(*json.load(sys.stdin)["scenarios"])'); do \
		plimsoll --quiet run $$name || broken="$$broken $$name"; \
	done; [ -z "$$broken" ] || { echo "broken:$$broken"; exit 1; }

clean:
	rm -rf .venv .build .hypothesis .mypy_cache .pytest_cache .ruff_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
