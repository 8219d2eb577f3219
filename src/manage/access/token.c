/* SPDX-License-Identifier: Apache-2.0 */
#include "manage/access/token.h"

#include <nettle/sha2.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>


#define PREFIX "lodge_"
#define SECRET 32

/* --- the registry ------------------------------------------------------------------ */

static int failed(sqlite3 *db, struct problem *problem)
{
	return problem_set(problem, sqlite3_errcode(db) == SQLITE_FULL ? 507 :
									 500,
			   "registry", "the registry does not take it: %s",
			   sqlite3_errmsg(db));
}

static json_t *grants_json(const struct token *token)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < token->grants; i++)
		json_array_append_new(
			list, json_pack("{ss ss}", "vm", token->grant[i].vm,
					"role",
					role_name(token->grant[i].role)));
	return list;
}

static void take_grants(struct token *token, const char *text)
{
	json_t *list = json_loads(text, 0, NULL), *item;
	size_t i;

	json_array_foreach(list, i, item) {
		struct token_grant *grant = &token->grant[token->grants];
		const char *vm, *role;

		if (token->grants == TOKEN_GRANTS_MAX ||
		    json_unpack(item, "{ss ss}", "vm", &vm, "role", &role) ||
		    role_find(role) == ROLES)
			continue;
		snprintf(grant->vm, sizeof(grant->vm), "%s", vm);
		grant->role = role_find(role);
		token->grants++;
	}
	json_decref(list);
}

static const char *column(sqlite3_stmt *row, int number)
{
	const unsigned char *text = sqlite3_column_text(row, number);

	return text ? (const char *)text : "";
}

static int append(struct tokens *tokens, const struct token *token)
{
	struct token **more = realloc(tokens->token, (tokens->count + 1) *
							     sizeof(*more));
	struct token *copy = more ? malloc(sizeof(*copy)) : NULL;

	if (more)
		tokens->token = more;
	if (!copy)
		return -1;
	*copy = *token;
	tokens->token[tokens->count++] = copy;
	return 0;
}

static int take_row(struct tokens *tokens, sqlite3_stmt *row)
{
	struct token token = {
		.id = sqlite3_column_int64(row, 0),
		.certificate = sqlite3_column_bytes(row, 2) != TOKEN_HASH,
		.role = role_find(column(row, 3)),
		.created = sqlite3_column_int64(row, 5),
		.expires = sqlite3_column_int64(row, 6),
	};

	snprintf(token.name, sizeof(token.name), "%s", column(row, 1));
	if (!token.certificate)
		memcpy(token.hash, sqlite3_column_blob(row, 2), TOKEN_HASH);
	if (token.role == ROLES)
		token.role = ROLE_NONE;
	take_grants(&token, column(row, 4));
	return append(tokens, &token);
}

int tokens_load(struct tokens *tokens, struct registry *registry,
		struct problem *problem)
{
	static const char text[] = "SELECT id, name, hash, role, grants, "
				   "created, expires FROM tokens ORDER BY id";
	sqlite3 *db = registry_database(registry);
	sqlite3_stmt *row;
	int code;

	*tokens = (struct tokens){ .registry = registry };
	if (sqlite3_prepare_v2(db, text, -1, &row, NULL))
		return failed(db, problem);
	while ((code = sqlite3_step(row)) == SQLITE_ROW)
		if (take_row(tokens, row))
			break;
	sqlite3_finalize(row);
	return code == SQLITE_DONE ? 0 : failed(db, problem);
}

void tokens_free(struct tokens *tokens)
{
	for (size_t i = 0; i < tokens->count; i++)
		free(tokens->token[i]);
	free(tokens->token);
	*tokens = (struct tokens){ 0 };
}

static int insert(struct tokens *tokens, struct token *token,
		  struct problem *problem)
{
	static const char text[] = "INSERT INTO tokens (name, hash, role, "
				   "grants, created, expires) "
				   "VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
	sqlite3 *db = registry_database(tokens->registry);
	json_t *list = grants_json(token);
	char *grants = json_dumps(list, JSON_COMPACT);
	sqlite3_stmt *row;
	int code = SQLITE_NOMEM;

	json_decref(list);
	if (grants && !sqlite3_prepare_v2(db, text, -1, &row, NULL)) {
		sqlite3_bind_text(row, 1, token->name, -1, SQLITE_STATIC);
		if (!token->certificate)
			sqlite3_bind_blob(row, 2, token->hash, TOKEN_HASH,
					  SQLITE_STATIC);
		sqlite3_bind_text(row, 3, role_name(token->role), -1,
				  SQLITE_STATIC);
		sqlite3_bind_text(row, 4, grants, -1, SQLITE_STATIC);
		sqlite3_bind_int64(row, 5, token->created);
		sqlite3_bind_int64(row, 6, token->expires);
		code = sqlite3_step(row);
		sqlite3_finalize(row);
		token->id = sqlite3_last_insert_rowid(db);
	}
	free(grants);
	return code == SQLITE_DONE ? 0 : failed(db, problem);
}

