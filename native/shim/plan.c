/* Reads plans: checks every byte against the op table before anything is carried out. */
#include "shim.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLAN_MAGIC 0x50445354u
#define PLAN_HEADER 12

struct context g = { .stdio = { -1, -1, -1 }, .sync = -1, .console = -1, .console_listener = -1, .output = -1 };
struct error g_error;

static const struct opdef {
	const char *name, *types;
	unsigned phases;
} ops[OP_MAX + 1] = {
#define X(code, name, phases, types) [code] = { name, types, phases },
	OP_TABLE(X)
#undef X
};

uint32_t get32(const void *p)
{
	uint32_t v;
	memcpy(&v, p, 4);
	return v;
}

uint64_t get64(const void *p)
{
	uint64_t v;
	memcpy(&v, p, 8);
	return v;
}

int fail(int err, const char *subject, const char *format, ...)
{
	va_list ap;

	g_error.err = err;
	if (subject)
		snprintf(g_error.subject, sizeof g_error.subject, "%s", subject);
	va_start(ap, format);
	vsnprintf(g_error.detail, sizeof g_error.detail, format, ap);
	va_end(ap);
	return -err;
}

int slot_fd(uint64_t n)
{
	int64_t i = (int64_t)n;

	if (i < 0 || i >= SLOTS || g.slot[i] <= 0)
		return fail(EBADF, NULL, "slot %lld is empty", (long long)i);
	return g.slot[i];
}

int slot_set(uint64_t n, int fd)
{
	int64_t i = (int64_t)n;

	if (i < 0 || i >= SLOTS) {
		close(fd);
		return fail(EINVAL, NULL, "slot %lld does not exist", (long long)i);
	}
	if (g.slot[i] > 0)
		close(g.slot[i]);
	g.slot[i] = fd;
	return 0;
}

void slots_close(void)
{
	for (int i = 0; i < SLOTS; i++)
		if (g.slot[i] > 0) {
			close(g.slot[i]);
			g.slot[i] = 0;
		}
}

const char *list_next(const char **at, uint32_t *len)
{
	const char *s = *at + 4;
	uint32_t n = get32(*at);

	if (len)
		*len = n;
	*at = s + n + 1;
	return s;
}

char **list_argv(struct field f)
{
	char **v = malloc((f.n + 1) * sizeof *v);
	const char *at = f.s;

	if (!v)
		return NULL;
	for (uint64_t i = 0; i < f.n; i++)
		v[i] = (char *)list_next(&at, NULL);
	v[f.n] = NULL;
	return v;
}

static bool take(const unsigned char **p, const unsigned char *end, size_t n, const unsigned char **at)
{
	if ((size_t)(end - *p) < n)
		return false;
	*at = *p;
	*p += n;
	return true;
}

static bool take_text(const unsigned char **p, const unsigned char *end, bool nul_allowed, struct field *f)
{
	const unsigned char *at;
	uint32_t len;

	if (!take(p, end, 4, &at))
		return false;
	len = get32(at);
	if (len == UINT32_MAX || !take(p, end, (size_t)len + 1, &at) || at[len] != 0)
		return false;
	if (!nul_allowed && memchr(at, 0, len))
		return false;
	f->s = (const char *)at;
	f->len = len;
	f->n = len;
	return true;
}

/* Decodes the record at *p; 0 at the end. */
static int next_op(struct plan plan, const unsigned char **p, struct op *op)
{
	const unsigned char *end = plan.data + plan.len, *at, *stop;
	uint32_t head, size;

	if (*p == end)
		return 0;
	if (!take(p, end, 8, &at))
		return -EBADMSG;
	head = get32(at);
	size = get32(at + 4);
	op->phase = head & 0xff;
	op->nignore = (head >> 8) & 0xff;
	op->code = head >> 16;
	if (!take(p, end, size, &at))
		return -EBADMSG;
	stop = at + size;
	if (op->code > OP_MAX || !ops[op->code].name || op->phase >= PHASE_COUNT || !(ops[op->code].phases & (1u << op->phase)))
		return -EBADMSG;
	op->name = ops[op->code].name;
	op->types = ops[op->code].types;
	if (!take(&at, stop, op->nignore * 4, &op->ignore))
		return -EBADMSG;
	for (int i = 0; op->types[i]; i++) {
		struct field *f = &op->f[i];
		const unsigned char *v;

		memset(f, 0, sizeof *f);
		switch (op->types[i]) {
		case 'u':
			if (!take(&at, stop, 4, &v))
				return -EBADMSG;
			f->n = get32(v);
			break;
		case 'i':
			if (!take(&at, stop, 4, &v))
				return -EBADMSG;
			f->n = (uint64_t)(int64_t)(int32_t)get32(v);
			break;
		case 'q':
			if (!take(&at, stop, 8, &v))
				return -EBADMSG;
			f->n = get64(v);
			break;
		case 's':
		case 'b':
			if (!take_text(&at, stop, op->types[i] == 'b', f))
				return -EBADMSG;
			break;
		case 'S': {
			struct field item;

			if (!take(&at, stop, 4, &v))
				return -EBADMSG;
			f->n = get32(v);
			f->s = (const char *)at;
			for (uint64_t k = 0; k < f->n; k++)
				if (!take_text(&at, stop, false, &item))
					return -EBADMSG;
			f->len = (const char *)at - f->s;
			break;
		}
		case 'U':
			if (!take(&at, stop, 4, &v))
				return -EBADMSG;
			f->n = get32(v);
			if (!take(&at, stop, f->n * 4, &v))
				return -EBADMSG;
			f->s = (const char *)v;
			f->len = f->n * 4;
			break;
		}
	}
	return at == stop ? 1 : -EBADMSG;
}

