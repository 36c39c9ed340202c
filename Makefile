# Each target does its own set-up. `make help` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# rustup's cargo, for shells that have not read ~/.cargo/env yet.
export PATH := $(PATH):$(HOME)/.cargo/bin
BIN := $(or $(CARGO_TARGET_DIR),target)/debug
export MERIDIAN_BIN_DIR := $(abspath $(BIN))

.PHONY: help setup build demo demo-down cluster cluster-down conformance conformance-vpc e2e-services e2e-policy conformance-policy-api test lint fmt bench bench-cluster clean-lab

help: ## Show this
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install what is missing (apt), check the Rust toolchain
	@scripts/setup

build: setup ## Build the programs
	@cargo build --workspace --bins

demo: setup ## Three hosts with real OVN, workloads, packets; about 3 minutes when cold, then seconds
	@scripts/require-root demo
	@cargo build --workspace --bins
	@scripts/demo

demo-down: ## Take the demo's lab down
	@$(BIN)/meridian-lab down

cluster: ## A real Kubernetes on three hosts, no kube-proxy; the first time its parts are built, 15 to 30 minutes
	@scripts/require-root cluster
	@scripts/setup kubernetes
	@cargo build --workspace --bins
	@$(BIN)/meridian-lab up --kubernetes

cluster-down: ## Take that cluster down
	@$(BIN)/meridian-lab down

conformance: ## Kubernetes' own conformance tests of the network, on a cluster of its own
	@scripts/require-root conformance
	@scripts/setup kubernetes
	@cargo build --workspace --bins
	@integration/conformance/run

conformance-vpc: ## The same tests, all of them in a VPC beside the default one
	@scripts/require-root conformance-vpc
	@scripts/setup kubernetes
	@cargo build --workspace --bins
	@integration/conformance/run vpc

e2e-services: ## All of Kubernetes' own tests of services, on a cluster of its own
	@scripts/require-root e2e-services
	@scripts/setup kubernetes
	@cargo build --workspace --bins
	@integration/conformance/run services

e2e-policy: ## All of Kubernetes' own tests of policies, on a cluster of its own
	@scripts/require-root e2e-policy
	@scripts/setup kubernetes
	@cargo build --workspace --bins
	@integration/conformance/run policy

conformance-policy-api: ## The Network Policy API's own tests of ClusterNetworkPolicy, on a cluster of its own
	@scripts/require-root conformance-policy-api
	@scripts/setup kubernetes
	@cargo build --workspace --bins
	@integration/conformance/policy-api/run

test: ## Format, lints and every test, with real packets; needs root
	@scripts/require-root test
	@scripts/setup kubernetes
	@scripts/test

lint: setup ## Clippy, warnings denied
	@cargo clippy --workspace --all-targets --all-features -- -D warnings

fmt: ## Format the code
	@cargo fmt --all

bench: setup ## Benchmarks on real servers; needs root
	@scripts/require-root bench
	@cargo build --release -p meridian-translator
	@MERIDIAN_BIN_DIR=$(abspath $(or $(CARGO_TARGET_DIR),target)/release) \
	  cargo bench --no-fail-fast -p meridian-tests --bench translator -p meridian-node-cni --bench cni_add

bench-cluster: ## How long 100 pods take on a real Kubernetes, and where the time goes; needs root
	@scripts/require-root bench-cluster
	@scripts/setup kubernetes
	@cargo build --release -p meridian-lab -p meridian-translator -p meridian-node-cni
	@MERIDIAN_BIN_DIR=$(abspath $(or $(CARGO_TARGET_DIR),target)/release) cargo bench -p meridian-lab --bench pod_start

clean-lab: ## Take every lab down, also the remains of crashed ones
	@scripts/require-root clean-lab
	@for dir in /run/meridian-lab/*/; do [ -d "$$dir" ] || continue; $(BIN)/meridian-lab --name "$$(basename "$$dir")" down; done
