/* The format of Docker's log driver "local": each LogEntry between its length, big-endian, and its length again. */
#include "shim.h"
#include <unistd.h>

static uint32_t be32(const void *at)
{
	const unsigned char *p = at;

	return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

static size_t whole_frames(const char *batch, size_t written)
{
	size_t at = 0;

	while (written - at >= 4 && written - at >= (size_t)be32(batch + at) + 8)
		at += be32(batch + at) + 8;
	return at;
}

static bool length_at(int fd, uint64_t at, uint32_t *len)
{
	unsigned char raw[4];

	if (pread(fd, raw, 4, at) != 4)
		return false;
	*len = be32(raw);
	return true;
}

/* A writer that was killed may have left half a frame, behind which nobody could read on: it is cut off. Answers the size that is left. */
static uint64_t mend(int fd, uint64_t size)
{
	uint64_t at = 0;
	uint32_t len, again;

	if (size >= 8 && length_at(fd, size - 4, &len) && size >= (uint64_t)len + 8 && length_at(fd, size - 8 - len, &again) && again == len)
		return size;
	while (at + 8 <= size && length_at(fd, at, &len) && at + len + 8 <= size && length_at(fd, at + 4 + len, &again) && again == len)
		at += (uint64_t)len + 8;
	return ftruncate(fd, at) == 0 ? at : size;
}

int locallog_open(const char *path, uint64_t max_size, uint32_t max_file)
{
	static const struct record_format frames = { .whole = whole_frames, .mend = mend };

	return logfile_open(path, max_size, max_file, LOG_LINE + ENTRY_ROOM + 8, &frames);
}

void locallog_piece(const struct piece *piece)
{
	char *at = logfile_room();
	size_t len = entry_put((unsigned char *)at + 4, piece);

	put_be32(at, len);
	put_be32(at + 4 + len, len);
	logfile_wrote(len + 8);
}
