/* Watches a memory cgroup for kills. */
#include "shim.h"
#include "oom.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

static const char *path;
static int version;
static uint64_t seen;

static uint64_t kills(void)
{
	char file[4200], text[1024], *p;

	snprintf(file, sizeof file, "%s/%s", path, version == 1 ? "memory.oom_control" : "memory.events");
	if (read_small(file, text, sizeof text) <= 0 || !(p = strstr(text, "oom_kill ")))
		return 0;
	return strtoull(p + 9, NULL, 10);
}

int oom_watch(const char *dir, int cgroup_version)
{
	char file[4200], text[64];
	int event, control, n, r;

	path = dir;
	version = cgroup_version;
	seen = kills();
	if (version == 2) {
		event = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
		snprintf(file, sizeof file, "%s/memory.events", dir);
		if (event >= 0 && inotify_add_watch(event, file, IN_MODIFY) < 0) {
			close(event);
			return -1;
		}
		return event;
	}
	event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	snprintf(file, sizeof file, "%s/memory.oom_control", dir);
	control = open(file, O_RDONLY | O_CLOEXEC);
	if (event < 0 || control < 0) {
		if (event >= 0)
			close(event);
		return -1;
	}
	n = snprintf(text, sizeof text, "%d %d", event, control);
	snprintf(file, sizeof file, "%s/cgroup.event_control", dir);
	r = write_file(file, text, n, 0, 0);
	close(control);
	if (r < 0) {
		close(event);
		return -1;
	}
	return event;
}

bool oom_happened(int event)
{
	char buffer[4096];
	uint64_t now;

	while (event >= 0 && read(event, buffer, version == 1 ? 8 : sizeof buffer) > 0)
		;
	now = kills();
	if (now <= seen)
		return false;
	seen = now;
	return true;
}
