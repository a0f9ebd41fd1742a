/* Descriptors, small files, time. */
#include "shim.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

int send_fd(int socket, char tag, int fd)
{
	union { struct cmsghdr h; char space[CMSG_SPACE(sizeof(int))]; } control;
	struct iovec iov = { &tag, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		memset(&control, 0, sizeof control);
		m.msg_control = &control;
		m.msg_controllen = sizeof control.space;
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof fd);
	}
	while (sendmsg(socket, &m, MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

ssize_t recv_fd(int socket, void *buffer, size_t size, int *fd)
{
	union { struct cmsghdr h; char space[CMSG_SPACE(sizeof(int) * 4)]; } control;
	struct iovec iov = { buffer, size };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.space };
	ssize_t n;

	*fd = -1;
	do
		n = recvmsg(socket, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		int count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (int i = 0; i < count; i++) {
			int one;
			memcpy(&one, CMSG_DATA(c) + i * sizeof(int), sizeof one);
			if (*fd < 0)
				*fd = one;
			else
				close(one);
		}
	}
	return n;
}

int write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			if (errno == EAGAIN) {
				struct pollfd w = { fd, POLLOUT, 0 };
				poll(&w, 1, -1);
				continue;
			}
			return -errno;
		}
		p += n;
		len -= n;
	}
	return 0;
}

ssize_t read_small(const char *path, char *buffer, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;

	if (fd < 0)
		return -errno;
	while (len < size - 1) {
		ssize_t n = read(fd, buffer + len, size - 1 - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int err = errno;
			close(fd);
			return -err;
		}
		if (n == 0)
			break;
		len += n;
	}
	close(fd);
	buffer[len] = 0;
	return len;
}

bool is_null(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3);
}

uint64_t start_time(pid_t pid)
{
	char path[32], text[1024], *p;

	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	if (read_small(path, text, sizeof text) <= 0 || !(p = strrchr(text, ')')))
		return 0;
	/* The name ends field 2; a space stands before each of fields 3 to 22. */
	for (int i = 0; i < 20 && p; i++)
		p = strchr(p + 1, ' ');
	return p ? strtoull(p + 1, NULL, 10) : 0;
}

void nano_time(char out[40])
{
	struct timespec now;
	struct tm tm;
	int n;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	n = (int)strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm);
	n += snprintf(out + n, 12, ".%09ld", now.tv_nsec);
	/* RFC3339Nano drops trailing zeros. */
	while (out[n - 1] == '0')
		n--;
	if (out[n - 1] == '.')
		n--;
	out[n++] = 'Z';
	out[n] = 0;
}

/* The null device of the host is a file of the host: its mode and times could be changed by the fd. Where the container has none, input is at its end. */
static int replace_null(int fd)
{
	int pair[2], own = open("/dev/null", O_RDWR | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC), r;
	struct stat st;

	if (own >= 0 && (fstat(own, &st) < 0 || !is_null(&st))) {
		close(own);
		own = -1;
	}
	if (own < 0) {
		if (pipe2(pair, O_CLOEXEC) < 0)
			return -errno;
		own = pair[fd != 0];
		close(pair[fd == 0]);
	}
	r = dup2(own, fd) < 0 ? -errno : 0;
	close(own);
	return r;
}

int let_go_of_host(void)
{
	unsigned keep = g.sync >= 3 ? g.sync : 2;
	bool below = keep <= 3 || syscall(SYS_close_range, 3u, keep - 1, 0) == 0;

	/* Before Linux 5.9, one by one: the launcher has opened a few hundred at most. */
	if (!below || syscall(SYS_close_range, keep + 1, ~0u, 0) < 0)
		for (int fd = 3; fd < 4096; fd++)
			if (fd != g.sync)
				close(fd);
	memset(g.slot, 0, sizeof g.slot);
	for (int fd = 0; fd < 3; fd++) {
		struct stat st;
		int r = fstat(fd, &st) == 0 && is_null(&st) ? replace_null(fd) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}

void plain_signals(void)
{
	sigset_t none;

	for (int i = 1; i < 65; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}
