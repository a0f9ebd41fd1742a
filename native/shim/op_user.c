/* The user of a process by name, as the container's own files know it. After pivot: no path here can lead out of the container. */
#include "shim.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_FILE (8 << 20)
#define MAX_GROUPS 4096
#define COLUMNS 7

char g_home[1024];

struct row {
	char *column[COLUMNS];
	int n;
};

struct text {
	char *at;
};

/* An image may put anything there: what is no plain file counts as missing, and nothing is waited for. */
static int read_text(const char *path, struct text *text)
{
	struct stat st;
	size_t len = 0;
	ssize_t n;
	int fd = open_file_inside(path);

	text->at = NULL;
	if (fd < 0)
		return fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP ? 0 : fail(-fd, path, "cannot be read");
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return 0;
	}
	if (st.st_size > MAX_FILE) {
		close(fd);
		return fail(EFBIG, path, "more than %d bytes", MAX_FILE);
	}
	text->at = malloc(st.st_size + 1);
	if (!text->at) {
		close(fd);
		return -ENOMEM;
	}
	while (len < (size_t)st.st_size && (n = read(fd, text->at + len, st.st_size - len)) > 0)
		len += n;
	text->at[len] = 0;
	close(fd);
	return 0;
}

/* Cuts the next line into columns, in place. */
static bool next_row(char **at, struct row *row)
{
	while (*at && **at) {
		char *line = *at, *end = strchr(line, '\n');

		*at = end ? end + 1 : NULL;
		if (end)
			*end = 0;
		if (!*line || *line == '#')
			continue;
		row->n = 0;
		for (char *p = line; row->n < COLUMNS;) {
			char *colon = strchr(p, ':');
			row->column[row->n++] = p;
			if (!colon || row->n == COLUMNS)
				break;
			*colon = 0;
			p = colon + 1;
		}
		return true;
	}
	return false;
}

static bool number(const char *s, uint32_t *value)
{
	uint64_t n = 0;

	if (!*s || strlen(s) > 10)
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return false;
		n = n * 10 + (*s - '0');
	}
	if (n > 0x7fffffff)
		return false;
	*value = n;
	return true;
}

static bool listed(char *members, const char *name)
{
	size_t len = strlen(name);

	for (char *p = members; p; ) {
		size_t n = strcspn(p, ",");
		if (n == len && !memcmp(p, name, n))
			return true;
		p = p[n] ? p + n + 1 : NULL;
	}
	return false;
}

struct groups {
	gid_t list[MAX_GROUPS];
	size_t n;
};

static void add_group(struct groups *groups, gid_t gid)
{
	for (size_t i = 0; i < groups->n; i++)
		if (groups->list[i] == gid)
			return;
	if (groups->n < MAX_GROUPS)
		groups->list[groups->n++] = gid;
}

/* One pass over /etc/group: the group asked for, memberships of the login, and the additional groups. */
static int find_groups(const char *group, const char *login, const struct field *extra, uint32_t *gid, struct groups *more)
{
	struct text text;
	struct row row;
	uint64_t nextra = extra->n;
	bool found = !*group, *seen = calloc(nextra + 1, sizeof *seen);
	int r = seen ? read_text("/etc/group", &text) : -ENOMEM;
	char *at;
	const char *p;

	if (r < 0)
		return r;
	at = text.at;
	while (at && next_row(&at, &row)) {
		uint32_t id;

		if (row.n < 3 || !number(row.column[2], &id))
			continue;
		if (!found && (!strcmp(row.column[0], group) || !strcmp(row.column[2], group))) {
			*gid = id;
			found = true;
		}
		if (!*group && *login && row.n > 3 && listed(row.column[3], login))
			add_group(more, id);
		p = extra->s;
		for (uint64_t i = 0; i < nextra; i++) {
			const char *wanted = list_next(&p, NULL);
			if (!seen[i] && (!strcmp(row.column[0], wanted) || !strcmp(row.column[2], wanted))) {
				add_group(more, id);
				seen[i] = true;
			}
		}
	}
	if (!found && !number(group, gid))
		return fail(EINVAL, group, "unable to find group %s: no matching entries in group file", group);
	p = extra->s;
	for (uint64_t i = 0; i < nextra; i++) {
		const char *wanted = list_next(&p, NULL);
		uint32_t id;
		if (seen[i])
			continue;
		if (!number(wanted, &id))
			return fail(EINVAL, wanted, "unable to find group %s: no matching entries in group file", wanted);
		add_group(more, id);
	}
	/* Nothing is freed: exec is next. */
	return 0;
}

int op_user_name(const struct field *f)
{
	static struct groups more, all;
	char user[512], login[512] = "", *group;
	struct text text;
	struct row row;
	uint32_t uid = 0, gid = 0, wanted = 0;
	bool numeric, found = false;
	char *at;
	int r;

	if (f[USER_NAME_USER].len >= sizeof user)
		return fail(ENAMETOOLONG, f[USER_NAME_USER].s, "the user's name is too long");
	strcpy(user, f[USER_NAME_USER].s);
	group = strchr(user, ':');
	if (group)
		*group++ = 0;
	else
		group = user + strlen(user);
	numeric = number(user, &wanted) || !*user;
	if (numeric)
		uid = wanted;
	strcpy(g_home, "/");
	r = read_text("/etc/passwd", &text);
	if (r < 0)
		return r;
	at = text.at;
	while (!found && at && next_row(&at, &row)) {
		uint32_t id, primary;

		if (row.n < 4 || !number(row.column[2], &id) || !number(row.column[3], &primary))
			continue;
		if (!(*user && !strcmp(row.column[0], user)) && !(numeric && id == wanted))
			continue;
		found = true;
		uid = id;
		gid = primary;
		snprintf(login, sizeof login, "%s", row.column[0]);
		if (row.n > 5 && *row.column[5])
			snprintf(g_home, sizeof g_home, "%s", row.column[5]);
	}
	if (!found && !numeric)
		return fail(EINVAL, user, "unable to find user %s: no matching entries in passwd file", user);
	r = find_groups(group, login, &f[USER_NAME_GROUPS], &gid, &more);
	if (r < 0)
		return r;
	add_group(&all, gid);
	for (size_t i = 0; i < more.n; i++)
		add_group(&all, more.list[i]);
	return become(uid, gid, all.list, all.n, (int64_t)f[USER_NAME_UMASK].n);
}
