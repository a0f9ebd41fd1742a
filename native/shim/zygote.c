/* Forks shims and helpers for the daemon: small, so that forking is cheap, and one per daemon. */
#include "shim.h"
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define HEAD 16
#define HELPERS 256
#ifndef MFD_EXEC
#define MFD_EXEC 0x10u
#endif

static struct { uint32_t id; pid_t pid; } helpers[HELPERS];

/* A service manager that kills the daemon's cgroup must not take the containers' shims. */
static void leave_cgroup(void)
{
	static const char *const places[] = { "/sys/fs/cgroup/systemd", "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };

	for (int i = 0; i < 3; i++) {
		char path[128];

		snprintf(path, sizeof path, "%s/cgroup.procs", places[i]);
		if (access(path, W_OK) < 0)
			continue;
		snprintf(path, sizeof path, "%s/tsd-shims", places[i]);
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			continue;
		snprintf(path, sizeof path, "%s/tsd-shims/cgroup.procs", places[i]);
		write_file(path, "0", 1, 0, 0);
	}
}

static void reap(void)
{
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
		for (int i = 0; i < HELPERS; i++)
			if (helpers[i].pid == pid)
				helpers[i].pid = 0;
}

static bool split(const unsigned char *data, size_t len, struct plan *plan, size_t *used)
{
	if (len < 12)
		return false;
	plan->data = data;
	plan->len = get32(data + 8);
	*used = plan->len;
	return plan->len >= 12 && plan->len <= len;
}

static void refuse(int control, const char *why)
{
	unsigned char payload[2048];

	fail(EBADMSG, "zygote", "%s", why);
	frame_write(control, FROM_ERROR, payload, error_payload(payload, &g_error));
	_exit(1);
}

static void serve(unsigned char *message, size_t len, int control, int memory, int lock)
{
	unsigned char *data = message + HEAD;
	struct plan first, second;
	size_t used, size = len - HEAD;
	struct stat st;

	if (memory >= 0) {
		spare_drop();
		if (fstat(memory, &st) < 0 || st.st_size < 12)
			refuse(control, "empty plan");
		size = st.st_size;
		data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, memory, 0);
		if (data == MAP_FAILED)
			refuse(control, "cannot map the plan");
		close(memory);
	}
	if (!split(data, size, &first, &used))
		refuse(control, "truncated plan");
	if (get32(message + 4) == ZYGOTE_RUN) {
		spare_drop();
		helper_main(first, control, get32(message + 12));
	}
	if (!split(data + used, size - used, &second, &used))
		refuse(control, "truncated plan");
	spare_inherit(second);
	launch_main(first, second, control, lock);
}

/* What lies in a memfd is not looked at: such a shim goes without the spare, as serve() has it. */
static bool takes_spare(const unsigned char *message, size_t len)
{
	struct plan first, second;
	size_t used;

	return split(message + HEAD, len - HEAD, &first, &used) && split(message + HEAD + used, len - HEAD - used, &second, &used) &&
	       spare_fits(second);
}

/*
 * Containers reach the program of a process that is about to join them by /proc/PID/exe, and could write to it (CVE-2019-5736). So zygote, shims and
 * children run a copy that nobody can write to. 0: this is the copy.
 */
static int run_sealed(char **argv)
{
	int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), copy;
	struct stat st;
	off_t at = 0;

	if (self < 0 || fstat(self, &st) < 0)
		return -errno;
	if (fcntl(self, F_GET_SEALS) > 0 && fcntl(self, F_GET_SEALS) & F_SEAL_WRITE)
		return close(self);
	/* Kernels before 6.3 do not know the first. */
	copy = syscall(SYS_memfd_create, "tsd-shim", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
	if (copy < 0 && errno == EINVAL)
		copy = syscall(SYS_memfd_create, "tsd-shim", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (copy < 0)
		return -errno;
	while (at < st.st_size)
		if (sendfile(copy, self, &at, st.st_size - at) <= 0)
			return -EIO;
	if (fcntl(copy, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	syscall(SYS_execveat, copy, "", argv, environ, AT_EMPTY_PATH);
	return -errno;
}

int zygote_main(char **argv)
{
	int control = atoi(argv[2]), lock = atoi(argv[3]);

	unsigned char *message = region(HEAD + ZYGOTE_INLINE);
	sigset_t set;
	int sigfd;

	if (run_sealed(argv) < 0)
		return 3;
	setsid();
	if (chdir("/") < 0)
		return 1;
	umask(022);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fcntl(control, F_SETFD, FD_CLOEXEC);
	if (lock >= 0)
		fcntl(lock, F_SETFD, FD_CLOEXEC);
	/* What the daemon was started with must not reach containers. */
	syscall(SYS_close_range, (unsigned)(lock > control ? lock : control) + 1, ~0U, 0);
	sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	leave_cgroup();
	if (!message || sigfd < 0)
		return 1;
	for (;;) {
		struct pollfd p[3] = { { control, POLLIN, 0 }, { sigfd, POLLIN, 0 }, { spare_fd(), POLLIN, 0 } };
		union { struct cmsghdr h; char space[CMSG_SPACE(sizeof(int) * 4)]; } space;
		struct iovec iov = { message, HEAD + ZYGOTE_INLINE };
		struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &space, .msg_controllen = sizeof space.space };
		int fds[4], count = 0;
		ssize_t n;

		if (poll(p, 3, spare_wait()) < 0)
			continue;
		if (p[2].revents)
			spare_take();
		if (p[1].revents) {
			struct signalfd_siginfo info;
			while (read(sigfd, &info, sizeof info) > 0)
				;
			reap();
		}
		if (!p[0].revents) {
			spare_work();
			continue;
		}
		n = recvmsg(control, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0)
			return 0;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
			if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
				count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
				memcpy(fds, CMSG_DATA(c), count * sizeof(int));
			}
		if (n >= HEAD && get32(message) == ZYGOTE_MAGIC && get32(message + 4) == ZYGOTE_KILL) {
			for (int i = 0; i < HELPERS; i++)
				if (helpers[i].pid && helpers[i].id == get32(message + 8))
					kill(-helpers[i].pid, SIGKILL), kill(helpers[i].pid, SIGKILL);
		} else if (n >= HEAD && get32(message) == ZYGOTE_MAGIC && count >= 1) {
			pid_t pid = fork();

			if (pid == 0) {
				close(control);
				close(sigfd);
				serve(message, n, fds[0], count > 1 ? fds[1] : -1, lock);
			}
			if (pid > 0 && get32(message + 4) == ZYGOTE_LAUNCH && count == 1 && takes_spare(message, n))
				spare_gone();
			if (pid > 0 && get32(message + 4) == ZYGOTE_RUN)
				for (int i = 0; i < HELPERS; i++)
					if (!helpers[i].pid) {
						helpers[i].id = get32(message + 8);
						helpers[i].pid = pid;
						break;
					}
		}
		for (int i = 0; i < count; i++)
			close(fds[i]);
	}
}
