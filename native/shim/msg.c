/* Frames, and the numbers in them. */
#include "shim.h"
#include <sys/uio.h>

unsigned char *put32(unsigned char *p, uint32_t v)
{
	memcpy(p, &v, 4);
	return p + 4;
}

unsigned char *put64(unsigned char *p, uint64_t v)
{
	memcpy(p, &v, 8);
	return p + 8;
}

unsigned char *putstr(unsigned char *p, const char *s, size_t max)
{
	size_t n = strnlen(s, max);

	p = put32(p, n);
	memcpy(p, s, n);
	return p + n;
}

size_t error_payload(unsigned char *out, const struct error *error)
{
	unsigned char *p = out;

	p = put32(p, error->phase);
	p = put32(p, error->index);
	p = put32(p, error->code);
	p = put32(p, error->err);
	p = putstr(p, error->op, sizeof error->op);
	p = putstr(p, error->subject, sizeof error->subject);
	p = putstr(p, error->detail, sizeof error->detail);
	return p - out;
}

int frame_write(int fd, int type, const void *data, size_t len)
{
	unsigned char head[FRAME_HEADER];
	struct iovec iov[2] = { { head, sizeof head }, { (void *)data, len } };
	ssize_t n;

	put32(head, len);
	head[4] = type;
	do
		n = writev(fd, iov, 2);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if ((size_t)n < sizeof head) {
		int r = write_all(fd, head + n, sizeof head - n);
		return r < 0 ? r : write_all(fd, data, len);
	}
	return write_all(fd, (const char *)data + (n - sizeof head), len - (n - sizeof head));
}
