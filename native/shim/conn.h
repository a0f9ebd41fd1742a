/* The connection to the daemon: queued frames out, parsed frames in. */
#ifndef CONN_H
#define CONN_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUEUE_SIZE (8 << 20)

struct conn {
	int fd;
	bool stream, streamed;
	unsigned char *queue;
	size_t from, len;	/* of what waits in the queue */
	unsigned char *in;
	size_t in_len, in_size;
	uint32_t window;	/* output bytes not acknowledged */
	int64_t deadline;	/* ms, by which something has to be heard; 0: none */
};
extern struct conn conn;

int64_t now_ms(void);
void conn_use(int fd);
void conn_close(void);
/* False when the frame did not fit: the daemon does not read. */
bool conn_send(int type, const void *data, size_t len);
void conn_flush(void);
/* Reads and hands each whole frame over; closes on end or nonsense. */
void conn_read(void (*handle)(int type, unsigned char *data, size_t len));
/* Room for this many output bytes now. */
size_t conn_room(void);
void conn_check(void);
void conn_idle(void);
#endif
