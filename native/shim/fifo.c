/* Docker's log plugin frames: a big-endian length, then protobuf LogEntry {1 source, 2 time_nano, 3 line, 4 partial}. */
#include "shim.h"
#include <fcntl.h>
#include <unistd.h>

/* Address space for frames that wait: one read of the container's output, cut into one-byte lines, fits. */
#define QUEUE (16 << 20)

static struct {
	int fd;
	bool blocking;
	uint64_t limit;
	unsigned char *queue;
	size_t from, len;
} fifo = { .fd = -1 };

int fifo_open(const char *path, bool blocking, uint64_t size)
{
	/* Read and write: neither waits for a reader nor breaks when it restarts. */
	fifo.fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	if (fifo.fd < 0)
		return -errno;
	fifo.blocking = blocking;
	fifo.limit = blocking || size == 0 ? 1 << 20 : size;
	if (fifo.limit > QUEUE / 2)
		fifo.limit = QUEUE / 2;
	fifo.queue = region(QUEUE);
	return fifo.queue ? 0 : -ENOMEM;
}

static unsigned char *varint(unsigned char *p, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*p++ = v | 0x80;
	*p++ = v;
	return p;
}

void fifo_piece(const struct piece *piece)
{
	unsigned char head[64], tail[2] = { 4 << 3, 1 }, *p = head + 4;
	size_t tail_len = piece->partial && !piece->newline ? 2 : 0, total;

	*p++ = 1 << 3 | 2;
	*p++ = 6;
	memcpy(p, piece->stream ? "stderr" : "stdout", 6);
	p += 6;
	*p++ = 2 << 3;
	p = varint(p, piece->nano);
	*p++ = 3 << 3 | 2;
	p = varint(p, piece->len);
	total = (p - head - 4) + piece->len + tail_len;
	for (int i = 0; i < 4; i++)
		head[i] = total >> (24 - 8 * i);
	if ((!fifo.blocking && fifo.len + total + 4 > fifo.limit) || fifo.len + total + 4 > QUEUE) {
		fifo_flush();
		if ((!fifo.blocking && fifo.len + total + 4 > fifo.limit) || fifo.len + total + 4 > QUEUE) {
			sink_dropped += piece->len;
			return;
		}
	}
	if (fifo.from + fifo.len + total + 4 > QUEUE) {
		memmove(fifo.queue, fifo.queue + fifo.from, fifo.len);
		fifo.from = 0;
	}
	unsigned char *out = fifo.queue + fifo.from + fifo.len;
	memcpy(out, head, p - head);
	out += p - head;
	memcpy(out, piece->data, piece->len);
	memcpy(out + piece->len, tail, tail_len);
	fifo.len += total + 4;
}

void fifo_flush(void)
{
	while (fifo.len) {
		ssize_t n = write(fifo.fd, fifo.queue + fifo.from, fifo.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			sink_dropped += fifo.len;
			fifo.len = 0;
		}
		if (n <= 0)
			break;
		fifo.from += n;
		fifo.len -= n;
	}
	if (!fifo.len)
		fifo.from = 0;
}

bool fifo_stalled(int *fd)
{
	*fd = fifo.len ? fifo.fd : -1;
	return fifo.blocking && fifo.len >= fifo.limit;
}

void fifo_idle(void)
{
	if (!fifo.len)
		region_drop(fifo.queue, QUEUE);
}
