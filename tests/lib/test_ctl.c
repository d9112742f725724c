/* SPDX-License-Identifier: Apache-2.0 */
#include "test_ctl.h"

#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_MS 20000
#define ENV_MAX  16
#define ARGS_MAX 64
#define LINES    16

static struct {
    dq_buf out, err;
    dureq_str input;
    int stdout_fd; /* 0: none was given */
    int columns;   /* of the terminal that both outputs are; 0: pipes */
    bool is_fed;   /* standard input is a pipe that the test writes to */
    pid_t pid;
    struct pollfd fds[3]; /* our ends of its input and outputs; fd -1: closed */
    size_t n_fed;
    struct {
        const char *name, *value;
    } env[ENV_MAX];
    size_t n_env;
} ctl;

const char *ctl_out(void)
{
    return ctl.out.ptr ? ctl.out.ptr : "";
}

const char *ctl_err(void)
{
    return ctl.err.ptr ? ctl.err.ptr : "";
}

dureq_str ctl_out_str(void)
{
    return dq_buf_str(&ctl.out);
}

const char *ctl_line(void)
{
    static char lines[LINES][512];
    static unsigned next;
    char *line = lines[next++ % LINES];
    size_t len = strcspn(ctl_out(), "\r\n");

    EXPECT_TRUE(len < sizeof lines[0]);
    (void)snprintf(line, sizeof lines[0], "%.*s", (int)len, ctl_out());
    return line;
}

size_t ctl_out_lines(void)
{
    size_t n = 0;

    for (size_t i = 0; i < ctl.out.len; i++)
        n += ctl.out.ptr[i] == '\n';
    return n;
}

void ctl_reset(void)
{
    ctl.input = (dureq_str){0};
    ctl.stdout_fd = 0;
    ctl.columns = 0;
    ctl.n_env = 0;
}

void ctl_terminal(int columns)
{
    ctl.columns = columns;
}

void ctl_env(const char *name, const char *value)
{
    EXPECT_TRUE(ctl.n_env < ENV_MAX);
    ctl.env[ctl.n_env].name = name;
    ctl.env[ctl.n_env++].value = value;
}

void ctl_input(dureq_str text)
{
    ctl.input = text;
}

void ctl_stdout(int fd)
{
    ctl.stdout_fd = fd < 0 ? 0 : fd;
}

/* ---- the child ---- */

static void add_env(dq_buf *texts, const char *name, const char *value)
{
    for (size_t i = 0; i < ctl.n_env; i++)
        if (strcmp(ctl.env[i].name, name) == 0)
            return;
    if (value)
        dq_buf_append_fmt(texts, "%s=%s%c", name, value, '\0');
}

/* What the child sees: "A=1\0B=2\0". */
static void make_env(dq_buf *texts)
{
    add_env(texts, "DUREQ_SERVER", test_redis_url(rig.server));
    add_env(texts, "DUREQ_PREFIX", rig.prefix);
    add_env(texts, "HOME", "/nonexistent");
    add_env(texts, "PATH", "/usr/bin:/bin");
    add_env(texts, "ASAN_OPTIONS", getenv("ASAN_OPTIONS"));
    add_env(texts, "UBSAN_OPTIONS", getenv("UBSAN_OPTIONS"));
    add_env(texts, "TSAN_OPTIONS", getenv("TSAN_OPTIONS"));
    for (size_t i = 0; i < ctl.n_env; i++)
        if (ctl.env[i].value)
            dq_buf_append_fmt(texts, "%s=%s%c", ctl.env[i].name, ctl.env[i].value, '\0');
}

static void run_child(const char *program, char **argv, char **envp, const int in[2], const int out[2], const int err[2])
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)dup2(ctl.input.ptr || ctl.is_fed ? in[0] : null, STDIN_FILENO);
    (void)dup2(ctl.stdout_fd ? ctl.stdout_fd : out[1], STDOUT_FILENO);
    (void)dup2(err[1], STDERR_FILENO);
    execve(program, argv, envp);
    _exit(127);
}

static pid_t start(const char *const *args, const int in[2], const int out[2], const int err[2])
{
    const char *build = getenv("DUREQ_TEST_BUILD");
    DQ_BUF_AUTO program = {0};
    DQ_BUF_AUTO texts = {0};
    char *argv[ARGS_MAX + 1] = {NULL}, *envp[ENV_MAX + 16] = {NULL};
    size_t n = 0, n_env = 0;
    pid_t pid;

    dq_buf_append_fmt(&program, "%s/dureqctl/dureqctl", build ? build : ".");
    make_env(&texts);
    argv[n++] = program.ptr;
    for (; *args && n < ARGS_MAX; args++)
        argv[n++] = (char *)*args;
    EXPECT_TRUE(!*args);
    argv[n] = NULL;
    for (size_t at = 0; at < texts.len; at += strlen(texts.ptr + at) + 1)
        envp[n_env++] = texts.ptr + at;
    envp[n_env] = NULL;
    pid = fork();
    if (pid == 0)
        run_child(program.ptr, argv, envp, in, out, err);
    return pid;
}

