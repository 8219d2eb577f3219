/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/daemon/elsewhere.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/daemon/tls.h"
#include "cli/option.h"
#include "host/linux/extension.h"

#define PORT "8443"

static const struct {
	const char *option, *variable;
} settings[] = {
	{ "--connect", "LODGE_HOST" },	{ "--token-file", "LODGE_TOKEN_FILE" },
	{ "--ca", "LODGE_CA" },		{ "--cert", "LODGE_CERT" },
	{ "--key", "LODGE_KEY" },
};

#define SETTINGS (sizeof(settings) / sizeof(settings[0]))

/* The others reach a machine's process, or this computer's files. */
static const char *const able[] = {
	"vm",	 "create", "edit",  "clone", "apply",  "export",
	"start", "stop",   "pause", "resume", "reset", "rm",
	"ps",	 "top",	   "events", "token", "audit", "help",
	"version",
};

static const char *setting(const char *variable)
{
	const char *value = getenv(variable);

	return value && *value ? value : NULL;
}

bool elsewhere(void)
{
	return setting("LODGE_HOST") != NULL;
}

int elsewhere_take(int argc, char **argv)
{
	int taken = 0;

	while (taken < argc) {
		size_t i = 0;

		while (i < SETTINGS && strcmp(argv[taken], settings[i].option))
			i++;
		if (i == SETTINGS)
			break;
		if (taken + 1 == argc) {
			cli_error("%s: give it a value", argv[taken]);
			return -1;
		}
		setenv(settings[i].variable, argv[taken + 1], 1);
		taken += 2;
	}
	return taken;
}

bool elsewhere_can(const char *command)
{
	for (size_t i = 0; i < sizeof(able) / sizeof(able[0]); i++)
		if (!strcmp(able[i], command))
			return true;
	return false;
}

static int open_path(const char *path, struct vmm_error *error)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(address.sun_path))
		return vmm_error_set(error, "%s: the path is too long", path);
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 &&
	    !connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	vmm_error_set(error, "%s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

/* HOST, HOST:PORT, [ADDRESS]:PORT; a path behind it is none of ours. */
static int cut(char *text, struct tls_where *where)
{
	char *end;

	text[strcspn(text, "/")] = '\0';
	where->host = text;
	where->port = PORT;
	end = strrchr(text, ']');
	if (*text == '[' && end) {
		where->host = text + 1;
		*end++ = '\0';
	} else {
		end = strchr(text, ':');
		end = end ? end : text + strlen(text);
	}
	if (*end == ':') {
		*end = '\0';
		where->port = end + 1;
	} else if (*end) {
		return -1;
	}
	return *where->host && *where->port ? 0 : -1;
}

int elsewhere_open(struct vmm_error *error)
{
	const char *url = setting("LODGE_HOST");
	struct tls_where where = { .ca = setting("LODGE_CA"),
				   .certificate = setting("LODGE_CERT"),
				   .key = setting("LODGE_KEY") };
	char text[300], why[300];
	tls_opener *opener;
	int fd;

	if (!strncmp(url, "unix:", 5))
		return open_path(url + 5, error);
	snprintf(text, sizeof(text), "%s", url + 8);
	if (strncmp(url, "https://", 8) || cut(text, &where))
		return vmm_error_set(error, "%.200s: give https://HOST:PORT or "
				     "unix:PATH", url);
	if (!where.certificate != !where.key)
		return vmm_error_set(error, "--cert and --key go together");
	opener = (tls_opener *)extension_symbol("tls", "tls_open", why,
						sizeof(why));
	if (!opener)
		return vmm_error_set(error, "%s", why);
	fd = opener(&where, why, sizeof(why));
	return fd < 0 ? vmm_error_set(error, "%s", why) : fd;
}

int elsewhere_token(char token[ELSEWHERE_TOKEN_MAX], struct vmm_error *error)
{
	const char *path = setting("LODGE_TOKEN_FILE");
	FILE *file;

	token[0] = '\0';
	if (!path)
		return 0;
	file = fopen(path, "re");
	if (!file)
		return vmm_error_set(error, "%s: %s", path, strerror(errno));
	if (!fgets(token, ELSEWHERE_TOKEN_MAX, file))
		token[0] = '\0';
	fclose(file);
	token[strcspn(token, " \r\n")] = '\0';
	return *token ? 0 : vmm_error_set(error, "%s: there is no token in it",
					  path);
}
