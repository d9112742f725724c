/* SPDX-License-Identifier: Apache-2.0 */
#include "redis_server.h"

#include "test_certs.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_LIMIT_MS 20000
#define REPLY_LIMIT_MS 20000
#define PORT_ATTEMPTS  5
#define ARGS_MAX       96
#define WORDS_MAX      64

struct test_redis {
    test_redis_options opts;
    char *extra[ARGS_MAX]; /* NULL-ended copies */
    pid_t pid;             /* 0: not running */
    int port, tls_port;
    char dir[128];
    char socket[160];
    char file[400];
    char url[512], tcp_url[512], tls_url[1024];
};

static void __attribute__((noreturn, format(printf, 2, 3))) die(const test_redis *s, const char *fmt, ...)
{
    va_list args;

    fprintf(stderr, "test redis-server: ");
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, " (%s)\n", strerror(errno));
    if (s && s->pid > 0)
        kill(s->pid, SIGKILL);
    abort();
}

static long long now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

int test_free_port(void)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sin);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 || getsockname(fd, (struct sockaddr *)&sin, &len) < 0)
        die(NULL, "no free port");
    close(fd);
    return ntohs(sin.sin_port);
}

/* ---- starting ---- */

typedef struct arg_list {
    char *argv[ARGS_MAX];
    size_t n;
} arg_list;

static void __attribute__((format(printf, 2, 3))) add_arg(arg_list *a, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    if (a->n + 1 >= ARGS_MAX || vasprintf(&a->argv[a->n], fmt, args) < 0)
        die(NULL, "too many arguments");
    va_end(args);
    a->n++;
}

static void add_option(arg_list *a, const char *name, const char *value)
{
    add_arg(a, "--%s", name);
    add_arg(a, "%s", value);
}

static void add_tls_args(const test_redis *s, arg_list *a)
{
    add_arg(a, "--tls-port");
    add_arg(a, "%d", s->tls_port);
    add_arg(a, "--tls-cert-file");
    add_arg(a, "%s/server.crt", s->dir);
    add_arg(a, "--tls-key-file");
    add_arg(a, "%s/server.key", s->dir);
    add_arg(a, "--tls-ca-cert-file");
    add_arg(a, "%s/ca.crt", s->dir);
    add_option(a, "tls-auth-clients", s->opts.tls_client_auth ? "yes" : "no");
}

static const char *server_program(void)
{
    const char *given = getenv("DUREQ_TEST_REDIS");

    return given && *given ? given : "redis-server";
}

static void build_args(const test_redis *s, arg_list *a)
{
    add_arg(a, "%s", server_program());
    add_option(a, "bind", "127.0.0.1");
    add_arg(a, "--port");
    add_arg(a, "%d", s->port);
    add_option(a, "unixsocket", s->socket);
    add_option(a, "dir", s->dir);
    add_arg(a, "--logfile");
    add_arg(a, "%s/log", s->dir);
    add_option(a, "save", "");
    add_option(a, "enable-debug-command", "yes");
    if (s->opts.append_only) {
        add_option(a, "appendonly", "yes");
        add_option(a, "appendfsync", "always");
    }
    if (s->opts.password)
        add_option(a, "requirepass", s->opts.password);
    if (s->opts.tls)
        add_tls_args(s, a);
    for (size_t i = 0; s->extra[i]; i++)
        add_arg(a, "%s", s->extra[i]);
}

/* ---- a clock of its own: tests/preload/clock.c reads this file ---- */

void test_redis_set_clock(test_redis *s, int64_t seconds)
{
    char path[300];
    int fd;

    (void)snprintf(path, sizeof path, "%s/clock", s->dir);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || pwrite(fd, &seconds, sizeof seconds, 0) != (ssize_t)sizeof seconds)
        die(s, "cannot write its clock");
    close(fd);
}

