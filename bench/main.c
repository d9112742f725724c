/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the groups of rows that were asked for and prints their rows. Each group runs in a child: it may die (the private server's
   helper aborts when it cannot go on) or hang, and the table goes on with the next one. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench.h"
#include "report.h"
#include "role.h"

#define ROWS_MAX      16 /* of a group */
#define LIMIT_MS      58000
#define LIMIT_LONG_MS (45 * 60 * 1000)
#define REPEAT_MS     45000 /* no repetition is begun that would not end by then; ROW_S asks for less */

struct bench_out {
    const bench_group *group;
    int fd;
    int64_t begun_us;
};

static const bench_group *const lists[] = {bench_cost_groups, bench_throughput_groups, bench_memory_groups, bench_latency_groups,
                                           bench_time_groups, bench_idle_groups,       bench_fault_groups,  bench_schedule_groups,
                                           bench_api_groups,  bench_exec_groups,       bench_flow_groups,   bench_ws_groups};
static volatile sig_atomic_t interrupted;
static int64_t repeat_ms = REPEAT_MS;

/* ---- inside the child ---- */

void bench_put(bench_out *out, const char *row, double value, const char *fmt, ...)
{
    char note[200];
    va_list args;

    va_start(args, fmt);
    vsnprintf(note, sizeof(note), fmt, args);
    va_end(args);
    dprintf(out->fd, "%s %.17g %s\n", row, value, note);
}

bool bench_again(const bench_out *out, size_t n_done)
{
    int64_t ms = (dq_mono_us() - out->begun_us) / 1000;

    if (n_done == 0)
        return true;
    return n_done < BENCH_RUNS && (out->group->is_long || ms + ms / (int64_t)n_done < repeat_ms);
}

static void run_child(const bench_group *group, int fd, pid_t parent)
{
    bench_out out = {.group = group, .fd = fd, .begun_us = dq_mono_us()};
    dureq_error err = {0};

    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    if (getppid() != parent)
        _exit(1);
    if (group->run(&out, &err) < 0)
        dprintf(fd, "! 0 %s\n", err.msg);
    exit(0);
}

/* ---- the parent ---- */

typedef struct collected {
    bench_result results[ROWS_MAX];
    char why[200]; /* for rows without a value */
} collected;

static void take_line(const bench_group *group, char *line, collected *c)
{
    char *rest = line, *name = strsep(&rest, " "), *value = strsep(&rest, " ");
    size_t i = 0;

    if (!value)
        return;
    if (strcmp(name, "!") == 0)
        snprintf(c->why, sizeof(c->why), "%s", rest ? rest : "");
    for (const bench_row *r = group->rows; r->name; r++, i++) {
        if (strcmp(r->name, name) != 0)
            continue;
        c->results[i].is_measured = true;
        c->results[i].value = strtod(value, NULL);
        snprintf(c->results[i].note, sizeof(c->results[i].note), "%s", rest ? rest : "");
    }
}

