/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The benchmark program: one static binary that is the init of a benchmark
 * guest, and an ordinary program when run natively. Each test does its work
 * once to set up, repeats it until it has taken long enough, then prints
 *
 *     bench NAME RATE UNIT
 *
 * where a larger rate is better. As process 1 it mounts what it needs and
 * powers the machine off at the end. Arguments name the tests to run (none: all)
 * and the server of network tests; on the kernel's command line those are
 * `bench=a,b` and `peer=ADDRESS:PORT`, and for two guests `address=OWN` and
 * `serve=PORT`. `--serve` makes it that server.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "disk.h"
#include "net.h"
#include "share.h"
#include "work.h"

/* A test works for this long at least; one of a network is only then past
 * what is slow at first, in the guest and below it. */
#define SECONDS	    0.15
#define NET_SECONDS 1.0

/* One of two processes that compute at the same time; how often. */
#define BUSY_SECONDS 0.4
#define BUSY_ROUNDS  3

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void getpids(uint64_t n)
{
	while (n--)
		syscall(SYS_getpid);
}

static void reads(uint64_t n)
{
	static int zero = -1;
	char c;

	if (zero < 0)
		zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	while (n--)
		if (read(zero, &c, 1) != 1)
			abort();
}

static void times(uint64_t n)
{
	struct timespec t;

	while (n--)
		clock_gettime(CLOCK_MONOTONIC, &t);
}

static void forks(uint64_t n)
{
	while (n--) {
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		waitpid(pid, NULL, 0);
	}
}

static void execs(uint64_t n)
{
	static char *const argv[] = { "/proc/self/exe", "--nothing", NULL };

	while (n--) {
		pid_t pid = vfork();

		if (!pid) {
			execv(argv[0], argv);
			_exit(1);
		}
		waitpid(pid, NULL, 0);
	}
}

/* Touches fresh anonymous pages. */
static void faults(uint64_t n)
{
	const size_t size = 4 << 20;

	while (n) {
		char *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		madvise(p, size, MADV_NOHUGEPAGE);
		for (size_t i = 0; i < size && n; i += 4096, n--)
			p[i] = 1;
		munmap(p, size);
	}
}

static void mprotects(uint64_t n)
{
	static char *page;

	if (!page)
		page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	while (n--) {
		mprotect(page, 4096, PROT_READ);
		mprotect(page, 4096, PROT_READ | PROT_WRITE);
		*page = 1;
	}
}

/* One byte to another process and back: two context switches. */
static void pipes(uint64_t n)
{
	int to[2], from[2];
	pid_t pid;
	char c = 0;

	if (pipe(to) || pipe(from))
		abort();
	pid = fork();
	if (!pid) {
		close(to[1]);
		while (read(to[0], &c, 1) == 1)
			if (write(from[1], &c, 1) != 1)
				break;
		_exit(0);
	}
	while (n--)
		if (write(to[1], &c, 1) != 1 || read(from[0], &c, 1) != 1)
			abort();
	close(to[1]);
	close(to[0]);
	close(from[0]);
	close(from[1]);
	waitpid(pid, NULL, 0);
}

static void on_signal(int number)
{
	(void)number;
}

static void signals(uint64_t n)
{
	struct sigaction action = { .sa_handler = on_signal };
	pid_t self = getpid();

	sigaction(SIGUSR1, &action, NULL);
	while (n--)
		kill(self, SIGUSR1);
}

/* Compresses MiBs of text with busybox, when there is one. */
static void gzips(uint64_t n)
{
	static char text[1 << 20];
	int fds[2], null;
	pid_t pid;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = "the quick brown fox jumps over\n"
			[(i * 2654435761u >> 13 ^ i) % 31];
	if (pipe(fds))
		abort();
	pid = fork();
	if (!pid) {
		null = open("/dev/null", O_WRONLY);
		dup2(fds[0], 0);
		dup2(null, 1);
		close(fds[1]);
		execl("/bin/busybox", "busybox", "gzip", "-1", "-c", NULL);
		_exit(1);
	}
	close(fds[0]);
	while (n--)
		for (size_t done = 0; done < sizeof(text);) {
			ssize_t r = write(fds[1], text + done,
					  sizeof(text) - done);

			if (r <= 0)
				abort();
			done += (size_t)r;
		}
	close(fds[1]);
	waitpid(pid, NULL, 0);
}

struct test {
	const char *name;
	void (*run)(uint64_t n);
	double scale; /* units of work in one n */
	const char *unit;
};