int plan_check(struct plan plan, uint32_t phases_allowed)
{
	const unsigned char *p = plan.data + PLAN_HEADER;
	struct op op;
	int r;

	if (plan.len < PLAN_HEADER || get32(plan.data) != PLAN_MAGIC || get32(plan.data + 8) != plan.len)
		return fail(EBADMSG, "plan", "not a plan");
	if (get32(plan.data + 4) != 1)
		return fail(EBADMSG, "plan", "version %u of the plan is not known", get32(plan.data + 4));
	while ((r = next_op(plan, &p, &op)) > 0)
		if (!(phases_allowed & (1u << op.phase)))
			return fail(EBADMSG, op.name, "its phase cannot stand in this plan");
	return r < 0 ? fail(EBADMSG, "plan", "malformed op before byte %zu", (size_t)(p - plan.data)) : 0;
}

bool plan_has(struct plan plan, int phase, int code, struct op *found)
{
	const unsigned char *p = plan.data + PLAN_HEADER;
	struct op op;

	while (next_op(plan, &p, &op) > 0)
		if (op.phase == phase && (op.code == code || code == 0)) {
			if (found)
				*found = op;
			return true;
		}
	return false;
}

static bool ignored(const struct op *op, int err)
{
	for (uint32_t i = 0; i < op->nignore; i++)
		if (get32(op->ignore + i * 4) == (uint32_t)err)
			return true;
	return false;
}

int plan_run(struct plan plan, int phase)
{
	const unsigned char *p = plan.data + PLAN_HEADER;
	struct op op;
	int index = 0;

	while (next_op(plan, &p, &op) > 0) {
		int r;

		if (op.phase != phase)
			continue;
		op.index = index++;
		g_error.err = 0;
		g_error.subject[0] = g_error.detail[0] = 0;
		r = op_run(&op);
		if (r >= 0 || ignored(&op, -r))
			continue;
		g_error.err = -r;
		g_error.phase = phase;
		g_error.index = op.index;
		g_error.code = op.code;
		snprintf(g_error.op, sizeof g_error.op, "%s", op.name);
		for (int i = 0; !g_error.subject[0] && op.types[i]; i++)
			if (op.types[i] == 's' && op.f[i].len)
				snprintf(g_error.subject, sizeof g_error.subject, "%s", op.f[i].s);
		return r;
	}
	return 0;
}

static void print_hex(const char *s, uint32_t len)
{
	putchar(' ');
	for (uint32_t i = 0; i < len; i++)
		printf("%02x", (unsigned char)s[i]);
	putchar('.');
}

/* Prints a plan in a form that tests compare with what they encoded. */
int decode_main(int fd)
{
	struct stat st;
	struct plan plan;
	const unsigned char *p;
	struct op op;
	int r;

	if (fstat(fd, &st) < 0 || st.st_size == 0)
		return 1;
	plan.len = st.st_size;
	plan.data = mmap(NULL, plan.len, PROT_READ, MAP_PRIVATE, fd, 0);
	if (plan.data == MAP_FAILED || plan_check(plan, ~0u) < 0) {
		fprintf(stderr, "%s: %s\n", g_error.subject, g_error.detail);
		return 1;
	}
	p = plan.data + PLAN_HEADER;
	while ((r = next_op(plan, &p, &op)) > 0) {
		printf("%d %s", op.phase, op.name);
		for (int i = 0; op.types[i]; i++) {
			const char *at = op.f[i].s;
			uint32_t len;

			switch (op.types[i]) {
			case 's':
			case 'b':
				print_hex(op.f[i].s, op.f[i].len);
				break;
			case 'S':
				printf(" [");
				for (uint64_t k = 0; k < op.f[i].n; k++) {
					const char *s = list_next(&at, &len);
					print_hex(s, len);
				}
				printf(" ]");
				break;
			case 'U':
				printf(" [");
				for (uint64_t k = 0; k < op.f[i].n; k++)
					printf(" %u", get32(at + k * 4));
				printf(" ]");
				break;
			case 'i':
				printf(" %lld", (long long)(int64_t)op.f[i].n);
				break;
			default:
				printf(" %llu", (unsigned long long)op.f[i].n);
			}
		}
		printf(" !");
		for (uint32_t i = 0; i < op.nignore; i++)
			printf(" %u", get32(op.ignore + i * 4));
		putchar('\n');
	}
	return 0;
}
