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

static int resolve(int root, const char *path, uint64_t flags, uint64_t limits)
{
	struct how how = { .flags = flags | O_CLOEXEC, .resolve = limits };
	int fd, tries = 0;

	/* A rename anywhere on the machine makes the kernel unsure of a `..`. */
	do
		fd = syscall(SYS_openat2, root, *path ? path : "/", &how, sizeof how);
	while (fd < 0 && (errno == EINTR || (errno == EAGAIN && ++tries < 1000)));
	return fd < 0 ? -errno : fd;
}

int open_in(int root, const char *path)
{
	return resolve(root, path, O_PATH, RESOLVE_IN_ROOT);
}

int open_file_inside(const char *path)
{
	return resolve(AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, RESOLVE_NO_MAGICLINKS);
}

/* As open_in, through no link at all. */
static int open_plain_in(int root, const char *path)
{
	return resolve(root, path, O_PATH, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
}

/* The directory that holds the last name of the path, made with its parents if missing; *base is that name. */
static int open_parent(int root, const char *path, const char **base);

#define LINKS_MAX 40

/* What a link that leads nowhere yet stands for: a path in the same root. */
static int read_link(int parent, const char *base, const char *path, char out[4096])
{
	size_t dir = base - path;
	ssize_t n;

	if (dir >= 4096)
		return -ENAMETOOLONG;
	memcpy(out, path, dir);
	n = readlinkat(parent, base, out + dir, 4096 - dir);
	if (n < 0)
		return -errno;
	if ((size_t)n >= 4096 - dir)
		return -ENAMETOOLONG;
	out[dir + n] = 0;
	if (out[dir] == '/')
		memmove(out, out + dir, n + 1);
	return 0;
}

/* A name that is there, and yet nothing was found by it: what the link stands for is made. */
static int follow(int root, int parent, const char *base, const char *path, mode_t mode, int (*make)(int root, const char *path, mode_t mode))
{
	static int depth;
	char target[4096];
	int r = read_link(parent, base, path, target);

	/* Somebody else has just made it. */
	if (r == -EINVAL)
		return 0;
	if (r < 0)
		return r;
	if (depth >= LINKS_MAX)
		return -ELOOP;
	depth++;
	r = make(root, target, mode);
	depth--;
	if (r >= 0)
		close(r);
	return r < 0 ? r : 0;
}

int open_dir_in(int root, const char *path, mode_t mode)
{
	const char *base;
	int fd = open_in(root, path), parent, r;

	if (fd != -ENOENT)
		return fd;
	parent = open_parent(root, path, &base);
	if (parent < 0)
		return parent;
	r = mkdirat(parent, base, mode) < 0 ? -errno : 0;
	if (r == -EEXIST)
		r = follow(root, parent, base, path, mode, open_dir_in);
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

static int open_file_in(int root, const char *path, mode_t mode)
{
	const char *base;
	int fd = open_in(root, path), parent, r;

	if (fd != -ENOENT)
		return fd;
	parent = open_parent(root, path, &base);
	if (parent < 0)
		return parent;
	fd = openat(parent, base, O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_WRONLY, mode);
	r = fd < 0 ? -errno : close(fd);
	if (r == -EEXIST)
		r = follow(root, parent, base, path, mode, open_file_in);
	close(parent);
	return r < 0 ? r : open_in(root, path);
}

static int open_target(int root, const char *path, int create)
{
	if (create == CREATE_NONE)
		return open_in(root, path);
	return create == CREATE_DIR ? open_dir_in(root, path, 0755) : open_file_in(root, path, 0755);
}

/*
 * Where proc and sysfs go. Behind a link into a volume, somebody else who has that volume could move the place away, and what is masked and closed
 * later would be another directory.
 */
static int open_ordinary(int root, const char *path)
{
	int fd = open_plain_in(root, path);

	if (fd == -ENOENT) {
		fd = open_dir_in(root, path, 0755);
		if (fd < 0)
			return fd;
		close(fd);
		fd = open_plain_in(root, path);
	}
	return fd;
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
	if (!strcmp(f[MOUNT_IN_FSTYPE].s, "proc") || !strcmp(f[MOUNT_IN_FSTYPE].s, "sysfs")) {
		target = open_ordinary(root, f[MOUNT_IN_PATH].s);
		if (target == -ELOOP || target == -ENOTDIR)
			return fail(-target, f[MOUNT_IN_PATH].s, "filesystem \"%s\" must be mounted on ordinary directory", f[MOUNT_IN_FSTYPE].s);
	} else {
		target = open_target(root, f[MOUNT_IN_PATH].s, f[MOUNT_IN_CREATE].n);
	}
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

/* Owner and mode of what was just made. By its fd: a volume may be shared with somebody who puts a link in its place. */
static int dress(int parent, const char *base, mode_t mode, uint32_t uid, uint32_t gid)
{
	int fd = openat(parent, base, O_PATH | O_NOFOLLOW | O_CLOEXEC), r = 0;
	struct stat st;
	char path[32];

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		r = -errno;
	else if (S_ISLNK(st.st_mode))
		r = -ELOOP;
	else if ((st.st_uid != uid || st.st_gid != gid) && fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0)
		r = -errno;
	/* The owner goes first: to change it takes set-id bits away. */
	else if ((st.st_mode & 07777) != (mode & 07777) && chmod(proc_path(fd, path), mode & 07777) < 0)
		r = -errno;
	close(fd);
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
	else
		r = dress(parent, base, mode, f[MKDIR_IN_UID].n, f[MKDIR_IN_GID].n);
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
	if (r == 0)
		r = dress(parent, base, mode, f[MKNOD_IN_UID].n, f[MKNOD_IN_GID].n);
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
	return r < 0 ? r : let_go_of_host();
}

static int remount_readonly(const char *path)
{
	if (mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags_of(path), NULL) < 0)
		return -errno;
	return 0;
}

int bind_fd(int source, const char *path, bool follow_link)
{
	int tree = syscall(SYS_open_tree, source, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH), r;

	if (tree < 0)
		return -errno;
	r = syscall(SYS_move_mount, tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH | (follow_link ? MOVE_MOUNT_T_SYMLINKS : 0)) < 0 ? -errno : 0;
	close(tree);
	return r;
}

/* In a /dev that others write to, it might be a link to what must not be seen. */
static int open_null(void)
{
	int fd = open("/dev/null", O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0 && is_null(&st))
		return fd;
	close(fd);
	return -ENODEV;
}

static int mask_path(const char *path)
{
	static char empty[256];
	static int null = -1;
	struct stat st;

	if (stat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISDIR(st.st_mode)) {
		if (null < 0)
			null = open_null();
		return null < 0 ? fail(-null, "/dev/null", "it is needed to mask %s, and is not the null device", path) : bind_fd(null, path, true);
	}
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
