# Each target does all the set-up that it needs, Node included.

node := scripts/with-node

.PHONY: help demo test build check bench clean

help:
	@echo 'make demo    see what Membrane does'
	@echo 'make test    run all tests (installs redis-server and Chromium if it can)'
	@echo 'make build   build dist/'
	@echo 'make check   format, lint, types, architecture, dead code'
	@echo 'make bench   run the benchmarks'
	@echo 'make clean   delete what was built (not node_modules, not .toolchain)'

demo:
	@./membrane demo

test:
	@$(node) scripts/setup --services
	@$(node) npm test

build check bench:
	@$(node) scripts/setup
	@$(node) npm run $@

clean:
	rm -rf dist .cache
