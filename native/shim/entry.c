/* Docker's protobuf LogEntry {1 source, 2 time_nano, 3 line, 4 partial, 5 {1 last, 2 id, 3 ordinal}}. */
#include "shim.h"

static unsigned char *varint(unsigned char *p, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*p++ = v | 0x80;
	*p++ = v;
	return p;
}

/* The last field: of which line this is a piece. */
static unsigned char *metadata(unsigned char *p, const struct piece *piece)
{
	unsigned char *length;

	*p++ = 4 << 3;
	*p++ = 1;
	*p++ = 5 << 3 | 2;
	length = p++;
	if (piece->newline) {
		*p++ = 1 << 3;
		*p++ = 1;
	}
	*p++ = 2 << 3 | 2;
	*p++ = LINE_ID;
	memcpy(p, piece->id, LINE_ID);
	p += LINE_ID;
	*p++ = 3 << 3;
	p = varint(p, piece->ordinal);
	*length = p - length - 1;
	return p;
}

size_t entry_put(unsigned char *out, const struct piece *piece)
{
	unsigned char *p = out;

	*p++ = 1 << 3 | 2;
	*p++ = 6;
	memcpy(p, piece->stream ? "stderr" : "stdout", 6);
	p += 6;
	*p++ = 2 << 3;
	p = varint(p, piece->nano);
	if (piece->len) {
		*p++ = 3 << 3 | 2;
		p = varint(p, piece->len);
		memcpy(p, piece->data, piece->len);
		p += piece->len;
	}
	if (piece->partial)
		p = metadata(p, piece);
	return p - out;
}

void put_be32(void *at, uint32_t v)
{
	unsigned char *p = at;

	for (int i = 0; i < 4; i++)
		p[i] = v >> (24 - 8 * i);
}