/* Everything the child says until it ends; false when it took too long or we are to stop. */
static bool collect(const bench_group *group, int fd, collected *c)
{
    int64_t limit = dq_mono_us() / 1000 + (group->is_long ? LIMIT_LONG_MS : LIMIT_MS);
    DQ_BUF_AUTO text = {0};
    ssize_t got = 1;

    while (got > 0) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left = limit - dq_mono_us() / 1000;
        char part[512];

        if (interrupted || left <= 0 || poll(&p, 1, (int)left) <= 0)
            break;
        got = read(fd, part, sizeof(part));
        if (got > 0)
            dq_buf_append(&text, part, (size_t)got);
    }
    for (char *rest = text.ptr, *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n"))
        take_line(group, line, c);
    return got <= 0;
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static void end_child(pid_t pid, bool ended, collected *c)
{
    int status = 0;

    if (!ended)
        kill(-pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    kill(-pid, SIGKILL); /* servers that it left die with it; their group is no longer ours to wait for */
    if (!c->why[0] && !ended)
        snprintf(c->why, sizeof(c->why), interrupted ? "interrupted" : "took too long");
    if (!c->why[0] && WIFSIGNALED(status))
        snprintf(c->why, sizeof(c->why), "ended by signal %d, see above", WTERMSIG(status));
}

static void run_group(const bench_group *group, collected *c)
{
    char dir[] = "/tmp/dureq-bench-XXXXXX";
    int fds[2];
    pid_t pid, parent = getpid();

    *c = (collected){.why = ""};
    if (!mkdtemp(dir) || pipe2(fds, O_CLOEXEC) < 0) {
        snprintf(c->why, sizeof(c->why), "%s", strerror(errno));
        return;
    }
    setenv("TMPDIR", dir, 1); /* the server's folder and the board go there */
    pid = fork();
    if (pid == 0)
        run_child(group, fds[1], parent);
    close(fds[1]);
    if (pid < 0)
        snprintf(c->why, sizeof(c->why), "%s", strerror(errno));
    else
        end_child(pid, collect(group, fds[0], c), c);
    close(fds[0]);
    (void)nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS); /* a left-over folder harms nobody */
}

static bool is_listed(const char *rows, const char *name)
{
    dureq_str rest = dureq_str_from(rows);

    while (rest.len)
        if (dq_str_eq_text(dq_str_trim(dq_str_cut(&rest, ',')), name))
            return true;
    return false;
}

/* A row is chosen by its own name or its group's; without a choice by whether long ones are wanted. */
static bool is_chosen(const bench_group *group, const bench_row *row, const char *rows, bool with_long)
{
    if (rows && *rows)
        return is_listed(rows, group->name) || is_listed(rows, row->name);
    return with_long || !group->is_long;
}

static void print_group(const bench_group *group, const char *rows, bool with_long, bool json)
{
    bool any = false;
    collected c;
    size_t i = 0;

    for (const bench_row *r = group->rows; r->name; r++)
        any = any || is_chosen(group, r, rows, with_long);
    if (!any)
        return;
    run_group(group, &c);
    for (const bench_row *r = group->rows; r->name; r++, i++) {
        if (!is_chosen(group, r, rows, with_long))
            continue;
        if (!c.results[i].is_measured)
            snprintf(c.results[i].note, sizeof(c.results[i].note), "%s", c.why[0] ? c.why : "not measured");
        report_row(r, &c.results[i], json);
    }
}

static void list_rows(void)
{
    for (size_t l = 0; l < DQ_ARRAY_LEN(lists); l++)
        for (const bench_group *g = lists[l]; g->name; g++)
            for (const bench_row *r = g->rows; r->name; r++)
                printf("%-22s %-16s %s%s\n", r->name, g->name, r->what, g->is_long ? " (long)" : "");
}

static void on_signal(int sig)
{
    (void)sig;
    interrupted = 1;
}

static int run_role(int argc, char **argv)
{
    if (strcmp(argv[2], "producer") == 0)
        return role_producer_main(argc, argv);
    if (strcmp(argv[2], "node") == 0)
        return role_node_main(argc, argv);
    if (strcmp(argv[2], "api") == 0)
        return role_api_main(argc, argv);
    if (strcmp(argv[2], "floor") == 0)
        return role_floor_main(argc, argv);
    fprintf(stderr, "dureq-bench: '%s' is not a role\n", argv[2]);
    return 2;
}

static bool is_set(const char *name)
{
    const char *text = getenv(name);

    return text && *text && strcmp(text, "0") != 0;
}

/* Seconds within which a group repeats its rows, at most the usual; a row that takes longer is measured once. */
static int read_row_seconds(void)
{
    const char *text = getenv("ROW_S");
    int64_t seconds;

    if (!text || !*text)
        return 0;
    if (dq_parse_i64(dureq_str_from(text), 1, REPEAT_MS / 1000, &seconds) < 0)
        return fprintf(stderr, "dureq-bench: ROW_S is a number from 1 to %d\n", REPEAT_MS / 1000), -1;
    repeat_ms = seconds * 1000;
    return 0;
}

int main(int argc, char **argv)
{
    struct sigaction stop = {.sa_handler = on_signal};
    bool json = is_set("JSON"), with_long = is_set("LONG");
    const char *rows = getenv("ROWS");

    if (argc > 2 && strcmp(argv[1], "--role") == 0)
        return run_role(argc, argv);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--long") == 0)
            with_long = true;
        else if (strcmp(argv[i], "--list") == 0)
            return list_rows(), 0;
        else
            return fprintf(stderr, "usage: [JSON=1] [ROWS=a,b] [ROW_S=seconds] dureq-bench [--long] [--list]\n"), 2;
    }
    if (read_row_seconds() < 0)
        return 2;
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    signal(SIGPIPE, SIG_IGN);
    report_begin(json);
    for (size_t l = 0; l < DQ_ARRAY_LEN(lists); l++)
        for (const bench_group *g = lists[l]; g->name && !interrupted; g++)
            print_group(g, rows, with_long, json);
    return interrupted ? 130 : 0;
}
