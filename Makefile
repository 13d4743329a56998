# `make run` and `make test` are all there is to know; both set up what a fresh Debian machine lacks.
.DEFAULT_GOAL := help
.PHONY: help setup run test bench

help: ## Show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what building and testing need and this machine lacks
	@scripts/setup.sh test

run: ## Serve the demo on 127.0.0.1:8080 (admin: 127.0.0.1:9090); no key needed
	@scripts/setup.sh build
	cargo build --release --locked
	target/release/warmkey serve

test: ## Everything that CI runs
	@scripts/test.sh

bench: ## Measure the whole process beside plain nginx on this machine (about ten minutes)
	@scripts/setup.sh bench
	cargo build --release --locked --bin warmkey --example load
	python3 benches/process/run.py
