/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walls of a switch's process, which looks at what machines send and, on
 * a network with a way out, holds their connections: no new privileges and
 * no capabilities but that for ports below 1024; by Landlock (landlock(7)) no
 * file but those of its network's folder, and to read what the C library does
 * of the system's; of the kernel's calls those that it makes
 * (seccomp(2)).
 */
#ifndef LODGE_NET_SWITCH_CONFINE_H
#define LODGE_NET_SWITCH_CONFINE_H

/*
 * For good, for this thread and those that it starts; `folder`: the network's,
 * open. 0 or a negative errno. Kernels without Landlock go without.
 */
int confine_switch(int folder);

#endif
