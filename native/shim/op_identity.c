/* Who the process will be: user, capabilities, limits, filters, labels. */
#include "shim.h"
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef PR_CAP_AMBIENT
#define PR_CAP_AMBIENT 47
#define PR_CAP_AMBIENT_RAISE 2
#define PR_CAP_AMBIENT_CLEAR_ALL 4
#endif

static int cap_get(struct __user_cap_data_struct data[2])
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };

	return syscall(SYS_capget, &head, data) < 0 ? -errno : 0;
}

static int cap_set(const struct __user_cap_data_struct data[2])
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };

	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

/* After setuid the permitted set is kept and the effective one is empty: the remaining ops still need it. */
static int raise_effective(void)
{
	struct __user_cap_data_struct data[2];
	int r = cap_get(data);

	if (r < 0)
		return r;
	data[0].effective = data[0].permitted;
	data[1].effective = data[1].permitted;
	return cap_set(data);
}

int become(uint32_t uid, uint32_t gid, const gid_t *groups, size_t n, int64_t mask)
{
	for (int i = 0; i < 3; i++) {
		struct stat st;
		/* Pipes and terminals made for this process; never a device of the host such as /dev/null. */
		if (fstat(i, &st) == 0 && st.st_uid != uid && (S_ISFIFO(st.st_mode) || isatty(i)) && fchown(i, uid, -1) < 0 &&
		    errno != EPERM && errno != EROFS && errno != EINVAL)
			return fail(errno, NULL, "cannot give stdio to the user");
	}
	/* By system call: the C library's wrappers synchronise threads that do not exist. EPERM: setgroups is denied in some user namespaces. */
	if (syscall(SYS_setgroups, n, groups) < 0 && !(errno == EPERM && n == 0))
		return fail(errno, NULL, "setgroups");
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return -errno;
	if (syscall(SYS_setresgid, gid, gid, gid) < 0)
		return fail(errno, NULL, "setgid %u", gid);
	if (syscall(SYS_setresuid, uid, uid, uid) < 0)
		return fail(errno, NULL, "setuid %u", uid);
	if (mask >= 0)
		umask(mask & 0777);
	/* Changing the user clears it; it is wanted when set before. */
	return raise_effective();
}

static int set_user(const struct field *f)
{
	gid_t *groups = malloc((f[USER_GROUPS].n + 1) * sizeof *groups);

	if (!groups)
		return -ENOMEM;
	for (uint64_t i = 0; i < f[USER_GROUPS].n; i++)
		groups[i] = get32(f[USER_GROUPS].s + i * 4);
	return become(f[USER_UID].n, f[USER_GID].n, groups, f[USER_GROUPS].n, (int64_t)f[USER_UMASK].n);
}

static int set_caps(const struct field *f)
{
	struct __user_cap_data_struct data[2];
	uint64_t bounding = f[CAPS_BOUNDING].n, ambient = f[CAPS_AMBIENT].n;
	int r;

	for (int cap = 0; cap < 64; cap++) {
		if (bounding >> cap & 1)
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
			if (errno == EINVAL)
				break;
			return fail(errno, NULL, "cannot drop capability %d from the bounding set", cap);
		}
	}
	for (int i = 0; i < 2; i++) {
		data[i].effective = f[CAPS_EFFECTIVE].n >> (32 * i);
		data[i].permitted = f[CAPS_PERMITTED].n >> (32 * i);
		data[i].inheritable = f[CAPS_INHERITABLE].n >> (32 * i);
	}
	r = cap_set(data);
	if (r < 0)
		return fail(-r, NULL, "permitted %llx, effective %llx, inheritable %llx", (unsigned long long)f[CAPS_PERMITTED].n,
			    (unsigned long long)f[CAPS_EFFECTIVE].n, (unsigned long long)f[CAPS_INHERITABLE].n);
	if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0)
		return -errno;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && ambient)
		return -errno;
	for (int cap = 0; cap < 64; cap++)
		if (ambient >> cap & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
			return fail(errno, NULL, "cannot make capability %d ambient", cap);
	return 0;
}

