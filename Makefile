# Tollgate. `make help` lists what can be made; a new .c is found by its folder.

B       ?= build
PREFIX  ?= /usr/local
VERSION := 0.1.0

# Where the programs find the catalogue once installed; from a checkout they look in conf/.
SHARE   ?= $(PREFIX)/share/tollgate

WARN    := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla \
           -Wformat=2 -Wundef -Wpointer-arith -Wwrite-strings -Wcast-qual -Wno-unused-command-line-argument
HARDEN  := -fPIE -fstack-protector-strong -fstack-clash-protection
RELRO   := -pie -Wl,-z,relro,-z,now,-z,noexecstack
CFLAGS  ?= -O2 -g -D_FORTIFY_SOURCE=2
FLAGS   := -std=c11 -D_GNU_SOURCE -DTOLLGATE_VERSION='"$(VERSION)"' -DTOLLGATE_SHARE='"$(SHARE)"' \
           -I. $(WARN) $(HARDEN) -pthread -MMD -MP
LIBS    := -Wl,--as-needed -lfcgi -lcurl -lcrypto -ljson-c -lgdbm -lm

FOLDERS := base store fcgi gateway gateway/providers handlers/common handlers/cli
OBJS    := $(patsubst %.c,$(B)/obj/%.o,$(wildcard $(FOLDERS:%=%/*.c)))
PROGS   := $(patsubst handlers/%.c,$(B)/bin/%.fcgi,$(filter-out handlers/tollgate.c,$(wildcard handlers/*.c))) \
           $(patsubst handlers/%.c,$(B)/bin/%,$(wildcard handlers/tollgate.c))
TESTS   := $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/*.c))
FAKES   := $(patsubst tests/fake/%.c,$(B)/fake/%,$(wildcard tests/fake/*.c))
LIB     := $(B)/libtollgate.a

all: $(PROGS)

$(B)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(FLAGS) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<
$(LIB): $(OBJS)
	@rm -f $@ && $(AR) rcs $@ $^
$(B)/bin/%.fcgi: $(B)/obj/handlers/%.o $(LIB)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(RELRO) $(LDFLAGS) -pthread -o $@ $^ $(LIBS)
$(B)/bin/tollgate: $(B)/obj/handlers/tollgate.o $(LIB)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(RELRO) $(LDFLAGS) -pthread -o $@ $^ $(LIBS)
$(B)/unit/%: $(B)/obj/tests/unit/%.o $(LIB)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(RELRO) $(LDFLAGS) -pthread -o $@ $^ -lcmocka $(LIBS)
$(B)/fake/%: $(B)/obj/tests/fake/%.o $(LIB)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(RELRO) $(LDFLAGS) -pthread -o $@ $^ $(LIBS)

unit: $(TESTS)
fake: $(FAKES)

clean:
	rm -rf build

.PHONY: all unit fake clean
.SECONDARY:
-include $(OBJS:.o=.d) $(wildcard $(B)/obj/handlers/*.d $(B)/obj/tests/*/*.d)
