/* Ops on paths of a root that belongs to somebody else: every path is resolved by the kernel inside the root. */
#include "shim.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "mountapi.h"

static int open_in(int root, const char *path)
{
	struct how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	int fd = syscall(SYS_openat2, root, *path ? path : "/", &how, sizeof how);

	return fd < 0 ? -errno : fd;
}

/* The directory that holds the last name of the path, made with its parents if missing; *base is that name. */
static int open_parent(int root, const char *path, const char **base);

static int open_dir_in(int root, const char *path, mode_t mode)
{
	const char *base;
	int fd = open_in(root, path), parent, r;

	if (fd != -ENOENT)
		return fd;
	parent = open_parent(root, path, &base);
	if (parent < 0)
		return parent;
	r = mkdirat(parent, base, mode) < 0 && errno != EEXIST ? -errno : 0;
	close(parent);
	return r < 0 ? r : open_in(root, path);
}

static int open_parent(int root, const char *path, const char **base)
{
	char dir[4096];
	size_t end = strlen(path), start;

	while (end && path[end - 1] == '/')
		end--;
	start = end;
	while (start && path[start - 1] != '/')
		start--;
	*base = path + start;
	if (start == end || !strcmp(*base, ".") || !strcmp(*base, "..") || path[end])
		return fail(EINVAL, path, "the path does not end in a name");
	if (start >= sizeof dir)
		return -ENAMETOOLONG;
	memcpy(dir, path, start);
	while (start > 1 && dir[start - 1] == '/')
		start--;
	dir[start] = 0;
	return open_dir_in(root, start ? dir : "/", 0755);
}

enum { CREATE_NONE, CREATE_DIR, CREATE_FILE, CREATE_LIKE };

static int open_target(int root, const char *path, int create)
{
	const char *base;
	int fd = open_in(root, path), parent, r = 0;

	if (fd != -ENOENT || create == CREATE_NONE)
		return fd;
	if (create == CREATE_DIR)
		return open_dir_in(root, path, 0755);
	parent = open_parent(root, path, &base);
	if (parent < 0)
		return parent;
	fd = openat(parent, base, O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_WRONLY, 0755);
	if (fd < 0 && errno != EEXIST)
		r = -errno;
	if (fd >= 0)
		close(fd);
	close(parent);
	return r < 0 ? r : open_in(root, path);
}

static const char *proc_path(int fd, char out[32])
{
	snprintf(out, 32, "/proc/self/fd/%d", fd);
	return out;
}

/* Flags that statfs tells of a mount, as mount(2) wants them for a remount. */
static unsigned long flags_of(const char *path)
{
	struct statfs st;

	if (statfs(path, &st) < 0)
		return 0;
	return (unsigned long)st.f_flags & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME | MS_RELATIME);
}

static int set_propagation(const char *path, unsigned long flags)
{
	if (flags && mount(NULL, path, NULL, flags, NULL) < 0)
		return fail(errno, path, "cannot set propagation 0x%lx", flags);
	return 0;
}

