/* SPDX-License-Identifier: Apache-2.0 */
#include "manage/client.h"

#include <stdio.h>
#include <string.h>

#define NS 1e9

static double left_now(const struct client *client, double rate, uint64_t now)
{
	return client->left + rate * (double)(now - client->seen) / NS;
}

/* Its place, or else the one that was used the longest ago. */
static struct client *place_of(struct clients *clients, const char *key)
{
	struct client *oldest = &clients->client[0];

	for (unsigned int i = 0; i < CLIENTS_KEPT; i++) {
		struct client *client = &clients->client[i];

		if (!strcmp(client->key, key))
			return client;
		if (client->seen < oldest->seen)
			oldest = client;
	}
	return oldest;
}

bool clients_take(struct clients *clients, const char *key, double rate,
		  double burst, uint64_t now, unsigned int *seconds)
{
	struct client *client = place_of(clients, key);

	if (strcmp(client->key, key)) {
		snprintf(client->key, sizeof(client->key), "%s", key);
		client->left = burst;
	} else {
		client->left = left_now(client, rate, now);
		if (client->left > burst)
			client->left = burst;
	}
	client->seen = now;
	if (client->left >= 1) {
		client->left -= 1;
		return true;
	}
	*seconds = 1 + (unsigned int)((1 - client->left) / rate);
	return false;
}
