/* A plan without a container: host ops, an answer, the end. */
#include "shim.h"
#include <signal.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <unistd.h>

void helper_main(struct plan plan, int control, uint32_t deadline_ms)
{
	unsigned char payload[2048];
	struct itimerval timer = { .it_value = { deadline_ms / 1000, (deadline_ms % 1000) * 1000 } };

	g.role = ROLE_HELPER;
	g.output = control;
	setpgid(0, 0);
	plain_signals();
	signal(SIGPIPE, SIG_IGN);
	/* Even a helper whose daemon is gone ends in time: the next daemon waits for it. */
	if (deadline_ms)
		setitimer(ITIMER_REAL, &timer, NULL);
	if (plan_check(plan, 1u << PHASE_HOST) < 0 || plan_run(plan, PHASE_HOST) < 0)
		frame_write(control, FROM_ERROR, payload, error_payload(payload, &g_error));
	else
		frame_write(control, FROM_HELPER_DONE, "", 0);
	_exit(0);
}
