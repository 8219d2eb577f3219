/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is wrong with a request, as the API tells it (RFC 9457): an HTTP
 * status, a word that programs tell it by, and a line for people that names
 * the thing and the mend.
 */
#ifndef LODGE_MANAGE_API_PROBLEM_H
#define LODGE_MANAGE_API_PROBLEM_H

#define PROBLEM_TEXT_MAX 400

struct problem {
	int status;	  /* 0: none */
	const char *code; /* "no-such-vm" */
	char text[PROBLEM_TEXT_MAX];
};

/* Fills `problem`; gives -1, so that a caller can return it. */
int problem_set(struct problem *problem, int status, const char *code,
		const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