static int place_mount(const struct field *f)
{
	int mnt = slot_fd(f[MOVE_MOUNT_SLOT].n), root, target, r = 0;
	bool inside = (int64_t)f[MOVE_MOUNT_ROOT].n >= 0;
	int create = f[MOVE_MOUNT_CREATE].n;
	char path[32];

	if (mnt < 0)
		return mnt;
	if (create == CREATE_LIKE) {
		struct stat st;
		if (fstat(mnt, &st) < 0)
			return -errno;
		create = S_ISDIR(st.st_mode) ? CREATE_DIR : CREATE_FILE;
	}
	if (!inside) {
		if (create == CREATE_DIR && (r = mkdirs(f[MOVE_MOUNT_PATH].s, 0755)) < 0)
			return r;
		if (create == CREATE_FILE) {
			int fd = open(f[MOVE_MOUNT_PATH].s, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
			if (fd < 0)
				return -errno;
			close(fd);
		}
		if (syscall(SYS_move_mount, mnt, "", AT_FDCWD, f[MOVE_MOUNT_PATH].s, MOVE_MOUNT_F_EMPTY_PATH) < 0)
			return -errno;
	} else {
		root = slot_fd(f[MOVE_MOUNT_ROOT].n);
		if (root < 0)
			return root;
		target = open_target(root, f[MOVE_MOUNT_PATH].s, create);
		if (target < 0)
			return target;
		if (syscall(SYS_move_mount, mnt, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
			r = -errno;
		close(target);
		if (r < 0)
			return r;
	}
	if (!f[MOVE_MOUNT_PROPAGATION].n)
		return 0;
	return set_propagation(proc_path(mnt, path), f[MOVE_MOUNT_PROPAGATION].n);
}

static int mount_in(const struct field *f)
{
	int root = slot_fd(f[MOUNT_IN_ROOT].n), target, r = 0;
	unsigned long flags = f[MOUNT_IN_FLAGS].n, bind = MS_BIND | MS_REC;
	char path[32];

	if (root < 0)
		return root;
	target = open_target(root, f[MOUNT_IN_PATH].s, f[MOUNT_IN_CREATE].n);
	if (target < 0)
		return fail(-target, f[MOUNT_IN_PATH].s, "cannot find or make the place to mount on");
	if (mount(f[MOUNT_IN_SOURCE].len ? f[MOUNT_IN_SOURCE].s : f[MOUNT_IN_FSTYPE].s, proc_path(target, path),
		  f[MOUNT_IN_FSTYPE].len ? f[MOUNT_IN_FSTYPE].s : NULL, flags & MS_BIND ? flags & bind : flags,
		  f[MOUNT_IN_DATA].len ? f[MOUNT_IN_DATA].s : NULL) < 0)
		r = fail(errno, f[MOUNT_IN_PATH].s, "type \"%s\", source \"%s\", flags 0x%lx, data \"%s\"", f[MOUNT_IN_FSTYPE].s,
			 f[MOUNT_IN_SOURCE].s, flags, f[MOUNT_IN_DATA].s);
	close(target);
	if (r < 0 || (!(flags & MS_BIND && flags & ~bind) && !f[MOUNT_IN_PROPAGATION].n))
		return r;
	/* The fd is of the place below; what was mounted is found by its path again. */
	target = open_in(root, f[MOUNT_IN_PATH].s);
	if (target < 0)
		return target;
	proc_path(target, path);
	if (flags & MS_BIND && flags & ~bind && mount(NULL, path, NULL, (flags & ~MS_REC) | MS_REMOUNT, NULL) < 0 &&
	    /* In a user namespace flags of the source mount cannot be dropped. */
	    mount(NULL, path, NULL, (flags & ~MS_REC) | MS_REMOUNT | flags_of(path), NULL) < 0)
		r = fail(errno, f[MOUNT_IN_PATH].s, "cannot remount with flags 0x%lx", flags);
	if (r == 0)
		r = set_propagation(path, f[MOUNT_IN_PROPAGATION].n);
	close(target);
	return r;
}

static int mkdir_in(const struct field *f)
{
	int root = slot_fd(f[MKDIR_IN_ROOT].n), fd, parent, r = 0;
	mode_t mode = f[MKDIR_IN_MODE].n ? f[MKDIR_IN_MODE].n : 0755;
	const char *base;

	if (root < 0)
		return root;
	fd = open_in(root, f[MKDIR_IN_PATH].s);
	if (fd >= 0) {
		struct stat st;
		r = fstat(fd, &st) < 0 ? -errno : S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
		close(fd);
		return r;
	}
	if (fd != -ENOENT)
		return fd;
	parent = open_parent(root, f[MKDIR_IN_PATH].s, &base);
	if (parent < 0)
		return parent;
	if (mkdirat(parent, base, mode) < 0)
		r = -errno;
	else if ((f[MKDIR_IN_UID].n || f[MKDIR_IN_GID].n) && fchownat(parent, base, f[MKDIR_IN_UID].n, f[MKDIR_IN_GID].n, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	else if (fchmodat(parent, base, mode, 0) < 0)
		r = -errno;
	close(parent);
	return r;
}

static int symlink_in(const struct field *f)
{
	int root = slot_fd(f[SYMLINK_IN_ROOT].n), parent, r = 0;
	const char *base;

	if (root < 0)
		return root;
	parent = open_parent(root, f[SYMLINK_IN_PATH].s, &base);
	if (parent < 0)
		return parent;
	if (symlinkat(f[SYMLINK_IN_TARGET].s, parent, base) < 0 && errno != EEXIST)
		r = -errno;
	close(parent);
	return r;
}

static int mknod_in(const struct field *f)
{
	int root = slot_fd(f[MKNOD_IN_ROOT].n), parent, r = 0;
	mode_t mode = f[MKNOD_IN_MODE].n;
	dev_t dev = makedev(f[MKNOD_IN_MAJOR].n, f[MKNOD_IN_MINOR].n);
	const char *base;
	struct stat st;

	if (root < 0)
		return root;
	parent = open_parent(root, f[MKNOD_IN_PATH].s, &base);
	if (parent < 0)
		return parent;
	if (mknodat(parent, base, mode, dev) < 0) {
		r = -errno;
		if (r == -EEXIST && fstatat(parent, base, &st, AT_SYMLINK_NOFOLLOW) == 0) {
			if ((st.st_mode & S_IFMT) == (mode & S_IFMT) && (S_ISFIFO(mode) || st.st_rdev == dev))
				r = 0;
			else
				r = unlinkat(parent, base, 0) < 0 || mknodat(parent, base, mode, dev) < 0 ? -errno : 0;
		}
	}
	if (r == 0 && fchmodat(parent, base, mode & 07777, 0) < 0)
		r = -errno;
	if (r == 0 && fchownat(parent, base, f[MKNOD_IN_UID].n, f[MKNOD_IN_GID].n, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	close(parent);
	return r;
}

static int pivot(uint64_t slot)
{
	int root = slot_fd(slot), old, r = 0;

	if (root < 0)
		return root;
	old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (old < 0)
		return -errno;
	if (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
		r = -errno;
	/* Unmounting the old root must not reach the host. */
	else if (fchdir(old) < 0 || mount(NULL, ".", NULL, MS_SLAVE | MS_REC, NULL) < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		r = -errno;
	close(old);
	return r;
}

static int remount_readonly(const char *path)
{
	if (mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags_of(path), NULL) < 0)
		return -errno;
	return 0;
}

static int mask_path(const char *path)
{
	static char empty[256];

	if (mount("/dev/null", path, NULL, MS_BIND, NULL) == 0)
		return 0;
	if (errno == ENOENT)
		return access(path, F_OK) < 0 && errno == ENOENT ? 0 : fail(ENOENT, "/dev/null", "needed to mask %s", path);
	if (errno != ENOTDIR)
		return -errno;
	/* One empty directory covers them all: a file system of its own for each would take longer than all other masks. */
	if (empty[0] && mount(empty, path, NULL, MS_BIND, NULL) == 0)
		return 0;
	if (mount("tmpfs", path, "tmpfs", MS_RDONLY, "nr_blocks=1,nr_inodes=1") < 0)
		return -errno;
	if (strlen(path) < sizeof empty)
		strcpy(empty, path);
	return 0;
}

static int readonly_path(const char *path)
{
	if (mount(path, path, NULL, MS_BIND | MS_REC, NULL) < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	return remount_readonly(path);
}

int op_place(const struct op *op)
{
	const struct field *f = op->f;

	switch (op->code) {
	case OP_MOVE_MOUNT:
		return place_mount(f);
	case OP_MOUNT_IN:
		return mount_in(f);
	case OP_MKDIR_IN:
		return mkdir_in(f);
	case OP_SYMLINK_IN:
		return symlink_in(f);
	case OP_MKNOD_IN:
		return mknod_in(f);
	case OP_PIVOT:
		return pivot(f[PIVOT_ROOT].n);
	case OP_CHROOT: {
		int fd = slot_fd(f[CHROOT_ROOT].n);
		if (fd < 0)
			return fd;
		return fchdir(fd) < 0 || chroot(".") < 0 ? -errno : 0;
	}
	case OP_REMOUNT_READONLY:
		return remount_readonly(f[REMOUNT_READONLY_PATH].s);
	case OP_MASK_PATH:
		return mask_path(f[MASK_PATH_PATH].s);
	case OP_READONLY_PATH:
		return readonly_path(f[READONLY_PATH_PATH].s);
	}
	return -ENOSYS;
}
