/* SPDX-License-Identifier: Apache-2.0 */
#include "image/checksum.h"

#include <ctype.h>
#include <errno.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define PIECE (1u << 20)

/* `length` hexadecimal digits, that end there, in small letters. */
static bool take_digits(const char *text, size_t length, const char *kind,
			char checksum[CHECKSUM_MAX])
{
	char *to = checksum + sprintf(checksum, "%s:", kind);

	for (size_t i = 0; i < length; i++) {
		if (!isxdigit((unsigned char)text[i]))
			return false;
		*to++ = (char)tolower((unsigned char)text[i]);
	}
	*to = '\0';
	return !isalnum((unsigned char)text[length]);
}

bool checksum_parse(const char *text, char checksum[CHECKSUM_MAX])
{
	size_t digits;

	if (!strncasecmp(text, "sha256:", 7) ||
	    !strncasecmp(text, "sha512:", 7)) {
		digits = text[3] == '2' ? 64 : 128;
		text += 7;
		return strlen(text) == digits &&
		       take_digits(text, digits,
				   digits == 64 ? "sha256" : "sha512",
				   checksum);
	}
	digits = strspn(text, "0123456789abcdefABCDEF");
	if (text[digits] || (digits != 64 && digits != 128))
		return false;
	return take_digits(text, digits, digits == 64 ? "sha256" : "sha512",
			   checksum);
}

/* The digits that begin at `text`, when it is a checksum. */
static bool leading(const char *text, char checksum[CHECKSUM_MAX])
{
	char word[130];
	size_t digits = strspn(text, "0123456789abcdefABCDEF");

	if (digits != 64 && digits != 128)
		return false;
	snprintf(word, sizeof(word), "%.*s", (int)digits, text);
	return checksum_parse(word, checksum);
}

/* One line of a list, without its end. */
static bool line_has(const char *line, const char *name,
		     char checksum[CHECKSUM_MAX])
{
	size_t length = strlen(name), digits;
	const char *at;

	if (!strncmp(line, "SHA256 (", 8) || !strncmp(line, "SHA512 (", 8)) {
		at = line + 8;
		if (strncmp(at, name, length) ||
		    strncmp(at + length, ") = ", 4))
			return false;
		return leading(at + length + 4, checksum);
	}
	digits = strspn(line, "0123456789abcdefABCDEF");
	at = line + digits;
	at += strspn(at, " \t*");
	if (!strncmp(at, "./", 2))
		at += 2;
	/* A digest that stands alone is that of the only file. */
	return (!*at || !strcmp(at, name)) && leading(line, checksum);
}

bool checksum_find(const char *list, const char *name,
		   char checksum[CHECKSUM_MAX])
{
	char line[1024];

	while (*list) {
		size_t length = strcspn(list, "\r\n");

		snprintf(line, sizeof(line), "%.*s", (int)length, list);
		if (length < sizeof(line) && line_has(line, name, checksum))
			return true;
		list += length;
		list += strspn(list, "\r\n");
	}
	return false;
}

int checksum_file(int fd, const char *like, char checksum[CHECKSUM_MAX],
		  struct disk_job *job)
{
	bool wide = !strncmp(like, "sha512:", 7);
	uint8_t digest[SHA512_DIGEST_SIZE];
	struct sha256_ctx sha256;
	struct sha512_ctx sha512;
	uint8_t *piece = malloc(PIECE);
	uint64_t at = 0;
	ssize_t n = 1;

	sha256_init(&sha256);
	sha512_init(&sha512);
	while (piece && n > 0 && !atomic_load(&job->cancel)) {
		n = pread(fd, piece, PIECE, (off_t)at);
		if (n > 0 && wide)
			sha512_update(&sha512, (size_t)n, piece);
		else if (n > 0)
			sha256_update(&sha256, (size_t)n, piece);
		at += n > 0 ? (uint64_t)n : 0;
		atomic_store(&job->done, at);
	}
	free(piece);
	if (!piece || n)
		return !piece ? -ENOMEM : n < 0 ? -errno : -ECANCELED;
	if (wide)
		sha512_digest(&sha512, SHA512_DIGEST_SIZE, digest);
	else
		sha256_digest(&sha256, SHA256_DIGEST_SIZE, digest);
	n = sprintf(checksum, wide ? "sha512:" : "sha256:");
	for (size_t i = 0; i < (wide ? 64u : 32u); i++)
		n += sprintf(checksum + n, "%02x", digest[i]);
	return 0;
}
