/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Firecracker API after its public specification (firecracker.yaml of
 * version 1.13): requests to answers, over a machine that may not have
 * started yet. What lodge does not do (snapshots, MMDS, CPU templates, pmem,
 * memory hotplug) is refused in words.
 */
#ifndef LODGE_FIRECRACKER_API_H
#define LODGE_FIRECRACKER_API_H

#include "firecracker/config.h"

#define FC_VERSION "1.13.0" /* of the specification */
#define FC_ID_MAX  64

/* The machine. Each gives 0, or -1 with `fault`. */
struct fc_machine_ops {
	int (*start)(void *ctx, const struct fc_config *config,
		     struct fc_fault *fault);
	/* A request of the control socket (docs/control.md); the result. */
	json_t *(*ask)(void *ctx, json_t *request, struct fc_fault *fault);
	/* A file that is appended to, made when missing: fd or -errno. */
	int (*open)(void *ctx, const char *path);
	/* What is said goes to `fd` from now on, which is taken. */
	void (*log)(void *ctx, int fd);
};

struct fc_api {
	struct fc_config config;
	const struct fc_machine_ops *ops;
	void *ctx;
	bool started, paused;
	char id[FC_ID_MAX + 1];
	/* What FlushMetrics writes. */
	uint64_t requests, refused;
};

struct fc_answer {
	int status;
	json_t *body; /* NULL: none */
};

/* -1: no memory. */
int fc_api_init(struct fc_api *api, const char *id,
		const struct fc_machine_ops *ops, void *ctx);
void fc_api_fini(struct fc_api *api);

/* Answers a request; `body` of `size` bytes. */
void fc_api_answer(struct fc_api *api, const char *method, const char *path,
		   const char *body, size_t size, struct fc_answer *answer);

/* An answer of `status` for a request that could not be read. */
void fc_api_bad(struct fc_api *api, int status, struct fc_answer *answer);

/*
 * Puts a whole configuration, as GET /vm/config tells it or --config-file
 * has it. 0, or -1 with `fault`, which names the part.
 */
int fc_api_load(struct fc_api *api, const json_t *config,
		struct fc_fault *fault);

/* Starts the machine. 0, or -1 with `fault`. */
int fc_api_start(struct fc_api *api, struct fc_fault *fault);

/* Appends a line to the file of metrics, if there is one. */
int fc_api_flush(struct fc_api *api, struct fc_fault *fault);

#endif