static void close_end(int i)
{
    if (ctl.fds[i].fd >= 0)
        (void)close(ctl.fds[i].fd);
    ctl.fds[i].fd = -1;
}

static void feed(void)
{
    ssize_t n = write(ctl.fds[0].fd, ctl.input.ptr + ctl.n_fed, ctl.input.len - ctl.n_fed);

    ctl.n_fed += n > 0 ? (size_t)n : 0;
    if (n < 0 || ctl.n_fed == ctl.input.len)
        close_end(0);
}

/* One look at the pipes. The terminal of a program that ended gives EIO. */
static void turn(void)
{
    dq_buf *const bufs[] = {NULL, &ctl.out, &ctl.err};
    struct pollfd fds[3];

    memcpy(fds, ctl.fds, sizeof fds);
    if (ctl.is_fed)
        fds[0].fd = -1;
    (void)poll(fds, 3, 100);
    if (fds[0].fd >= 0 && fds[0].revents)
        feed();
    for (int i = 1; i < 3; i++) {
        char *room = fds[i].fd >= 0 && fds[i].revents ? dq_buf_reserve(bufs[i], 65536) : NULL;
        ssize_t n = room ? read(fds[i].fd, room, 65536) : -1;

        bufs[i]->len += n > 0 ? (size_t)n : 0;
        if (room && (n == 0 || (n < 0 && errno == EIO)))
            close_end(i);
    }
}

static int end(pid_t pid)
{
    int status = 0;

    if (waitpid(pid, &status, 0) != pid)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Both outputs are one terminal, in ctl.out; lines end by \r\n as there. */
static void open_terminal(int out[2], int err[2])
{
    struct winsize size = {.ws_row = 24, .ws_col = (unsigned short)ctl.columns};
    char name[64];

    out[0] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    EXPECT_TRUE(out[0] >= 0 && grantpt(out[0]) == 0 && unlockpt(out[0]) == 0 && ptsname_r(out[0], name, sizeof name) == 0);
    out[1] = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    EXPECT_TRUE(out[1] >= 0 && ioctl(out[1], TIOCSWINSZ, &size) == 0);
    err[0] = -1;
    err[1] = dup(out[1]);
}

static void begin(const char *const *args)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1}, err[2] = {-1, -1};

    (void)signal(SIGPIPE, SIG_IGN);
    dq_buf_clear(&ctl.out);
    dq_buf_clear(&ctl.err);
    EXPECT_TRUE(pipe2(in, O_CLOEXEC) == 0);
    if (ctl.columns)
        open_terminal(out, err);
    else
        EXPECT_TRUE(pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0);
    ctl.pid = start(args, in, out, err);
    (void)close(in[0]);
    (void)close(out[1]);
    (void)close(err[1]);
    ctl.fds[0] = (struct pollfd){.fd = in[1], .events = POLLOUT};
    ctl.fds[1] = (struct pollfd){.fd = out[0], .events = POLLIN};
    ctl.fds[2] = (struct pollfd){.fd = err[0], .events = POLLIN};
    ctl.n_fed = 0;
    if (ctl.input.len == 0 && !ctl.is_fed)
        close_end(0);
}

static int finish(void)
{
    int64_t until = rig_mono_ms() + LIMIT_MS;

    while ((ctl.fds[1].fd >= 0 || ctl.fds[2].fd >= 0) && rig_mono_ms() < until)
        turn();
    if (ctl.fds[1].fd >= 0 || ctl.fds[2].fd >= 0)
        (void)kill(ctl.pid, SIGKILL);
    for (int i = 0; i < 3; i++)
        close_end(i);
    dq_buf_append(&ctl.out, "", 1);
    dq_buf_append(&ctl.err, "", 1);
    ctl.out.len--;
    ctl.err.len--;
    ctl.is_fed = false;
    return end(ctl.pid);
}

int ctl_run(const char *const *args)
{
    begin(args);
    return finish();
}

void ctl_begin(const char *const *args)
{
    ctl.is_fed = true;
    begin(args);
}

void ctl_feed(const char *text)
{
    EXPECT_I64((int64_t)strlen(text), write(ctl.fds[0].fd, text, strlen(text)));
}

void ctl_read_some(void)
{
    turn();
    dq_buf_append(&ctl.out, "", 1);
    dq_buf_append(&ctl.err, "", 1);
    ctl.out.len--;
    ctl.err.len--;
}

void ctl_signal(int sig)
{
    EXPECT_I64(0, kill(ctl.pid, sig));
}

pid_t ctl_pid(void)
{
    return ctl.pid;
}

int ctl_end(void)
{
    close_end(0);
    return finish();
}

void ctl_expect(int code, const char *const *args, const char *file, int line)
{
    int got = ctl_run(args);
    char what[200] = "dureqctl";

    if (got == code)
        return;
    for (size_t i = 0; args[i] && strlen(what) + strlen(args[i]) + 2 < sizeof what; i++)
        (void)snprintf(what + strlen(what), sizeof what - strlen(what), " %s", args[i]);
    print_error("%s\n    said   %s\n    wrote  %.300s\n", what, ctl_err(), ctl_out());
    expect_i64(code, got, what, file, line);
}
