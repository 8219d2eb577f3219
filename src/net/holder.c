/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who has a port: its socket in /proc/net (proc(5)), then the process with a
 * descriptor of that socket. Others' descriptors are for root to see.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/linux/machine_of.h"
#include "net/address.h"

#define LISTENS 0x0a /* a TCP socket's state */

static uint16_t port_of(const struct sockaddr_storage *address)
{
	return ntohs(address->ss_family == AF_INET6 ?
			     ((const struct sockaddr_in6 *)address)->sin6_port :
			     ((const struct sockaddr_in *)address)->sin_port);
}

/* The socket that is bound to the port, by any address; 0: none. */
static unsigned long find_inode(const char *table, uint16_t port, bool udp)
{
	FILE *file = fopen(table, "re");
	unsigned long inode = 0;
	char line[512];

	while (file && !inode && fgets(line, sizeof(line), file)) {
		unsigned long found;
		unsigned int local, state;

		if (sscanf(line,
			   " %*u: %*32[0-9A-F]:%x %*32[0-9A-F]:%*x %x %*s %*s "
			   "%*s %*s %*s %lu", &local, &state, &found) == 3 &&
		    local == port && (udp || state == LISTENS))
			inode = found;
	}
	if (file)
		fclose(file);
	return inode;
}

/* Whether one of the process's descriptors is `name`. */
static bool holds(const char *pid, const char *name)
{
	char path[300], target[64];
	struct dirent *entry;
	bool found = false;
	DIR *folder;

	snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
	folder = opendir(path);
	while (folder && !found && (entry = readdir(folder))) {
		ssize_t length;

		snprintf(path, sizeof(path), "/proc/%.20s/fd/%.20s", pid,
			 entry->d_name);
		length = readlink(path, target, sizeof(target) - 1);
		target[length > 0 ? length : 0] = '\0';
		found = !strcmp(target, name);
	}
	if (folder)
		closedir(folder);
	return found;
}

static void tell(char text[ADDRESS_HOLDER], const char *pid)
{
	char path[64], name[32] = "";
	FILE *file;

	if (machine_of_process(pid, name, sizeof(name))) {
		snprintf(text, ADDRESS_HOLDER, "machine %s (process %.20s)",
			 name, pid);
		return;
	}
	snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
	file = fopen(path, "re");
	if (file && fgets(name, sizeof(name), file))
		name[strcspn(name, "\n")] = '\0';
	if (file)
		fclose(file);
	snprintf(text, ADDRESS_HOLDER, "%s (process %.20s)",
		 name[0] ? name : "another", pid);
}

void address_holder(char text[ADDRESS_HOLDER],
		    const struct sockaddr_storage *address, bool udp)
{
	const char *const table[] = { "/proc/net/tcp", "/proc/net/tcp6",
				      "/proc/net/udp", "/proc/net/udp6" };
	unsigned long inode;
	struct dirent *entry;
	char name[40];
	DIR *folder;

	text[0] = '\0';
	inode = find_inode(table[2 * udp + (address->ss_family == AF_INET6)],
			   port_of(address), udp);
	if (!inode) /* one of IPv6 may have both */
		inode = find_inode(table[2 * udp + 1], port_of(address), udp);
	if (!inode)
		return;
	snprintf(name, sizeof(name), "socket:[%lu]", inode);
	folder = opendir("/proc");
	while (folder && !text[0] && (entry = readdir(folder)))
		if (isdigit((unsigned char)entry->d_name[0]) &&
		    holds(entry->d_name, name))
			tell(text, entry->d_name);
	if (folder)
		closedir(folder);
}

void address_taken(const struct net_publish *publish,
		   const struct sockaddr_storage *address,
		   struct net_error *error)
{
	char text[ADDRESS_PUBLISH], holder[ADDRESS_HOLDER];

	address_publish(text, publish);
	address_holder(holder, address, publish->udp);
	if (holder[0])
		net_error_set(error, "--publish %s: %s has port %u; "
			      "give another one", text, holder, publish->port);
	else
		net_error_set(error, "--publish %s: port %u is taken; give "
			      "another one", text, publish->port);
}
