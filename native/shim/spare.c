/*
 * A network namespace made ahead: making one takes longer than any other step of a start. The zygote keeps one by its fd, whose end is its end, and
 * makes the next while nobody waits. It takes after the host's settings as they are when it is made, so it is made anew before it is old, and none is
 * made before the first start: until then drivers change these settings (ip_forward).
 */
#include "shim.h"
#include "conn.h"
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define QUIET_MS 20
#define OLD_MS 60000

static int spare = -1;
/* From the process that makes one. */
static int coming = -1;
static int64_t due = INT64_MAX;

int spare_fd(void)
{
	return coming;
}

int spare_wait(void)
{
	int64_t left = due - now_ms();

	return coming >= 0 || due == INT64_MAX ? -1 : left < 0 ? 0 : (int)left;
}

void spare_work(void)
{
	int pair[2];
	pid_t pid;

	if (coming >= 0 || now_ms() < due)
		return;
	due = now_ms() + OLD_MS;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return;
	pid = fork();
	if (pid == 0) {
		int fd = unshare(CLONE_NEWNET) < 0 ? -1 : open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

		if (fd >= 0)
			send_fd(pair[1], 'N', fd);
		_exit(0);
	}
	close(pair[1]);
	if (pid < 0)
		close(pair[0]);
	else
		coming = pair[0];
}

void spare_take(void)
{
	char tag;
	int fd = -1;

	if (recv_fd(coming, &tag, 1, &fd) == 1 && fd >= 0) {
		if (spare >= 0)
			close(spare);
		spare = fd;
	}
	close(coming);
	coming = -1;
}

bool spare_fits(struct plan plan)
{
	struct op op;

	return plan_has(plan, PHASE_CLONE, OP_CLONE, &op) && (uint32_t)op.f[CLONE_FLAGS].n & CLONE_NEWNET &&
	       !((uint32_t)op.f[CLONE_FLAGS].n & CLONE_NEWUSER);
}

/* In a shim that was just forked. One that has no use for the spare must not keep its namespace alive. */
void spare_inherit(struct plan plan)
{
	int fd = spare;

	if (!spare_fits(plan)) {
		spare_drop();
		return;
	}
	spare = -1;
	spare_drop();
	spare = fd;
}

/* In the shim: enters the spare for the clone to be born in; answers the way back, or -1. */
int spare_enter(void)
{
	int home;

	if (spare < 0)
		return -1;
	home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (home >= 0 && setns(spare, CLONE_NEWNET) < 0) {
		close(home);
		home = -1;
	}
	close(spare);
	spare = -1;
	return home;
}

/* In the zygote: a shim has taken it along. */
void spare_gone(void)
{
	if (spare >= 0)
		close(spare);
	spare = -1;
	due = now_ms() + QUIET_MS;
}

void spare_drop(void)
{
	if (spare >= 0)
		close(spare);
	if (coming >= 0)
		close(coming);
	spare = coming = -1;
}
