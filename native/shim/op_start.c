/* The last steps of a child: meeting the parent, terminal, working directory, exec. */
#include "shim.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

/* Waits for one byte of the shim's: 'C' for its milestone, 'G', 'R'. A shim that is gone ends the child. */
static int await(char wanted)
{
	char got;
	ssize_t n;

	do
		n = read(g.sync, &got, 1);
	while ((n < 0 && errno == EINTR) || (n == 1 && got == 'C' && wanted != 'C'));
	if (n != 1 || got != wanted)
		_exit(1);
	return 0;
}

int child_sync(void)
{
	if (g.role != ROLE_CHILD || g.synced)
		return 0;
	g.synced = true;
	return await('G');
}

static int open_console(const char *mount_at)
{
	struct winsize size = { .ws_row = g.height, .ws_col = g.width };
	int master = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC), slave, unlocked = 0, number = -1, r = 0;
	char path[32], tag;

	if (master < 0)
		master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (master < 0) {
		/* No devpts in the container: the shim allocates one of the host's. */
		if (send_fd(g.sync, 'T', -1) < 0 || recv_fd(g.sync, &tag, 1, &slave) != 1 || tag != 'S' || slave < 0)
			return fail(ENODEV, "/dev/ptmx", "no terminal can be allocated");
	} else {
		if (ioctl(master, TIOCSPTLCK, &unlocked) < 0 || ioctl(master, TIOCGPTN, &number) < 0)
			return -errno;
		snprintf(path, sizeof path, "/dev/pts/%d", number);
		slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
		if (slave < 0)
			slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
		if (slave < 0)
			return -errno;
	}
	if (size.ws_row || size.ws_col)
		ioctl(slave, TIOCSWINSZ, &size);
	if (*mount_at && number >= 0) {
		int fd = open(mount_at, O_CREAT | O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK, 0620);
		if (fd >= 0)
			close(fd);
		r = bind_fd(slave, mount_at, false);
		if (r < 0)
			return fail(-r, mount_at, "cannot put the terminal there");
	}
	setsid();
	if (ioctl(slave, TIOCSCTTY, 0) < 0)
		return fail(errno, NULL, "cannot make it the controlling terminal");
	for (int i = 0; i < 3; i++)
		if (dup2(slave, i) < 0)
			return -errno;
	close(slave);
	if (master >= 0) {
		r = send_fd(g.sync, 'C', master);
		close(master);
	}
	return r;
}

static int exec_error(const char *name, int err, const char *text)
{
	return fail(err, name, "%s", text);
}

/* The user's home, where the environment says nothing else. */
static char **with_home(char **envp)
{
	static char home[sizeof g_home + 5];
	char **copy;
	size_t n = 0;

	if (!*g_home)
		return envp;
	for (; envp[n]; n++)
		if (!strncmp(envp[n], "HOME=", 5))
			return envp;
	copy = malloc((n + 2) * sizeof *copy);
	if (!copy)
		return envp;
	memcpy(copy, envp, n * sizeof *copy);
	snprintf(home, sizeof home, "HOME=%s", g_home);
	copy[n] = home;
	copy[n + 1] = NULL;
	return copy;
}

/* As Go's LookPath: a name with a slash is taken as it is, else PATH of the new environment is searched for an executable file. */
static int exec_program(const struct field *f)
{
	char **argv = list_argv(f[EXEC_ARGV]), **envp = list_argv(f[EXEC_ENV]), full[4096];
	const char *path = NULL, *name;
	struct stat st;

	if (!argv || !envp)
		return -ENOMEM;
	envp = with_home(envp);
	if (!f[EXEC_ARGV].n || !*argv[0])
		return fail(ENOENT, "", "not-found");
	name = argv[0];
	if (!strchr(name, '/')) {
		bool found = false;
		for (char **e = envp; *e; e++)
			if (!strncmp(*e, "PATH=", 5))
				path = *e + 5;
		for (const char *p = path; p; ) {
			size_t n = strcspn(p, ":");
			if (snprintf(full, sizeof full, "%.*s/%s", n ? (int)n : 1, n ? p : ".", name) < (int)sizeof full &&
			    stat(full, &st) == 0 && !S_ISDIR(st.st_mode) && access(full, X_OK) == 0) {
				found = true;
				break;
			}
			p = p[n] ? p + n + 1 : NULL;
		}
		if (!found)
			return exec_error(name, ENOENT, "not-found");
		name = full;
	} else {
		if (stat(name, &st) < 0)
			return exec_error(name, errno, "stat");
		if (S_ISDIR(st.st_mode))
			return exec_error(name, EACCES, "is-directory");
		if (access(name, X_OK) < 0)
			return exec_error(name, errno, "access");
	}
	child_sync();
	if (write(g.sync, "X", 1) != 1)
		_exit(1);
	plain_signals();
	execve(name, argv, envp);
	return exec_error(argv[0], errno, "exec");
}

/* An image says where. A link such as /proc/self/fd/7 would lead to what this process still has open, or is allowed to see. */
static int change_dir(const char *path, bool create)
{
	char at[4096];
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), fd, r;

	if (root < 0)
		return -errno;
	fd = create ? open_dir_in(root, path, 0755) : open_in(root, path);
	close(root);
	if (fd < 0)
		return fd;
	r = fchdir(fd) < 0 ? -errno : 0;
	close(fd);
	if (r < 0)
		return r;
	/* What lies outside of the root has no path. */
	if (syscall(SYS_getcwd, at, sizeof at) < 0)
		return -errno;
	return at[0] == '/' ? 0 : fail(EXDEV, path, "it lies outside of the container");
}

int op_start(const struct op *op)
{
	const struct field *f = op->f;

	switch (op->code) {
	case OP_MILESTONE:
		return send(g.sync, "C", 1, MSG_NOSIGNAL) < 0 && errno != EPIPE && errno != ECONNRESET ? -errno : 0;
	case OP_WAIT_MILESTONE:
		return await('C');
	case OP_WAIT_PARENT:
		return child_sync();
	case OP_CGROUP_JOIN: {
		const char *at = f[CGROUP_JOIN_PATHS].s;
		for (uint64_t i = 0; i < f[CGROUP_JOIN_PATHS].n; i++) {
			const char *path = list_next(&at, NULL);
			int r = write_file(path, "0", 1, 0, 0);
			if (r < 0)
				return fail(-r, path, "cannot enter the cgroup");
		}
		return 0;
	}
	case OP_SETHOSTNAME:
		return sethostname(f[0].s, f[0].len) < 0 ? -errno : 0;
	case OP_SETDOMAINNAME:
		return setdomainname(f[0].s, f[0].len) < 0 ? -errno : 0;
	case OP_CHDIR:
		return change_dir(f[CHDIR_PATH].s, f[CHDIR_CREATE].n);
	case OP_CONSOLE:
		return open_console(f[CONSOLE_MOUNT_AT].s);
	case OP_PARK: {
		int r = child_sync();
		if (r < 0)
			return r;
		/* Who waits for a word is not at work: the next daemon need not wait for it. */
		if (g.lock >= 0)
			close(g.lock);
		g.lock = -1;
		r = send_fd(g.sync, 'P', -1);
		return r < 0 ? r : await('R');
	}
	case OP_EXEC:
		return exec_program(f);
	}
	return -ENOSYS;
}
