/* A log file with rotation by rename: what is written waits in a batch of whole records. */
#include "shim.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BATCH (256 << 10)

static struct {
	int fd;
	char *path;
	uint32_t max_file;
	uint64_t max_size, size;
	char *batch;
	size_t len, room;
	const struct record_format *format;
} log_file = { .fd = -1 };

static int open_log(bool truncate)
{
	struct stat st;

	log_file.fd = open(log_file.path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | (truncate ? O_TRUNC : 0), 0640);
	if (log_file.fd < 0)
		return -errno;
	log_file.size = fstat(log_file.fd, &st) == 0 ? st.st_size : 0;
	return 0;
}

int logfile_open(const char *path, uint64_t max_size, uint32_t max_file, size_t headroom, const struct record_format *format)
{
	int r;

	log_file.path = strdup(path);
	if (!log_file.path)
		return -ENOMEM;
	log_file.max_size = max_size;
	log_file.max_file = max_file ? max_file : 1;
	log_file.room = BATCH + headroom;
	log_file.format = format;
	log_file.batch = region(log_file.room);
	r = log_file.batch ? open_log(false) : -ENOMEM;
	if (r == 0 && format->mend)
		log_file.size = format->mend(log_file.fd, log_file.size);
	return r;
}

/* A rotated file may have been compressed meanwhile. */
static void shift(uint32_t from, uint32_t to)
{
	static const char *const suffixes[] = { "", ".gz" };

	for (int i = 0; i < 2; i++) {
		char a[4160], b[4160];

		if (snprintf(a, sizeof a, "%s.%u%s", log_file.path, from, suffixes[i]) >= (int)sizeof a)
			return;
		snprintf(b, sizeof b, "%s.%u%s", log_file.path, to, suffixes[i]);
		if (to >= log_file.max_file)
			unlink(a);
		else
			rename(a, b);
	}
}

static void rotate(void)
{
	close(log_file.fd);
	log_file.fd = -1;
	if (log_file.max_file > 1) {
		char first[4160];

		for (uint32_t i = log_file.max_file - 1; i >= 1; i--)
			shift(i, i + 1);
		if (snprintf(first, sizeof first, "%s.1", log_file.path) < (int)sizeof first)
			rename(log_file.path, first);
	}
	open_log(log_file.max_file <= 1);
}

static void write_batch(void)
{
	size_t done = 0;

	if (log_file.fd < 0 && open_log(false) < 0) {
		sink_dropped += log_file.len;
		log_file.len = 0;
		return;
	}
	while (done < log_file.len) {
		ssize_t n = write(log_file.fd, log_file.batch + done, log_file.len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			/* Disk full: what was written of a torn record is taken back. */
			size_t whole = log_file.format->whole(log_file.batch, done);
			if (whole < done && ftruncate(log_file.fd, log_file.size + whole) < 0)
				whole = done;
			sink_dropped += log_file.len - whole;
			log_file.size += whole;
			log_file.len = 0;
			return;
		}
		done += n;
	}
	log_file.size += done;
	log_file.len = 0;
}

char *logfile_room(void)
{
	if (log_file.max_size && log_file.size + log_file.len >= log_file.max_size) {
		write_batch();
		rotate();
	} else if (log_file.len >= BATCH) {
		write_batch();
	}
	return log_file.batch + log_file.len;
}

void logfile_wrote(size_t len)
{
	log_file.len += len;
}

void logfile_flush(void)
{
	if (log_file.len)
		write_batch();
}

void logfile_idle(void)
{
	if (!log_file.len)
		region_drop(log_file.batch, log_file.room);
}