static void set_own_clock(const test_redis *s)
{
    const char *build = getenv("DUREQ_TEST_BUILD");
    char path[300];

    (void)snprintf(path, sizeof path, "%s/tests/test_clock.so", build ? build : ".");
    if (access(path, R_OK) < 0)
        die(s, "%s is not there: DUREQ_TEST_BUILD is the build directory", path);
    setenv("LD_PRELOAD", path, 1);
    (void)snprintf(path, sizeof path, "%s/clock", s->dir);
    setenv("DUREQ_TEST_CLOCK", path, 1);
}

static void run_child(const test_redis *s, char *const argv[], pid_t parent)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127); /* the parent died before PR_SET_PDEATHSIG held */
    if (s->opts.own_clock)
        set_own_clock(s);
    execvp(argv[0], argv);
    _exit(127);
}

void test_redis_spawn(test_redis *s)
{
    arg_list a = {.n = 0};
    pid_t parent = getpid();

    if (s->pid)
        test_redis_kill(s);
    build_args(s, &a);
    s->pid = fork();
    if (s->pid < 0)
        die(NULL, "fork");
    if (s->pid == 0)
        run_child(s, a.argv, parent);
    for (size_t i = 0; i < a.n; i++)
        free(a.argv[i]);
}

static int connect_socket(const test_redis *s)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        die(s, "socket");
    memcpy(sun.sun_path, s->socket, strlen(s->socket) + 1);
    if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
        return fd;
    close(fd);
    return -1;
}

/* ---- talking ---- */

static void send_words(const test_redis *s, int fd, const char *const *words)
{
    size_t n = 0;

    while (words[n])
        n++;
    dprintf(fd, "*%zu\r\n", n);
    for (size_t i = 0; i < n; i++)
        if (dprintf(fd, "$%zu\r\n%s\r\n", strlen(words[i]), words[i]) < 0)
            die(s, "cannot send %s", words[0]);
}

/* The index after the value at text[at], or 0 when it is not complete. */
static size_t reply_end(const char *text, size_t len, size_t at)
{
    const char *line_end = at < len ? memchr(text + at, '\n', len - at) : NULL;
    size_t next;
    long n;

    if (!line_end)
        return 0;
    next = (size_t)(line_end - text) + 1;
    n = (text[at] == '$' || text[at] == '*') ? atol(text + at + 1) : 0; /* our own server's numbers */
    if (text[at] == '$' && n >= 0)
        return next + (size_t)n + 2 <= len ? next + (size_t)n + 2 : 0;
    for (long i = 0; text[at] == '*' && i < n; i++) {
        next = reply_end(text, len, next);
        if (!next)
            return 0;
    }
    return next;
}

/* NULL when the server closed the connection first. */
static char *read_reply(const test_redis *s, int fd)
{
    size_t len = 0, cap = 4096;
    char *text = malloc(cap + 1);
    long long limit = now_ms() + REPLY_LIMIT_MS;

    while (text) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ssize_t got;

        if (poll(&p, 1, (int)(limit - now_ms() > 0 ? limit - now_ms() : 0)) <= 0)
            die(s, "no reply");
        got = read(fd, text + len, cap - len);
        if (got <= 0) {
            free(text);
            return NULL;
        }
        len += (size_t)got;
        text[len] = '\0';
        if (reply_end(text, len, 0))
            return text;
        if (len == cap) {
            cap *= 2;
            char *more = realloc(text, cap + 1);
            if (!more)
                die(s, "out of memory");
            text = more;
        }
    }
    die(s, "out of memory");
}

static char *command_words(test_redis *s, const char *const *words)
{
    const char *const auth[] = {"AUTH", s->opts.password, NULL};
    int fd = connect_socket(s);
    char *reply = NULL;

    if (fd < 0)
        return NULL;
    if (s->opts.password) {
        send_words(s, fd, auth);
        free(read_reply(s, fd));
    }
    send_words(s, fd, words);
    reply = read_reply(s, fd);
    close(fd);
    return reply;
}

static void collect_words(const char *first, va_list args, const char *words[WORDS_MAX])
{
    size_t n = 0;

    for (const char *w = first; w; w = va_arg(args, const char *)) {
        if (n + 1 >= WORDS_MAX)
            die(NULL, "too many words");
        words[n++] = w;
    }
    words[n] = NULL;
}

