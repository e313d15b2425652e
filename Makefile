# Tollgate. `make help` lists what can be made; a new .c is found by its folder, and a variant
# of the build (other compiler, other flags) is another B.

B       ?= build
PREFIX  ?= /usr/local
DESTDIR ?=
VERSION := 0.1.0

# Where the programs find the catalogue once installed; from a checkout they look in conf/.
SHARE   ?= $(PREFIX)/share/tollgate

# What `make run` takes.
PORT         ?= 8080
GATEWAY_HOME ?= $(CURDIR)/var

WARN    := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla \
           -Wformat=2 -Wundef -Wpointer-arith -Wwrite-strings -Wcast-qual
HARDEN  := -fPIE -fstack-protector-strong -fstack-clash-protection
RELRO   := -pie -Wl,-z,relro,-z,now,-z,noexecstack
RELEASE := -O2 -g -D_FORTIFY_SOURCE=2
SAN     := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
TSAN    := -O1 -g -fno-omit-frame-pointer -fsanitize=thread
FUZZ    := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
CFLAGS  ?= $(RELEASE)
FLAGS   := -std=c11 -D_GNU_SOURCE -DTOLLGATE_VERSION='"$(VERSION)"' -DTOLLGATE_SHARE='"$(SHARE)"' \
           -I. $(WARN) $(HARDEN) -pthread -MMD -MP
LIBS    := -Wl,--as-needed -lssl -lcrypto -ljson-c -lgdbm -lz -lm

# With Redis where hiredis is installed; REDIS=0 builds without it all the same.
REDIS   ?= $(if $(wildcard /usr/include/hiredis/hiredis.h /usr/local/include/hiredis/hiredis.h),1,0)
ifeq ($(REDIS),1)
LIBS    += -lhiredis
else
FLAGS   += -DTOLLGATE_NO_REDIS
endif

