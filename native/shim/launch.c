/* One container or exec: from a plan to a running process and its keeper. */
#include "shim.h"
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "mountapi.h"

static struct setup setup = { .dir = -1 };
static struct running run = { .in = -1, .out = -1, .err = -1, .lock = -1, .control = -1 };

static void give_up(void)
{
	unsigned char payload[2048];

	if (g.child > 0) {
		kill(g.child, SIGKILL);
		while (waitpid(g.child, NULL, 0) < 0 && errno == EINTR)
			;
	}
	if (setup.dir >= 0) {
		unlinkat(setup.dir, "socket", 0);
		unlinkat(setup.dir, "pid", 0);
	}
	frame_write(run.control, FROM_ERROR, payload, error_payload(payload, &g_error));
	_exit(1);
}

static void check(int r, const char *what)
{
	if (r >= 0)
		return;
	if (!g_error.err)
		fail(-r, setup.id, "%s", "");
	if (!g_error.op[0])
		snprintf(g_error.op, sizeof g_error.op, "%s", what);
	give_up();
}

static int read_setup(struct plan plan)
{
	struct op op;
	const struct field *f = op.f;

	if (!plan_has(plan, PHASE_SETUP, OP_SHIM, &op))
		return fail(EINVAL, "plan", "it has no shim op");
	if (f[SHIM_ID].len >= sizeof setup.id)
		return fail(ENAMETOOLONG, f[SHIM_ID].s, "id");
	strcpy(setup.id, f[SHIM_ID].s);
	setup.dir = open(f[SHIM_DIR].s, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (setup.dir < 0)
		return fail(errno, f[SHIM_DIR].s, "cannot open the shim's directory");
	if (plan_has(plan, PHASE_SETUP, OP_STDIO, &op)) {
		setup.terminal = f[STDIO_TERMINAL].n;
		setup.open_stdin = f[STDIO_OPEN_STDIN].n;
		setup.stdin_once = f[STDIO_STDIN_ONCE].n;
		setup.stream = f[STDIO_STREAM].n;
		g.height = f[STDIO_HEIGHT].n;
		g.width = f[STDIO_WIDTH].n;
	}
	return 0;
}

static int make_stdio(void)
{
	int in[2] = { -1, -1 }, out[2], err[2];

	if (setup.terminal)
		return 0;
	if (setup.open_stdin) {
		if (pipe2(in, O_CLOEXEC) < 0)
			return -errno;
	} else {
		in[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	}
	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
		return -errno;
	g.stdio[0] = in[0];
	g.stdio[1] = out[1];
	g.stdio[2] = err[1];
	run.in = in[1];
	run.out = out[0];
	run.err = err[0];
	for (int i = 0; i < 3; i++) {
		int fd = i == 0 ? run.in : i == 1 ? run.out : run.err;
		if (fd >= 0)
			fcntl(fd, F_SETFL, O_NONBLOCK);
	}
	return 0;
}

static void child_main(struct plan plan, bool mapped) __attribute__((noreturn));
static void child_main(struct plan plan, bool mapped)
{
	char message[1 + sizeof g_error];
	char tag;
	int r = 0;

	g.role = ROLE_CHILD;
	g.child = 0;
	/* One that is parked outlives the daemon that started it. */
	if (run.lock >= 0)
		close(run.lock);
	setsid();
	if (mapped) {
		if (read(g.sync, &tag, 1) != 1 || tag != 'M')
			_exit(1);
		if (syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setresuid, 0, 0, 0) < 0 || syscall(SYS_setgroups, 0, NULL) < 0)
			r = fail(errno, NULL, "cannot become root of the user namespace");
		prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	}
	for (int i = 0; i < 3 && r == 0; i++)
		if (g.stdio[i] >= 0 && dup2(g.stdio[i], i) < 0)
			r = -errno;
	if (r == 0)
		r = plan_run(plan, PHASE_CHILD);
	if (r == 0) {
		r = fail(ENOEXEC, "plan", "the child phase does not end in exec");
		snprintf(g_error.op, sizeof g_error.op, "exec");
		g_error.code = OP_EXEC;
		g_error.phase = PHASE_CHILD;
	}
	message[0] = 'E';
	memcpy(message + 1, &g_error, sizeof g_error);
	if (write(g.sync, message, sizeof message) < 0)
		_exit(1);
	_exit(127);
}

struct clone_args3 {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

static int write_map(const char *name, const struct field *map)
{
	char path[48];

	if (!map->len)
		return 0;
	snprintf(path, sizeof path, "/proc/%d/%s", g.child, name);
	return write_file(path, map->s, map->len, 0, 0);
}

static int make_child(struct plan plan, const struct op *clone_op)
{
	const struct field *f = clone_op->f;
	struct clone_args3 args = { .flags = (uint32_t)f[CLONE_FLAGS].n, .exit_signal = SIGCHLD };
	bool mapped = f[CLONE_UID_MAP].len || f[CLONE_GID_MAP].len;
	int pair[2], r, home;
	long pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	if ((int64_t)f[CLONE_CGROUP].n >= 0) {
		r = slot_fd(f[CLONE_CGROUP].n);
		if (r < 0)
			return r;
		args.cgroup = r;
		args.flags |= CLONE3_INTO_CGROUP;
	}
	home = spare_enter();
	if (home >= 0)
		args.flags &= ~(uint64_t)CLONE_NEWNET;
	pid = syscall(SYS_clone3, &args, sizeof args);
	if (pid < 0)
		return fail(errno, NULL, "clone3 with flags 0x%llx", (unsigned long long)args.flags);
	if (pid == 0) {
		g.sync = pair[1];
		g.lock = run.lock;
		child_main(plan, mapped);
	}
	close(pair[1]);
	g.sync = pair[0];
	g.child = pid;
	if (home >= 0) {
		if (setns(home, CLONE_NEWNET) < 0)
			return fail(errno, NULL, "cannot go back to the network namespace of the host");
		close(home);
	}
	if (!mapped)
		return 0;
	r = write_map("uid_map", &f[CLONE_UID_MAP]);
	if (r == 0)
		r = write_map("gid_map", &f[CLONE_GID_MAP]);
	if (r < 0)
		return fail(-r, NULL, "cannot map the ids of the user namespace");
	return write(g.sync, "M", 1) == 1 ? 0 : -errno;
}

/* For daemons to come: who is in here, should the shim itself be killed. Done while the child works. */
static int announce(void)
{
	char text[64];
	int fd, n;

	run.start = start_time(g.child);
	n = snprintf(text, sizeof text, "1 %d %llu\n", g.child, (unsigned long long)run.start);
	fd = openat(setup.dir, "pid", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fail(errno, "pid", "cannot write in the shim's directory");
	n = write(fd, text, n) == n ? 0 : -errno;
	close(fd);
	return n;
}

static void child_failed_early(int r)
{
	struct error saved = g_error;
	char message[1 + sizeof g_error];

	/* The child may have failed for a better reason than the parent, which then met a dead process. */
	if (g.sync >= 0 && g.child > 0 && (r == -ESRCH || r == -EPIPE || r == -ECONNRESET || r == -ENOENT || r == -ENODEV))
		for (int tries = 0; tries < 2; tries++)
			if (recv(g.sync, message, sizeof message, MSG_DONTWAIT) == (ssize_t)sizeof message && message[0] == 'E') {
				memcpy(&g_error, message + 1, sizeof g_error);
				return;
			}
	g_error = saved;
}

void launch_main(struct plan setup_plan, struct plan plan, int control, int lock)
{
	struct op clone_op;
	bool clones;
	int r;

	g.role = ROLE_SHIM;
	run.setup = &setup;
	run.control = control;
	run.lock = lock;
	setsid();
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	check(plan_check(setup_plan, 1u << PHASE_SETUP | 1u << PHASE_HOST), "setup");
	check(plan_check(plan, ~0u), "plan");
	check(read_setup(setup_plan), "shim");
	check(sink_open(setup_plan), "sink");
	check(make_stdio(), "stdio");
	check(plan_run(setup_plan, PHASE_HOST), "host");
	check(plan_run(plan, PHASE_HOST), "host");
	clones = plan_has(plan, PHASE_CLONE, OP_CLONE, &clone_op);
	if (clones) {
		run.sync_pending = true;
		run.own_mounts = (uint32_t)clone_op.f[CLONE_FLAGS].n & CLONE_NEWNS;
		check(make_child(plan, &clone_op), "clone");
	}
	r = plan_run(plan, PHASE_PARENT);
	if (r < 0)
		child_failed_early(r);
	check(r, "parent");
	if (g.child <= 0) {
		fail(EINVAL, "plan", "it neither clones nor adopts a process");
		give_up();
	}
	/* A child that is gone by now has said why: that is read later. */
	if (clones && send(g.sync, "G", 1, MSG_NOSIGNAL) < 0 && errno != EPIPE && errno != ECONNRESET)
		check(-errno, "clone");
	slots_close();
	for (int i = 0; i < 3; i++)
		if (g.stdio[i] >= 0) {
			close(g.stdio[i]);
			g.stdio[i] = -1;
		}
	check(announce(), "shim");
	if (plan_has(plan, PHASE_SETUP, OP_WATCH_OOM, &clone_op) || plan_has(setup_plan, PHASE_SETUP, OP_WATCH_OOM, &clone_op)) {
		setup.oom_path = strdup(clone_op.f[WATCH_OOM_PATH].s);
		setup.oom_version = clone_op.f[WATCH_OOM_VERSION].n == WATCH_OOM_VERSION_V1 ? 1 : 2;
	}
	run.pid = g.child;
	run.state = clones ? STATE_STARTING : STATE_RUNNING;
	/* The plan lies in one mapping: setup first, at a page's start but for the message head. */
	run.plan = (unsigned char *)((uintptr_t)setup_plan.data & ~(uintptr_t)4095);
	run.plan_len = (size_t)(plan.data + plan.len - run.plan);
	loop_run(&run);
}
