/* The floor with a row: the least that any program must do between a signal and its
   order if a row is to be there before the order leaves.

   One thread. The lines that one read brings are one transaction of the ledger's own
   table; then each line's POST leaves on an open connection that is idle, in turn. It
   checks nothing, and never looks at what the broker answers.

       row_floor SOCKET PORT CONNECTIONS DATABASE

   Built by snexec.bench.row_floor: cc -O2 row_floor.c -lsqlite3. The broker is at
   127.0.0.1; with -DTLS and -lssl -lcrypto it is spoken to by TLS, as "localhost", and
   verified by SSL_CERT_FILE. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#ifdef TLS
#include <openssl/ssl.h>
static SSL_CTX *tls;
#endif

enum { MOST_CONNECTIONS = 512, MOST_BYTES = 1 << 20, REPLY_BYTES = 4096, BODY = 256 };

typedef struct {
  int fd, busy;
  size_t got;
  char reply[REPLY_BYTES + 1];
#ifdef TLS
  SSL *ssl;
#endif
} Connection;

static Connection connections[MOST_CONNECTIONS];
static int count, port, turn;
static sqlite3 *db;
static sqlite3_stmt *insert;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void open_connection(Connection *c) {
  struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(port)};
  int on = 1;
  inet_pton(AF_INET, "127.0.0.1", &there.sin_addr);
  c->fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(c->fd, (struct sockaddr *)&there, sizeof there)) fail("connect");
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
#ifdef TLS
  c->ssl = SSL_new(tls);
  SSL_set_fd(c->ssl, c->fd);
  SSL_set_tlsext_host_name(c->ssl, "localhost");
  SSL_set1_host(c->ssl, "localhost");
  if (SSL_connect(c->ssl) != 1) fail("TLS");
#endif
  fcntl(c->fd, F_SETFL, O_NONBLOCK);
  c->busy = 0;
  c->got = 0;
}

static long write_some(Connection *c, const char *data, size_t size) {
#ifdef TLS
  return SSL_write(c->ssl, data, size);
#else
  return write(c->fd, data, size);
#endif
}

static long read_some(Connection *c, char *data, size_t size) {
#ifdef TLS
  return SSL_read(c->ssl, data, size);
#else
  return read(c->fd, data, size);
#endif
}

static void reopen(Connection *c) {
#ifdef TLS
  SSL_free(c->ssl);
#endif
  close(c->fd);
  open_connection(c);
}

/* Reads what has come; the connection is idle once a whole reply has. */
static void read_reply(Connection *c) {
  long n;
  while ((n = read_some(c, c->reply + c->got, REPLY_BYTES - c->got)) > 0) {
    c->reply[c->got += n] = 0;
    char *end = strstr(c->reply, "\r\n\r\n");
    char *length = strcasestr(c->reply, "\ncontent-length:");
    if (end && length && length < end &&
        c->got >= (size_t)(end + 4 - c->reply) + strtoul(length + 16, 0, 10)) {
      c->busy = 0;
      c->got = 0;
    }
  }
  if (n == 0) reopen(c); /* the broker has closed it */
}

static Connection *idle_connection(void) {
  for (int tried = 0; tried < count; tried++) {
    Connection *c = &connections[turn++ % count];
    if (!c->busy) return c;
  }
  return 0;
}

/* Waits for replies; -1 is for as long as it takes until one comes. */
static void read_replies(int milliseconds) {
  struct pollfd polled[MOST_CONNECTIONS];
  for (int i = 0; i < count; i++)
    polled[i] = (struct pollfd){.fd = connections[i].fd, .events = POLLIN};
  if (poll(polled, count, milliseconds) <= 0) return;
  for (int i = 0; i < count; i++)
    if (polled[i].revents) read_reply(&connections[i]);
}

/* Finds a text of a line's JSON, which our own feeder has written. */
static const char *text_of(const char *line, const char *name, int *length) {
  const char *text = strstr(line, name);
  if (!text) return 0;
  text += strlen(name);
  *length = strchr(text, '"') - text;
  return text;
}

static void run_sql(const char *words) {
  char *why = 0;
  if (!sqlite3_exec(db, words, 0, 0, &why)) return;
  fprintf(stderr, "%s: %s\n", words, why);
  exit(1);
}

static void open_database(const char *path) {
  if (sqlite3_open(path, &db)) fail("database");
  run_sql("PRAGMA synchronous = FULL");
  run_sql("PRAGMA wal_autocheckpoint = 0");
  const char *words =
      "INSERT INTO BotTrade (id, symbol, status, catalystType, catalystTier, entryAt,"
      " createdAt, updatedAt, mode, notional, starRating, priceAtSignal, signalId)"
      " VALUES (?1, ?2, 'open', 'earnings_beat', 1, ?3, ?3, ?3, 'paper', 100, 5, 187.2,"
      " ?2) ON CONFLICT DO NOTHING";
  if (sqlite3_prepare_v2(db, words, -1, &insert, 0)) fail("insert");
}