static int set_seccomp(const struct field *f)
{
	struct sock_fprog program = { f[SECCOMP_FILTER].len / sizeof(struct sock_filter), NULL };
	struct sock_filter *copy = malloc(f[SECCOMP_FILTER].len);
	int r = 0;

	/* The plan's bytes are not aligned. */
	if (!copy)
		return -ENOMEM;
	memcpy(copy, f[SECCOMP_FILTER].s, f[SECCOMP_FILTER].len);
	program.filter = copy;
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, (unsigned)f[SECCOMP_FLAGS].n, &program) < 0)
		r = fail(errno, NULL, "%u instructions", program.len);
	/* Not freed: the filter may forbid it. */
	return r;
}

static int set_scheduler(const struct field *f)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} attr = { 48, f[SCHEDULER_POLICY].n, f[SCHEDULER_FLAGS].n, (int32_t)f[SCHEDULER_NICE].n, f[SCHEDULER_PRIORITY].n,
		   f[SCHEDULER_RUNTIME].n, f[SCHEDULER_DEADLINE].n, f[SCHEDULER_PERIOD].n };

	return syscall(SYS_sched_setattr, 0, &attr, 0) < 0 ? -errno : 0;
}

static int exec_label(const char *const paths[2], const char *prefix, const struct field *label)
{
	char text[512];
	int n = snprintf(text, sizeof text, "%s%s", prefix, label->s), r = -ENOENT;

	if (n >= (int)sizeof text)
		return -ENAMETOOLONG;
	for (int i = 0; i < 2 && r < 0; i++)
		r = write_file(paths[i], text, n, 0, 0);
	return r;
}

int op_identity(const struct op *op)
{
	static const char *const apparmor[] = { "/proc/self/attr/apparmor/exec", "/proc/self/attr/exec" };
	static const char *const selinux[] = { "/proc/self/attr/exec", "/proc/thread-self/attr/exec" };
	const struct field *f = op->f;

	switch (op->code) {
	case OP_RLIMIT: {
		uint64_t limit[2] = { f[RLIMIT_SOFT].n, f[RLIMIT_HARD].n };
		return syscall(SYS_prlimit64, 0, (int)f[RLIMIT_RESOURCE].n, limit, NULL) < 0
			       ? fail(errno, NULL, "resource %d, soft %llu, hard %llu", (int)f[RLIMIT_RESOURCE].n, (unsigned long long)limit[0],
				      (unsigned long long)limit[1])
			       : 0;
	}
	case OP_OOM_SCORE_ADJ: {
		char text[16];
		int n = snprintf(text, sizeof text, "%d", (int)(int64_t)f[OOM_SCORE_ADJ_VALUE].n);
		return write_file("/proc/self/oom_score_adj", text, n, 0, 0);
	}
	case OP_CAPS:
		return set_caps(f);
	case OP_NO_NEW_PRIVS:
		return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
	case OP_SECCOMP:
		return set_seccomp(f);
	case OP_USER:
		return set_user(f);
	case OP_SCHEDULER:
		return set_scheduler(f);
	case OP_IOPRIO:
		return syscall(SYS_ioprio_set, 1, 0, (int)f[IOPRIO_VALUE].n) < 0 ? -errno : 0;
	case OP_APPARMOR_EXEC:
		return exec_label(apparmor, "exec ", &f[APPARMOR_EXEC_PROFILE]);
	case OP_SELINUX_EXEC:
		return exec_label(selinux, "", &f[SELINUX_EXEC_LABEL]);
	case OP_PERSONALITY:
		return personality(f[PERSONALITY_DOMAIN].n) < 0 ? -errno : 0;
	case OP_PDEATHSIG:
		return prctl(PR_SET_PDEATHSIG, (int)f[PDEATHSIG_SIGNAL].n, 0, 0, 0) < 0 ? -errno : 0;
	}
	return -ENOSYS;
}