char *test_redis_command(test_redis *s, const char *word, ...)
{
    const char *words[WORDS_MAX];
    va_list args;
    char *reply;

    va_start(args, word);
    collect_words(word, args, words);
    va_end(args);
    reply = command_words(s, words);
    if (!reply)
        die(s, "no answer to %s", word);
    return reply;
}

void test_redis_set_password(test_redis *s, const char *password)
{
    free(test_redis_command(s, "CONFIG", "SET", "requirepass", password ? password : "", NULL));
    free((char *)s->opts.password);
    s->opts.password = password ? strdup(password) : NULL;
}

long long test_redis_command_int(test_redis *s, const char *word, ...)
{
    const char *words[WORDS_MAX];
    va_list args;
    char *reply, *digits;
    long long value;

    va_start(args, word);
    collect_words(word, args, words);
    va_end(args);
    reply = command_words(s, words);
    if (!reply)
        die(s, "no answer to %s", word);
    digits = reply[0] == '$' ? strchr(reply, '\n') : reply;
    value = atoll(digits + 1);
    free(reply);
    return value;
}

char *test_redis_info(test_redis *s, const char *field)
{
    char *text = test_redis_command(s, "INFO", "everything", NULL);
    char *found = NULL;
    size_t len = strlen(field);

    for (char *line = text; line && !found; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, field, len) == 0 && line[len] == ':')
            found = strndup(line + len + 1, strcspn(line + len + 1, "\r\n"));
    }
    free(text);
    return found;
}

/* ---- life ---- */

static void reap(test_redis *s)
{
    while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    s->pid = 0;
}

/* Waits up to `ms` for the end of the child; true when it ended. */
static bool has_ended_within(test_redis *s, int ms)
{
    int pidfd = (int)syscall(SYS_pidfd_open, s->pid, 0);
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    bool ended;

    if (pidfd < 0)
        die(s, "pidfd_open");
    ended = poll(&p, 1, ms) > 0;
    close(pidfd);
    return ended;
}

static bool answers_ping(test_redis *s)
{
    const char *const ping[] = {"PING", NULL};
    char *reply = command_words(s, ping);
    bool ok = reply && strcmp(reply, "+PONG\r\n") == 0;

    free(reply);
    return ok;
}

/* False when it ended before it was ready (a port was taken meanwhile). */
static bool wait_until_ready(test_redis *s)
{
    long long limit = now_ms() + START_LIMIT_MS;

    while (!answers_ping(s)) {
        if (has_ended_within(s, 2)) {
            reap(s);
            return false;
        }
        if (now_ms() > limit)
            die(s, "not ready after %d ms, see %s/log", START_LIMIT_MS, s->dir);
    }
    return true;
}

static void make_urls(test_redis *s)
{
    const char *pw = s->opts.password;

    snprintf(s->url, sizeof(s->url), "unix://%s%s%s%s", pw ? ":" : "", pw ? pw : "", pw ? "@" : "", s->socket);
    snprintf(s->tcp_url, sizeof(s->tcp_url), "redis://%s%s%s127.0.0.1:%d", pw ? ":" : "", pw ? pw : "", pw ? "@" : "", s->port);
    snprintf(s->tls_url, sizeof(s->tls_url), "rediss://%s%s%slocalhost:%d?ca=%s/ca.crt", pw ? ":" : "", pw ? pw : "",
             pw ? "@" : "", s->tls_port, s->dir);
}

static void make_dir(test_redis *s)
{
    const char *tmp = getenv("TMPDIR");

    /* A Unix socket's path has 107 bytes at most: a long TMPDIR is passed by. */
    if (!tmp || strlen(tmp) > 60)
        tmp = "/tmp";
    snprintf(s->dir, sizeof(s->dir), "%s/dureq-redis-XXXXXX", tmp);
    if (!mkdtemp(s->dir))
        die(NULL, "cannot make %s", s->dir);
    snprintf(s->socket, sizeof(s->socket), "%s/redis.sock", s->dir);
}

