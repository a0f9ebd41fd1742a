/*
 * tsd-shim: zygote, shim and container init setup in one static binary.
 *
 * Error convention:
 *  - a function that can fail returns 0 (or a useful value >= 0) or -errno; nothing else means failure;
 *  - whoever knows more than the errno says it once with fail(errno, subject, detail...), which records it in g_error and returns -errno;
 *  - ops never print and never exit: plan_run() completes g_error with phase, index and op, and its caller decides;
 *  - an fd is owned by the slot or variable it is stored in; every fd is close-on-exec.
 * Nothing is allocated before it is needed: a shim lives as long as its container and its size is part of its interface.
 */
#ifndef SHIM_H
#define SHIM_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>
#include "plan.h"

#define SLOTS 64

struct field {
	uint64_t n;
	const char *s;
	uint32_t len;
};

struct op {
	int phase, index, code;
	const char *name;
	const char *types;
	struct field f[OP_FIELDS];
	const unsigned char *ignore;
	uint32_t nignore;
};

struct error {
	uint32_t phase, index, code, err;
	char op[20];
	char subject[256];
	char detail[1024];
};

struct plan {
	const unsigned char *data;
	size_t len;
};

/* What the process is, and what ops need to know. */
struct context {
	enum { ROLE_HELPER, ROLE_SHIM, ROLE_CHILD, ROLE_APPLY } role;
	pid_t child;
	int slot[SLOTS];
	int stdio[3];		/* the container's ends */
	int sync;		/* child: socket to the shim; shim: to the child */
	int console;		/* master of the pty */
	int console_listener;
	int output;		/* helper: where output frames go */
	uint16_t height, width;
	bool synced;		/* child: the parent phase is done */
};

extern struct context g;
extern struct error g_error;

/* plan.c */
int plan_check(struct plan plan, uint32_t phases_allowed);
bool plan_has(struct plan plan, int phase, int code, struct op *found);
int plan_run(struct plan plan, int phase);
int fail(int err, const char *subject, const char *format, ...) __attribute__((format(printf, 3, 4)));
int slot_fd(uint64_t n);
int slot_set(uint64_t n, int fd);
void slots_close(void);
uint32_t get32(const void *p);
uint64_t get64(const void *p);
/* Walks a list field: next string, its length when asked for. */
const char *list_next(const char **at, uint32_t *len);
char **list_argv(struct field f);
int decode_main(int fd);

/* op.c: one op of any phase */
int op_run(const struct op *op);

/* ops by area */
int op_file(const struct op *op);
int op_mount(const struct op *op);
int op_place(const struct op *op);
int op_ns(const struct op *op);
int op_netlink(const struct op *op);
int op_process(const struct op *op);
int op_identity(const struct op *op);
int op_start(const struct op *op);
int op_user_name(const struct field *f);
/* Resolved inside a root that somebody else wrote: no link leads out of it, least of all those of /proc. Answers an O_PATH fd. */
int open_in(int root, const char *path);
/* A file of the root that this process is in, for reading; no link of /proc is followed. */
int open_file_inside(const char *path);
/* As open_in, for a directory, which is made with its parents if missing. */
int open_dir_in(int root, const char *path, mode_t mode);
/* Sets ids, groups and umask (unless negative); capabilities are kept. */
int become(uint32_t uid, uint32_t gid, const gid_t *groups, size_t n, int64_t mask);
/* HOME for exec; empty: unknown. */
extern char g_home[1024];
int write_file(const char *path, const void *data, size_t len, int flags, mode_t mode);
int mkdirs(const char *path, mode_t mode);
int child_sync(void);
/* Binds what is open on a path. */
int bind_fd(int source, const char *path, bool follow_link);

/* fd.c */
int send_fd(int socket, char tag, int fd);
ssize_t recv_fd(int socket, void *buffer, size_t size, int *fd);
int write_all(int fd, const void *data, size_t len);
ssize_t read_small(const char *path, char *buffer, size_t size);
struct stat;
bool is_null(const struct stat *st);
uint64_t start_time(pid_t pid);
void nano_time(char out[40]);
void plain_signals(void);
/* In the child, once its paths are the container's: nothing of the host's stays open. */
int let_go_of_host(void);

