#include "shim.h"
#include "conn.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 5000
#define IN_FIRST (128 << 10)
#define IN_MAX ((16 << 20) + 4096)

struct conn conn = { .fd = -1 };

int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void conn_close(void)
{
	if (conn.fd < 0)
		return;
	close(conn.fd);
	if (conn.in)
		munmap(conn.in, conn.in_size);
	if (conn.queue)
		munmap(conn.queue, QUEUE_SIZE);
	memset(&conn, 0, sizeof conn);
	conn.fd = -1;
}

void conn_use(int fd)
{
	conn_close();
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	conn.fd = fd;
}

static void heard_by(int64_t ms)
{
	if (!conn.deadline || ms == 0)
		conn.deadline = ms;
}

bool conn_send(int type, const void *data, size_t len)
{
	unsigned char head[FRAME_HEADER];

	if (conn.fd < 0)
		return false;
	put32(head, len);
	head[4] = type;
	if (!conn.queue && !(conn.queue = region(QUEUE_SIZE)))
		return false;
	if (conn.from + conn.len + sizeof head + len > QUEUE_SIZE) {
		memmove(conn.queue, conn.queue + conn.from, conn.len);
		conn.from = 0;
		if (conn.len + sizeof head + len > QUEUE_SIZE) {
			conn_close();
			return false;
		}
	}
	memcpy(conn.queue + conn.from + conn.len, head, sizeof head);
	memcpy(conn.queue + conn.from + conn.len + sizeof head, data, len);
	conn.len += sizeof head + len;
	return true;
}

void conn_flush(void)
{
	while (conn.fd >= 0 && conn.len) {
		ssize_t n = send(conn.fd, conn.queue + conn.from, conn.len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			heard_by(now_ms() + PATIENCE_MS);
			return;
		}
		if (n < 0) {
			conn_close();
			return;
		}
		conn.from += n;
		conn.len -= n;
		conn.deadline = 0;
	}
	if (!conn.len)
		conn.from = 0;
}

/* A full window is a slow client, which the container waits for; a daemon that says nothing at all is gone. */
size_t conn_room(void)
{
	if (conn.window < OUTPUT_WINDOW)
		return OUTPUT_WINDOW - conn.window;
	if (!conn.deadline) {
		conn_send(FROM_PING, "", 0);
		conn_flush();
		heard_by(now_ms() + PATIENCE_MS);
	}
	return 0;
}

void conn_check(void)
{
	if (conn.fd >= 0 && conn.deadline && now_ms() >= conn.deadline)
		conn_close();
}

static bool grow(size_t need)
{
	size_t size = conn.in_size ? conn.in_size : IN_FIRST;
	unsigned char *at;

	while (size < need)
		size *= 2;
	if (size == conn.in_size)
		return true;
	at = conn.in ? mremap(conn.in, conn.in_size, size, MREMAP_MAYMOVE) : region(size);
	if (!at || at == MAP_FAILED)
		return false;
	conn.in = at;
	conn.in_size = size;
	return true;
}

void conn_read(void (*handle)(int type, unsigned char *data, size_t len))
{
	size_t at = 0;
	int fd = conn.fd;
	ssize_t n;

	if (!grow(conn.in_len + 4096)) {
		conn_close();
		return;
	}
	n = recv(conn.fd, conn.in + conn.in_len, conn.in_size - conn.in_len, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		conn_close();
		return;
	}
	conn.deadline = 0;
	conn.in_len += n;
	while (conn.in_len - at >= FRAME_HEADER) {
		uint32_t len = get32(conn.in + at);

		if (len > IN_MAX) {
			conn_close();
			return;
		}
		if (conn.in_len - at < FRAME_HEADER + (size_t)len) {
			if (!grow(FRAME_HEADER + (size_t)len)) {
				conn_close();
				return;
			}
			break;
		}
		handle(conn.in[at + 4], conn.in + at + FRAME_HEADER, len);
		if (conn.fd != fd)
			return;
		at += FRAME_HEADER + len;
	}
	memmove(conn.in, conn.in + at, conn.in_len - at);
	conn.in_len -= at;
}

void conn_idle(void)
{
	if (conn.fd >= 0 && !conn.in_len && conn.in) {
		munmap(conn.in, conn.in_size);
		conn.in = NULL;
		conn.in_size = 0;
	}
	if (!conn.len)
		region_drop(conn.queue, QUEUE_SIZE);
}