static const struct test tests[] = {
	/* Processes first, while this one is small to fork. */
	{ "getpid", getpids, 1e-3, "k/s" },
	{ "read_1B", reads, 1e-3, "k/s" },
	{ "gettime", times, 1e-3, "k/s" },
	{ "pagefault", faults, 1e-3, "k/s" },
	{ "mprotect", mprotects, 1e-3, "k/s" },
	{ "pipe", pipes, 1e-3, "k/s" },
	{ "signal", signals, 1e-3, "k/s" },
	{ "fork", forks, 1, "/s" },
	{ "exec", execs, 1, "/s" },
	{ "integer", work_integer, 1e-6, "M/s" },
	{ "muldiv", work_muldiv, 1e-6, "M/s" },
	{ "calls", work_calls, 1e-6, "M/s" },
	{ "indirect", work_indirect, 1e-6, "M/s" },
	{ "bytecode", work_bytecode, 1e-6, "M/s" },
	{ "loads", work_loads, 1e-6, "M/s" },
	{ "stores", work_stores, 1e-6, "M/s" },
	{ "chase_16K", work_chase_small, 1e-6, "M/s" },
	{ "random_64M", work_chase_large, 1e-6, "M/s" },
	{ "memcpy_16K", work_memcpy_small, 16.0 / 1024, "MiB/s" },
	{ "memcpy_alias", work_memcpy_alias, 16.0 / 1024, "MiB/s" },
	{ "memcpy_16M", work_memcpy_large, 16, "MiB/s" },
	{ "repmovsb_64K", work_repmovsb, 64.0 / 1024, "MiB/s" },
	{ "repmovsb_alias", work_repmovsb_alias, 64.0 / 1024, "MiB/s" },
	{ "double", work_double, 1e-6, "M/s" },
	{ "libm", work_libm, 1e-6, "M/s" },
	{ "x87", work_x87, 1e-6, "M/s" },
	{ "sse_copy", work_sse_copy, 16.0 / 1024, "MiB/s" },
	{ "sse_copy_alias", work_sse_copy_alias, 16.0 / 1024, "MiB/s" },
	{ "avx2_copy", work_avx2_copy, 16.0 / 1024, "MiB/s" },
	{ "avx2_copy_alias", work_avx2_copy_alias, 16.0 / 1024, "MiB/s" },
	{ "avx2_fma", work_avx2_fma, 1e-6, "M/s" },
	{ "strlen", work_strlen, 16.0 / 1024, "MiB/s" },
	{ "sort", work_sort, 0.1, "M/s" },
	{ "sha256", work_sha256, 1.0 / 16, "MiB/s" },
	{ "gzip", gzips, 1, "MiB/s" },
	{ "patch_code", work_patch_code, 1e-3, "k/s" },
	{ "fresh_code", work_fresh_code, 0.25, "MiB/s" },
};

/* Of a guest with disks, or on a file, when they are asked for by name. */
static const struct test disk_tests[] = {
	{ "virtio_4k_1", disk_virtio_4k_1, 1e-3, "k/s" },
	{ "virtio_4k_32", disk_virtio_4k_32, 1e-3, "k/s" },
	{ "virtio_read", disk_virtio_read, 1, "MiB/s" },
	{ "virtio_write", disk_virtio_write, 1, "MiB/s" },
	{ "ahci_4k_1", disk_ahci_4k_1, 1e-3, "k/s" },
	{ "ahci_4k_32", disk_ahci_4k_32, 1e-3, "k/s" },
	{ "ahci_read", disk_ahci_read, 1, "MiB/s" },
	{ "ahci_write", disk_ahci_write, 1, "MiB/s" },
	{ "nvme_4k_1", disk_nvme_4k_1, 1e-3, "k/s" },
	{ "nvme_4k_32", disk_nvme_4k_32, 1e-3, "k/s" },
	{ "nvme_read", disk_nvme_read, 1, "MiB/s" },
	{ "nvme_write", disk_nvme_write, 1, "MiB/s" },
};

/* Of a guest with a network, or on the host, when a server is named. */
static const struct test net_tests[] = {
	{ "net_get", net_get, NET_PIECE / 1048576.0, "MiB/s" },
	{ "net_put", net_put, NET_PIECE / 1048576.0, "MiB/s" },
	{ "net_udp", net_udp, 1e-3, "k/s" },
	{ "net_rr", net_rr, 1e-3, "k/s" },
	{ "net_conn", net_conn, 1e-3, "k/s" },
};

/* Of a folder that a guest shares with the host, or natively of any. */
static const struct test share_tests[] = {
	{ "share_read", share_read, 1, "MiB/s" },
	{ "share_write", share_write, 1, "MiB/s" },
	{ "share_stat", share_stat, 1e-3, "k/s" },
	{ "share_open", share_open, 1e-3, "k/s" },
	{ "share_create", share_create, 1e-3, "k/s" },
	{ "share_list", share_list, SHARE_FILES * 1e-3, "k/s" },
};

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/* As often as `ios=N` on the kernel's command line says; 0: long enough. */
static uint64_t fixed;

