# SPDX-License-Identifier: Apache-2.0
# The front of the build: Meson does the work. `make help` tells the targets.

BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
FUZZ_SECONDS ?= 60
SEQUENCES ?= 2000000
LOSSES ?= 10000
CONNECTIONS ?= 100000
KILLS ?= 300
# Arguments for `lodge run`, `meson test`, the benchmark and the soak test.
ARGS ?=

GUEST = $(BUILD)/guest/default
SETUP = BUILD=$(BUILD) scripts/setup.sh
MESON_SETUP = meson setup --prefix $(PREFIX)

.PHONY: all run guest guest-drivers check sanitize races bench many soak fuzz sequences losses trips connections install dist deb clean
.PHONY: calls help rbd setup vlan

all: setup $(BUILD)/build.ninja
	@ninja -C $(BUILD) programs

setup:
	@$(SETUP) build guest

$(BUILD)/build.ninja:
	@mkdir -p $(BUILD)
	@echo "configuring in $(BUILD)"
	@$(MESON_SETUP) $(BUILD) >$(BUILD)/setup.log || \
		{ tail -5 $(BUILD)/setup.log; exit 1; }

guest: setup $(BUILD)/build.ninja
	@! grep -q '^build lodge-agent:' $(BUILD)/build.ninja || \
		ninja -C $(BUILD) --quiet lodge-agent
	@AGENT=$(BUILD)/lodge-agent guests/default/build.sh $(GUEST)

guest-drivers: guest
	@AGENT=$(BUILD)/lodge-agent guests/default/build.sh $(BUILD)/guest/drivers drivers

run: all guest
	@$(BUILD)/lodge run $(ARGS)

check:
	@$(SETUP) build guest deb test
	@guests/packages.sh $(BUILD)/guest/packages
	@$(MAKE) --no-print-directory $(BUILD)/build.ninja guest-drivers
	@ninja -C $(BUILD)
	@scripts/run_tests.py $(BUILD) $(ARGS)

# No -Werror: gcc takes branches that its checks add for null pointers used.
sanitize:
	@$(SETUP) build guest test
	@UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
		$(MAKE) --no-print-directory BUILD=$(BUILD)-sanitize \
		MESON_SETUP="meson setup -Db_sanitize=address,undefined \
		-Db_lundef=false -Dwerror=false" check

races:
	@$(SETUP) build test
	@$(MAKE) --no-print-directory BUILD=$(BUILD)-races \
		MESON_SETUP="meson setup -Db_sanitize=thread \
		-Db_lundef=false -Dwerror=false" $(BUILD)-races/build.ninja
	@ninja -C $(BUILD)-races
	@scripts/races.sh $(BUILD)-races $(ARGS)

# 200 machines kept by lodged, of which 50 run: what that takes.
many:
	@$(SETUP) build guest
	@$(MAKE) --no-print-directory all guest
	@bench/daemon.py --build $(BUILD) $(ARGS)

bench:
	@$(SETUP) build guest bench
	@$(MAKE) --no-print-directory all guest-drivers
	@BUILD=$(BUILD) bench/run.py $(ARGS)

soak:
	@$(SETUP) build guest test
	@$(MAKE) --no-print-directory all guest
	@tests/system/soak.py --lodge $(BUILD)/lodge \
		--kernel $(GUEST)/vmlinux --keep $(BUILD)/soak $(ARGS)

# Which system calls machines make, by the system tests: tests/system/calls.txt.
calls:
	@$(SETUP) build guest test
	@$(MAKE) --no-print-directory all guest
	@scripts/record_calls.py --anew $(BUILD) $(ARGS)

sequences:
	@$(SETUP) build test
	@$(MAKE) --no-print-directory $(BUILD)/build.ninja
	@ninja -C $(BUILD) tests/unit/engine/test-engine-rewrite
	@$(BUILD)/tests/unit/engine/test-engine-rewrite --count $(SEQUENCES)
	@$(BUILD)/tests/unit/engine/test-engine-rewrite --count $(SEQUENCES) \
		--host

losses:
	@$(SETUP) build guest test
	@$(MAKE) --no-print-directory $(BUILD)/build.ninja guest-drivers
	@ninja -C $(BUILD) programs tests/disk/test-disk-losses \
		tests/disk/test-disk-kills tests/system/kill-at
	@$(BUILD)/tests/disk/test-disk-losses --points $(LOSSES)
	@$(BUILD)/tests/disk/test-disk-kills --points $(KILLS)
	@LODGE_KILLS=all LODGE_BUILD=$(BUILD) /usr/bin/python3 -m pytest -q \
		-p no:cacheprovider -k kill $(addprefix tests/system/test_, \
		kills.py disk_boot.py daemon_kills.py daemon_clone.py \
		daemon_clone_job.py daemon_image.py daemon_moves.py)

