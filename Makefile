# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Headroom. `make demo` shows it, `make check` tests it; both install what they lack (make deps).
#   make               build into build/
#   make demo          a real job, warned, checkpointed, held, given room, finished
#   make check         tests: unit, replay, daemon
#   make check-vm      tests in a virtual machine with systemd
#   make check-hardship  there too: stalled disks, a full host, no journal, no bus, storms
#   make check-crashes kill -9 of the daemon 100 times at random moments, for each kind of job
#   make bench         figures, measured here
#   make arena         every workload under Headroom and its kin, in a virtual machine; arena-short: Headroom alone
#   make install       DESTDIR, prefix, sysconfdir are honoured; starts no service

VERSION := 0.1.0
prefix ?= /usr/local
sysconfdir ?= /etc
bindir ?= $(prefix)/bin
sbindir ?= $(prefix)/sbin
libexecdir ?= $(prefix)/lib/headroom
mandir ?= $(prefix)/share/man
pythondir ?= $(prefix)/lib/python3/dist-packages
bashcompdir ?= $(prefix)/share/bash-completion/completions
zshcompdir ?= $(prefix)/share/zsh/vendor-completions
unitdir ?= $(prefix)/lib/systemd/system
userunitdir ?= $(prefix)/lib/systemd/user
dbuspolicydir ?= $(prefix)/share/dbus-1/system.d
prometheusdir ?= $(prefix)/share/headroom/prometheus

B ?= build
V ?= 0
Q := $(if $(filter 0,$(V)),@)
PKG_CONFIG ?= pkg-config

# -Wno-format-truncation: texts for people are cut on purpose; paths are checked.
WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
            -Wno-unused-parameter -Wno-format-truncation $(if $(findstring clang,$(CC)),-Wno-unknown-warning-option) -Werror=unused-function
HARDENING := -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE
HARDENING_LINK := -pie -Wl,-z,relro,-z,now,-z,noexecstack
OPTIMIZE ?= -O2
override CPPFLAGS += -D_GNU_SOURCE= -DHR_VERSION='"$(VERSION)"' -DHR_SYSCONFDIR='"$(sysconfdir)"' -DHR_BINDIR='"$(bindir)"' -DHR_LIBEXECDIR='"$(libexecdir)"' -Idaemon -I. -Itests $(if $(SANITIZE),-DHR_SANITIZED)
override CFLAGS += -std=gnu17 $(OPTIMIZE) -g $(WARNINGS) $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer -U_FORTIFY_SOURCE,$(HARDENING)) -MMD -MP -pthread
override LDFLAGS += $(if $(SANITIZE),-fsanitize=$(SANITIZE),$(HARDENING_LINK)) -pthread

SYSTEMD_LIBS = $(shell $(PKG_CONFIG) --libs libsystemd)
CGROUP_LIBS = $(shell $(PKG_CONFIG) --libs libcgroup)
SQLITE_LIBS = $(shell $(PKG_CONFIG) --libs sqlite3)
INIH_LIBS = $(shell $(PKG_CONFIG) --libs inih)
NCURSES_LIBS = $(shell $(PKG_CONFIG) --libs ncursesw)
CMOCKA_LIBS = $(shell $(PKG_CONFIG) --libs cmocka)

