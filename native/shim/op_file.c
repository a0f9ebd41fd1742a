/* Ops on files of the daemon's namespaces. */
#include "shim.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

int mkdirs(const char *path, mode_t mode)
{
	char copy[4096];
	size_t len = strlen(path);

	if (mkdir(path, mode) == 0)
		return 0;
	if (errno == EEXIST) {
		struct stat st;
		if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
			return -ENOTDIR;
		return 0;
	}
	if (errno != ENOENT)
		return -errno;
	if (len >= sizeof copy)
		return -ENAMETOOLONG;
	memcpy(copy, path, len + 1);
	for (char *p = copy + 1; (p = strchr(p, '/')); p++) {
		*p = 0;
		if (mkdir(copy, 0755) < 0 && errno != EEXIST)
			return fail(errno, copy, "cannot make the parent directory");
		*p = '/';
	}
	return mkdir(path, mode) < 0 && errno != EEXIST ? -errno : 0;
}

int write_file(const char *path, const void *data, size_t len, int flags, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY | flags, mode);
	ssize_t n;
	int r = 0;

	if (fd < 0)
		return -errno;
	do
		n = write(fd, data, len);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		r = -errno;
	else if ((size_t)n < len)
		r = write_all(fd, (const char *)data + n, len - n);
	if (close(fd) < 0 && r == 0)
		r = -errno;
	return r;
}

