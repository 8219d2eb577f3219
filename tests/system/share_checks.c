/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What programs ask of a file system, asked in a shared folder inside of a
 * guest. Each check has a folder of its own; the first thing that is not as it
 * should be is told with its line, and the next check begins.
 *
 * usage: share_checks FOLDER
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define ENTRIES 300

#define OK(condition)                                                   \
	do {                                                            \
		if (!(condition)) {                                     \
			printf("line %d: %s: %s\n", __LINE__,           \
			       #condition, strerror(errno));            \
			return 1;                                       \
		}                                                       \
	} while (0)
#define FAILS(error, call) OK((errno = 0, (call) == -1 && errno == (error)))

static int put(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	ssize_t size = (ssize_t)strlen(text);

	OK(fd >= 0);
	OK(write(fd, text, strlen(text)) == size);
	OK(!close(fd));
	return 0;
}

static int holds(const char *name, const char *text)
{
	char bytes[256] = "";
	int fd = open(name, O_RDONLY);

	OK(fd >= 0);
	OK(read(fd, bytes, sizeof(bytes) - 1) == (ssize_t)strlen(text));
	OK(!strcmp(bytes, text));
	close(fd);
	return 0;
}

static int files(void)
{
	struct stat status;
	char bytes[16];
	int fd;

	OK(!put("a", "first"));
	OK(!holds("a", "first"));
	FAILS(EEXIST, open("a", O_WRONLY | O_CREAT | O_EXCL, 0644));
	fd = open("a", O_WRONLY | O_APPEND);
	OK(fd >= 0 && write(fd, " second", 7) == 7 && !close(fd));
	OK(!holds("a", "first second"));
	OK(!truncate("a", 5));
	OK(!holds("a", "first"));
	fd = open("a", O_RDWR | O_TRUNC);
	OK(fd >= 0 && !fstat(fd, &status) && status.st_size == 0);
	OK(pwrite(fd, "end", 3, 10000) == 3);
	OK(!fstat(fd, &status) && status.st_size == 10003);
	OK(pread(fd, bytes, 4, 9999) == 4 && !memcmp(bytes, "\0end", 4));
	OK(!ftruncate(fd, 3) && !fsync(fd) && !fdatasync(fd) && !close(fd));
	FAILS(ENOENT, open("b", O_RDONLY));
	FAILS(ENOTDIR, open("a/b", O_RDONLY));
	FAILS(EISDIR, open(".", O_WRONLY));
	return 0;
}

static int modes(void)
{
	const struct timespec times[2] = { { 1000, 5 }, { 2000, 123456789 } };
	struct stat status;

	OK(!put("a", "x"));
	OK(!chmod("a", 0600) && !stat("a", &status));
	OK((status.st_mode & 07777) == 0600);
	/* Only a server that root has started may. */
	if (chown("a", 1234, 4321))
		OK(errno == EPERM);
	else
		OK(!stat("a", &status) && status.st_uid == 1234 &&
		   status.st_gid == 4321);
	OK(!utimensat(AT_FDCWD, "a", times, 0) && !stat("a", &status));
	OK(status.st_mtim.tv_sec == 2000 &&
	   status.st_mtim.tv_nsec == 123456789 && status.st_atim.tv_sec == 1000);
	/* Set-user-id is not for the host to have. */
	chmod("a", 04755);
	OK(!stat("a", &status) && !(status.st_mode & S_ISUID));
	OK(!mkdir("d", 0700) && !stat("d", &status) && S_ISDIR(status.st_mode));
	OK(!mkfifo("p", 0644) && !stat("p", &status) && S_ISFIFO(status.st_mode));
	FAILS(EPERM, mknod("c", S_IFCHR | 0666, makedev(1, 3)));
	FAILS(EPERM, mknod("k", S_IFBLK | 0666, makedev(254, 0)));
	return 0;
}

static int sockets(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	int other = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(address.sun_path, "s");
	OK(!bind(fd, (struct sockaddr *)&address, sizeof(address)));
	OK(!listen(fd, 1));
	OK(!connect(other, (struct sockaddr *)&address, sizeof(address)));
	close(fd);
	close(other);
	return 0;
}

static int links(void)
{
	struct stat one, two;
	char to[64] = "";

	OK(!put("a", "x"));
	OK(!link("a", "b") && !stat("a", &one) && !stat("b", &two));
	OK(one.st_ino == two.st_ino && two.st_nlink == 2);
	FAILS(EEXIST, link("a", "b"));
	OK(!unlink("a") && !stat("b", &two) && two.st_nlink == 1);
	OK(!holds("b", "x"));
	OK(!symlink("b", "l") && readlink("l", to, sizeof(to)) == 1);
	OK(!strcmp(to, "b") && !holds("l", "x"));
	OK(!lstat("l", &one) && S_ISLNK(one.st_mode));
	OK(!symlink("nowhere", "n") && !symlink("loop", "loop"));
	FAILS(ENOENT, open("n", O_RDONLY));
	FAILS(ELOOP, open("loop", O_RDONLY));
	FAILS(ELOOP, open("l", O_RDONLY | O_NOFOLLOW));
	return 0;
}

static int renames(void)
{
	struct stat status;
	char bytes[16] = "";
	int fd;

	OK(!put("a", "one") && !put("b", "two") && !mkdir("d", 0755));
	fd = open("b", O_RDWR);
	OK(fd >= 0 && !rename("a", "b") && !holds("b", "one"));
	/* The one that was replaced is still there for who has it open. */
	OK(pread(fd, bytes, 16, 0) == 3 && !strcmp(bytes, "two"));
	OK(pwrite(fd, "gone", 4, 0) == 4 && !fstat(fd, &status));
	OK(status.st_size == 4 && status.st_nlink == 0 && !close(fd));
	OK(!put("c", "three"));
	FAILS(EEXIST, renameat2(AT_FDCWD, "b", AT_FDCWD, "c", RENAME_NOREPLACE));
	OK(!renameat2(AT_FDCWD, "b", AT_FDCWD, "c", RENAME_EXCHANGE));
	OK(!holds("b", "three") && !holds("c", "one"));
	OK(!rename("b", "d/b") && !holds("d/b", "three"));
	OK(!mkdir("e", 0755) && !rename("d", "e/d") && !holds("e/d/b", "three"));
	FAILS(ENOTEMPTY, rmdir("e"));
	FAILS(EINVAL, rename("e", "e/d/e"));
	FAILS(ENOENT, rename("none", "x"));
	OK(!unlink("e/d/b") && !rmdir("e/d") && !rmdir("e"));
	FAILS(EISDIR, unlink("."));
	return 0;
}

static int removed(void)
{
	struct stat status;
	char bytes[8] = "";
	int fd = open("a", O_RDWR | O_CREAT, 0644), folder;

	OK(fd >= 0 && write(fd, "still", 5) == 5 && !unlink("a"));
	FAILS(ENOENT, stat("a", &status));
	OK(!fstat(fd, &status) && status.st_nlink == 0);
	OK(pread(fd, bytes, 5, 0) == 5 && !strcmp(bytes, "still"));
	OK(!fchmod(fd, 0600) && !ftruncate(fd, 2) && !fstat(fd, &status));
	OK(status.st_size == 2 && !close(fd));
	OK(!mkdir("d", 0755));
	folder = open("d", O_RDONLY | O_DIRECTORY);
	OK(folder >= 0 && !rmdir("d"));
	FAILS(ENOENT, openat(folder, "x", O_CREAT | O_WRONLY, 0644));
	close(folder);
	return 0;
}

static int count(DIR *dir)
{
	int found = 0;

	while (readdir(dir))
		found++;
	return found;
}

static int folders(void)
{
	char name[300];
	long middle;
	DIR *dir;

	FAILS(EEXIST, mkdir(".", 0755));
	memset(name, 'n', 256);
	name[256] = '\0';
	FAILS(ENAMETOOLONG, mkdir(name, 0755));
	name[255] = '\0';
	OK(!mkdir(name, 0755) && !rmdir(name));
	for (int i = 0; i < ENTRIES; i++) {
		sprintf(name, "a rather long name of a file, number %d", i);
		OK(!put(name, "x"));
	}
	dir = opendir(".");
	OK(dir && count(dir) == ENTRIES + 2);
	rewinddir(dir);
	for (int i = 0; i < ENTRIES / 2; i++)
		OK(readdir(dir));
	middle = telldir(dir);
	OK(count(dir) == ENTRIES / 2 + 2);
	seekdir(dir, middle);
	OK(count(dir) == ENTRIES / 2 + 2);
	rewinddir(dir);
	for (struct dirent *entry; (entry = readdir(dir));)
		OK(entry->d_name[0] == '.' || !unlink(entry->d_name));
	closedir(dir);
	dir = opendir(".");
	OK(dir && count(dir) == 2);
	closedir(dir);
	return 0;
}

static int mapped(void)
{
	int fd = open("a", O_RDWR | O_CREAT, 0644);
	char *shared, *own, bytes[8] = "";

	OK(fd >= 0 && !ftruncate(fd, 3 * 4096));
	shared = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	own = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	OK(shared != MAP_FAILED && own != MAP_FAILED);
	strcpy(shared + 5000, "mapped");
	OK(pread(fd, bytes, 7, 5000) == 7 && !strcmp(bytes, "mapped"));
	OK(pwrite(fd, "written", 7, 100) == 7);
	OK(!memcmp(shared + 100, "written", 7));
	own[100] = 'W';
	OK(shared[100] == 'w');
	OK(!msync(shared, 3 * 4096, MS_SYNC));
	OK(!munmap(shared, 3 * 4096) && !munmap(own, 4096) && !close(fd));
	return 0;
}

static int room(void)
{
	int fd = open("a", O_RDWR | O_CREAT, 0644), other;
	struct stat status;
	struct statfs system;
	char bytes[4] = "";

	OK(!fallocate(fd, 0, 0, 65536) && !fstat(fd, &status));
	OK(status.st_size == 65536 && status.st_blocks >= 128);
	OK(pwrite(fd, "data", 4, 40000) == 4);
	OK(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 32768));
	OK(!fsync(fd) && !fstat(fd, &status) && status.st_blocks <= 64);
	OK(lseek(fd, 0, SEEK_HOLE) == 0 && lseek(fd, 0, SEEK_DATA) >= 32768);
	OK(lseek(fd, 0, SEEK_DATA) <= 40000);
	other = open("b", O_RDWR | O_CREAT, 0644);
	OK(copy_file_range(fd, &(off_t){ 40000 }, other, &(off_t){ 10 }, 4,
			   0) == 4);
	OK(pread(other, bytes, 4, 10) == 4 && !memcmp(bytes, "data", 4));
	OK(!fstatfs(fd, &system) && system.f_blocks && system.f_namelen == 255);
	close(fd);
	close(other);
	return 0;
}

