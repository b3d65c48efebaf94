# Fewstep's chores; the library itself is an ordinary Swift package. Try `make help`.

SWIFT ?= swift
PYTHON ?= python3
# The numerical tests take many times longer in debug.
CONFIGURATION ?= release
ARGS ?=

# `swift test` compiles for @testable imports, `swift build` does not: in one folder each would undo the other's work.
TEST_BUILD := .build-tests

SWIFT_SOURCES := Package.swift Sources Tests Benchmarks

.DEFAULT_GOAL := help
.PHONY: help packages bench test compare steps format lint clean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 16
	@echo
	@echo "  ARGS=...        what to hand to bench, test or compare: make test ARGS='--filter Image'"
	@echo "  CONFIGURATION=  release (the default) or debug, for test"

packages: ## check Swift and the C libraries, and install the libraries that are missing
	@Tools/install-packages.sh

bench: packages ## build in release and run the benchmarks
	$(SWIFT) run --configuration release bench $(ARGS)

test: packages ## build and run all tests, and a package that depends on this one
	$(SWIFT) test --configuration $(CONFIGURATION) --scratch-path $(TEST_BUILD) --disable-xctest $(ARGS)
	Tools/check-consumer.sh

compare: packages ## measure Fewstep, PyTorch and OpenVINO on the same jobs, as one table
	$(PYTHON) Benchmarks/peers/compare.py $(ARGS)

steps: packages ## compare the cost of a sampler's step with the Python libraries
	$(PYTHON) Benchmarks/peers/steps.py $(ARGS)

format: ## format all Swift sources in place
	$(SWIFT) format format --in-place --parallel --recursive $(SWIFT_SOURCES)

lint: ## check the format of all Swift sources
	$(SWIFT) format lint --strict --parallel --recursive $(SWIFT_SOURCES)

clean: ## remove what was built
	rm -rf .build $(TEST_BUILD)
