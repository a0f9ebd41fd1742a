/* Which file carries out which op. */
#include "shim.h"

int op_run(const struct op *op)
{
	switch (op->code) {
	case OP_MKDIR ... OP_SYMLINK:
	case OP_KILL ... OP_CGROUP_REMOVE:
		return op_file(op);
	case OP_MOUNT ... OP_PROPAGATION:
	case OP_FSMOUNT ... OP_CLOSE:
		return op_mount(op);
	case OP_OPEN_NS ... OP_BIND_NS:
		return op_ns(op);
	case OP_NETLINK:
		return op_netlink(op);
	case OP_RUN ... OP_RECEIVE_CONSOLE:
		return op_process(op);
	case OP_MOVE_MOUNT ... OP_READONLY_PATH:
		return op_place(op);
	case OP_RLIMIT ... OP_USER:
	case OP_SCHEDULER ... OP_SELINUX_EXEC:
	case OP_PDEATHSIG:
	case OP_PERSONALITY:
		return op_identity(op);
	case OP_USER_NAME:
		return op_user_name(op->f);
	case OP_MILESTONE ... OP_WAIT_MILESTONE:
	case OP_WAIT_PARENT ... OP_SETDOMAINNAME:
	case OP_CHDIR:
	case OP_CONSOLE:
	case OP_PARK:
	case OP_EXEC:
		return op_start(op);
	}
	return -ENOSYS;
}