static void insert_row(const char *symbol, int length) {
  static long number;
  char id[64], now[32];
  struct timespec at;
  struct tm utc;
  clock_gettime(CLOCK_REALTIME, &at);
  gmtime_r(&at.tv_sec, &utc);
  size_t n = strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%S", &utc);
  snprintf(now + n, sizeof now - n, ".%03ldZ", at.tv_nsec / 1000000);
  snprintf(id, sizeof id, "floor-%d-%ld", getpid(), ++number);
  sqlite3_bind_text(insert, 1, id, -1, SQLITE_TRANSIENT);
  sqlite3_bind_text(insert, 2, symbol, length, SQLITE_TRANSIENT);
  sqlite3_bind_text(insert, 3, now, -1, SQLITE_TRANSIENT);
  if (sqlite3_step(insert) != SQLITE_DONE) fail("row");
  sqlite3_reset(insert);
}

static void post(const char *symbol, int length) {
  static long number;
  char request[BODY + 512], body[BODY + 1];
  int n = snprintf(body, sizeof body,
                   "{\"symbol\":\"%.*s\",\"notional\":\"100.00\",\"side\":\"buy\","
                   "\"type\":\"market\",\"time_in_force\":\"day\","
                   "\"client_order_id\":\"floor-%d-%ld\"}",
                   length, symbol, getpid(), ++number);
  int size = snprintf(request, sizeof request,
                      "POST /v2/orders HTTP/1.1\r\nHost: localhost\r\n"
                      "APCA-API-KEY-ID: bench-key\r\nAPCA-API-SECRET-KEY: bench-secret\r\n"
                      "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
                      n, body);
  Connection *c;
  while (!(c = idle_connection())) read_replies(-1);
  if (write_some(c, request, size) != size) {
    reopen(c);
    if (write_some(c, request, size) != size) fail("write");
  }
  c->busy = 1;
}

/* Commits the rows of whole lines, and then posts their orders. */
static int take(char *lines, char *end) {
  int length, taken = 0;
  const char *symbol;
  run_sql("BEGIN IMMEDIATE");
  for (char *line = lines; line < end; line = strchr(line, '\n') + 1)
    if ((symbol = text_of(line, "\"symbol\": \"", &length))) insert_row(symbol, length);
  run_sql("COMMIT");
  for (char *line = lines; line < end; line = strchr(line, '\n') + 1, taken++)
    if ((symbol = text_of(line, "\"symbol\": \"", &length))) post(symbol, length);
  return taken;
}

static int accept_client(const char *path) {
  struct sockaddr_un here = {.sun_family = AF_UNIX};
  int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  strncpy(here.sun_path, path, sizeof here.sun_path - 1);
  if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 1))
    fail("listen");
  int client = accept(listener, 0, 0);
  if (client < 0) fail("accept");
  close(listener);
  return client;
}

int main(int argc, char **argv) {
  static char lines[MOST_BYTES + 1];
  size_t got = 0;
  if (argc != 5 || (count = atoi(argv[3])) > MOST_CONNECTIONS) return 2;
  port = atoi(argv[2]);
#ifdef TLS
  tls = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_default_verify_paths(tls);
  SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, 0);
#endif
  open_database(argv[4]);
  for (int i = 0; i < count; i++) open_connection(&connections[i]);
  int client = accept_client(argv[1]);
  for (;;) {
    struct pollfd polled[MOST_CONNECTIONS + 1];
    for (int i = 0; i < count; i++)
      polled[i] = (struct pollfd){.fd = connections[i].fd, .events = POLLIN};
    polled[count] = (struct pollfd){.fd = client, .events = POLLIN};
    if (poll(polled, count + 1, -1) < 0) fail("poll");
    if (polled[count].revents) { /* first: the replies can wait */
      long n = read(client, lines + got, MOST_BYTES - got);
      if (n <= 0) return 0;
      lines[got += n] = 0;
      char *end = memrchr(lines, '\n', got);
      if (end++) {
        static const char answer[] = "{\"status\":\"accepted\"}\n";
        for (int taken = take(lines, end); taken > 0; taken--)
          if (write(client, answer, sizeof answer - 1) < 0) return 0;
        got -= end - lines;
        memmove(lines, end, got);
      }
    }
    for (int i = 0; i < count; i++)
      if (polled[i].revents) read_reply(&connections[i]);
  }
}
