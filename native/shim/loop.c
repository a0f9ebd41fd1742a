/* A shim's life after the start: output, input, commands, the end. */
#include "shim.h"
#include "conn.h"
#include "oom.h"
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define READ_SIZE (256 << 10)
#define STDIN_MAX (1 << 20)
#define OUTPUT_LEFT (2 * READ_SIZE)

static struct running *r;
static struct {
	int code, signal;
	bool known, told, oom;
	int64_t since;
	size_t read;		/* of its output, since */
	char time[40];
} end;
static struct { unsigned char *data; size_t from, len; bool close; } input;
static struct { int fd; uint32_t request; pid_t pid; } apply = { -1, 0, 0 };
static char *buffer;
static int oom_fd = -1, listener = -1;
static bool executed, closed;

static bool exited(void)
{
	return r->state == STATE_EXITED;
}

static unsigned char *put_exit(unsigned char *p)
{
	p = put32(p, end.code);
	p = put32(p, end.signal);
	p = put32(p, end.oom);
	p = putstr(p, end.time, sizeof end.time);
	return put64(p, sink_dropped);
}

static void say_hello(void)
{
	unsigned char payload[512], *p = payload;

	p = put32(p, SHIM_VERSION);
	p = put32(p, r->state);
	p = put32(p, r->pid);
	p = put64(p, r->start);
	p = put64(p, sink_dropped);
	p = put_exit(p);
	p = putstr(p, r->setup->id, sizeof r->setup->id);
	conn_send(FROM_HELLO, payload, p - payload);
	if (exited() && end.told) {
		conn_send(FROM_OUTPUT_END, "", 0);
		conn_send(FROM_EXIT, payload, put_exit(payload) - payload);
		conn_send(FROM_RELEASED, "", 0);
	}
}

static void say_started(int type)
{
	unsigned char payload[12];

	put64(put32(payload, r->pid), r->start);
	conn_send(type, payload, sizeof payload);
}

/* What the log lost is told while it goes on, now and then. */
static void say_dropped(void)
{
	static uint64_t told;
	static int64_t when;

	if (sink_dropped == told || exited() || now_ms() - when < 500)
		return;
	told = sink_dropped;
	when = now_ms();
	say_hello();
}

/* The start is over: the next daemon need not wait for it. */
static void settle(void)
{
	if (r->lock >= 0)
		close(r->lock);
	r->lock = -1;
}