static int attributes(void)
{
	char value[16] = "", names[64] = "";

	OK(!put("a", "x"));
	if (setxattr("a", "user.one", "1", 1, 0) && errno == EOPNOTSUPP)
		return 0; /* the host's file system has none */
	OK(!setxattr("a", "user.two", "22", 2, XATTR_CREATE));
	FAILS(EEXIST, setxattr("a", "user.two", "2", 1, XATTR_CREATE));
	OK(getxattr("a", "user.two", NULL, 0) == 2);
	OK(getxattr("a", "user.two", value, 16) == 2 && !strcmp(value, "22"));
	FAILS(ERANGE, getxattr("a", "user.two", value, 1));
	OK(listxattr("a", NULL, 0) == 18 && listxattr("a", names, 64) == 18);
	OK(!removexattr("a", "user.one"));
	FAILS(ENODATA, getxattr("a", "user.one", value, 16));
	FAILS(EOPNOTSUPP, setxattr("a", "trusted.x", "1", 1, 0));
	FAILS(EOPNOTSUPP, setxattr("a", "security.x", "1", 1, 0));
	return 0;
}

/* Of programs in the guest: a child sees its parent's. */
static int locks(void)
{
	struct flock lock = { .l_type = F_WRLCK, .l_len = 10 };
	int fd = open("a", O_RDWR | O_CREAT, 0644), status;

	OK(!fcntl(fd, F_SETLK, &lock) && !flock(fd, LOCK_EX));
	if (!fork()) {
		int own = open("a", O_RDWR);

		_exit(fcntl(own, F_SETLK, &lock) == -1 && errno == EAGAIN &&
		      flock(own, LOCK_EX | LOCK_NB) == -1 ? 0 : 1);
	}
	OK(wait(&status) > 0 && !status);
	close(fd);
	return 0;
}

