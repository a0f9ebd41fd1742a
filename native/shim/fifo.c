/* Docker's log plugin frames: a big-endian length, then a LogEntry. */
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

void fifo_piece(const struct piece *piece)
{
	size_t most = piece->len + ENTRY_ROOM + 4, len;
	unsigned char *out;

	if ((!fifo.blocking && fifo.len + most > fifo.limit) || fifo.len + most > QUEUE) {
		fifo_flush();
		if ((!fifo.blocking && fifo.len + most > fifo.limit) || fifo.len + most > QUEUE) {
			sink_dropped += piece->len;
			return;
		}
	}
	if (fifo.from + fifo.len + most > QUEUE) {
		memmove(fifo.queue, fifo.queue + fifo.from, fifo.len);
		fifo.from = 0;
	}
	out = fifo.queue + fifo.from + fifo.len;
	len = entry_put(out + 4, piece);
	put_be32(out, len);
	fifo.len += len + 4;
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
