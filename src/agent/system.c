/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's system as a whole: what it tells of itself, its end, its time.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/guest.h"

#define ADDRESSES_MAX 256
#define NS_PER_S      1000000000u

static void tell(struct session *session, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void tell(struct session *session, const char *format, ...)
{
	char text[AGENT_TEXT_MAX];
	va_list args;
	int size;

	va_start(args, format);
	size = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (size < (int)sizeof(text))
		frame_send(session->fd, AGENT_FACT, text, (uint32_t)size);
}

/* --- facts -------------------------------------------------------------------- */

/* The value of a line NAME=VALUE or NAME: VALUE, without quotes. */
static bool line_of(const char *path, const char *name, char value[128])
{
	FILE *file = fopen(path, "re");
	char line[256];
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file)) {
		size_t size = strlen(name);
		const char *from = line + size;

		if (strncmp(line, name, size))
			continue;
		from += strspn(from, " \t\"");
		snprintf(value, 128, "%.*s", (int)strcspn(from, "\"\n"),
			 from);
		found = true;
	}
	if (file)
		fclose(file);
	return found;
}

static void tell_memory(struct session *session, const char *line,
			const char *name)
{
	char value[128];

	if (line_of("/proc/meminfo", line, value))
		tell(session, "%s=%llu", name, strtoull(value, NULL, 10) << 10);
}

static unsigned int prefix_of(const uint8_t *mask, size_t size)
{
	unsigned int bits = 0;

	for (size_t i = 0; i < size; i++)
		bits += (unsigned int)__builtin_popcount(mask[i]);
	return bits;
}

static void tell_address(struct session *session, const struct ifaddrs *at)
{
	const struct sockaddr *address = at->ifa_addr;
	const void *bytes, *mask = NULL;
	char text[INET6_ADDRSTRLEN];
	bool six = address->sa_family == AF_INET6;

	bytes = six ? (const void *)&((const struct sockaddr_in6 *)
					      (const void *)address)->sin6_addr :
		      &((const struct sockaddr_in *)(const void *)address)
			       ->sin_addr;
	if (at->ifa_netmask)
		mask = six ? (const void *)&((const struct sockaddr_in6 *)
						     (const void *)
							     at->ifa_netmask)
				     ->sin6_addr :
			     &((const struct sockaddr_in *)(const void *)
				       at->ifa_netmask)->sin_addr;
	if (inet_ntop(address->sa_family, bytes, text, sizeof(text)))
		tell(session, "address=%s %s/%u", at->ifa_name, text,
		     mask ? prefix_of(mask, six ? 16 : 4) : six ? 128 : 32);
}

static void tell_addresses(struct session *session)
{
	struct ifaddrs *list;
	unsigned int count = 0;

	if (getifaddrs(&list))
		return;
	for (const struct ifaddrs *at = list; at; at = at->ifa_next) {
		if (!at->ifa_addr || at->ifa_flags & IFF_LOOPBACK ||
		    (at->ifa_addr->sa_family != AF_INET &&
		     at->ifa_addr->sa_family != AF_INET6))
			continue;
		if (count++ < ADDRESSES_MAX)
			tell_address(session, at);
	}
	freeifaddrs(list);
}

void serve_facts(struct session *session)
{
	char value[128];
	struct utsname system;
	struct sysinfo info;

	tell(session, "agent=%s", LODGE_VERSION);
	if (!uname(&system)) {
		tell(session, "name=%s", system.nodename);
		tell(session, "kernel=%s %s", system.sysname, system.release);
	}
	if (line_of("/etc/os-release", "PRETTY_NAME=", value))
		tell(session, "system=%s", value);
	if (!sysinfo(&info)) {
		tell(session, "uptime=%ld", info.uptime);
		tell(session, "load=%.2f %.2f %.2f",
		     (double)info.loads[0] / 65536,
		     (double)info.loads[1] / 65536,
		     (double)info.loads[2] / 65536);
	}
	tell_memory(session, "MemTotal:", "memory");
	tell_memory(session, "MemAvailable:", "available");
	tell_memory(session, "SwapTotal:", "swap");
	tell_addresses(session);
	session_done(session, 0);
}

/* --- power, time --------------------------------------------------------------- */

/* The system's own way: its services end in order. */
void serve_power(struct session *session, uint8_t how)
{
	char *const off[] = { "poweroff", NULL };
	char *const again[] = { "reboot", NULL };
	char *const *words = how ? again : off;
	int status;
	pid_t pid;

	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:"
	       "/sbin:/bin", 1);
	/* The guest may end before its command does. */
	errno = posix_spawnp(&pid, words[0], NULL, NULL, words, environ);
	if (errno) {
		session_failed(session, words[0]);
		return;
	}
	session_done(session, 0);
	waitpid(pid, &status, 0);
}

void serve_set_time(struct session *session, uint64_t ns)
{
	const struct timespec time = {
		.tv_sec = (time_t)(ns / NS_PER_S),
		.tv_nsec = (long)(ns % NS_PER_S),
	};

	if (clock_settime(CLOCK_REALTIME, &time))
		session_failed(session, "cannot set the time");
	else
		session_done(session, 0);
}
