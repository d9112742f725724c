# SPDX-License-Identifier: Apache-2.0
# The front door; everything else is meson. `make help` lists the targets.
#
#   make build [PREFIX=/usr/local]      make test [ARGS="--suite unit"]     make run [DIR=...] [ONCE=1]
#   make fuzz [T=60]                    make install [DESTDIR=...]          make lint [FILES="src/base/buf.c"]
#   make bench [ROWS=a,b] [JSON=1]      make faults [ROUNDS=40] [JOBS=1]    make histories [N=200000] [SEED=...]
#   make bench-against REV=main [ROWS=a,b] [PAIRS=20]                       make beside REV=main

MAKEFLAGS += --no-print-directory
SHELL := /bin/bash
PREFIX ?= /usr/local
ARGS ?=
T ?= 60
ROUNDS ?= 40
# Tests at a time: they wait more than they work. (`make faults` has a JOBS of its own, of 1.)
TEST_JOBS := $(or $(JOBS),$(shell echo $$((2 * $$(nproc)))))
B := build/meson

.PHONY: help build all run test faults faults-schedules histories histories-planted schemathesis soak bench bench-long bench-against bench-doc bench-peers beside lint format sanitize fuzz coverage \
	install uninstall clean needs needs-dev configure

build: configure ## build/bin/dureqd, build/bin/dureqctl and the library
	@ninja -C $(B) product
	@mkdir -p build/bin
	@ln -sfn ../meson/dureqd/dureqd build/bin/dureqd
	@ln -sfn ../meson/dureqctl/dureqctl build/bin/dureqctl

all: build ## that, and all tests, examples and benches
	@ninja -C $(B)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

needs:
	@tools/setup build
needs-dev:
	@tools/setup dev
configure: needs
	@tools/configure $(B) --prefix=$(PREFIX)

run: build ## show it at work: a checksum of every file under DIR
	@tools/run $(if $(DIR),--dir '$(DIR)') $(if $(ONCE),--once)

# A failing program must not hide the count, so meson's own result is dropped: count_results.py fails instead.
test: all ## all tests, histories and fuzz seeds too, in short (ARGS="--suite unit" for some, JOBS=n at a time); ends with "N passed, N failed"
	@rm -f $(B)/meson-logs/testlog.json
	@meson test -C $(B) --no-rebuild --print-errorlogs --num-processes $(TEST_JOBS) $(ARGS) || true
	@$(if $(RERUN),tools/rerun_failed.py $(B) || true)
	@tools/count_results.py $(B)

faults: all ## the fault tests with ROUNDS (40) rounds each, JOBS (1) programs at a time, half an hour; writes docs/faults.md
	@tools/faults.py $(B) $(ROUNDS)

faults-schedules: all ## the one of schedules: five times ROUNDS (40) rounds while a thousand schedules fire each second, ten minutes
	@DUREQ_TEST_SOURCE='$(CURDIR)' DUREQ_TEST_BUILD='$(CURDIR)/$(B)' DUREQ_FAULT_ROUNDS=$(ROUNDS) $(B)/tests/test_fault_schedules

schemathesis: build ## N (20) requests of each operation of the API, made from its OpenAPI document; skipped where PyPI cannot be reached
	@tools/schemathesis $(B)/dureqd/dureqd $(N)

histories: all ## N (200000, an hour) randomised histories from SEED on; SEED alone replays one; from N=100000 on it writes docs/faults.md
	@DUREQ_TEST_SOURCE='$(CURDIR)' DUREQ_HISTORIES_REPORT=docs/faults.md \
		$(B)/tests/histories $(if $(SEED),seed=$(SEED)) $(if $(N),n=$(N),$(if $(SEED),,n=200000))

histories-planted: all ## plants faults in the scripts, each of which must be found within N (10000) histories
	@DUREQ_TEST_SOURCE='$(CURDIR)' $(if $(SEED)$(N),,DUREQ_HISTORIES_REPORT=docs/faults.md) $(B)/tests/histories planted $(if $(SEED),seed=$(SEED)) $(if $(N),n=$(N))

soak: all ## MIN (60) minutes of load with a fault every ten seconds, in the order of SEED; from MIN=30 on it writes docs/faults.md
	@DUREQ_SOAK_REPORT=docs/faults.md $(B)/tests/soak $(if $(MIN),min=$(MIN)) $(if $(SEED),seed=$(SEED))

beside: build ## can this tree go on where commit REV left off, and work beside it? Both in turn on one Redis, two minutes
	@REV='$(REV)' tools/beside.py $(B)

bench: needs ## measure speed and memory against the targets, a quarter of an hour; ROWS=a,b for some, JSON=1 for programs
	@tools/configure build/bench --buildtype=release -Db_ndebug=false >&2
	@ninja -C build/bench >&2
	@build/bench/bench/dureq-bench $(ARGS)

bench-long: ## the same with the big rows: 25 minutes, 4 GB of memory
	@$(MAKE) bench ARGS="--long $(ARGS)"

# Exit status 2 is make's for any failure; tools/bench_against.py itself says 1 for "slower".
bench-against: needs ## is this tree slower than commit REV? PAIRS (20) runs of each in turns, 25 minutes; ROWS=a,b for some
	@REV='$(REV)' NEW='$(NEW)' ROWS='$(ROWS)' PAIRS='$(PAIRS)' ROW_S='$(ROW_S)' tools/bench_against.py

bench-doc: needs ## make bench-long (LONG=0: make bench), its results into docs/benchmarks.md
	@tools/configure build/bench --buildtype=release -Db_ndebug=false
	@ninja -C build/bench
	@tools/bench_report.py build/bench/bench/dureq-bench

bench-peers: needs ## the same work by other job queues, which it installs: half an hour; writes docs/benchmarks.md
	@bench/peers/run

lint: needs-dev configure ## style, layers, clang-tidy, cppcheck, luacheck
	@tools/lint $(FILES)

format: needs-dev ## format the C sources in place
	@tools/lint.py --list | xargs clang-format -i

sanitize: needs-dev ## short tests under ASan + UBSan and under TSan
	@.ci/run sanitize

fuzz: needs-dev ## run every fuzz target for T (60) seconds
	@tools/fuzz $(T)

coverage: needs-dev ## line coverage of each layer
	@tools/coverage

install: build ## programs, library, headers below PREFIX (and DESTDIR)
	@DESTDIR='$(DESTDIR)' meson install -C $(B) --no-rebuild --quiet
	@DESTDIR='$(DESTDIR)' packaging/loader_hint "$$(pkg-config --variable=libdir $(B)/meson-private/dureq.pc)" # meson keeps what it says

uninstall: ## remove what `make install` with the same PREFIX (and DESTDIR) put there
	@tools/uninstall '$(B)' '$(PREFIX)' '$(DESTDIR)'

clean: ## remove build/
	@rm -rf build
