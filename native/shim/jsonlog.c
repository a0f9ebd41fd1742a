/* Docker's json-file format, byte for byte as Go writes it, with rotation by rename. */
#pragma GCC optimize("O2")
#include "shim.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BATCH (256 << 10)
/* Room for one more piece of which every byte becomes \u00XX. */
#define HEADROOM (LOG_LINE * 6 + 256)

static struct {
	int fd;
	char *path;
	const char *attrs;
	uint32_t attrs_len, max_file;
	uint64_t max_size, size;
	char *batch;
	size_t len;
} log_file = { .fd = -1 };

static const unsigned char special[256] = {
	[0 ... 31] = 1, ['"'] = 1, ['\\'] = 1, ['<'] = 1, ['>'] = 1, ['&'] = 1, [128 ... 255] = 1,
};

static int open_log(bool truncate)
{
	struct stat st;

	log_file.fd = open(log_file.path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | (truncate ? O_TRUNC : 0), 0640);
	if (log_file.fd < 0)
		return -errno;
	log_file.size = fstat(log_file.fd, &st) == 0 ? st.st_size : 0;
	return 0;
}

int jsonlog_open(const char *path, const char *attrs, uint32_t attrs_len, uint64_t max_size, uint32_t max_file)
{
	char *copy = NULL;

	log_file.path = strdup(path);
	if (!log_file.path || asprintf(&copy, ",\"attrs\":%s", attrs) < 0)
		return -ENOMEM;
	log_file.attrs = copy;
	log_file.attrs_len = attrs_len ? strlen(copy) : 0;
	log_file.max_size = max_size;
	log_file.max_file = max_file ? max_file : 1;
	log_file.batch = region(BATCH + HEADROOM + log_file.attrs_len);
	return log_file.batch ? open_log(false) : -ENOMEM;
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
			/* Disk full: what was written of a torn line is taken back. */
			size_t whole = done;
			while (whole && log_file.batch[whole - 1] != '\n')
				whole--;
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

/* Length of the valid UTF-8 sequence at p, 0 if there is none. */
static size_t utf8(const unsigned char *p, size_t left)
{
	size_t need;
	unsigned char low = 0x80, high = 0xbf;

	if (p[0] >= 0xc2 && p[0] <= 0xdf) {
		need = 2;
	} else if (p[0] >= 0xe0 && p[0] <= 0xef) {
		need = 3;
		if (p[0] == 0xe0)
			low = 0xa0;
		if (p[0] == 0xed)
			high = 0x9f;
	} else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
		need = 4;
		if (p[0] == 0xf0)
			low = 0x90;
		if (p[0] == 0xf4)
			high = 0x8f;
	} else {
		return 0;
	}
	if (left < need || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < need; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return need;
}

/* Signed: bytes of 128 and more are below 32 too. */
typedef signed char bytes16 __attribute__((vector_size(16)));
typedef long long words2 __attribute__((vector_size(16)));

static char *escape(char *out, const unsigned char *p, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	const unsigned char *end = p + len;

	while (p < end) {
		const unsigned char *run;
		unsigned char c;
		size_t n;

		/* Sixteen at a time as long as none is special; what is copied too much is overwritten. */
		while (end - p >= 16) {
			bytes16 v;
			words2 hit;
			memcpy(&v, p, 16);
			memcpy(out, &v, 16);
			hit = (words2)((v < 32) | (v == '"') | (v == '\\') | (v == '<') | (v == '>') | (v == '&'));
			if (hit[0] | hit[1])
				break;
			p += 16;
			out += 16;
		}
		run = p;
		while (p < end && !special[*p])
			p++;
		n = p - run;
		memcpy(out, run, n);
		out += n;
		if (p == end)
			break;
		c = *p;
		if (c >= 0x80) {
			n = utf8(p, end - p);
			if (n == 0) {
				memcpy(out, "\\ufffd", 6);
				out += 6;
				p++;
			} else if (n == 3 && c == 0xe2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9)) {
				memcpy(out, p[2] == 0xa8 ? "\\u2028" : "\\u2029", 6);
				out += 6;
				p += 3;
			} else {
				memcpy(out, p, n);
				out += n;
				p += n;
			}
			continue;
		}
		p++;
		*out++ = '\\';
		switch (c) {
		case '"':
		case '\\':
			*out++ = c;
			break;
		case '\n':
			*out++ = 'n';
			break;
		case '\r':
			*out++ = 'r';
			break;
		case '\t':
			*out++ = 't';
			break;
		default:
			memcpy(out, "u00", 3);
			out[3] = hex[c >> 4];
			out[4] = hex[c & 15];
			out += 5;
		}
	}
	return out;
}

static char *text(char *out, const char *s, size_t n)
{
	memcpy(out, s, n);
	return out + n;
}

void jsonlog_piece(const struct piece *piece)
{
	char *out;

	if (log_file.max_size && log_file.size + log_file.len >= log_file.max_size) {
		write_batch();
		rotate();
	} else if (log_file.len >= BATCH) {
		write_batch();
	}
	out = text(log_file.batch + log_file.len, "{\"log\":\"", 8);
	out = escape(out, (const unsigned char *)piece->data, piece->len);
	if (piece->newline)
		out = text(out, "\\n", 2);
	out = piece->stream ? text(out, "\",\"stream\":\"stderr\"", 19) : text(out, "\",\"stream\":\"stdout\"", 19);
	out = text(out, log_file.attrs, log_file.attrs_len);
	out = text(out, ",\"time\":\"", 9);
	out = text(out, piece->time, strlen(piece->time));
	out = text(out, "\"}\n", 3);
	log_file.len = out - log_file.batch;
}

void jsonlog_flush(void)
{
	if (log_file.len)
		write_batch();
}

void jsonlog_idle(void)
{
	if (!log_file.len)
		region_drop(log_file.batch, BATCH + HEADROOM + log_file.attrs_len);
}
