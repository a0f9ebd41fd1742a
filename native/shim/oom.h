#ifndef OOM_H
#define OOM_H
#include <stdbool.h>

/* An fd to poll, or -1 when the group cannot be watched. */
int oom_watch(const char *dir, int cgroup_version);
/* True when processes were killed since the last call. */
bool oom_happened(int event);
#endif