static void nap(long us)
{
	struct timespec t = { 0, us * 1000 };

	nanosleep(&t, NULL);
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int rmdir_retry(const char *path, uint64_t deadline)
{
	for (long us = 100;; us = us < 5000 ? us * 2 : us) {
		if (rmdir(path) == 0)
			return 0;
		if ((errno != EBUSY && errno != ENOTEMPTY) || now_ms() >= deadline)
			return -errno;
		nap(us);
	}
}

/* Groups inside first; their files cannot be deleted and go with them. */
static int cgroup_remove(const char *path, uint64_t deadline, int depth)
{
	DIR *dir;
	struct dirent *e;
	int r;

	if (rmdir(path) == 0 || errno == ENOENT)
		return 0;
	if (errno != EBUSY && errno != ENOTEMPTY)
		return -errno;
	if (depth < 64 && (dir = opendir(path))) {
		while ((e = readdir(dir))) {
			char child[4096];

			if (e->d_type != DT_DIR || !strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
				continue;
			if (snprintf(child, sizeof child, "%s/%s", path, e->d_name) >= (int)sizeof child)
				continue;
			r = cgroup_remove(child, deadline, depth + 1);
			if (r < 0) {
				closedir(dir);
				return r;
			}
		}
		closedir(dir);
	}
	r = rmdir_retry(path, deadline);
	return r == -ENOENT ? 0 : r < 0 ? fail(-r, path, "the cgroup is still in use") : 0;
}

static int signal_all(const char *path, int sig)
{
	FILE *f = fopen(path, "re");
	int pid, r = 0;

	if (!f)
		return -errno;
	while (fscanf(f, "%d", &pid) == 1)
		if (pid > 1 && kill(pid, sig) < 0 && errno != ESRCH)
			r = -errno;
	fclose(f);
	return r;
}

static int output(const void *data, size_t len)
{
	const char *p = data;

	if (g.output < 0)
		return fail(EBADF, NULL, "only a helper has an output");
	while (len) {
		size_t part = len < 65536 ? len : 65536;
		int r = frame_write(g.output, FROM_HELPER_OUTPUT, p, part);
		if (r < 0)
			return r;
		p += part;
		len -= part;
	}
	return 0;
}

static int read_to_output(const char *path, size_t max)
{
	char buffer[16384];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), r = 0;

	if (fd < 0)
		return -errno;
	while (max && r == 0) {
		ssize_t n = read(fd, buffer, max < sizeof buffer ? max : sizeof buffer);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			r = -errno;
		if (n <= 0)
			break;
		r = output(buffer, n);
		max -= n;
	}
	close(fd);
	return r;
}

static int stat_to_output(const char *path, bool follow)
{
	struct stat st;
	unsigned char out[80], *p = out;

	if ((follow ? stat : lstat)(path, &st) < 0)
		return -errno;
	p = put64(p, st.st_dev);
	p = put64(p, st.st_ino);
	p = put64(p, st.st_mode);
	p = put64(p, st.st_nlink);
	p = put64(p, st.st_uid);
	p = put64(p, st.st_gid);
	p = put64(p, st.st_rdev);
	p = put64(p, st.st_size);
	p = put64(p, st.st_blocks);
	p = put64(p, (uint64_t)st.st_mtim.tv_sec * 1000000000u + st.st_mtim.tv_nsec);
	return output(out, p - out);
}

static int statfs_to_output(const char *path)
{
	struct statfs st;
	unsigned char out[64], *p = out;

	if (statfs(path, &st) < 0)
		return -errno;
	p = put64(p, (uint32_t)st.f_type);
	p = put64(p, st.f_bsize);
	p = put64(p, st.f_blocks);
	p = put64(p, st.f_bfree);
	p = put64(p, st.f_bavail);
	p = put64(p, st.f_files);
	p = put64(p, st.f_ffree);
	p = put64(p, st.f_flags);
	return output(out, p - out);
}

int op_file(const struct op *op)
{
	const struct field *f = op->f;

	switch (op->code) {
	case OP_MKDIR: {
		mode_t mode = f[MKDIR_MODE].n ? f[MKDIR_MODE].n : 0755;
		if (f[MKDIR_PARENTS].n)
			return mkdirs(f[MKDIR_PATH].s, mode);
		return mkdir(f[MKDIR_PATH].s, mode) < 0 ? -errno : 0;
	}
	case OP_WRITE: {
		int flags = (f[WRITE_CREATE].n ? O_CREAT : 0) | (f[WRITE_APPEND].n ? O_APPEND : f[WRITE_CREATE].n ? O_TRUNC : 0);
		return write_file(f[WRITE_PATH].s, f[WRITE_DATA].s, f[WRITE_DATA].len, flags, f[WRITE_MODE].n ? f[WRITE_MODE].n : 0644);
	}
	case OP_WRITE_PID: {
		char text[16];
		int n = snprintf(text, sizeof text, "%d", g.child);
		return write_file(f[WRITE_PID_PATH].s, text, n, f[WRITE_PID_CREATE].n ? O_CREAT | O_TRUNC : 0, 0644);
	}
	case OP_RMDIR:
		return rmdir_retry(f[RMDIR_PATH].s, now_ms() + f[RMDIR_RETRY_MS].n);
	case OP_UNLINK:
		return unlink(f[UNLINK_PATH].s) < 0 ? -errno : 0;
	case OP_RENAME:
		return rename(f[RENAME_FROM].s, f[RENAME_TO].s) < 0 ? -errno : 0;
	case OP_CHOWN:
		return lchown(f[CHOWN_PATH].s, f[CHOWN_UID].n, f[CHOWN_GID].n) < 0 ? -errno : 0;
	case OP_CHMOD:
		return chmod(f[CHMOD_PATH].s, f[CHMOD_MODE].n) < 0 ? -errno : 0;
	case OP_READ_FILE:
		return read_to_output(f[READ_FILE_PATH].s, f[READ_FILE_MAX].n);
	case OP_STAT:
		return stat_to_output(f[STAT_PATH].s, f[STAT_FOLLOW].n);
	case OP_STATFS:
		return statfs_to_output(f[STATFS_PATH].s);
	case OP_SYMLINK:
		return symlink(f[SYMLINK_TARGET].s, f[SYMLINK_PATH].s) < 0 ? -errno : 0;
	case OP_KILL:
		return kill(f[KILL_PID].n, f[KILL_SIGNAL].n) < 0 ? -errno : 0;
	case OP_SIGNAL_ALL:
		return signal_all(f[SIGNAL_ALL_PATH].s, f[SIGNAL_ALL_SIGNAL].n);
	case OP_CGROUP_REMOVE: {
		const char *at = f[CGROUP_REMOVE_PATHS].s;
		uint64_t deadline = now_ms() + f[CGROUP_REMOVE_RETRY_MS].n;
		int r = 0;
		for (uint64_t i = 0; i < f[CGROUP_REMOVE_PATHS].n; i++) {
			int one = cgroup_remove(list_next(&at, NULL), deadline, 0);
			if (one < 0)
				r = one;
		}
		return r;
	}
	}
	return -ENOSYS;
}