static void run_test(const struct test *test, double seconds)
{
	uint64_t n = 1;
	double took;

	if (fixed) {
		test->run(fixed);
		return;
	}

	if (strstr(test->name, "avx2") &&
	    !(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")))
		return;
	test->run(1); /* sets up what the test needs */
	for (;;) {
		double start = now();

		test->run(n);
		took = now() - start;
		if (took >= seconds)
			break;
		/* Aim a little beyond the time, in steps of ten at most. */
		n = took * 10 < seconds * 1.2 ?
			    n * 10 :
			    (uint64_t)((double)n * seconds * 1.2 / took) + 1;
	}
	printf("bench %s %.6g %s\n", test->name,
	       (double)n * test->scale / took, test->unit);
	fflush(stdout);
}

/* SHA-256 for BUSY_SECONDS; KiB a second, into the pipe. */
static void be_busy(int to)
{
	double start = now(), took, rate;
	uint64_t n = 0;

	do {
		work_sha256(8);
		n += 8;
		took = now() - start;
	} while (took < BUSY_SECONDS);
	rate = (double)n * 64 / took;
	if (write(to, &rate, sizeof(rate)) != sizeof(rate))
		_exit(1);
	_exit(0);
}

/* What `count` processes get done at the same time. */
static void run_busy(unsigned int count)
{
	double sum = 0, rate;
	int fds[2];

	if (pipe(fds))
		abort();
	for (unsigned int i = 0; i < count; i++)
		if (!fork())
			be_busy(fds[1]);
	for (unsigned int i = 0; i < count; i++) {
		if (read(fds[0], &rate, sizeof(rate)) != sizeof(rate))
			abort();
		sum += rate;
		wait(NULL);
	}
	close(fds[0]);
	close(fds[1]);
	printf("bench busy_%u %.6g MiB/s\n", count, sum / 1024);
	fflush(stdout);
}

/* True when `name` is in the comma-separated `list`. */
static int listed(const char *list, const char *name)
{
	size_t length = strlen(name);

	for (const char *p = list; (p = strstr(p, name)); p += length)
		if ((p == list || p[-1] == ',') &&
		    (p[length] == ',' || !p[length]))
			return 1;
	return 0;
}

static void run_disk_tests(const char *list)
{
	for (unsigned int i = 0; i < COUNT(disk_tests); i++)
		if (listed(list, disk_tests[i].name) &&
		    disk_there(disk_tests[i].name))
			run_test(&disk_tests[i], SECONDS);
}

/* Of `peer`, NULL: none, `net_first` tells milliseconds. */
static void run_net_tests(const char *list, const char *peer)
{
	for (unsigned int i = 0; i < COUNT(net_tests); i++)
		if (listed(list, net_tests[i].name) &&
		    net_there(net_tests[i].name, peer))
			run_test(&net_tests[i], NET_SECONDS);
	if (net_first() > 0)
		printf("bench net_first %.6g ms\n", net_first());
}

static void run_share_tests(const char *list, const char *folder)
{
	for (unsigned int i = 0; i < COUNT(share_tests); i++)
		if (listed(list, share_tests[i].name) &&
		    share_there(share_tests[i].name, folder))
			run_test(&share_tests[i], SECONDS);
}

static void run_tests(const char *list, const char *peer, const char *folder)
{
	for (unsigned int i = 0; i < COUNT(tests); i++)
		if (!list || listed(list, tests[i].name))
			run_test(&tests[i], SECONDS);
	if (list)
		run_disk_tests(list);
	if (list)
		run_net_tests(list, peer);
	if (list)
		run_share_tests(list, folder);
	/* Two processors against one: only when asked for. */
	if (list && listed(list, "busy"))
		for (unsigned int i = 0; i < 2 * BUSY_ROUNDS; i++)
			run_busy(1 + i % 2);
}

/* What follows `name` in the kernel's command line; NULL: it is not there. */
static char *word_of(char *line, const char *name)
{
	char *at = strstr(line, name);

	return at ? at + strlen(name) : NULL;
}

static void cut_word(char *word)
{
	if (word)
		word[strcspn(word, " \n")] = '\0';
}

/* As process 1: file systems, the kernel's command line, power-off. */
static void run_as_init(void)
{
	static char line[4096];
	double boot = now();
	char *list, *peer, *folder, *address, *serve;
	ssize_t n;
	int fd;

	mkdir("/proc", 0755);
	mkdir("/dev", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("dev", "/dev", "devtmpfs", 0, NULL);
	printf("bench init %.6g s\n", boot);
	fflush(stdout);
	fd = open("/proc/cmdline", O_RDONLY);
	n = fd < 0 ? 0 : read(fd, line, sizeof(line) - 1);
	line[n > 0 ? n : 0] = '\0';
	if (strstr(line, "ios="))
		fixed = strtoull(strstr(line, "ios=") + 4, NULL, 10);
	list = word_of(line, "bench=");
	peer = word_of(line, "peer=");
	folder = word_of(line, "folder=");
	address = word_of(line, "address=");
	serve = word_of(line, "serve=");
	cut_word(list);
	cut_word(peer);
	cut_word(folder);
	cut_word(address);
	cut_word(serve);
	if (address)
		net_own(address);
	if (serve)
		net_serve_guest(serve);
	if (!list || strcmp(list, "none"))
		run_tests(list, peer, folder);
	sync();
	reboot(RB_POWER_OFF);
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "--nothing"))
		return 0;
	if (argc > 1 && !strcmp(argv[1], "--serve"))
		net_serve();
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (getpid() == 1)
		run_as_init();
	run_tests(argc > 1 ? argv[1] : NULL, argc > 2 ? argv[2] : NULL,
		  argc > 3 ? argv[3] : NULL);
	return 0;
}