trips:
	@$(SETUP) build test
	@$(MAKE) --no-print-directory all
	@LODGE_TRIPS=1 LODGE_BUILD=$(BUILD) /usr/bin/python3 -m pytest -q \
		-p no:cacheprovider tests/system/test_image_trips.py $(ARGS)

connections:
	@$(SETUP) build guest test
	@$(MAKE) --no-print-directory all guest
	@LODGE_CONNECTIONS=$(CONNECTIONS) LODGE_BUILD=$(BUILD) \
		/usr/bin/python3 -m pytest -q -p no:cacheprovider \
		-k many_connections tests/system/test_net.py

rbd:
	@$(SETUP) build guest test rbd
	@$(MAKE) --no-print-directory all guest
	@LODGE_CEPH=1 LODGE_BUILD=$(BUILD) /usr/bin/python3 -m pytest -q \
		-p no:cacheprovider tests/system/test_ceph.py \
		tests/system/test_rbd.py $(ARGS)

vlan:
	@$(SETUP) build guest test
	@$(MAKE) --no-print-directory all guest
	@LODGE_VLAN=1 LODGE_BUILD=$(BUILD) /usr/bin/python3 -m pytest -q \
		-p no:cacheprovider tests/system/test_vlan.py

fuzz:
	@$(SETUP) build test
	@BUILD=$(BUILD)-fuzz scripts/fuzz.sh $(FUZZ_SECONDS)

install: all
	@meson configure $(BUILD) -Dprefix=$(PREFIX)
	@ninja -C $(BUILD) lodge
	@DESTDIR="$(DESTDIR)" meson install -C $(BUILD) --no-rebuild --quiet
	@if [ -e $(GUEST)/vmlinux ]; then \
		install -d "$(DESTDIR)$(PREFIX)/share/lodge/guest/default" && \
		install -m 644 $(GUEST)/vmlinux $(GUEST)/initrd \
			$(GUEST)/initrd-root \
			$(GUEST)/version \
			"$(DESTDIR)$(PREFIX)/share/lodge/guest/default"; \
	else \
		echo "without the default guest: make guest, then install"; \
	fi
	@echo "installed to $(DESTDIR)$(PREFIX)"

dist:
	@scripts/dist.sh $(BUILD)/dist

deb:
	@$(SETUP) build guest deb
	@$(MAKE) --no-print-directory guest
	@scripts/deb.sh $(BUILD)/deb $(GUEST)

clean:
	rm -rf $(BUILD) $(BUILD)-sanitize $(BUILD)-races $(BUILD)-fuzz

help:
	@echo "make            build $(BUILD)/lodge"
	@echo "make run        build all it needs and boot the default guest"
	@echo "                (ARGS=\"--cpus 2\": arguments for lodge run)"
	@echo "make guest      make the default guest in $(GUEST)"
	@echo "make guest-drivers  and one with all drivers, for tests"
	@echo "make check      run all tests (ARGS=\"--suite unit\": some)"
	@echo "make sanitize   the same with address and undefined sanitizers"
	@echo "make races      the unit tests with the thread sanitizer"
	@echo "make bench      measure beside QEMU and the host"
	@echo "make many       200 machines kept, 50 of them running"
	@echo "make soak       boot guests in a loop (ARGS=\"--count 1000\")"
	@echo "make fuzz       fuzz each target for FUZZ_SECONDS=$(FUZZ_SECONDS)"
	@echo "make calls      record the system calls of machines in the tests"
	@echo "make sequences  run SEQUENCES=$(SEQUENCES) random programs on"
	@echo "                interpreter, rewriter and this processor"
	@echo "make losses     write images of all formats at random and lose power"
	@echo "                LOSSES=$(LOSSES) times in each; kill KILLS=$(KILLS)"
	@echo "                writers of each, lodge disk and lodged at each step"
	@echo "make trips      send a Debian to QEMU and back in each format"
	@echo "make connections  open CONNECTIONS=$(CONNECTIONS) short ones"
	@echo "                from a guest, and as many to it"
	@echo "make rbd        try disks of a Ceph cluster that it starts here"
	@echo "make vlan       VLANs of an uplink, in a Debian with such a kernel"
	@echo "make install    install to PREFIX=$(PREFIX) (below DESTDIR)"
	@echo "make dist       the source archive of the last commit, in"
	@echo "                $(BUILD)/dist"
	@echo "make deb        Debian packages, in $(BUILD)/deb"
	@echo "make clean      remove all that was built, the guest too"
	@echo
	@echo "BUILD=$(BUILD) is the build folder. Packages that are missing"
	@echo "(packages.txt) are installed first, when you may."
