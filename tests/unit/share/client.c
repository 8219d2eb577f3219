/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REQUEST_MAX 4096u

void client_open(struct client *client, bool readonly,
		 unsigned int descriptors)
{
	struct server_config config = {
		.readonly = readonly,
		.descriptors = descriptors,
	};
	struct fuse_init_in in = { .major = 7, .minor = 31 };
	struct answer answer;
	char secret[80];
	FILE *file;

	strcpy(client->base, "/tmp/lodge-test-XXXXXX");
	assert_non_null(mkdtemp(client->base));
	snprintf(client->folder, sizeof(client->folder), "%s/folder",
		 client->base);
	assert_int_equal(mkdir(client->folder, 0755), 0);
	snprintf(secret, sizeof(secret), "%s/secret", client->base);
	file = fopen(secret, "w");
	assert_non_null(file);
	fputs("secret", file);
	fclose(file);
	client->fd = open(client->folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	config.folder = client->fd;
	assert_int_equal(server_init(&client->server, &config), 0);
	assert_int_equal(client_ask(client, FUSE_INIT, 0, &in, sizeof(in),
				    NULL, 0, &answer), 0);
}

static int remove_one(const char *path, const struct stat *status, int type,
		      struct FTW *at)
{
	return remove(path);
}

void client_close(struct client *client)
{
	server_fini(&client->server);
	close(client->fd);
	nftw(client->base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void client_put(struct client *client, const char *name, const char *text)
{
	int fd = openat(client->fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

int client_ask(struct client *client, uint32_t opcode, uint64_t node,
	       const void *in, uint32_t size, const char *names,
	       uint32_t names_size, struct answer *answer)
{
	_Alignas(8) uint8_t request[REQUEST_MAX] = { 0 };
	_Alignas(8) uint8_t reply[sizeof(answer->bytes) +
				  sizeof(struct fuse_out_header)];
	struct fuse_out_header *out = (void *)reply;
	struct fuse_in_header head = {
		.len = (uint32_t)sizeof(head) + size + names_size,
		.opcode = opcode,
		.nodeid = node,
		.unique = 0x1234567890,
	};
	uint32_t written;

	assert_true(head.len <= sizeof(request));
	memcpy(request, &head, sizeof(head));
	if (size)
		memcpy(request + sizeof(head), in, size);
	if (names_size)
		memcpy(request + sizeof(head) + size, names, names_size);
	written = server_answer(&client->server, request, head.len, reply,
				sizeof(reply));
	assert_true(written >= sizeof(*out) && written <= sizeof(reply));
	assert_int_equal(out->len, written);
	assert_true(out->unique == head.unique);
	answer->error = out->error;
	answer->size = written - (uint32_t)sizeof(*out);
	memcpy(answer->bytes, out + 1, answer->size);
	assert_true(!answer->error || !answer->size);
	return answer->error;
}

int client_name(struct client *client, uint32_t opcode, uint64_t node,
		const char *name, struct answer *answer)
{
	return client_ask(client, opcode, node, NULL, 0, name,
			  (uint32_t)strlen(name) + 1, answer);
}

int client_lookup(struct client *client, uint64_t parent, const char *name,
		  uint64_t *node)
{
	const struct fuse_entry_out *entry;
	struct answer answer;
	int rc = client_name(client, FUSE_LOOKUP, parent, name, &answer);

	if (rc)
		return rc;
	assert_int_equal(answer.size, sizeof(*entry));
	entry = (const void *)answer.bytes;
	*node = entry->nodeid;
	return entry->nodeid ? 0 : -ENOENT;
}

int client_open_node(struct client *client, uint64_t node, bool folder,
		     uint32_t flags, uint64_t *handle)
{
	const struct fuse_open_in in = { .flags = flags };
	struct answer answer;
	int rc = client_ask(client, folder ? FUSE_OPENDIR : FUSE_OPEN, node,
			    &in, sizeof(in), NULL, 0, &answer);

	if (!rc)
		*handle = ((const struct fuse_open_out *)
				   (const void *)answer.bytes)->fh;
	return rc;
}

void client_release(struct client *client, uint64_t handle, bool folder)
{
	const struct fuse_release_in in = { .fh = handle };
	struct answer answer;

	client_ask(client, folder ? FUSE_RELEASEDIR : FUSE_RELEASE, 0, &in,
		   sizeof(in), NULL, 0, &answer);
}

int client_read(struct client *client, uint64_t handle, void *to,
		uint32_t size)
{
	const struct fuse_read_in in = { .fh = handle, .size = size };
	struct answer answer;
	int rc = client_ask(client, FUSE_READ, 0, &in, sizeof(in), NULL, 0,
			    &answer);

	if (rc)
		return rc;
	assert_true(answer.size <= size);
	memcpy(to, answer.bytes, answer.size);
	return (int)answer.size;
}

void client_forget(struct client *client, uint64_t node, uint64_t count)
{
	struct {
		struct fuse_in_header head;
		struct fuse_forget_in in;
	} request = {
		.head = { .len = sizeof(request),
			  .opcode = FUSE_FORGET,
			  .nodeid = node },
		.in.nlookup = count,
	};

	assert_int_equal(server_answer(&client->server, &request,
				       sizeof(request), NULL, 0), 0);
}

int client_getattr(struct client *client, uint64_t node,
		   struct fuse_attr *attr)
{
	const struct fuse_getattr_in in = { 0 };
	struct answer answer;
	int rc = client_ask(client, FUSE_GETATTR, node, &in, sizeof(in), NULL,
			    0, &answer);

	if (!rc)
		*attr = ((const struct fuse_attr_out *)
				 (const void *)answer.bytes)->attr;
	return rc;
}

unsigned int client_descriptors(void)
{
	DIR *list = opendir("/proc/self/fd");
	unsigned int count = 0;

	assert_non_null(list);
	while (readdir(list))
		count++;
	closedir(list);
	return count;
}
