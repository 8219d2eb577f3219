/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Telling the service manager how far we are: sd_notify(3)'s protocol, a
 * datagram to the Unix socket that $NOTIFY_SOCKET names.
 */
#ifndef LODGE_HOST_LINUX_NOTIFY_H
#define LODGE_HOST_LINUX_NOTIFY_H

/*
 * Sends `state`, such as "READY=1": 0, also when nobody wants to know, or
 * -errno.
 */
int notify_manager(const char *state);

#endif
