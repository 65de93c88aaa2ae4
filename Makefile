PYTHON ?= python3
PROVE = $(PYTHON) tests/tools/prove.py

.PHONY: help demo test check bench mutants clean

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 10

demo: ## A shop's conversations against a local Sitniks: about half a minute, no key needed
	@$(PROVE) demo

test: ## Everything: lint, types, all tests on the built wheel, newest and lowest versions
	@$(PROVE) test

check: ## The inner loop: lint, types, fast tests
	@$(PROVE) check

bench: ## The numbers that the documents give, measured
	@$(PROVE) bench

mutants: ## Break the core on purpose, one line at a time: a test must notice each
	@$(PROVE) mutants

clean: ## Remove what the commands above have made
	rm -rf .build .venv dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage*
	find mirt_sitniks tests examples -name __pycache__ -type d -prune -exec rm -rf {} +
