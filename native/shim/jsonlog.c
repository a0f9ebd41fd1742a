/* Docker's json-file format, byte for byte as Go writes it. */
#pragma GCC optimize("O2")
#include "shim.h"
#include <stdio.h>

/* Room for one more piece of which every byte becomes \u00XX. */
#define HEADROOM (LOG_LINE * 6 + 256)

static struct {
	const char *attrs;
	uint32_t attrs_len;
} json;

static const unsigned char special[256] = {
	[0 ... 31] = 1, ['"'] = 1, ['\\'] = 1, ['<'] = 1, ['>'] = 1, ['&'] = 1, [128 ... 255] = 1,
};

static size_t whole_lines(const char *batch, size_t written)
{
	while (written && batch[written - 1] != '\n')
		written--;
	return written;
}

int jsonlog_open(const char *path, const char *attrs, uint32_t attrs_len, uint64_t max_size, uint32_t max_file)
{
	static const struct record_format lines = { .whole = whole_lines };
	char *copy = NULL;

	if (asprintf(&copy, ",\"attrs\":%s", attrs) < 0)
		return -ENOMEM;
	json.attrs = copy;
	json.attrs_len = attrs_len ? strlen(copy) : 0;
	return logfile_open(path, max_size, max_file, HEADROOM + json.attrs_len, &lines);
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
	char *from = logfile_room(), *out;

	out = text(from, "{\"log\":\"", 8);
	out = escape(out, (const unsigned char *)piece->data, piece->len);
	if (piece->newline)
		out = text(out, "\\n", 2);
	out = piece->stream ? text(out, "\",\"stream\":\"stderr\"", 19) : text(out, "\",\"stream\":\"stdout\"", 19);
	out = text(out, json.attrs, json.attrs_len);
	out = text(out, ",\"time\":\"", 9);
	out = text(out, piece->time, strlen(piece->time));
	out = text(out, "\"}\n", 3);
	logfile_wrote(out - from);
}