/* --- changes ------------------------------------------------------------------------ */

static void hash_text(const char *text, unsigned char hash[TOKEN_HASH])
{
	struct sha256_ctx sha;

	sha256_init(&sha);
	sha256_update(&sha, strlen(text), (const uint8_t *)text);
	sha256_digest(&sha, TOKEN_HASH, hash);
}

static int make_text(char text[TOKEN_TEXT_SIZE])
{
	unsigned char secret[SECRET];
	char *at = text + sizeof(PREFIX) - 1;

	if (getrandom(secret, sizeof(secret), 0) != sizeof(secret))
		return -1;
	strcpy(text, PREFIX);
	for (int i = 0; i < SECRET; i++)
		at += sprintf(at, "%02x", secret[i]);
	explicit_bzero(secret, sizeof(secret));
	return 0;
}

const struct token *tokens_add(struct tokens *tokens, const struct token *made,
			       char text[TOKEN_TEXT_SIZE],
			       struct problem *problem)
{
	struct token token = *made;

	text[0] = '\0';
	if (tokens_by_name(tokens, token.name)) {
		problem_set(problem, 409, "name-taken", "there is a token %s; "
			    "give another name, or lodge token revoke %s first",
			    token.name, token.name);
		return NULL;
	}
	token.created = time(NULL);
	if (!token.certificate && make_text(text)) {
		problem_set(problem, 500, "host", "no random numbers");
		return NULL;
	}
	hash_text(text, token.hash);
	if (insert(tokens, &token, problem))
		return NULL;
	if (!append(tokens, &token))
		return tokens->token[tokens->count - 1];
	problem_set(problem, 500, "no-memory", "out of memory");
	return NULL;
}

int tokens_remove(struct tokens *tokens, const char *name,
		  struct problem *problem)
{
	sqlite3 *db = registry_database(tokens->registry);
	sqlite3_stmt *row;
	size_t i = 0;
	int code;

	while (i < tokens->count && strcmp(tokens->token[i]->name, name))
		i++;
	if (i == tokens->count)
		return problem_set(problem, 404, "no-such-token", "there is "
				   "no token %.80s; lodge token list shows "
				   "them", name);
	if (sqlite3_prepare_v2(db, "DELETE FROM tokens WHERE id = ?1", -1,
			       &row, NULL))
		return failed(db, problem);
	sqlite3_bind_int64(row, 1, tokens->token[i]->id);
	code = sqlite3_step(row);
	sqlite3_finalize(row);
	if (code != SQLITE_DONE)
		return failed(db, problem);
	free(tokens->token[i]);
	tokens->count--;
	memmove(&tokens->token[i], &tokens->token[i + 1],
		(tokens->count - i) * sizeof(*tokens->token));
	return 0;
}

/* --- finding ------------------------------------------------------------------------ */

static bool holds(const struct token *token)
{
	return !token->expires || token->expires > time(NULL);
}

/* Hashes are compared: how long that takes tells nothing of the secret. */
const struct token *tokens_by_text(const struct tokens *tokens,
				   const char *text)
{
	unsigned char hash[TOKEN_HASH];

	hash_text(text, hash);
	for (size_t i = 0; i < tokens->count; i++)
		if (!tokens->token[i]->certificate &&
		    !memcmp(tokens->token[i]->hash, hash, TOKEN_HASH))
			return holds(tokens->token[i]) ? tokens->token[i] :
							 NULL;
	return NULL;
}

const struct token *tokens_by_certificate(const struct tokens *tokens,
					  const char *common_name)
{
	const struct token *token = tokens_by_name(tokens, common_name);

	return token && token->certificate && holds(token) ? token : NULL;
}

const struct token *tokens_by_id(const struct tokens *tokens, int64_t id)
{
	for (size_t i = 0; i < tokens->count; i++)
		if (tokens->token[i]->id == id)
			return holds(tokens->token[i]) ? tokens->token[i] :
							 NULL;
	return NULL;
}

const struct token *tokens_by_name(const struct tokens *tokens,
				   const char *name)
{
	for (size_t i = 0; i < tokens->count; i++)
		if (!strcmp(tokens->token[i]->name, name))
			return tokens->token[i];
	return NULL;
}

enum role token_role(const struct token *token, const char *vm)
{
	enum role role = token->role;

	for (unsigned int i = 0; i < token->grants; i++)
		if (token->grant[i].role > role &&
		    !strcmp(token->grant[i].vm, vm))
			role = token->grant[i].role;
	return role;
}
