/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VNC authentication (RFC 6143, 7.2.2): the client encrypts a challenge with
 * the password. Weak by today's measure: eight characters, DES, and nothing
 * after it is encrypted.
 */
#ifndef LODGE_VNC_AUTH_H
#define LODGE_VNC_AUTH_H

#include <stdbool.h>
#include <stdint.h>

#include "vnc/protocol.h"

#define VNC_PASSWORD_MAX 8

/* What a client answers that knows the password. */
void vnc_auth_answer(const char *password,
		     const uint8_t challenge[RFB_CHALLENGE_SIZE],
		     uint8_t answer[RFB_CHALLENGE_SIZE]);

/* In a time that tells nothing about where they differ. */
bool vnc_auth_same(const uint8_t a[RFB_CHALLENGE_SIZE],
		   const uint8_t b[RFB_CHALLENGE_SIZE]);

#endif