/* A guest's links lead where the guest says, never to the host's files. */
static int links_out(void)
{
	struct stat status, root;

	OK(!symlink("/proc/self/status", "s") && !stat("s", &status));
	OK(!symlink("/../../../../..", "r") && !stat("r", &status));
	OK(!stat("/", &root) && root.st_ino == status.st_ino &&
	   root.st_dev == status.st_dev);
	FAILS(ENOENT, open("../../../../../../no-such-file", O_RDONLY));
	return 0;
}

static const struct {
	const char *name;
	int (*check)(void);
} checks[] = {
	{ "files", files },	  { "modes", modes },
	{ "sockets", sockets },	  { "links", links },
	{ "renames", renames },	  { "removed", removed },
	{ "folders", folders },	  { "mapped", mapped },
	{ "room", room },	  { "attributes", attributes },
	{ "locks", locks },	  { "links_out", links_out },
};

int main(int argc, char **argv)
{
	int failed = 0;

	umask(022);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		if (argc < 2 || chdir(argv[1]) || mkdir(checks[i].name, 0755) ||
		    chdir(checks[i].name)) {
			perror("folder");
			return 2;
		}
		if (checks[i].check()) {
			printf("^ in %s\n", checks[i].name);
			failed++;
		}
	}
	printf("%d failed\n", failed);
	return failed ? 1 : 0;
}
