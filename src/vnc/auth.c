/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The challenge's answer. Clients have always taken the bits of each byte of
 * the key in reverse.
 */
#include "vnc/auth.h"

#include <nettle/des.h>

static uint8_t reversed(uint8_t byte)
{
	uint8_t out = 0;

	for (unsigned int i = 0; i < 8; i++)
		out = (uint8_t)(out << 1 | (byte >> i & 1));
	return out;
}

void vnc_auth_answer(const char *password,
		     const uint8_t challenge[RFB_CHALLENGE_SIZE],
		     uint8_t answer[RFB_CHALLENGE_SIZE])
{
	uint8_t key[DES_KEY_SIZE] = { 0 };
	struct des_ctx des;

	for (unsigned int i = 0; i < DES_KEY_SIZE && password[i]; i++)
		key[i] = reversed((uint8_t)password[i]);
	/* That a key is among DES's weak ones changes nothing here. */
	(void)des_set_key(&des, key);
	des_encrypt(&des, RFB_CHALLENGE_SIZE, answer, challenge);
}

bool vnc_auth_same(const uint8_t a[RFB_CHALLENGE_SIZE],
		   const uint8_t b[RFB_CHALLENGE_SIZE])
{
	unsigned int differ = 0;

	for (unsigned int i = 0; i < RFB_CHALLENGE_SIZE; i++)
		differ |= a[i] ^ b[i];
	return !differ;
}