/* msg.c: frames */
size_t error_payload(unsigned char *out, const struct error *error);
int frame_write(int fd, int type, const void *data, size_t len);
unsigned char *put32(unsigned char *p, uint32_t v);
unsigned char *put64(unsigned char *p, uint64_t v);
unsigned char *putstr(unsigned char *p, const char *s, size_t max);

/* zygote.c, helper.c, launch.c, loop.c */
/* init.c: NULL-terminated command line; answers the exit status */
int init_main(char **argv);

int zygote_main(char **argv);
void helper_main(struct plan plan, int control, uint32_t deadline_ms) __attribute__((noreturn));
void launch_main(struct plan setup, struct plan plan, int control, int lock) __attribute__((noreturn));

/* spare.c: a network namespace made ahead */
int spare_fd(void);
int spare_wait(void);
void spare_work(void);
void spare_take(void);
bool spare_fits(struct plan plan);
void spare_inherit(struct plan plan);
int spare_enter(void);
void spare_gone(void);
void spare_drop(void);

struct setup {
	char id[136];
	int dir;
	bool terminal, open_stdin, stdin_once, stream;
	const char *oom_path;
	int oom_version;
};

struct running {
	struct setup *setup;
	pid_t pid;
	uint64_t start;
	int state;
	int in, out, err;	/* our ends of the container's stdio */
	int lock, control;
	unsigned char *plan;
	size_t plan_len;
	bool sync_pending;
	bool own_mounts;	/* it was born with a mount namespace of its own */
};
void loop_run(struct running *run) __attribute__((noreturn));

/* sink.c: chooses; jsonlog.c, locallog.c and fifo.c: write */
#define LINE_ID 64
struct piece {
	int stream;		/* 0 stdout, 1 stderr */
	const char *data;
	size_t len;
	bool newline;		/* it ended in one, which is not in data */
	bool partial;		/* of a line longer than LOG_LINE, or without an end */
	const char *id;		/* of a partial one: LINE_ID characters, the same for all pieces of the line */
	uint32_t ordinal;	/* counted from 1 */
	const char *time;
	int64_t nano;
};
#define LOG_LINE 16384
int sink_open(struct plan setup);
/* Takes what was read of a stream; `end` gives out what has no newline yet. */
void sink_take(int stream, const char *data, size_t len, bool end);
/* Writes out what was taken. */
void sink_flush(void);
/* True when the container's output has to wait; *fd is then polled for output. */
bool sink_stalled(int *fd);
/* Gives memory back. */
void sink_idle(void);
extern uint64_t sink_dropped;

/* logfile.c: where jsonlog.c and locallog.c put their records */
struct record_format {
	/* How much of what was written is whole records. */
	size_t (*whole)(const char *batch, size_t written);
	/* Repairs the end of a file that an earlier writer left; answers its size. */
	uint64_t (*mend)(int fd, uint64_t size);
};
int logfile_open(const char *path, uint64_t max_size, uint32_t max_file, size_t headroom, const struct record_format *format);
/* Where the next record goes: there is `headroom` for it. */
char *logfile_room(void);
void logfile_wrote(size_t len);
void logfile_flush(void);
void logfile_idle(void);

/* entry.c */
#define ENTRY_ROOM 128
size_t entry_put(unsigned char *out, const struct piece *piece);
void put_be32(void *at, uint32_t v);

int jsonlog_open(const char *path, const char *attrs, uint32_t attrs_len, uint64_t max_size, uint32_t max_file);
void jsonlog_piece(const struct piece *piece);
int locallog_open(const char *path, uint64_t max_size, uint32_t max_file);
void locallog_piece(const struct piece *piece);
int fifo_open(const char *path, bool blocking, uint64_t size);
void fifo_piece(const struct piece *piece);
void fifo_flush(void);
bool fifo_stalled(int *fd);
void fifo_idle(void);

/* sink.c: address space that costs nothing until it is touched */
void *region(size_t size);
void region_drop(void *at, size_t size);

#endif
