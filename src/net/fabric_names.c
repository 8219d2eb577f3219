/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dnsmasq(8) for one network: addresses by DHCP, each card its own; router
 * advertisements; the machines' names and what this computer's name servers
 * know. It changes its user at once, so its files lie where that can read
 * them; what it is told again by SIGHUP are the machines.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "net/address.h"
#include "net/fabric.h"
#include "net/fabric_run.h"

#define FILE_MAX (FABRIC_PATH + 32)
#define STOP_MS	 10000 /* to end after SIGKILL */

static void file_of(const struct fabric *fabric, const char *name,
		    char path[FILE_MAX])
{
	snprintf(path, FILE_MAX, "%s/%s", fabric->folder, name);
}

static const char *text4(uint32_t address, char text[NET_ADDRESS])
{
	struct in_addr in = { htonl(address) };

	inet_ntop(AF_INET, &in, text, NET_ADDRESS);
	return text;
}

static const char *text6(const struct in6_addr *address,
			 char text[NET_ADDRESS])
{
	inet_ntop(AF_INET6, address, text, NET_ADDRESS);
	return text;
}

/* --- what it is told --------------------------------------------------------------- */

static void write_four(FILE *to, const struct network *n)
{
	char address[NET_ADDRESS], mask[NET_ADDRESS];

	if (!n->has4 || !n->dhcp)
		return;
	fprintf(to, "dhcp-range=%s,static,%s\ndhcp-authoritative\n",
		text4(n->net4, address),
		text4(~(UINT32_MAX >> n->bits4), mask));
	fprintf(to, "dhcp-option=option:dns-server,%s\n",
		text4(network_names4(n), address));
	if (n->kind == NETWORK_ISOLATED)
		fprintf(to, "dhcp-option=option:router\n");
	else
		fprintf(to, "dhcp-option=option:router,%s\n",
			text4(network_router4(n), address));
	if (n->mtu)
		fprintf(to, "dhcp-option=option:mtu,%u\n", n->mtu);
}

static void write_six(FILE *to, const struct fabric *fabric)
{
	const struct network *n = &fabric->network;
	struct in6_addr names = network_names6(n);
	char address[NET_ADDRESS];

	if (!n->has6)
		return;
	fprintf(to, "enable-ra\ndhcp-range=%s,ra-stateless,64\n",
		text6(&n->net6, address));
	fprintf(to, "dhcp-option=option6:dns-server,[%s]\n",
		text6(&names, address));
	if (n->mtu || n->kind == NETWORK_ISOLATED)
		fprintf(to, "ra-param=%s,mtu:%u,0%s\n", fabric->bridge,
			n->mtu ? n->mtu : NIC_MTU_DEFAULT,
			n->kind == NETWORK_ISOLATED ? ",0" : "");
}

static bool is_here(const struct fabric *fabric, const char *machine)
{
	for (unsigned int i = 0; i < fabric->ports; i++)
		if (!strcmp(fabric->port[i].machine, machine))
			return true;
	return false;
}

/* The addresses of names that rules are about, as they are asked for. */
static void write_sets(FILE *to, const struct fabric *fabric)
{
	const json_t *list, *text;
	const char *machine;
	struct net_error error;
	struct rule rule;
	size_t i;

	json_object_foreach((json_t *)fabric->rules, machine, list)
		json_array_foreach(is_here(fabric, machine) ? list : NULL, i,
				   text) {
			char set4[FABRIC_NAME], set6[FABRIC_NAME];

			if (!json_is_string(text) ||
			    rule_parse(&rule, json_string_value(text),
				       &error) || rule.whom != RULE_NAME)
				continue;
			fabric_name_set(rule.name, false, set4);
			fabric_name_set(rule.name, true, set6);
			fprintf(to, "nftset=/%s/4#bridge#%s#%s,6#bridge#%s#%s"
				"\n", rule.name, fabric->table, set4,
				fabric->table, set6);
		}
}