THINK := $(wildcard daemon/think/*.c)
DAEMON := $(wildcard daemon/*.c daemon/sense/*.c daemon/act/*.c daemon/tell/*.c) $(THINK)
CLIENT := $(wildcard client/*.c) $(THINK)
UNIT_TESTS := $(patsubst tests/%.c,%,$(wildcard tests/unit/test-*.c tests/replay/test-*.c tests/daemon/test-*.c))
PROGRAMS := $(patsubst tests/%.c,%,$(wildcard tests/daemon/fake-*.c tests/bench/*.c))

objects = $(patsubst %.c,$(B)/%.o,$(1))
THINK_O := $(call objects,$(THINK))
DAEMON_O := $(call objects,$(DAEMON))
CLIENT_O := $(call objects,$(CLIENT))
INNER_O := $(filter-out $(B)/daemon/main.o,$(DAEMON_O))

all: $(B)/headroomd $(B)/headroom $(B)/python/sitecustomize.py

# The Python side as it is installed, so that a tree that was just built works alike.
PYTHON := client/python/hook/sitecustomize.py $(wildcard client/python/headroom/*)
$(B)/python/sitecustomize.py: $(PYTHON)
	@mkdir -p $(B)/python/headroom
	@cp $(filter client/python/headroom/%.py %/py.typed,$^) $(B)/python/headroom/
	@cp $< $@

$(B)/headroomd: $(DAEMON_O)
	@echo "  LINK  $@"
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(SYSTEMD_LIBS) $(CGROUP_LIBS) $(INIH_LIBS) $(SQLITE_LIBS) $(LDLIBS)

$(B)/headroom: $(CLIENT_O)
	@echo "  LINK  $@"
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(SYSTEMD_LIBS) $(INIH_LIBS) $(NCURSES_LIBS) $(LDLIBS)

# The pure parts of the client that tests are about.
$(B)/tests/unit/test-topview: $(call objects,client/topview.c client/text.c)
$(B)/tests/unit/test-text: $(call objects,client/text.c)

$(B)/tests/%: $(B)/tests/%.o $(INNER_O)
	@echo "  LINK  $@"
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(SYSTEMD_LIBS) $(CGROUP_LIBS) $(INIH_LIBS) $(SQLITE_LIBS) $(CMOCKA_LIBS) -lm $(LDLIBS)

$(B)/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

-include $(DAEMON_O:.o=.d) $(CLIENT_O:.o=.d) $(patsubst %,$(B)/tests/%.d,$(UNIT_TESTS) $(PROGRAMS))

tests: all $(patsubst %,$(B)/tests/%,$(UNIT_TESTS) $(PROGRAMS))

# What the project needs, by the names of Debian's packages.
DEPS := gcc make pkg-config libc6-dev libsystemd-dev libcgroup-dev libinih-dev libsqlite3-dev libncurses-dev libcmocka-dev python3 procps
CHECK_DEPS := clang clang-format libclang-rt-14-dev mandoc dbus binutils util-linux python3-numpy python3-venv chromium chromium-driver
deps:
	@sh tests/deps.sh $(DEPS)
deps-check: deps
	@sh tests/deps.sh $(CHECK_DEPS)
	-@sh tests/prometheus.sh build/prometheus

demo: deps
	@$(MAKE) --no-print-directory all
	@sh tests/demo/demo.sh $(B)

check: deps-check
	@bash tests/check.sh $(B)

check-crashes: deps
	@$(MAKE) --no-print-directory all
	@HEADROOM_CRASHES=100 /usr/bin/python3 tests/daemon/test-jobs.py $(B) -k crashes_at_any_moment

check-vm: deps
	@sh tests/vm/deps.sh
	@bash tests/vm/check.sh --only '[!7]*'

# Most of an hour more: stalled disks, a full host, no journal, no bus, storms, 100 crashes of the daemon.
check-hardship: deps
	@sh tests/vm/deps.sh
	@bash tests/vm/check.sh --only '7*'

bench: deps
	@$(MAKE) --no-print-directory all tests
	@CC='$(CC)' sh tests/bench/bench.sh $(B)

arena: deps
	@sh tests/deps.sh stress-ng
	@bash tests/arena/arena.sh $(ARENA)

arena-short: deps
	@bash tests/arena/arena.sh --short $(ARENA)

format:
	clang-format -i $(wildcard daemon/*.[ch] daemon/*/*.[ch] client/*.[ch] tests/*.h tests/*/*.c)