static void start_failed(void)
{
	unsigned char payload[2048];

	if (!exited()) {
		kill(r->pid, SIGKILL);
		while (waitpid(r->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	unlinkat(r->setup->dir, "socket", 0);
	unlinkat(r->setup->dir, "pid", 0);
	if (conn.fd >= 0) {
		conn_flush();
		if (conn.fd >= 0) {
			fcntl(conn.fd, F_SETFL, 0);
			frame_write(conn.fd, FROM_ERROR, payload, error_payload(payload, &g_error));
		}
	}
	_exit(1);
}

static void pump_input(void);

static void use_console(int fd)
{
	struct winsize size = { .ws_row = g.height, .ws_col = g.width };

	if (size.ws_row || size.ws_col)
		ioctl(fd, TIOCSWINSZ, &size);
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	r->out = r->in = fd;
	g.console = fd;
	pump_input();
}

/* A terminal of the host, for a container without devpts. */
static void host_terminal(void)
{
	int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC), slave = -1, unlocked = 0, number;
	char path[32];

	if (master >= 0 && ioctl(master, TIOCSPTLCK, &unlocked) == 0 && ioctl(master, TIOCGPTN, &number) == 0) {
		snprintf(path, sizeof path, "/dev/pts/%d", number);
		slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	}
	send_fd(g.sync, 'S', slave);
	if (slave >= 0) {
		close(slave);
		use_console(master);
	}
}

/*
 * Held so that the end of the process need not wait until its mounts are gone. Let go once the end has been told. What joined a container holds
 * nothing: the mounts are that one's, whose shim tells when they are gone.
 */
static int mounts = -1;

static void hold_mounts(void)
{
	char path[48];

	snprintf(path, sizeof path, "/proc/%d/ns/mnt", r->pid);
	mounts = open(path, O_RDONLY | O_CLOEXEC);
}

/* What the child says while it starts. The end of the socket is its exec. */
static void read_sync(void)
{
	char message[1 + sizeof g_error];
	int fd;
	ssize_t n;

	while (r->sync_pending) {
		struct pollfd p = { g.sync, POLLIN, 0 };

		if (poll(&p, 1, 0) <= 0)
			return;
		n = recv_fd(g.sync, message, sizeof message, &fd);
		/* It ended with our word unread: what it said before comes after this error. */
		if (n == -ECONNRESET)
			continue;
		if (n == 1 && message[0] == 'C' && fd >= 0) {
			use_console(fd);
		} else if (n == 1 && message[0] == 'T') {
			host_terminal();
		} else if (n == 1 && message[0] == 'P') {
			r->state = STATE_PARKED;
			say_started(FROM_PARKED);
			settle();
		} else if (n == 1 && message[0] == 'X') {
			executed = true;
			if (r->own_mounts)
				hold_mounts();
		} else if (n == (ssize_t)sizeof message && message[0] == 'E') {
			memcpy(&g_error, message + 1, sizeof g_error);
			start_failed();
		} else if (n <= 0) {
			r->sync_pending = false;
			close(g.sync);
			g.sync = -1;
			if (!executed)
				return;
			if (!exited())
				r->state = STATE_RUNNING;
			say_started(FROM_STARTED);
			settle();
		}
	}
}

static void drop_input(void)
{
	unsigned char taken[4];

	if (!input.len)
		return;
	put32(taken, input.len);
	conn_send(FROM_STDIN_TAKEN, taken, 4);
	input.len = input.from = 0;
}

static void close_input(void)
{
	drop_input();
	if (r->in >= 0 && r->in != g.console)
		close(r->in);
	r->in = -1;
}

static void pump_input(void)
{
	unsigned char taken[4];

	if (r->in < 0) {
		/* A terminal that is still to come takes it. */
		if (!r->setup->terminal || !r->sync_pending)
			drop_input();
		return;
	}
	while (input.len) {
		ssize_t n = write(r->in, input.data + input.from, input.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			close_input();
			return;
		}
		input.from += n;
		input.len -= n;
		put32(taken, n);
		conn_send(FROM_STDIN_TAKEN, taken, 4);
	}
	input.from = 0;
	if (input.close)
		close_input();
}

static void take_input(const unsigned char *data, size_t len)
{
	unsigned char taken[4];

	if (r->in < 0 && (!r->setup->terminal || exited())) {
		put32(taken, len);
		conn_send(FROM_STDIN_TAKEN, taken, 4);
		return;
	}
	if (!input.data && !(input.data = region(STDIN_MAX)))
		return;
	if (input.from + input.len + len > STDIN_MAX) {
		memmove(input.data, input.data + input.from, input.len);
		input.from = 0;
	}
	if (input.len + len > STDIN_MAX) {
		conn_close();
		return;
	}
	memcpy(input.data + input.from + input.len, data, len);
	input.len += len;
	pump_input();
}

static void apply_answer(uint32_t request, bool failed)
{
	unsigned char payload[2048], *p = put32(payload, request);

	if (failed)
		p += error_payload(p, &g_error);
	conn_send(FROM_APPLIED, payload, p - payload);
}

static void apply_child(struct plan plan, int reply)
{
	char path[48];
	int fd, result;

	g.role = ROLE_APPLY;
	g.child = r->pid;
	plain_signals();
	signal(SIGPIPE, SIG_IGN);
	result = plan_run(plan, PHASE_HOST);
	if (result == 0)
		result = plan_run(plan, PHASE_PARENT);
	if (result == 0 && plan_has(plan, PHASE_CHILD, 0, NULL)) {
		snprintf(path, sizeof path, "/proc/%d/ns/net", r->pid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
			result = fail(errno, path, "cannot enter the network namespace");
		else
			result = plan_run(plan, PHASE_CHILD);
	}
	if (result == 0)
		g_error.err = 0;
	if (write(reply, &g_error, sizeof g_error) < 0)
		_exit(1);
	_exit(0);
}

static void start_apply(const unsigned char *data, size_t len)
{
	struct plan plan = { data + 4, len - 4 };
	uint32_t request;
	int pair[2];

	if (len < 4)
		return;
	request = get32(data);
	memset(&g_error, 0, sizeof g_error);
	if (plan_check(plan, ~(1u << PHASE_CLONE)) < 0) {
		apply_answer(request, true);
		return;
	}
	if (exited() || apply.fd >= 0 || pipe2(pair, O_CLOEXEC) < 0) {
		fail(exited() ? ESRCH : EBUSY, r->setup->id, exited() ? "the process is gone" : "another change is being applied");
		apply_answer(request, true);
		return;
	}
	apply.pid = fork();
	if (apply.pid == 0)
		apply_child(plan, pair[1]);
	close(pair[1]);
	apply.fd = pair[0];
	apply.request = request;
}

static void finish_apply(void)
{
	struct error answer;
	ssize_t n = read(apply.fd, &answer, sizeof answer);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	close(apply.fd);
	apply.fd = -1;
	if (n == (ssize_t)sizeof answer)
		g_error = answer;
	else
		fail(ECANCELED, r->setup->id, "the change was interrupted");
	apply_answer(apply.request, g_error.err != 0);
}

static void handle(int type, unsigned char *data, size_t len)
{
	switch (type) {
	case TO_STREAM:
		conn.stream = len >= 4 && get32(data);
		conn.streamed |= conn.stream;
		break;
	case TO_STDIN:
		take_input(data, len);
		break;
	case TO_STDIN_CLOSE:
		/* A terminal's input has no end. */
		if (r->setup->terminal)
			break;
		input.close = true;
		pump_input();
		break;
	case TO_RESIZE:
		if (len < 8)
			break;
		g.height = get32(data);
		g.width = get32(data + 4);
		if (g.console >= 0) {
			struct winsize size = { .ws_row = g.height, .ws_col = g.width };
			ioctl(g.console, TIOCSWINSZ, &size);
		}
		break;
	case TO_SIGNAL:
		if (len >= 4 && !exited())
			kill(r->pid, get32(data));
		break;
	case TO_RESUME:
		if (r->state == STATE_PARKED) {
			r->state = STATE_STARTING;
			if (send(g.sync, "R", 1, MSG_NOSIGNAL) < 0)
				break;
		}
		break;
	case TO_APPLY:
		start_apply(data, len);
		break;
	case TO_PING:
		conn_send(FROM_PONG, "", 0);
		break;
	case TO_OUTPUT_TAKEN:
		if (len >= 4)
			conn.window -= get32(data) < conn.window ? get32(data) : conn.window;
		break;
	case TO_STATUS:
		say_hello();
		break;
	case TO_CLOSE:
		closed = true;
		break;
	}
}

/* True while more may be read of this source at once. */
static bool pump_output(int *fd, int stream)
{
	size_t room = READ_SIZE;
	int waiting;
	ssize_t n;

	if (*fd < 0 || sink_stalled(&waiting))
		return false;
	/* What is left when the process is gone is little, and is read even if its readers are slow. */
	if (conn.fd >= 0 && conn.stream && !exited()) {
		room = conn_room();
		if (!room || !conn.stream)
			return false;
	}
	if (!buffer && !(buffer = region(READ_SIZE)))
		return false;
	n = read(*fd, buffer, room < READ_SIZE ? room : READ_SIZE);
	if (n < 0 && errno == EINTR)
		return true;
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0) {
		if (*fd == g.console) {
			g.console = -1;
			if (r->in == *fd)
				r->in = -1;
		}
		close(*fd);
		*fd = -1;
		sink_take(stream, "", 0, true);
		sink_flush();
		return false;
	}
	if (n == 65536 && *fd != g.console)
		fcntl(*fd, F_SETPIPE_SZ, READ_SIZE);
	if (end.known)
		end.read += n;
	sink_take(stream, buffer, n, false);
	sink_flush();
	for (ssize_t at = 0; conn.fd >= 0 && conn.stream && at < n;) {
		size_t part = n - at < 65536 ? n - at : 65536;
		if (!conn_send(stream ? FROM_STDERR : FROM_STDOUT, buffer + at, part))
			break;
		conn.window += part;
		at += part;
	}
	return true;
}

static void write_record(void)
{
	char text[256];
	int n = snprintf(text, sizeof text, "{\"version\":1,\"code\":%d,\"signal\":%d,\"oom\":%s,\"time\":\"%s\"}\n", end.code, end.signal,
			 end.oom ? "true" : "false", end.time);
	int fd = openat(r->setup->dir, "exit.tmp", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return;
	if (write(fd, text, n) == n)
		renameat(r->setup->dir, "exit.tmp", r->setup->dir, "exit");
	close(fd);
}

static void see_oom(void)
{
	if (!r->setup->oom_path || !oom_happened(oom_fd))
		return;
	end.oom = true;
	conn_send(FROM_OOM, "", 0);
}

static void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != r->pid || exited())
			continue;
		nano_time(end.time);
		end.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
		end.code = end.signal ? 128 + end.signal : WEXITSTATUS(status);
		r->state = STATE_EXITED;
	}
	if (!exited() || end.known)
		return;
	end.known = true;
	end.since = now_ms();
	see_oom();
	/* Its last words come first: whether it was exec'd, and if not, why. */
	read_sync();
	if (executed)
		return;
	memset(&g_error, 0, sizeof g_error);
	g_error.phase = PHASE_CHILD;
	snprintf(g_error.op, sizeof g_error.op, "child");
	if (end.signal)
		fail(ECANCELED, r->setup->id, "the process was killed by signal %d before it was exec'd%s", end.signal,
		     end.oom ? " (out of memory)" : "");
	else
		fail(ECANCELED, r->setup->id, "the process ended with status %d before it was exec'd", end.code);
	start_failed();
}

