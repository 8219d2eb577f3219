/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the default guest.
 */
#include "cli/guest.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/option.h"

/*
 * tsc=reliable and no_timer_check leave out waits that check hardware which
 * is right here, cryptomgr.notests the kernel's tests of its ciphers, which
 * are two thirds of the boot. A panic reboots at once.
 */
const char guest_append[] = "console=ttyS0 quiet tsc=reliable no_timer_check "
			    "cryptomgr.notests panic=-1";

/* From the program's folder: as built, as installed. */
static const char *const guest_folders[] = {
	"guest/default",
	LODGE_DATADIR "/guest/default",
};

/* The folder that the program is in; false when the host does not say. */
static bool program_folder(char *folder, size_t size)
{
	ssize_t length = readlink("/proc/self/exe", folder, size - 1);
	char *slash;

	if (length <= 0)
		return false;
	folder[length] = '\0';
	slash = strrchr(folder, '/');
	if (!slash)
		return false;
	*slash = '\0';
	return true;
}

static bool guest_in(struct guest *guest, const char *program,
		     const char *folder)
{
	bool absolute = folder[0] == '/';
	const char *base = absolute ? "" : program;
	const char *slash = absolute ? "" : "/";

	if (snprintf(guest->kernel, sizeof(guest->kernel), "%s%s%s/vmlinux",
		     base, slash, folder) >= (int)sizeof(guest->kernel) ||
	    snprintf(guest->initrd, sizeof(guest->initrd), "%s%s%s/initrd",
		     base, slash, folder) >= (int)sizeof(guest->initrd))
		return false;
	return !access(guest->kernel, R_OK) && !access(guest->initrd, R_OK);
}

int guest_find(struct guest *guest)
{
	char program[PATH_MAX];
	const size_t count = sizeof(guest_folders) / sizeof(guest_folders[0]);

	if (program_folder(program, sizeof(program)))
		for (size_t i = 0; i < count; i++)
			if (guest_in(guest, program, guest_folders[i]))
				return 0;
	cli_error("run: no default guest; make it with `make guest` in the "
		  "source tree, or name a kernel with --kernel FILE");
	return -1;
}
