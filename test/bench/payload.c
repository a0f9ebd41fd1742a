// What runs inside the measured containers, and the load generator of the host: one small static program for both.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LINE 100
#define BATCH 640

static char buffer[1 << 20];

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void fail(const char *what) {
  fprintf(stderr, "payload: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void write_all(int fd, const char *data, size_t length) {
  while (length > 0) {
    ssize_t written = write(fd, data, length);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("write");
    data += written;
    length -= (size_t)written;
  }
}

static void end(int signal) {
  (void)signal;
  _exit(0);
}

static void wait_for_ever(void) {
  signal(SIGTERM, end);
  for (;;) pause();
}

/* `lines N`: N lines of 100 bytes, printable, no two neighbours alike. */
static int lines(long count) {
  for (int line = 0; line < BATCH; line++)
    for (int column = 0; column < LINE; column++)
      buffer[line * LINE + column] = column == LINE - 1 ? '\n' : (char)('a' + (line * 7 + column) % 26);
  for (long left = count; left > 0; left -= BATCH) write_all(1, buffer, (size_t)(left < BATCH ? left : BATCH) * LINE);
  return 0;
}

static int connect_to(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    fail(path);
  }
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) fail(path);
  return fd;
}

static void request(int fd, const char *path, const char *connection) {
  char text[4096];
  int length = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: %s\r\n\r\n", path, connection);
  write_all(fd, text, (size_t)length);
}

static size_t receive(int fd, char *at, size_t room) {
  ssize_t got = read(fd, at, room);
  if (got < 0) fail("read");
  return (size_t)got;
}

/* Reads until the empty line; answers the bytes read, sets where the body begins. */
static size_t header(int fd, size_t *body) {
  size_t filled = 0;
  for (;;) {
    size_t got = receive(fd, buffer + filled, sizeof buffer - 1 - filled);
    if (got == 0) {
      errno = ECONNRESET;
      fail("header");
    }
    filled += got;
    buffer[filled] = 0;
    char *mark = strstr(buffer, "\r\n\r\n");
    if (mark) {
      *body = (size_t)(mark - buffer) + 4;
      if (strncmp(buffer + 8, " 200", 4) != 0) {
        fprintf(stderr, "payload: %.200s\n", buffer);
        exit(1);
      }
      return filled;
    }
  }
}

/* `read SOCKET PATH`: bytes and seconds of one answer, read to its end. */
static int read_answer(const char *path, const char *url) {
  int fd = connect_to(path);
  double began = seconds();
  request(fd, url, "close");
  size_t body, filled = header(fd, &body);
  unsigned long long bytes = filled - body;
  for (size_t got; (got = receive(fd, buffer, sizeof buffer)) > 0;) bytes += got;
  printf("{\"bytes\":%llu,\"seconds\":%.6f}\n", bytes, seconds() - began);
  return 0;
}

/* `repeat SOCKET PATH N`: milliseconds of each of N requests, one after the other on one connection. */
static int repeat(const char *path, const char *url, long count) {
  int fd = connect_to(path);
  printf("[");
  for (long i = 0; i < count; i++) {
    double began = seconds();
    request(fd, url, "keep-alive");
    size_t body, filled = header(fd, &body);
    char *field = strcasestr(buffer, "\r\ncontent-length:");
    if (field && field < buffer + body) {
      size_t whole = body + strtoul(field + 17, NULL, 10);
      while (filled < whole) {
        size_t got = receive(fd, buffer, sizeof buffer);
        if (got == 0) fail("body");
        filled += got;
      }
    } else {
      /* Chunked: the last bytes are those of the empty chunk. */
      while (filled < body + 5 || memcmp(buffer + filled - 5, "0\r\n\r\n", 5) != 0) {
        if (filled > sizeof buffer / 2) {
          memmove(buffer, buffer + filled - 8, 8);
          filled = 8;
          body = 0;
        }
        size_t got = receive(fd, buffer + filled, sizeof buffer - 1 - filled);
        if (got == 0) fail("body");
        filled += got;
      }
    }
    printf("%s%.4f", i ? "," : "", (seconds() - began) * 1e3);
  }
  printf("]\n");
  return 0;
}

int main(int count, char **args) {
  const char *verb = count > 1 ? args[1] : "";
  if (!strcmp(verb, "true")) return 0;
  if (!strcmp(verb, "pause")) wait_for_ever();
  if (!strcmp(verb, "lines") && count == 3) return lines(atol(args[2]));
  if (!strcmp(verb, "read") && count == 4) return read_answer(args[2], args[3]);
  if (!strcmp(verb, "repeat") && count == 5) return repeat(args[2], args[3], atol(args[4]));
  fprintf(stderr, "payload: true | pause | lines N | read SOCKET PATH | repeat SOCKET PATH N\n");
  return 2;
}