static void tell_exit(void)
{
	unsigned char payload[128];
	int waiting;

	if (!end.known || end.told)
		return;
	/* No pipe or terminal holds more than that: whoever goes on writing outlives the process. */
	while (end.read < OUTPUT_LEFT && (pump_output(&r->out, 0) || pump_output(&r->err, 1)))
		;
	/* A log reader that stands still is waited for, but not for ever. */
	sink_flush();
	if (sink_stalled(&waiting) && now_ms() - end.since < 5000)
		return;
	/* Held open by processes that outlive this one: what they write is no longer wanted. */
	sink_take(0, "", 0, true);
	sink_take(1, "", 0, true);
	sink_flush();
	end.told = true;
	write_record();
	conn_send(FROM_OUTPUT_END, "", 0);
	conn_send(FROM_EXIT, payload, put_exit(payload) - payload);
	/* Mounts take milliseconds to go: the daemon need not wait for that to hear of the end. */
	conn_flush();
	if (mounts >= 0)
		close(mounts);
	mounts = -1;
	conn_send(FROM_RELEASED, "", 0);
	close_input();
}

static void open_listener(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	mode_t mask = umask(0177);

	/* By its directory's fd: socket names end at 107 bytes. */
	snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/socket", r->setup->dir);
	unlinkat(r->setup->dir, "socket", 0);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener < 0 || bind(listener, (void *)&address, sizeof address) < 0 || listen(listener, 4) < 0) {
		int err = errno;
		umask(mask);
		snprintf(g_error.op, sizeof g_error.op, "shim");
		fail(err, "socket", "cannot listen in the shim's directory");
		start_failed();
	}
	umask(mask);
}