FOLDERS := base store fcgi gateway gateway/providers handlers/common handlers/cli
OBJS    := $(patsubst %.c,$(B)/obj/%.o,$(wildcard $(FOLDERS:%=%/*.c)))
PROGS   := $(patsubst handlers/%.c,$(B)/bin/%.fcgi,$(filter-out handlers/tollgate.c,$(wildcard handlers/*.c))) \
           $(patsubst handlers/%.c,$(B)/bin/%,$(wildcard handlers/tollgate.c))
TESTS   := $(patsubst tests/%.c,$(B)/%,$(wildcard tests/unit/*.c))
FAKES   := $(patsubst tests/%.c,$(B)/%,$(wildcard tests/fake/*.c))
BENCHES := $(patsubst tests/%.c,$(B)/%,$(wildcard tests/bench/*.c))
STORMS  := $(patsubst tests/%.c,$(B)/%,$(wildcard tests/storm/*.c))
FUZZERS := $(patsubst tests/%.c,$(B)/%,$(wildcard tests/fuzz/*.c))
LIB     := $(B)/libtollgate.a
SOURCES  = $(wildcard $(FOLDERS:%=%/*.[ch]) handlers/*.[ch] tests/*/*.[ch])

all: $(PROGS) ## build every program into build/bin

help: ## this list
	@awk -F '## ' '/^[a-z-]+:.*## / { split($$1, t, ":"); printf "  make %-15s %s\n", t[1], $$2 }' Makefile

run: ## start the gateway on 127.0.0.1:8080, data in ./var (PORT=, GATEWAY_HOME=)
	@conf/packages.sh build run
	@[ -e '$(B)/bin/tollgate' ] || echo 'Building; the first time this takes a minute or two.'
	@$(MAKE) --no-print-directory -s $(JOBS) all
	@exec env PORT='$(PORT)' GATEWAY_HOME='$(GATEWAY_HOME)' conf/run.sh $(B)/bin

# ---- compiling ----

# Holds the flags of the last build: whoever builds into the same B with others compiles anew.
COMMAND := $(CC) $(FLAGS) $(CPPFLAGS) $(CFLAGS)
$(B)/obj/flags: force
	@mkdir -p $(@D)
	@printf '%s\n' "$$COMMAND" | cmp -s - $@ || printf '%s\n' "$$COMMAND" >$@
$(B)/obj/flags: export COMMAND := $(COMMAND)

$(B)/obj/%.o: %.c $(B)/obj/flags
	@mkdir -p $(@D)
	$(CC) $(FLAGS) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<
$(B)/obj/store/ledger_redis.o: $(wildcard store/*.lua)
$(LIB): $(OBJS)
	@rm -f $@ && $(AR) rcs $@ $^
LINK = $(CC) $(CFLAGS) $(RELRO) $(LDFLAGS) -pthread -o $@ $^ $(MORE) $(LIBS)
$(B)/bin/%.fcgi: $(B)/obj/handlers/%.o $(LIB)
	@mkdir -p $(@D)
	$(LINK)
$(B)/bin/tollgate: $(B)/obj/handlers/tollgate.o $(LIB)
	@mkdir -p $(@D)
	$(LINK)
$(TESTS): MORE := -lcmocka
$(FUZZERS): MORE := -fsanitize=fuzzer
$(TESTS) $(FAKES) $(BENCHES) $(STORMS) $(FUZZERS): $(B)/%: $(B)/obj/tests/%.o $(LIB)
	@mkdir -p $(@D)
	$(LINK)

# ---- testing: tests/run says how; each ends with "N passed, N failed" ----

# On all cores, unless whoever calls make says how many.
JOBS      = $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))
SAN_MAKE  = $(MAKE) --no-print-directory -s $(JOBS) B=build/san CFLAGS='$(SAN)'
# Without sanitizers: a storm is about when a process dies, and has to start ten thousand of them.
STORM_MAKE = $(MAKE) --no-print-directory -s $(JOBS)
TSAN_MAKE = $(MAKE) --no-print-directory -s $(JOBS) B=build/tsan CFLAGS='$(TSAN)'
FUZZ_MAKE = $(MAKE) --no-print-directory -s $(JOBS) B=build/fuzzing CC=clang CFLAGS='$(FUZZ)'
WARN_MAKE = $(MAKE) --no-print-directory -s $(JOBS) CFLAGS='$(RELEASE) -Werror' all unit fake

test: ## install what is missing, build with sanitizers, run every test
	@conf/packages.sh build run test
	@$(SAN_MAKE) all unit fake
	@$(STORM_MAKE) storms
	@STORM=short STORMS=$(B)/storm tests/run build/san unit golden e2e clients storm

check: ## make test, and every check on the source
	@conf/packages.sh build run test check
	@$(SAN_MAKE) all unit fake
	@$(STORM_MAKE) storms
	@STORM=short STORMS=$(B)/storm tests/run build/san unit golden e2e clients storm check

fixtures-accept: $(B)/unit/golden ## write the expectations in tests/fixtures anew; then read the diff
	@GOLDEN_ACCEPT=1 $<

unit: $(TESTS) ## build the unit tests (run them: tests/run build unit)
fake: $(FAKES)

warnings:
	@$(WARN_MAKE) B=build/gcc CC=gcc
	@$(WARN_MAKE) B=build/clang CC=clang

tsan:
	@$(TSAN_MAKE) unit fake
	@tests/run build/tsan unit

FUZZ_SECONDS ?= 60
fuzz: ## fuzz every parser for FUZZ_SECONDS
	@conf/packages.sh build test check
	@$(FUZZ_MAKE) fuzzers
	@tests/fuzz/run build/fuzzing $(FUZZ_SECONDS)
fuzzers: $(FUZZERS)

storm: ## kill, cut and flood under load
	@conf/packages.sh build run test
	@$(MAKE) --no-print-directory -s all fake storms
	@tests/run $(B) storm
storms: $(STORMS)

bench: ## measure against a bare proxy, write tests/bench/RESULTS.md
	@conf/packages.sh build run test bench
	@$(MAKE) --no-print-directory -s all fake benches
	@tests/bench/run --bin $(B)/bin
benches: $(BENCHES)

format: ## lay out every source file
	clang-format -i $(SOURCES)

tidy: $(patsubst %.c,$(B)/tidy/%,$(filter %.c,$(SOURCES)))
$(B)/tidy/%: %.c .clang-tidy
	@mkdir -p $(@D)
	@clang-tidy --quiet $< -- $(FLAGS) 2>$@.log || { cat $@.log; exit 1; }
	@touch $@

# ---- installing ----

BINDIR   = $(DESTDIR)$(PREFIX)/bin
EXECDIR  = $(DESTDIR)$(PREFIX)/libexec/tollgate
DATADIR  = $(DESTDIR)$(PREFIX)/share/tollgate
MANDIR   = $(DESTDIR)$(PREFIX)/share/man
CATALOGUE = $(wildcard conf/*.json)
SAMPLES   = $(filter-out $(CATALOGUE) conf/run.sh conf/packages.sh,$(wildcard conf/* conf/.htaccess))
PAGES     = $(wildcard docs/*.[1-8] docs/man/*.[1-8])

install: all ## install below PREFIX (and DESTDIR)
	install -d $(BINDIR) $(EXECDIR) $(DATADIR)/conf
	install -m 755 $(filter %.fcgi,$(PROGS)) $(EXECDIR)
	install -m 755 $(filter-out %.fcgi,$(PROGS)) $(BINDIR)
	install -m 644 $(CATALOGUE) $(DATADIR)
	install -m 644 $(SAMPLES) $(DATADIR)/conf
	for page in $(PAGES); do install -D -m 644 $$page $(MANDIR)/man$${page##*.}/$${page##*/} || exit 1; done

uninstall: ## remove what install put there
	rm -rf $(EXECDIR) $(DATADIR)
	rm -f $(patsubst $(B)/bin/%,$(BINDIR)/%,$(filter-out %.fcgi,$(PROGS)))
	for page in $(PAGES); do rm -f $(MANDIR)/man$${page##*.}/$${page##*/}; done

clean: ## remove everything built
	rm -rf build

force:
.PHONY: all help run test check fixtures-accept unit fake warnings tsan fuzz fuzzers storm storms bench benches format \
        tidy install uninstall clean force
.SECONDARY:
-include $(OBJS:.o=.d) $(wildcard $(B)/obj/handlers/*.d $(B)/obj/tests/*/*.d)