install: all
	install -D -m 755 $(B)/headroomd $(DESTDIR)$(sbindir)/headroomd
	install -D -m 755 $(B)/headroom $(DESTDIR)$(bindir)/headroom
	install -D -m 755 conf/hooks/mail $(DESTDIR)$(libexecdir)/hooks/mail
	install -D -m 644 -t $(DESTDIR)$(libexecdir)/python client/python/hook/sitecustomize.py
	install -D -m 644 -t $(DESTDIR)$(libexecdir)/python/headroom $(B)/python/headroom/*
	install -D -m 644 -t $(DESTDIR)$(pythondir)/headroom $(B)/python/headroom/*
	-python3 -m compileall -q -s "$(DESTDIR)" $(DESTDIR)$(libexecdir)/python $(DESTDIR)$(pythondir)/headroom # else 7 ms a start
	install -d $(DESTDIR)$(sysconfdir)/headroom/headroom.conf.d $(DESTDIR)$(unitdir) $(DESTDIR)$(userunitdir)
	@if [ -e $(DESTDIR)$(sysconfdir)/headroom/headroom.conf ]; then \
		install -m 644 conf/headroom.conf $(DESTDIR)$(sysconfdir)/headroom/headroom.conf.new; \
		if cmp -s $(DESTDIR)$(sysconfdir)/headroom/headroom.conf $(DESTDIR)$(sysconfdir)/headroom/headroom.conf.new; then \
			rm $(DESTDIR)$(sysconfdir)/headroom/headroom.conf.new; \
		else echo "kept $(DESTDIR)$(sysconfdir)/headroom/headroom.conf; the new sample is beside it as headroom.conf.new"; fi; \
	else install -m 644 conf/headroom.conf $(DESTDIR)$(sysconfdir)/headroom/headroom.conf; fi
	sed 's|@sbindir@|$(sbindir)|g' systemd/headroomd.service.in > $(DESTDIR)$(unitdir)/headroomd.service
	sed 's|@sbindir@|$(sbindir)|g' systemd/headroomd-user.service.in > $(DESTDIR)$(userunitdir)/headroomd.service
	install -D -m 644 conf/org.headroom.Headroom1.conf $(DESTDIR)$(dbuspolicydir)/org.headroom.Headroom1.conf
	install -D -m 644 conf/completion/headroom.bash $(DESTDIR)$(bashcompdir)/headroom
	install -D -m 644 conf/completion/_headroom $(DESTDIR)$(zshcompdir)/_headroom
	install -D -m 644 -t $(DESTDIR)$(prometheusdir) conf/prometheus/headroom.rules.yml conf/prometheus/headroom-dashboard.json
	install -D -m 644 man/headroom.1 $(DESTDIR)$(mandir)/man1/headroom.1
	install -D -m 644 man/headroom.conf.5 $(DESTDIR)$(mandir)/man5/headroom.conf.5
	install -D -m 644 man/headroom-job.7 $(DESTDIR)$(mandir)/man7/headroom-job.7
	install -D -m 644 man/headroomd.8 $(DESTDIR)$(mandir)/man8/headroomd.8

# A running service is stopped first, which lets every held job go.
uninstall:
	-[ -n "$(DESTDIR)" ] || [ ! -d /run/systemd/system ] || systemctl disable --now headroomd.service
	rm -f $(DESTDIR)$(sbindir)/headroomd $(DESTDIR)$(bindir)/headroom $(DESTDIR)$(libexecdir)/hooks/mail
	rm -rf $(DESTDIR)$(libexecdir)/python $(DESTDIR)$(pythondir)/headroom
	-rmdir -p $(DESTDIR)$(libexecdir)/hooks
	rm -f $(DESTDIR)$(unitdir)/headroomd.service $(DESTDIR)$(userunitdir)/headroomd.service
	rm -f $(DESTDIR)$(bashcompdir)/headroom $(DESTDIR)$(zshcompdir)/_headroom
	rm -f $(DESTDIR)$(dbuspolicydir)/org.headroom.Headroom1.conf
	rm -f $(DESTDIR)$(prometheusdir)/headroom.rules.yml $(DESTDIR)$(prometheusdir)/headroom-dashboard.json
	-rmdir -p $(DESTDIR)$(prometheusdir)
	rm -f $(DESTDIR)$(mandir)/man1/headroom.1 $(DESTDIR)$(mandir)/man5/headroom.conf.5
	rm -f $(DESTDIR)$(mandir)/man7/headroom-job.7 $(DESTDIR)$(mandir)/man8/headroomd.8
	@echo "kept $(DESTDIR)$(sysconfdir)/headroom: it is yours"

clean:
	rm -rf $(B)

.PHONY: all tests deps deps-check demo check check-crashes check-hardship check-vm bench arena arena-short format install uninstall clean
.SECONDARY:
