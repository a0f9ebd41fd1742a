/* Mounts by host path, detached mounts, and their fds. */
#include "shim.h"
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "mountapi.h"

/* What the kernel has to say about a failed fsconfig or fsmount. */
static int fs_fail(int fd, int err, const char *subject)
{
	char text[512];
	ssize_t n = read(fd, text, sizeof text - 1);

	if (n > 2) {
		text[n] = 0;
		return fail(err, subject, "%s", text + 2);
	}
	return fail(err, subject, "%s", "");
}

static int fs_set(int fs, const char *key, const char *value)
{
	if (!value)
		return syscall(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, key, NULL, 0) < 0 ? -errno : 0;
	return syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, value, 0) < 0 ? -errno : 0;
}

/* The layers of a colon separated list, topmost first; a backslash protects a colon. */
static int set_lowers(int fs, const char *list)
{
	char one[256];
	size_t n = 0;

	for (const char *p = list;; p++) {
		if (*p == ':' || *p == 0) {
			int r;
			if (n == 0)
				return -EINVAL;
			one[n] = 0;
			r = fs_set(fs, "lowerdir+", one);
			if (r < 0)
				return r;
			n = 0;
			if (*p == 0)
				return 0;
			continue;
		}
		if (*p == '\\' && p[1])
			p++;
		if (n == sizeof one - 1)
			return -E2BIG;
		one[n++] = *p;
	}
}

static int mount_new_api(const struct field *f, bool overlay, bool *needs_legacy)
{
	const char *at = f[FSMOUNT_OPTIONS].s;
	int fs = syscall(SYS_fsopen, f[FSMOUNT_FSTYPE].s, FSOPEN_CLOEXEC), r, fd;

	if (fs < 0)
		return fail(errno, f[FSMOUNT_FSTYPE].s, "this file system is not available in the kernel");
	if (f[FSMOUNT_SOURCE].len && (r = fs_set(fs, "source", f[FSMOUNT_SOURCE].s)) < 0)
		goto failed;
	for (uint64_t i = 0; i < f[FSMOUNT_OPTIONS].n; i++) {
		uint32_t len;
		const char *option = list_next(&at, &len), *equals = strchr(option, '=');
		char key[64];

		if (!equals) {
			r = fs_set(fs, option, NULL);
		} else {
			size_t n = equals - option;
			if (n >= sizeof key) {
				r = -EINVAL;
				goto failed;
			}
			memcpy(key, option, n);
			key[n] = 0;
			if (overlay && !strcmp(key, "lowerdir")) {
				r = set_lowers(fs, equals + 1);
				/* An old kernel does not know lowerdir+; a path over 255 bytes does not fit fsconfig. */
				if (r == -EINVAL || r == -E2BIG)
					*needs_legacy = true;
			} else {
				r = fs_set(fs, key, equals + 1);
				if (overlay && strlen(equals + 1) > 255)
					*needs_legacy = true;
			}
		}
		if (r < 0) {
			fs_fail(fs, -r, option);
			close(fs);
			return r;
		}
	}
	if (syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0) {
		r = -errno;
		goto failed;
	}
	fd = syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, (unsigned)f[FSMOUNT_ATTRS].n);
	if (fd < 0) {
		r = -errno;
		goto failed;
	}
	close(fs);
	return fd;
failed:
	fs_fail(fs, -r, f[FSMOUNT_SOURCE].len ? f[FSMOUNT_SOURCE].s : f[FSMOUNT_FSTYPE].s);
	close(fs);
	return r;
}

static unsigned long legacy_flags(unsigned attrs)
{
	unsigned long flags = 0;

	if (attrs & MOUNT_ATTR_RDONLY) flags |= MS_RDONLY;
	if (attrs & MOUNT_ATTR_NOSUID) flags |= MS_NOSUID;
	if (attrs & MOUNT_ATTR_NODEV) flags |= MS_NODEV;
	if (attrs & MOUNT_ATTR_NOEXEC) flags |= MS_NOEXEC;
	if (attrs & MOUNT_ATTR_NODIRATIME) flags |= MS_NODIRATIME;
	if ((attrs & MOUNT_ATTR__ATIME) == MOUNT_ATTR_NOATIME) flags |= MS_NOATIME;
	if ((attrs & MOUNT_ATTR__ATIME) == MOUNT_ATTR_STRICTATIME) flags |= MS_STRICTATIME;
	return flags;
}

/* mount(2) in a mount namespace of a child's own, cloned to a detached fd. */
static int legacy_child(const struct field *f, int reply)
{
	static const char *const target = "/proc";
	const char *at = f[FSMOUNT_OPTIONS].s;
	char *data = malloc(f[FSMOUNT_OPTIONS].len + 1), *p = data, *lower = NULL;
	int fd;

	if (!data)
		return -ENOMEM;
	*p = 0;
	/* Repeated lowerdirs become one colon separated option. */
	for (uint64_t i = 0; i < f[FSMOUNT_OPTIONS].n; i++) {
		const char *option = list_next(&at, NULL);
		bool is_lower = !strncmp(option, "lowerdir=", 9);

		if (is_lower && lower) {
			size_t size = strlen(lower), add = strlen(option + 9);
			char *larger = realloc(lower, size + add + 2);
			if (!larger)
				return -ENOMEM;
			lower = larger;
			lower[size] = ':';
			memcpy(lower + size + 1, option + 9, add + 1);
		} else if (is_lower) {
			lower = strdup(option);
		} else {
			p += sprintf(p, "%s%s", p == data ? "" : ",", option);
		}
	}
	if (lower) {
		char *all;
		if (asprintf(&all, "%s%s%s", data, p == data ? "" : ",", lower) < 0)
			return -ENOMEM;
		data = all;
	}
	if (strlen(data) > 4094)
		return -E2BIG;
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	if (mount(f[FSMOUNT_SOURCE].len ? f[FSMOUNT_SOURCE].s : f[FSMOUNT_FSTYPE].s, target, f[FSMOUNT_FSTYPE].s,
		  legacy_flags(f[FSMOUNT_ATTRS].n), data) < 0)
		return -errno;
	fd = syscall(SYS_open_tree, AT_FDCWD, target, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (fd < 0)
		return -errno;
	return send_fd(reply, 'F', fd);
}

static int mount_legacy(const struct field *f)
{
	int pair[2], fd, status;
	unsigned char tag[8];
	pid_t pid;
	ssize_t n;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		int r = legacy_child(f, pair[1]);
		if (r < 0) {
			uint32_t err = -r;
			tag[0] = 'E';
			memcpy(tag + 1, &err, 4);
			if (write(pair[1], tag, 5) < 0)
				_exit(2);
		}
		_exit(0);
	}
	close(pair[1]);
	n = recv_fd(pair[0], tag, sizeof tag, &fd);
	close(pair[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (n == 5 && tag[0] == 'E')
		return fail(get32(tag + 1), f[FSMOUNT_FSTYPE].s, "mount(2) of a file system that fsconfig(2) did not take");
	return fd >= 0 ? fd : -EIO;
}

static int op_fsmount(const struct field *f)
{
	bool overlay = !strcmp(f[FSMOUNT_FSTYPE].s, "overlay"), needs_legacy = false;
	int fd = mount_new_api(f, overlay, &needs_legacy);

	if (fd < 0 && needs_legacy)
		fd = mount_legacy(f);
	return fd < 0 ? fd : slot_set(f[FSMOUNT_SLOT].n, fd);
}

int op_mount(const struct op *op)
{
	const struct field *f = op->f;
	int fd;

	switch (op->code) {
	case OP_MOUNT: {
		unsigned long flags = f[MOUNT_FLAGS].n, bind = MS_BIND | MS_REC;
		if (mount(f[MOUNT_SOURCE].s, f[MOUNT_TARGET].s, f[MOUNT_FSTYPE].len ? f[MOUNT_FSTYPE].s : NULL,
			  flags & MS_BIND && !(flags & MS_REMOUNT) ? flags & bind : flags, f[MOUNT_DATA].len ? f[MOUNT_DATA].s : NULL) < 0)
			return -errno;
		/* The kernel takes no other flags with a new bind. */
		if (flags & MS_BIND && !(flags & MS_REMOUNT) && flags & ~bind &&
		    mount(NULL, f[MOUNT_TARGET].s, NULL, (flags & ~MS_REC) | MS_REMOUNT, NULL) < 0) {
			int err = errno;
			umount2(f[MOUNT_TARGET].s, MNT_DETACH);
			return -err;
		}
		return 0;
	}
	case OP_UMOUNT:
		return umount2(f[UMOUNT_PATH].s, f[UMOUNT_FLAGS].n) < 0 ? -errno : 0;
	case OP_PROPAGATION:
		return mount(NULL, f[PROPAGATION_PATH].s, NULL, f[PROPAGATION_FLAGS].n, NULL) < 0 ? -errno : 0;
	case OP_FSMOUNT:
		return op_fsmount(f);
	case OP_OPEN_TREE: {
		unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (f[OPEN_TREE_RECURSIVE].n ? AT_RECURSIVE : 0);
		if ((int64_t)f[OPEN_TREE_ROOT].n >= 0) {
			int root = slot_fd(f[OPEN_TREE_ROOT].n), at;
			if (root < 0)
				return root;
			at = open_in(root, f[OPEN_TREE_PATH].s);
			if (at < 0)
				return at;
			fd = syscall(SYS_open_tree, at, "", flags | AT_EMPTY_PATH);
			if (fd < 0)
				fd = -errno;
			close(at);
			if (fd < 0)
				return fd;
		} else {
			fd = syscall(SYS_open_tree, AT_FDCWD, f[OPEN_TREE_PATH].s, flags);
			if (fd < 0)
				return -errno;
		}
		return slot_set(f[OPEN_TREE_SLOT].n, fd);
	}
	case OP_MOUNT_ATTR: {
		struct mount_attributes attr = { f[MOUNT_ATTR_SET].n, f[MOUNT_ATTR_CLEAR].n, f[MOUNT_ATTR_PROPAGATION].n, 0 };
		fd = slot_fd(f[MOUNT_ATTR_SLOT].n);
		if (fd < 0)
			return fd;
		if (syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | (f[MOUNT_ATTR_RECURSIVE].n ? AT_RECURSIVE : 0), &attr, sizeof attr) < 0)
			return -errno;
		return 0;
	}
	case OP_OPEN_PATH:
		fd = open(f[OPEN_PATH_PATH].s, (f[OPEN_PATH_FLAGS].n ? (int)f[OPEN_PATH_FLAGS].n : O_PATH) | O_CLOEXEC | O_NOCTTY);
		return fd < 0 ? -errno : slot_set(f[OPEN_PATH_SLOT].n, fd);
	case OP_CLOSE:
		fd = slot_fd(f[CLOSE_SLOT].n);
		if (fd < 0)
			return fd;
		close(fd);
		g.slot[f[CLOSE_SLOT].n] = 0;
		return 0;
	}
	return -ENOSYS;
}
