/* Cuts output into log messages, as Docker does: at newlines, and at 16 KiB. */
#include "shim.h"
#include <stdio.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>

static enum { NONE, JSON_FILE, LOCAL_FILE, FIFO } kind;
static struct { char *data; size_t len; bool partial; uint32_t ordinal; char id[LINE_ID]; } held[2];
uint64_t sink_dropped;

void *region(size_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

void region_drop(void *at, size_t size)
{
	if (at)
		madvise(at, size, MADV_DONTNEED);
}

int sink_open(struct plan setup)
{
	struct op op;
	const struct field *f = op.f;
	int r = 0;

	if (plan_has(setup, PHASE_SETUP, OP_SINK_FILE, &op)) {
		uint64_t max_size = f[SINK_FILE_MAX_SIZE].n, max_file = f[SINK_FILE_MAX_FILE].n;
		kind = f[SINK_FILE_FORMAT].n ? LOCAL_FILE : JSON_FILE;
		if (kind == LOCAL_FILE)
			r = locallog_open(f[SINK_FILE_PATH].s, max_size, max_file);
		else
			r = jsonlog_open(f[SINK_FILE_PATH].s, f[SINK_FILE_ATTRS].s, f[SINK_FILE_ATTRS].len, max_size, max_file);
	} else if (plan_has(setup, PHASE_SETUP, OP_SINK_FIFO, &op)) {
		r = fifo_open(f[SINK_FIFO_PATH].s, f[SINK_FIFO_BLOCKING].n, f[SINK_FIFO_BUFFER_SIZE].n);
		kind = FIFO;
	} else {
		return 0;
	}
	if (r < 0) {
		kind = NONE;
		snprintf(g_error.op, sizeof g_error.op, "%s", op.name);
		return fail(-r, f[0].s, "cannot open the log sink");
	}
	for (int i = 0; i < 2; i++)
		if (!(held[i].data = region(LOG_LINE)))
			return -ENOMEM;
	return 0;
}

/* All pieces of one line bear one id and are counted. */
static void name_line(int stream, struct piece *piece)
{
	static const char hex[] = "0123456789abcdef";
	unsigned char raw[LINE_ID / 2];

	if (!held[stream].partial) {
		held[stream].partial = true;
		held[stream].ordinal = 0;
		if (getrandom(raw, sizeof raw, GRND_NONBLOCK) != sizeof raw)
			memset(raw, piece->nano, sizeof raw);
		for (size_t i = 0; i < sizeof raw; i++) {
			held[stream].id[2 * i] = hex[raw[i] >> 4];
			held[stream].id[2 * i + 1] = hex[raw[i] & 15];
		}
	}
	piece->id = held[stream].id;
	piece->ordinal = ++held[stream].ordinal;
}

static void give(struct piece *piece, const char *data, size_t len, bool newline)
{
	piece->data = data;
	piece->len = len;
	piece->newline = newline;
	piece->partial = !newline || held[piece->stream].partial;
	if (piece->partial)
		name_line(piece->stream, piece);
	if (kind == JSON_FILE)
		jsonlog_piece(piece);
	else if (kind == LOCAL_FILE)
		locallog_piece(piece);
	else
		fifo_piece(piece);
}

/* Where to cut a full buffer so that no UTF-8 sequence is torn. */
static size_t cut(const char *data, size_t len)
{
	for (size_t back = 1; back <= 3 && back < len; back++) {
		unsigned char c = data[len - back];

		if (c < 0x80)
			return len;
		if (c >= 0xc0) {
			size_t need = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
			return need > back ? len - back : len;
		}
	}
	return len;
}

void sink_take(int stream, const char *data, size_t len, bool end)
{
	struct timespec now;
	struct piece piece = { .stream = stream };
	char time[40];

	if (kind == NONE)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	nano_time(time);
	piece.time = time;
	piece.nano = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
	while (len) {
		size_t room = LOG_LINE - held[stream].len, look = len < room ? len : room, keep;
		const char *newline = memchr(data, '\n', look);

		if (newline) {
			size_t n = newline - data;
			if (held[stream].len) {
				memcpy(held[stream].data + held[stream].len, data, n);
				give(&piece, held[stream].data, held[stream].len + n, true);
			} else {
				give(&piece, data, n, true);
			}
			held[stream].len = 0;
			held[stream].partial = false;
			data += n + 1;
			len -= n + 1;
			continue;
		}
		memcpy(held[stream].data + held[stream].len, data, look);
		held[stream].len += look;
		data += look;
		len -= look;
		if (held[stream].len < LOG_LINE)
			break;
		keep = cut(held[stream].data, LOG_LINE);
		give(&piece, held[stream].data, keep, false);
		memmove(held[stream].data, held[stream].data + keep, LOG_LINE - keep);
		held[stream].len = LOG_LINE - keep;
	}
	if (end && held[stream].len) {
		give(&piece, held[stream].data, held[stream].len, false);
		held[stream].len = 0;
	}
}

void sink_flush(void)
{
	if (kind == FIFO)
		fifo_flush();
	else if (kind != NONE)
		logfile_flush();
}

bool sink_stalled(int *fd)
{
	return kind == FIFO && fifo_stalled(fd);
}

void sink_idle(void)
{
	for (int i = 0; i < 2; i++)
		if (!held[i].len)
			region_drop(held[i].data, LOG_LINE);
	if (kind == FIFO)
		fifo_idle();
	else if (kind != NONE)
		logfile_idle();
}
