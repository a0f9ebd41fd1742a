/* Commands, foreign runtimes and their consoles. */
#include "shim.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void run_child(const struct field *f, const int in[2], const int out[2], const int err[2])
{
	char **argv = list_argv(f[RUN_ARGV]), **envp = list_argv(f[RUN_ENV]);
	bool container = f[RUN_STDIO].n == RUN_STDIO_CONTAINER;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int fds[3] = { in[0] >= 0 ? in[0] : container ? g.stdio[0] : null, out[1] >= 0 ? out[1] : container ? g.stdio[1] : null,
		       err[1] >= 0 ? err[1] : container ? g.stdio[2] : null };

	for (int i = 0; i < 3; i++) {
		int fd = fds[i] >= 0 ? fds[i] : null;
		if (fd < 0 || dup2(fd, i) < 0)
			_exit(126);
	}
	if (g.role == ROLE_HELPER)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	plain_signals();
	if (f[RUN_CWD].len && chdir(f[RUN_CWD].s) < 0) {
		dprintf(2, "chdir %s: %s", f[RUN_CWD].s, strerror(errno));
		_exit(126);
	}
	if (argv && argv[0]) {
		if (f[RUN_ENV].n)
			execvpe(argv[0], argv, envp);
		else
			execvp(argv[0], argv);
		dprintf(2, "%s: %s", argv[0], strerror(errno));
	}
	_exit(127);
}

struct tail {
	char text[1000];
	size_t len;
};

static void keep_tail(struct tail *tail, const char *data, size_t n)
{
	size_t room = sizeof tail->text;

	if (n >= room) {
		memcpy(tail->text, data + n - room, room);
		tail->len = room;
		return;
	}
	if (tail->len + n > room) {
		size_t drop = tail->len + n - room;
		memmove(tail->text, tail->text + drop, tail->len - drop);
		tail->len -= drop;
	}
	memcpy(tail->text + tail->len, data, n);
	tail->len += n;
}

static void read_log_tail(const char *path, struct tail *tail)
{
	char buffer[1000];
	struct stat st;
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && st.st_size > (off_t)sizeof buffer)
		lseek(fd, st.st_size - (off_t)sizeof buffer, SEEK_SET);
	n = read(fd, buffer, sizeof buffer);
	if (n > 0) {
		tail->len = 0;
		keep_tail(tail, buffer, n);
	}
	close(fd);
}

