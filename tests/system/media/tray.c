/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In the guest: what programs of the kind of eject(1) ask Linux's CD driver.
 * tray eject|shut|lock|unlock|status|changed DEVICE
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/cdrom.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

static const struct {
	const char *name;
	unsigned long request, argument;
} commands[] = {
	{ "eject", CDROMEJECT, 0 },
	{ "shut", CDROMCLOSETRAY, 0 },
	{ "lock", CDROM_LOCKDOOR, 1 },
	{ "unlock", CDROM_LOCKDOOR, 0 },
	{ "status", CDROM_DRIVE_STATUS, CDSL_CURRENT },
	{ "changed", CDROM_MEDIA_CHANGED, CDSL_CURRENT },
};

int main(int argc, char **argv)
{
	int fd = open(argc == 3 ? argv[2] : "", O_RDONLY | O_NONBLOCK);

	for (unsigned int i = 0; i < sizeof(commands) / sizeof(commands[0]);
	     i++) {
		int answer;

		if (fd < 0 || strcmp(argv[1], commands[i].name))
			continue;
		answer = ioctl(fd, commands[i].request, commands[i].argument);
		printf("%d\n", answer < 0 ? -errno : answer);
		return answer < 0;
	}
	return 2;
}
