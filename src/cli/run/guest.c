/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the default guest.
 */
#include "cli/run/guest.h"

#include "cli/option.h"
#include "cli/run/data.h"

/*
 * tsc=reliable and no_timer_check leave out waits that check hardware which
 * is right here, cryptomgr.notests the kernel's tests of its ciphers, which
 * are two thirds of the boot. A panic reboots at once.
 */
const char guest_append[] = "console=ttyS0 quiet tsc=reliable no_timer_check "
			    "cryptomgr.notests panic=-1";

int guest_find(struct guest *guest)
{
	if (data_find(guest->kernel, "guest/default/vmlinux") &&
	    data_find(guest->initrd, "guest/default/initrd"))
		return 0;
	cli_error("run: no default guest; make it with `make guest` in the "
		  "source tree, or name a kernel with --kernel FILE");
	return -1;
}
