/* SPDX-License-Identifier: Apache-2.0 */
#include "image/ova_make.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "image/checksum.h"

#define BLOCK 512u
#define PIECE (1u << 20)
#define OCTAL_MAX (1ull << 33) /* bytes that eleven octal digits tell */

struct ova {
	int fd;
	const struct ova_machine *machine;
	time_t now;
};

/* --- the archive ------------------------------------------------------------ */

static int write_all(int fd, const void *bytes, size_t size)
{
	const char *from = bytes;

	while (size) {
		ssize_t n = write(fd, from, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		from += n;
		size -= (size_t)n;
	}
	return 0;
}

/* A member's header (POSIX.1-1988, ustar). */
static int write_header(struct ova *ova, const char *name, uint64_t size)
{
	char block[BLOCK] = { 0 };
	unsigned int sum = 0;

	snprintf(block, 100, "%s", name);
	memcpy(block + 100, "0000644", 8);
	memcpy(block + 108, "0000000", 8);
	memcpy(block + 116, "0000000", 8);
	if (size < OCTAL_MAX) {
		snprintf(block + 124, 12, "%011llo", (unsigned long long)size);
	} else { /* base 256, as GNU tar has it */
		block[124] = (char)0x80;
		for (unsigned int i = 0; i < 8; i++)
			block[135 - i] = (char)(size >> 8 * i);
	}
	snprintf(block + 136, 12, "%011llo", (unsigned long long)ova->now);
	block[156] = '0';
	memcpy(block + 257, "ustar\0" "00", 8);
	memset(block + 148, ' ', 8);
	for (unsigned int i = 0; i < BLOCK; i++)
		sum += (unsigned char)block[i];
	snprintf(block + 148, 8, "%06o", sum);
	return write_all(ova->fd, block, BLOCK);
}

/* Zeros up to a whole block. */
static int write_rest(struct ova *ova, uint64_t size)
{
	static const char zeros[BLOCK];

	return size % BLOCK ? write_all(ova->fd, zeros, BLOCK - size % BLOCK)
			    : 0;
}

static int add_text(struct ova *ova, const char *name, const char *text)
{
	size_t size = strlen(text);
	int err = write_header(ova, name, size);

	if (!err)
		err = write_all(ova->fd, text, size);
	return err ? err : write_rest(ova, size);
}

static int copy_bytes(int from, uint64_t size, int to)
{
	char *piece = malloc(PIECE);
	int err = piece ? 0 : -ENOMEM;
	off_t at = 0;

	while (!err && size) {
		ssize_t n = pread(from, piece, size < PIECE ? size : PIECE, at);

		err = n <= 0 ? (n ? -errno : -EIO)
			     : write_all(to, piece, (size_t)n);
		at += n;
		size -= err ? 0 : (uint64_t)n;
	}
	free(piece);
	return err;
}

static int add_file(struct ova *ova, const char *name, int from, uint64_t size)
{
	int err = write_header(ova, name, size);

	if (!err)
		err = copy_bytes(from, size, ova->fd);
	return err ? err : write_rest(ova, size);
}

static int write_end(struct ova *ova)
{
	static const char zeros[2 * BLOCK];
	int err = write_all(ova->fd, zeros, sizeof(zeros));

	return !err && fsync(ova->fd) ? -errno : err;
}

/* --- the description -------------------------------------------------------- */

static const char envelope[] =
	"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
	"<Envelope ovf:version=\"1.0\" xml:lang=\"en-US\"\n"
	"    xmlns=\"http://schemas.dmtf.org/ovf/envelope/1\"\n"
	"    xmlns:ovf=\"http://schemas.dmtf.org/ovf/envelope/1\"\n"
	"    xmlns:rasd=\"http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"
	"CIM_ResourceAllocationSettingData\"\n"
	"    xmlns:vssd=\"http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"
	"CIM_VirtualSystemSettingData\"\n"
	"    xmlns:vmw=\"http://www.vmware.com/schema/ovf\">\n";

static void put_files(FILE *to, const struct ova_machine *m, uint64_t size)
{
	fprintf(to, "  <References>\n"
		"    <File ovf:href=\"%s-disk1.vmdk\" ovf:id=\"file1\" "
		"ovf:size=\"%llu\"/>\n"
		"  </References>\n", m->name, (unsigned long long)size);
	fprintf(to, "  <DiskSection>\n"
		"    <Info>The disks</Info>\n"
		"    <Disk ovf:capacity=\"%llu\" "
		"ovf:capacityAllocationUnits=\"byte\" ovf:diskId=\"vmdisk1\" "
		"ovf:fileRef=\"file1\" ovf:format=\"http://www.vmware.com/"
		"interfaces/specifications/vmdk.html#streamOptimized\"/>\n"
		"  </DiskSection>\n", (unsigned long long)m->disk);
	fprintf(to, "  <NetworkSection>\n"
		"    <Info>The networks</Info>\n"
		"    <Network ovf:name=\"NAT\">\n"
		"      <Description>A way to the outside</Description>\n"
		"    </Network>\n"
		"  </NetworkSection>\n");
}

/* Elements of an Item are in the order of their names, as the schema wants. */
static void put_items(FILE *to, const struct ova_machine *m)
{
	fprintf(to, "      <Item>\n"
		"        <rasd:AllocationUnits>hertz * 10^6"
		"</rasd:AllocationUnits>\n"
		"        <rasd:ElementName>%u virtual CPU(s)"
		"</rasd:ElementName>\n"
		"        <rasd:InstanceID>1</rasd:InstanceID>\n"
		"        <rasd:ResourceType>3</rasd:ResourceType>\n"
		"        <rasd:VirtualQuantity>%u</rasd:VirtualQuantity>\n"
		"      </Item>\n", m->cpus, m->cpus);
	fprintf(to, "      <Item>\n"
		"        <rasd:AllocationUnits>byte * 2^20"
		"</rasd:AllocationUnits>\n"
		"        <rasd:ElementName>%llu MB of memory"
		"</rasd:ElementName>\n"
		"        <rasd:InstanceID>2</rasd:InstanceID>\n"
		"        <rasd:ResourceType>4</rasd:ResourceType>\n"
		"        <rasd:VirtualQuantity>%llu</rasd:VirtualQuantity>\n"
		"      </Item>\n", (unsigned long long)(m->memory >> 20),
		(unsigned long long)(m->memory >> 20));
	fprintf(to, "      <Item>\n"
		"        <rasd:Address>0</rasd:Address>\n"
		"        <rasd:ElementName>SCSI Controller 0"
		"</rasd:ElementName>\n"
		"        <rasd:InstanceID>3</rasd:InstanceID>\n"
		"        <rasd:ResourceSubType>lsilogic"
		"</rasd:ResourceSubType>\n"
		"        <rasd:ResourceType>6</rasd:ResourceType>\n"
		"      </Item>\n"
		"      <Item>\n"
		"        <rasd:AddressOnParent>0</rasd:AddressOnParent>\n"
		"        <rasd:ElementName>Hard Disk 1</rasd:ElementName>\n"
		"        <rasd:HostResource>ovf:/disk/vmdisk1"
		"</rasd:HostResource>\n"
		"        <rasd:InstanceID>4</rasd:InstanceID>\n"
		"        <rasd:Parent>3</rasd:Parent>\n"
		"        <rasd:ResourceType>17</rasd:ResourceType>\n"
		"      </Item>\n"
		"      <Item>\n"
		"        <rasd:AddressOnParent>7</rasd:AddressOnParent>\n"
		"        <rasd:AutomaticAllocation>true"
		"</rasd:AutomaticAllocation>\n"
		"        <rasd:Connection>NAT</rasd:Connection>\n"
		"        <rasd:ElementName>Network Adapter 1"
		"</rasd:ElementName>\n"
		"        <rasd:InstanceID>5</rasd:InstanceID>\n"
		"        <rasd:ResourceSubType>E1000</rasd:ResourceSubType>\n"
		"        <rasd:ResourceType>10</rasd:ResourceType>\n"
		"      </Item>\n");
}

static void put_system(FILE *to, const struct ova_machine *m)
{
	/* 102: another 64-bit system (CIM_OperatingSystem.OSType). */
	fprintf(to, "  <VirtualSystem ovf:id=\"%s\">\n"
		"    <Info>A machine</Info>\n"
		"    <Name>%s</Name>\n"
		"    <OperatingSystemSection ovf:id=\"102\">\n"
		"      <Info>The installed system</Info>\n"
		"      <Description>64-bit x86</Description>\n"
		"    </OperatingSystemSection>\n"
		"    <VirtualHardwareSection>\n"
		"      <Info>What the machine consists of</Info>\n"
		"      <System>\n"
		"        <vssd:ElementName>Virtual Hardware Family"
		"</vssd:ElementName>\n"
		"        <vssd:InstanceID>0</vssd:InstanceID>\n"
		"        <vssd:VirtualSystemIdentifier>%s"
		"</vssd:VirtualSystemIdentifier>\n"
		"        <vssd:VirtualSystemType>vmx-10"
		"</vssd:VirtualSystemType>\n"
		"      </System>\n", m->name, m->name, m->name);
	put_items(to, m);
	if (m->uefi)
		fprintf(to, "      <vmw:Config ovf:required=\"false\" "
			"vmw:key=\"firmware\" vmw:value=\"efi\"/>\n");
	fprintf(to, "    </VirtualHardwareSection>\n"
		"  </VirtualSystem>\n"
		"</Envelope>\n");
}

/* The text, to be freed; NULL: no memory. */
static char *describe(const struct ova_machine *machine, uint64_t disk_file)
{
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	if (!to)
		return NULL;
	fputs(envelope, to);
	put_files(to, machine, disk_file);
	put_system(to, machine);
	if (!fclose(to))
		return text;
	free(text);
	return NULL;
}

/* --- the manifest ----------------------------------------------------------- */

/* The digits of a file's SHA-256. */
static int sum_of(int fd, char sum[CHECKSUM_MAX])
{
	struct disk_job job = { 0 };
	int err = checksum_file(fd, "sha256:", sum, &job);

	if (!err)
		memmove(sum, sum + 7, strlen(sum + 7) + 1);
	return err;
}

static int sum_of_text(const char *text, char sum[CHECKSUM_MAX])
{
	int fd = memfd_create("ovf", MFD_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	err = write_all(fd, text, strlen(text));
	if (!err)
		err = sum_of(fd, sum);
	close(fd);
	return err;
}

/* --- all of it -------------------------------------------------------------- */

static int add_manifest(struct ova *ova, const char *text, int disk)
{
	const char *name = ova->machine->name;
	char of_text[CHECKSUM_MAX], of_disk[CHECKSUM_MAX], lines[512];
	char member[100];
	int err = sum_of_text(text, of_text);

	if (!err)
		err = sum_of(disk, of_disk);
	if (err)
		return err;
	snprintf(lines, sizeof(lines),
		 "SHA256(%s.ovf)= %s\nSHA256(%s-disk1.vmdk)= %s\n", name,
		 of_text, name, of_disk);
	snprintf(member, sizeof(member), "%s.mf", name);
	return add_text(ova, member, lines);
}

static int write_members(struct ova *ova, int disk)
{
	char member[100];
	struct stat status;
	char *text;
	int err;

	if (fstat(disk, &status))
		return -errno;
	text = describe(ova->machine, (uint64_t)status.st_size);
	snprintf(member, sizeof(member), "%s.ovf", ova->machine->name);
	err = text ? add_text(ova, member, text) : -ENOMEM;
	if (!err)
		err = add_manifest(ova, text, disk);
	free(text);
	snprintf(member, sizeof(member), "%s-disk1.vmdk", ova->machine->name);
	if (!err)
		err = add_file(ova, member, disk, (uint64_t)status.st_size);
	return err ? err : write_end(ova);
}

/* Gives the file its name, where nothing may be. */
static int keep(const char *part, const char *path)
{
	if (!renameat2(AT_FDCWD, part, AT_FDCWD, path, RENAME_NOREPLACE))
		return 0;
	if (errno != EINVAL)
		return -errno;
	/* Some file systems do not know how. */
	if (!access(path, F_OK))
		return -EEXIST;
	return rename(part, path) ? -errno : 0;
}

int ova_make(const char *path, const struct ova_machine *machine,
	     const char *vmdk, struct disk_error *error)
{
	struct ova ova = { .machine = machine, .now = time(NULL) };
	char part[PATH_MAX];
	int disk = open(vmdk, O_RDONLY | O_CLOEXEC);
	int err = disk < 0 ? -errno : 0;

	snprintf(part, sizeof(part), "%s.part", path);
	ova.fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
		      0666);
	if (ova.fd < 0)
		err = -errno;
	if (!err)
		err = write_members(&ova, disk);
	if (ova.fd >= 0 && close(ova.fd) && !err)
		err = -errno;
	if (!err)
		err = keep(part, path);
	if (err && ova.fd >= 0)
		unlink(part);
	if (disk >= 0)
		close(disk);
	if (err)
		disk_error_set(error, err, "%s: %s", path, strerror(-err));
	return err ? -1 : 0;
}