void test_redis_set_extra_args(test_redis *s, const char *const *extra_args)
{
    size_t n = 0;

    for (size_t i = 0; s->extra[i]; i++)
        free(s->extra[i]);
    for (; extra_args && extra_args[n] && n + 1 < ARGS_MAX; n++)
        s->extra[n] = strdup(extra_args[n]);
    s->extra[n] = NULL;
}

/* Whether the server that did not start was built without TLS. */
static bool lacks_tls(const test_redis *s)
{
    char path[300], line[512];
    bool lacks = false;
    FILE *log;

    (void)snprintf(path, sizeof path, "%s/log", s->dir);
    log = fopen(path, "re");
    while (log && fgets(line, sizeof line, log))
        lacks = lacks || strstr(line, "Failed finding TLS support");
    if (log)
        fclose(log);
    return lacks;
}

test_redis *test_redis_start(const test_redis_options *opts)
{
    test_redis *s = calloc(1, sizeof(*s));
    bool ready = false;

    if (!s)
        die(NULL, "out of memory");
    if (opts)
        s->opts = *opts;
    s->opts.password = s->opts.password ? strdup(s->opts.password) : NULL;
    test_redis_set_extra_args(s, s->opts.extra_args);
    make_dir(s);
    if (s->opts.own_clock)
        test_redis_set_clock(s, 0);
    if (s->opts.tls)
        test_certs_write(s->dir);
    for (int i = 0; i < PORT_ATTEMPTS && !ready; i++) {
        s->port = s->opts.tcp ? test_free_port() : 0;
        s->tls_port = s->opts.tls ? test_free_port() : 0;
        test_redis_spawn(s);
        ready = wait_until_ready(s);
        if (!ready && s->opts.tls && lacks_tls(s))
            s->opts.tls = false;
    }
    if (!ready)
        die(s, "does not start, see %s/log", s->dir);
    make_urls(s);
    return s;
}

void test_redis_kill(test_redis *s)
{
    if (!s->pid)
        return;
    kill(s->pid, SIGKILL);
    reap(s);
}

void test_redis_shutdown(test_redis *s)
{
    if (!s->pid)
        return;
    kill(s->pid, SIGTERM);
    reap(s);
}

void test_redis_restart(test_redis *s)
{
    test_redis_spawn(s);
    if (!wait_until_ready(s))
        die(s, "does not restart, see %s/log", s->dir);
}

void test_redis_freeze(test_redis *s)
{
    int status;

    kill(s->pid, SIGSTOP);
    if (waitpid(s->pid, &status, WUNTRACED) < 0 || !WIFSTOPPED(status))
        die(s, "does not stop");
}

void test_redis_thaw(test_redis *s)
{
    kill(s->pid, SIGCONT);
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

void test_redis_stop(test_redis *s)
{
    if (!s)
        return;
    test_redis_kill(s);
    (void)nftw(s->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS); /* a left-over directory harms nobody */
    test_redis_set_extra_args(s, NULL);
    free((char *)s->opts.password);
    free(s);
}

const char *test_redis_url(const test_redis *s)
{
    return s->url;
}

const char *test_redis_tcp_url(const test_redis *s)
{
    return s->opts.tcp ? s->tcp_url : NULL;
}

const char *test_redis_tls_url(const test_redis *s)
{
    return s->opts.tls ? s->tls_url : NULL;
}

const char *test_redis_dir(const test_redis *s)
{
    return s->dir;
}

const char *test_redis_socket(const test_redis *s)
{
    return s->socket;
}

int test_redis_port(const test_redis *s)
{
    return s->port;
}

int test_redis_tls_port(const test_redis *s)
{
    return s->tls_port;
}

pid_t test_redis_pid(const test_redis *s)
{
    return s->pid;
}

const char *test_redis_file(test_redis *s, const char *name)
{
    snprintf(s->file, sizeof(s->file), "%s/%s", s->dir, name);
    return s->file;
}