/* Its sockets stay bound to an interface: for another one it begins anew. */
static void write_config(FILE *to, const struct fabric *fabric)
{
	const struct network *n = &fabric->network;

	fprintf(to, "# interface %u\n", if_nametoindex(fabric->bridge));
	fprintf(to, "interface=%s\nexcept-interface=lo\nbind-dynamic\n"
		"no-hosts\naddn-hosts=%s/hosts\ndhcp-hostsfile=%s/cards\n"
		"dhcp-leasefile=%s/leases\npid-file=%s/pid\n"
		"domain=%s\nlocal=/%s/\ndomain-needed\nbogus-priv\n"
		"quiet-dhcp\nquiet-dhcp6\nquiet-ra\nno-ping\n",
		fabric->bridge, fabric->folder, fabric->folder, fabric->folder,
		fabric->folder, n->domain, n->domain);
	if (n->kind == NETWORK_ISOLATED)
		fprintf(to, "no-resolv\n");
	write_four(to, n);
	write_six(to, fabric);
	write_sets(to, fabric);
}

/* A machine's name as a host's (RFC 1123): _ is none of its letters. */
static void host_name(char name[NETWORK_NAME_MAX + 1], const char *machine)
{
	snprintf(name, NETWORK_NAME_MAX + 1, "%s", machine);
	while ((name = strchr(name, '_')))
		*name = '-';
}

static void write_hosts(FILE *to, const struct fabric *fabric)
{
	char name[NETWORK_NAME_MAX + 1], text[NET_ADDRESS];

	for (unsigned int i = 0; i < fabric->ports; i++) {
		const struct fabric_port *p = &fabric->port[i];

		host_name(name, p->machine);
		if (p->ip4)
			fprintf(to, "%s %s.%s %s\n", text4(p->ip4, text), name,
				fabric->network.domain, name);
		if (fabric->network.has6)
			fprintf(to, "%s %s.%s %s\n", text6(&p->ip6, text),
				name, fabric->network.domain, name);
	}
}

static void write_cards(FILE *to, const struct fabric *fabric)
{
	char text[NET_ADDRESS], mac[ADDRESS_MAC];

	for (unsigned int i = 0; i < fabric->ports; i++) {
		const struct fabric_port *p = &fabric->port[i];

		if (p->ip4)
			fprintf(to, "%s,%s\n", address_mac(mac, p->mac),
				text4(p->ip4, text));
	}
}

/* --- its files ------------------------------------------------------------------------ */

static bool holds(const char *path, const char *text, size_t size)
{
	char *there = malloc(size + 1);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool same = there && fd >= 0 &&
		    read(fd, there, size + 1) == (ssize_t)size &&
		    !memcmp(there, text, size);

	if (fd >= 0)
		close(fd);
	free(there);
	return same;
}

/* 1: it was another; 0: it was the same; or a negative errno. */
static int put(const struct fabric *fabric, const char *name,
	       void (*write_it)(FILE *to, const struct fabric *fabric))
{
	char path[FILE_MAX], draft[FILE_MAX], *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);
	int fd, err = 1;

	if (!to)
		return -ENOMEM;
	write_it(to, fabric);
	if (fclose(to))
		return -ENOMEM;
	file_of(fabric, name, path);
	file_of(fabric, ".new", draft);
	if (holds(path, text, size)) {
		free(text);
		return 0;
	}
	unlink(draft);
	fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0 || fchmod(fd, 0644) ||
	    write(fd, text, size) != (ssize_t)size || rename(draft, path))
		err = errno ? -errno : -EIO;
	if (fd >= 0)
		close(fd);
	free(text);
	return err;
}

/* For root to write and everyone to read, whatever the umask says. */
static int make_folder(const char *path)
{
	struct stat st;

	if (mkdir(path, 0755) && errno != EEXIST)
		return -errno;
	if (lstat(path, &st))
		return -errno;
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid())
		return -EPERM;
	return chmod(path, 0755) ? -errno : 0;
}

