/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens: who may use the API from elsewhere. A token is 256 random bits,
 * shown when it is made and never again; the registry keeps their SHA-256
 * (nobody guesses such a number, so a slow hash would protect nothing). One
 * of a certificate has no secret: it says what the holder of a client's
 * certificate with that common name may.
 *
 * All are in memory; the registry is written first.
 */
#ifndef LODGE_MANAGE_ACCESS_TOKEN_H
#define LODGE_MANAGE_ACCESS_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "manage/access/role.h"
#include "manage/registry/registry.h"

#define TOKEN_NAME_MAX	 63
#define TOKEN_TEXT_SIZE	 71 /* "lodge_", 64 digits, NUL */
#define TOKEN_HASH	 32
#define TOKEN_GRANTS_MAX 64

/* A role on one machine. */
struct token_grant {
	char vm[REGISTRY_ID_MAX + 1];
	enum role role;
};

struct token {
	int64_t id; /* never given again */
	char name[TOKEN_NAME_MAX + 1];
	bool certificate;
	unsigned char hash[TOKEN_HASH];
	enum role role; /* on everything */
	struct token_grant grant[TOKEN_GRANTS_MAX];
	unsigned int grants;
	int64_t created, expires; /* Unix time; expires 0: never */
};

struct tokens {
	struct registry *registry;
	struct token **token;
	size_t count;
};

/* 0, or -1 with `problem`. */
int tokens_load(struct tokens *tokens, struct registry *registry,
		struct problem *problem);
void tokens_free(struct tokens *tokens);

/*
 * Keeps a new one as `made` says (its id, hash and created are set here), and
 * gives its text, "" for a certificate's. NULL with `problem`.
 */
const struct token *tokens_add(struct tokens *tokens, const struct token *made,
			       char text[TOKEN_TEXT_SIZE],
			       struct problem *problem);

/* 0, or -1 with `problem`: there is none of that name. */
int tokens_remove(struct tokens *tokens, const char *name,
		  struct problem *problem);

/* Those that have not expired; NULL: none. */
const struct token *tokens_by_text(const struct tokens *tokens,
				   const char *text);
const struct token *tokens_by_certificate(const struct tokens *tokens,
					  const char *common_name);
const struct token *tokens_by_id(const struct tokens *tokens, int64_t id);

/* Also one that has. */
const struct token *tokens_by_name(const struct tokens *tokens,
				   const char *name);

/* What its holder may do with the machine of this id. */
enum role token_role(const struct token *token, const char *vm);

#endif