static void accept_daemon(void)
{
	struct ucred peer;
	socklen_t size = sizeof peer;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || (peer.uid != 0 && peer.uid != geteuid())) {
		close(fd);
		return;
	}
	conn_use(fd);
	say_hello();
}

/* The start's deep calls left pages below; the next calls need but few of them. */
static __attribute__((noinline)) void drop_stack(void)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0) & ~(uintptr_t)4095;

	madvise((void *)(here - 15 * 4096), 14 * 4096, MADV_DONTNEED);
}

static void begin(struct running *run)
{
	sigset_t set;

	r = run;
	munmap(run->plan, run->plan_len);
	conn_use(run->control);
	conn.stream = conn.streamed = run->setup->stream;
	open_listener();
	if (run->setup->oom_path)
		oom_fd = oom_watch(run->setup->oom_path, run->setup->oom_version);
	if (g.console >= 0)
		use_console(g.console);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (run->sync_pending)
		return;
	executed = true;
	say_started(FROM_STARTED);
	settle();
}

void loop_run(struct running *run)
{
	bool dirty = true, streamed;
	sigset_t set;
	int sigfd;

	begin(run);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	for (;;) {
		enum { SIGNALS, SYNC, CONN, LISTEN, OUT, ERR, IN, OOM, APPLY, SINK, COUNT };
		struct pollfd p[COUNT];
		int64_t timeout = dirty ? 1000 : -1;
		int waiting = -1, ready;
		bool stalled, room;

		reap();
		tell_exit();
		say_dropped();
		conn_flush();
		if (end.told && (closed || conn.fd < 0))
			_exit(0);
		stalled = sink_stalled(&waiting);
		room = !stalled && (conn.fd < 0 || !conn.stream || conn_room() > 0);
		streamed = conn.streamed;
		for (int i = 0; i < COUNT; i++)
			p[i] = (struct pollfd){ -1, POLLIN, 0 };
		p[SIGNALS].fd = sigfd;
		p[SYNC].fd = r->sync_pending ? g.sync : -1;
		p[CONN].fd = conn.fd;
		if (conn.len)
			p[CONN].events |= POLLOUT;
		p[LISTEN].fd = listener;
		p[OUT].fd = room ? r->out : -1;
		p[ERR].fd = room ? r->err : -1;
		p[IN] = (struct pollfd){ input.len ? r->in : -1, POLLOUT, 0 };
		p[OOM].fd = oom_fd;
		p[APPLY].fd = apply.fd;
		p[SINK] = (struct pollfd){ waiting, POLLOUT, 0 };
		if (conn.fd >= 0 && conn.deadline) {
			int64_t left = conn.deadline - now_ms();
			timeout = left < 0 ? 0 : timeout < 0 || left < timeout ? left : timeout;
		}
		if (end.known && !end.told)
			timeout = 100;
		ready = poll(p, COUNT, timeout);
		if (ready == 0 && dirty && timeout == 1000) {
			drop_stack();
			region_drop(buffer, READ_SIZE);
			sink_idle();
			conn_idle();
			if (!input.len)
				region_drop(input.data, STDIN_MAX);
			dirty = false;
		} else if (ready > 0) {
			dirty = true;
		}
		if (p[SIGNALS].revents) {
			struct signalfd_siginfo info;
			while (read(sigfd, &info, sizeof info) > 0)
				;
		}
		if (p[SYNC].revents)
			read_sync();
		if (p[OUT].revents)
			pump_output(&r->out, 0);
		if (p[ERR].revents)
			pump_output(&r->err, 1);
		if (p[SINK].revents)
			sink_flush();
		if (p[IN].revents)
			pump_input();
		if (p[OOM].revents)
			see_oom();
		if (p[APPLY].revents)
			finish_apply();
		if (conn.fd >= 0 && p[CONN].fd == conn.fd && p[CONN].revents & (POLLIN | POLLHUP | POLLERR))
			conn_read(handle);
		if (p[LISTEN].revents)
			accept_daemon();
		conn_check();
		if (p[CONN].fd >= 0 && conn.fd != p[CONN].fd && streamed && r->setup->stdin_once && !r->setup->terminal) {
			input.close = true;
			pump_input();
		}
	}
}
