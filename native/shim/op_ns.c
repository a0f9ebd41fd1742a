/* Namespaces and netlink. */
#include "shim.h"
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

static int bind_ns(const char *path, uint64_t type, bool child)
{
	static const char *const names[] = { "net", "mnt", "uts", "ipc", "pid", "user", "cgroup" };
	char source[48];
	int fd;

	if (child && g.child > 0)
		snprintf(source, sizeof source, "/proc/%d/ns/%s", g.child, names[type % 7]);
	else
		snprintf(source, sizeof source, "/proc/self/ns/%s", names[type % 7]);
	fd = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (fd < 0 && errno != EEXIST)
		return -errno;
	if (fd >= 0)
		close(fd);
	if (mount(source, path, NULL, MS_BIND, NULL) < 0) {
		int err = errno;
		if (fd >= 0)
			unlink(path);
		return fail(err, path, "cannot bind %s", source);
	}
	return 0;
}

int op_ns(const struct op *op)
{
	const struct field *f = op->f;
	int fd;

	switch (op->code) {
	case OP_OPEN_NS:
		fd = open(f[OPEN_NS_PATH].s, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		return fd < 0 ? -errno : slot_set(f[OPEN_NS_SLOT].n, fd);
	case OP_SET_NS:
		fd = slot_fd(f[SET_NS_SLOT].n);
		if (fd < 0)
			return fd;
		if (setns(fd, (int)f[SET_NS_FLAGS].n) < 0)
			return -errno;
		return g.role == ROLE_CHILD && f[SET_NS_FLAGS].n == CLONE_NEWNS ? let_go_of_host() : 0;
	case OP_UNSHARE:
		return unshare((int)f[UNSHARE_FLAGS].n) < 0 ? -errno : 0;
	case OP_BIND_NS:
		return bind_ns(f[BIND_NS_PATH].s, f[BIND_NS_TYPE].n, f[BIND_NS_OF].n == BIND_NS_OF_CHILD);
	}
	return -ENOSYS;
}

static const char *message_name(const struct field *names, uint32_t index)
{
	const char *at = names->s;

	if (index >= names->n)
		return NULL;
	for (uint32_t i = 0; i < index; i++)
		list_next(&at, NULL);
	return list_next(&at, NULL);
}

static int message_fail(const struct op *op, uint32_t index, int err, const char *text)
{
	const char *name = message_name(&op->f[NETLINK_NAMES], index);
	char number[32];

	if (!name) {
		snprintf(number, sizeof number, "message %u", index);
		name = number;
	}
	return fail(err, name, "%s", text);
}

/* Reads answers until `expected` acks came; an error's text comes with NLMSGERR_ATTR_MSG. */
static int read_acks(const struct op *op, int fd, uint32_t expected)
{
	static char buffer[8192];
	int result = 0;

	while (expected) {
		ssize_t n = recv(fd, buffer, sizeof buffer, 0);
		uint32_t len;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		len = n;
		for (struct nlmsghdr *h = (void *)buffer; NLMSG_OK(h, len); h = NLMSG_NEXT(h, len)) {
			struct nlmsgerr *e = NLMSG_DATA(h);
			const char *text = "";
			size_t used;

			if (h->nlmsg_type != NLMSG_ERROR || h->nlmsg_len < NLMSG_LENGTH(sizeof *e))
				continue;
			if (expected)
				expected--;
			if (e->error == 0 || result < 0)
				continue;
			used = NLMSG_LENGTH(sizeof *e) + (h->nlmsg_flags & NLM_F_CAPPED ? 0 : e->msg.nlmsg_len - NLMSG_HDRLEN);
			if (h->nlmsg_flags & NLM_F_ACK_TLVS)
				for (size_t at = NLMSG_ALIGN(used); at + sizeof(struct nlattr) <= h->nlmsg_len;) {
					struct nlattr *a = (void *)((char *)h + at);
					if (a->nla_len < sizeof *a || at + a->nla_len > h->nlmsg_len)
						break;
					if ((a->nla_type & NLA_TYPE_MASK) == NLMSGERR_ATTR_MSG && ((char *)a)[a->nla_len - 1] == 0)
						text = (char *)a + NLA_HDRLEN;
					at += NLA_ALIGN(a->nla_len);
				}
			result = message_fail(op, h->nlmsg_seq - 1, -e->error, text);
			/* A batch that failed as a whole sends no more than its errors. */
			if (op->f[NETLINK_PROTOCOL].n == NETLINK_NETFILTER)
				return result;
		}
	}
	return result;
}

static int netlink_patch(const struct op *op, char *data, uint32_t size)
{
	const struct field *pids = &op->f[NETLINK_PID_AT], *fds = &op->f[NETLINK_SLOT_AT];

	for (uint64_t i = 0; i < pids->n; i++) {
		uint32_t at = get32(pids->s + i * 4), pid = g.child;
		if (at > size || size - at < 4)
			return fail(EINVAL, NULL, "pid offset %u lies outside the messages", at);
		if (g.child <= 0)
			return fail(EINVAL, NULL, "there is no child yet whose pid could be used");
		memcpy(data + at, &pid, 4);
	}
	for (uint64_t i = 0; i + 1 < fds->n; i += 2) {
		uint32_t at = get32(fds->s + i * 4), value;
		int fd = slot_fd(get32(fds->s + i * 4 + 4));
		if (fd < 0)
			return fd;
		if (at > size || size - at < 4)
			return fail(EINVAL, NULL, "fd offset %u lies outside the messages", at);
		value = fd;
		memcpy(data + at, &value, 4);
	}
	return 0;
}

static bool batch_mark(uint16_t type)
{
	return type == NLMSG_MIN_TYPE || type == NLMSG_MIN_TYPE + 1;
}

int op_netlink(const struct op *op)
{
	const struct field *f = op->f;
	uint32_t size = f[NETLINK_MESSAGES].len, index = 0, acks = 0;
	bool batch = f[NETLINK_PROTOCOL].n == NETLINK_NETFILTER;
	int one = 1, room = 1 << 20, r = 0, fd;
	char *data;

	if (size == 0)
		return 0;
	data = malloc(size);
	if (!data)
		return -ENOMEM;
	memcpy(data, f[NETLINK_MESSAGES].s, size);
	r = netlink_patch(op, data, size);
	if (r < 0) {
		free(data);
		return r;
	}
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, (int)f[NETLINK_PROTOCOL].n);
	if (fd < 0) {
		free(data);
		return -errno;
	}
	setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof one);
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof one);
	if (batch) {
		if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) < 0)
			setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
		if ((int)size > 100000) {
			int send_room = size * 2;
			if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &send_room, sizeof send_room) < 0)
				setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_room, sizeof send_room);
		}
	}
	for (uint32_t at = 0; at < size && r == 0; index++) {
		struct nlmsghdr *h = (void *)(data + at);

		if (size - at < sizeof *h || h->nlmsg_len < sizeof *h || h->nlmsg_len > size - at) {
			r = fail(EINVAL, NULL, "malformed netlink message at byte %u", at);
			break;
		}
		h->nlmsg_seq = index + 1;
		if (!batch || !batch_mark(h->nlmsg_type)) {
			h->nlmsg_flags |= NLM_F_ACK;
			acks++;
		}
		at += NLMSG_ALIGN(h->nlmsg_len);
		if (batch)
			continue;
		if (send(fd, h, h->nlmsg_len, 0) < 0)
			r = message_fail(op, index, errno, "send");
		else
			r = read_acks(op, fd, 1);
		if (r < 0)
			for (uint32_t i = 0; i < op->nignore; i++)
				if (get32(op->ignore + i * 4) == (uint32_t)-r) {
					r = 0;
					break;
				}
	}
	if (batch && r == 0) {
		if (send(fd, data, size, 0) < 0)
			r = -errno;
		else
			r = read_acks(op, fd, acks);
	}
	/*
	 * Closing a netfilter socket waits about 10 ms for an RCU grace period while anything removed from nftables is pending. It
	 * goes with the process instead, which carries out one plan.
	 */
	if (!batch)
		close(fd);
	free(data);
	return r;
}
