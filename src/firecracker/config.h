/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What clients of the Firecracker API say of a machine before it starts, by
 * the definitions of its public specification (firecracker.yaml), and the
 * words of lodge-vm that it becomes.
 */
#ifndef LODGE_FIRECRACKER_CONFIG_H
#define LODGE_FIRECRACKER_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define FC_FAULT_MAX 400
#define FC_DRIVES    16
#define FC_NETS	     8

/* What is wrong, for `fault_message`. */
struct fc_fault {
	char text[FC_FAULT_MAX];
};

/* Fills it and gives -1. */
int fc_fault(struct fc_fault *fault, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The definitions of the specification. */
enum fc_kind {
	FC_BOOT_SOURCE,
	FC_DRIVE,
	FC_PARTIAL_DRIVE,
	FC_NET,
	FC_PARTIAL_NET,
	FC_MACHINE,
	FC_PARTIAL_MACHINE,
	FC_BALLOON,
	FC_BALLOON_UPDATE,
	FC_BALLOON_STATS,
	FC_VSOCK,
	FC_ENTROPY,
	FC_SERIAL,
	FC_LOGGER,
	FC_METRICS,
	FC_ACTION,
	FC_VM,
};

/* Holds an object against a definition. 0, or -1 with `fault`. */
int fc_check(enum fc_kind kind, const json_t *object, struct fc_fault *fault);

/* NULL: it was not told. */
struct fc_config {
	json_t *boot_source, *balloon, *vsock, *entropy, *serial, *logger,
		*metrics;
	json_t *machine; /* all members */
	json_t *drives, *nets; /* arrays, in the order in which they came */
};

int fc_config_init(struct fc_config *config); /* -1: no memory */
void fc_config_fini(struct fc_config *config);

/* Puts in an object that was checked, or in place of one of its id. */
int fc_config_put_drive(struct fc_config *config, json_t *drive,
			struct fc_fault *fault);
int fc_config_put_net(struct fc_config *config, json_t *net,
		      struct fc_fault *fault);

/* One of that id, or NULL. `index` (may be NULL): its place. */
json_t *fc_find(const json_t *list, const char *member, const char *id,
		size_t *index);

/* What GET /vm/config answers. */
json_t *fc_config_json(const struct fc_config *config);

/* How many bytes of a limiter's bucket fall into a second; 0: no limit. */
uint64_t fc_rate(const json_t *limiter, const char *bucket);

/* Arguments: NULL behind the last; to be freed with what they point at. */
char **fc_config_args(const struct fc_config *config, const char *name);
void fc_args_free(char **args);

/* Bytes of the guest's memory. */
uint64_t fc_memory(const struct fc_config *config);

#endif