static int run(const struct field *f)
{
	static struct tail tail;
	int in[2] = { -1, -1 }, out[2] = { -1, -1 }, err[2] = { -1, -1 }, status, r = 0;
	bool capture = f[RUN_STDIO].n == RUN_STDIO_CAPTURE;
	const char *input = f[RUN_STDIN].s, *slash = f[RUN_ARGV].n ? f[RUN_ARGV].s + 4 : "";
	size_t input_left = f[RUN_STDIN].len;
	pid_t pid;

	tail.len = 0;
	if (!f[RUN_ARGV].n)
		return -EINVAL;
	if (capture && (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0))
		return -errno;
	if (input_left && pipe2(in, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		run_child(f, in, out, err);
	if (in[0] >= 0) {
		close(in[0]);
		fcntl(in[1], F_SETFL, O_NONBLOCK);
	}
	if (capture) {
		close(out[1]);
		close(err[1]);
	}
	/* What a daemonised descendant holds open must not keep us: the command's end ends the reading too. */
	for (bool ended = false; !ended || out[0] >= 0 || err[0] >= 0;) {
		char buffer[8192];
		struct pollfd p[3] = { { in[1], POLLOUT, 0 }, { out[0], POLLIN, 0 }, { err[0], POLLIN, 0 } };
		int ready;

		if (!ended && in[1] < 0 && out[0] < 0 && err[0] < 0) {
			while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
				;
			break;
		}
		ready = poll(p, 3, ended ? 0 : 20);
		if (!ended && waitpid(pid, &status, WNOHANG) == pid)
			ended = true;
		if (ready <= 0 && ended)
			break;
		if (p[0].revents) {
			ssize_t n = input_left ? write(in[1], input, input_left) : 0;
			if (n > 0) {
				input += n;
				input_left -= n;
			}
			if (!input_left || (n < 0 && errno != EAGAIN && errno != EINTR)) {
				close(in[1]);
				in[1] = -1;
			}
		}
		for (int i = 1; i < 3; i++) {
			int *fd = i == 1 ? &out[0] : &err[0];
			ssize_t n;

			if (*fd < 0 || !p[i].revents)
				continue;
			n = read(*fd, buffer, sizeof buffer);
			if (n > 0) {
				if (i == 2)
					keep_tail(&tail, buffer, n);
				else if (g.output >= 0 && r == 0)
					r = frame_write(g.output, FROM_HELPER_OUTPUT, buffer, n);
			} else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
				close(*fd);
				*fd = -1;
			}
		}
	}
	for (int i = 0; i < 2; i++) {
		if (out[0] >= 0)
			close(out[0]);
		if (err[0] >= 0)
			close(err[0]);
		out[0] = err[0] = -1;
	}
	if (in[1] >= 0)
		close(in[1]);
	if (r < 0)
		return r;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (f[RUN_ERROR_LOG].len)
		read_log_tail(f[RUN_ERROR_LOG].s, &tail);
	while (tail.len && (tail.text[tail.len - 1] == '\n' || tail.text[tail.len - 1] == ' '))
		tail.len--;
	if (WIFSIGNALED(status))
		return fail(ECANCELED, slash, "killed by signal %d: %.*s", WTERMSIG(status), (int)tail.len, tail.text);
	return fail(ECHILD, slash, "exit status %d: %.*s", WEXITSTATUS(status), (int)tail.len, tail.text);
}

static int adopt(const char *path)
{
	char text[32];
	ssize_t n = read_small(path, text, sizeof text);
	int pid;

	if (n < 0)
		return (int)n;
	pid = atoi(text);
	if (pid <= 1 || kill(pid, 0) < 0)
		return fail(ESRCH, path, "it names process %d, which does not exist", pid);
	g.child = pid;
	return 0;
}

static int listen_console(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char dir[4096], *slash;
	int fd, at, r = 0;

	/* The name is given relative to its directory: socket names end at 107 bytes. */
	if (strlen(path) >= sizeof dir)
		return -ENAMETOOLONG;
	strcpy(dir, path);
	slash = strrchr(dir, '/');
	if (!slash || slash == dir)
		return -EINVAL;
	*slash = 0;
	at = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (at < 0)
		return -errno;
	snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", at, slash + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (void *)&address, sizeof address) < 0 || listen(fd, 1) < 0)
		r = -errno;
	close(at);
	if (r < 0)
		close(fd);
	else
		g.console_listener = fd;
	return r;
}

static int receive_console(uint32_t timeout_ms)
{
	struct pollfd p = { g.console_listener, POLLIN, 0 };
	struct winsize size = { .ws_row = g.height, .ws_col = g.width };
	char name[256];
	int peer, fd = -1;
	ssize_t n;

	if (g.console_listener < 0)
		return fail(EBADF, NULL, "no console socket is listening");
	if (poll(&p, 1, timeout_ms) <= 0)
		return fail(ETIMEDOUT, NULL, "the runtime did not connect to the console socket");
	peer = accept4(g.console_listener, NULL, NULL, SOCK_CLOEXEC);
	if (peer < 0)
		return -errno;
	p.fd = peer;
	n = poll(&p, 1, timeout_ms) <= 0 ? -ETIMEDOUT : recv_fd(peer, name, sizeof name, &fd);
	close(peer);
	close(g.console_listener);
	g.console_listener = -1;
	if (n < 0)
		return (int)n;
	if (fd < 0)
		return fail(EPROTO, NULL, "the runtime sent no terminal");
	if (size.ws_row || size.ws_col)
		ioctl(fd, TIOCSWINSZ, &size);
	g.console = fd;
	return 0;
}

int op_process(const struct op *op)
{
	const struct field *f = op->f;

	switch (op->code) {
	case OP_RUN:
		return run(f);
	case OP_ADOPT_PID_FILE:
		return adopt(f[ADOPT_PID_FILE_PATH].s);
	case OP_LISTEN_CONSOLE:
		return listen_console(f[LISTEN_CONSOLE_PATH].s);
	case OP_RECEIVE_CONSOLE:
		return receive_console(f[RECEIVE_CONSOLE_TIMEOUT_MS].n);
	}
	return -ENOSYS;
}