static int make_folders(const struct fabric *fabric)
{
	char above[FABRIC_PATH];
	int err;

	snprintf(above, sizeof(above), "%s", fabric->folder);
	*strrchr(above, '/') = '\0';
	err = make_folder(above);
	return err ? err : make_folder(fabric->folder);
}

/* --- the process ------------------------------------------------------------------------ */

/* Whether that process is the network's dnsmasq: its command line says so. */
static bool is_ours(const struct fabric *fabric, pid_t pid)
{
	char path[64], line[512], *word = line;
	ssize_t size;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	size = read(fd, line, sizeof(line) - 1);
	close(fd);
	line[size > 0 ? size : 0] = '\0';
	for (; word < line + size; word += strlen(word) + 1)
		if (strstr(word, fabric->folder))
			return true;
	return false;
}

int fabric_names_watch(const struct fabric *fabric)
{
	char path[FILE_MAX], text[16] = "";
	int file, fd;
	pid_t pid;

	file_of(fabric, "pid", path);
	file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (file < 0)
		return -1;
	pid = read(file, text, sizeof(text) - 1) > 0 ? atoi(text) : 0;
	close(file);
	/* The descriptor first: whatever has the number then, it is that. */
	fd = pid > 1 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	if (fd < 0 || is_ours(fabric, pid))
		return fd;
	close(fd);
	return -1;
}

static void send_signal(int pidfd, int number)
{
	syscall(SYS_pidfd_send_signal, pidfd, number, NULL, 0);
}

/* It has nothing to lose. Its addresses are free once it has ended. */
static void stop(const struct fabric *fabric)
{
	int fd = fabric_names_watch(fabric);
	char path[FILE_MAX];

	if (fd >= 0) {
		struct pollfd ended = { .fd = fd, .events = POLLIN };

		send_signal(fd, SIGKILL);
		poll(&ended, 1, STOP_MS);
		close(fd);
	}
	file_of(fabric, "pid", path);
	unlink(path);
}

static int start(const struct fabric *fabric, struct net_error *error)
{
	char path[FILE_MAX + 16];
	const char *const argv[] = { "dnsmasq", path, NULL };

	snprintf(path, sizeof(path), "--conf-file=%s/config", fabric->folder);
	return fabric_run(argv, NULL, NULL, error);
}

int fabric_names_folder(const struct fabric *fabric, struct net_error *error)
{
	int err = make_folders(fabric);

	if (err == -EPERM || err == -EACCES)
		return fabric_refuse(fabric->network.name, error);
	return err ? net_error_set(error, "%s: %s", fabric->folder,
				   strerror(-err)) : 0;
}

int fabric_names_make(const struct fabric *fabric, struct net_error *error)
{
	int config = put(fabric, "config", write_config), hosts = 0, cards = 0;
	int fd;

	if (config >= 0)
		hosts = put(fabric, "hosts", write_hosts);
	if (hosts >= 0)
		cards = put(fabric, "cards", write_cards);
	if (config < 0 || hosts < 0 || cards < 0)
		return net_error_set(error, "%s: %s", fabric->folder,
				     strerror(config < 0 ? -config :
					      hosts < 0 ? -hosts : -cards));
	if (config)
		stop(fabric);
	fd = fabric_names_watch(fabric);
	if (fd < 0)
		return start(fabric, error);
	if (hosts || cards)
		send_signal(fd, SIGHUP);
	close(fd);
	return 0;
}

void fabric_names_stop(const struct fabric *fabric)
{
	static const char *const files[] = { "config", "hosts", "cards",
					     "leases", "pid", ".new" };
	char path[FILE_MAX];

	stop(fabric);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		file_of(fabric, files[i], path);
		unlink(path);
	}
	rmdir(fabric->folder);
}
