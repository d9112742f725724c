/* SPDX-License-Identifier: Apache-2.0 */
#include "fault_flows.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/random.h"
#include "fault_wait.h"

#include <dureq/batch.h>
#include <dureq/workflow.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROLE     "--fault-starter"
#define TABLE_FD 3
#define PACE_MS  12
#define LIMIT_US 60000000 /* a server that was killed may take its time to load */

/* ---- what a number stands for ---- */

static fault_flow_task any_task(dq_rng *rng, fault_flow_kind kind, int task)
{
    fault_flow_task t = {.n = (int)dq_rng_below(rng, 5)};

    for (int i = 0; i < task && kind != FAULT_FLOW_BATCH; i++)
        t.deps |= dq_rng_below(rng, 3) == 0 ? 1U << i : 0;
    if (dq_rng_below(rng, 8) == 0)
        t.n = -2;
    if (kind == FAULT_FLOW_PURE)
        return t;
    if (dq_rng_below(rng, 6) == 0)
        t.n = -1;
    t.allow_failure = dq_rng_below(rng, 3) == 0;
    t.run_if = t.deps == 0 || dq_rng_below(rng, 3) ? 0 : 1 + (int)dq_rng_below(rng, 2);
    return t;
}

fault_flow fault_flow_of(int number)
{
    fault_flow f = {.kind = number % 4 == 3 ? FAULT_FLOW_BATCH : number % 4 == 1 ? FAULT_FLOW_MIXED : FAULT_FLOW_PURE};
    dq_rng rng;

    dq_rng_seed(&rng, (uint64_t)number + 1);
    f.n =
        f.kind == FAULT_FLOW_BATCH ? 1 + (int)dq_rng_below(&rng, FAULT_ITEMS) : 3 + (int)dq_rng_below(&rng, FAULT_FLOW_TASKS - 2);
    f.max_attempts = 1 + (dq_rng_below(&rng, 4) == 0);
    f.cancels = dq_rng_below(&rng, 3) == 0;
    f.window = 1 + (int)dq_rng_below(&rng, 8);
    for (int i = 0; i < f.n; i++)
        f.task[i] = any_task(&rng, f.kind, i);
    return f;
}

#define COMMON "\"retry_policy\":{\"max_attempts\":3,\"initial_delay\":\"2ms\",\"max_delay\":\"5ms\"}"

static void put_task(dq_buf *out, const fault_flow_task *t, int number, int task)
{
    static const char *const rules[] = {"all_success", "all_done", "any_failed"};
    const char *comma = "";

    dq_buf_append_fmt(
        out, "%s{\"name\":\"t%d\",\"task_type\":\"task\",\"payload\":\"t %d %d\",\"run_if\":\"%s\",\"allow_failure\":%s,",
        task ? "," : "", task, number * FAULT_FLOW_SEQ + task, t->n, rules[t->run_if], t->allow_failure ? "true" : "false");
    dq_buf_append_text(out, COMMON ",\"depends_on\":[");
    for (int i = 0; i < task; i++) {
        if (t->deps >> i & 1) {
            dq_buf_append_fmt(out, "%s\"t%d\"", comma, i);
            comma = ",";
        }
    }
    dq_buf_append_text(out, "]}");
}

static void put_flow(dq_buf *out, const fault_flow *f, int number)
{
    dq_buf_append_fmt(
        out, "{\"name\":\"f%d\",\"request_id\":\"f%d\",\"retry_policy\":{\"max_attempts\":%d},\"on_failure\":\"%s\",\"tasks\":[",
        number, number, f->max_attempts, f->cancels ? "cancel" : "finish");
    for (int i = 0; i < f->n; i++)
        put_task(out, &f->task[i], number, i);
    dq_buf_append_text(out, "]}");
}

static void put_batch(dq_buf *out, const fault_flow *f, int number)
{
    dq_buf_append_fmt(out,
                      "{\"name\":\"f%d\",\"request_id\":\"f%d\",\"retry_policy\":{\"max_attempts\":%d},\"failure_policy\":\"%s\","
                      "\"chunk_size\":%d,\"item_task_type\":\"task\",\"item_options\":{" COMMON "},\"items\":[",
                      number, number, f->max_attempts, f->cancels ? "fail_fast" : "continue_on_error", f->window);
    for (int i = 0; i < f->n; i++)
        dq_buf_append_fmt(out, "%s{\"payload\":\"t %d %d\"}", i ? "," : "", number * FAULT_FLOW_SEQ + i, f->task[i].n);
    dq_buf_append_text(out, "]}");
}

/* ---- the table ---- */

static fault_flow_table *map_table(int fd)
{
    void *at = mmap(NULL, sizeof(fault_flow_table), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (at == MAP_FAILED)
        fault_die("mmap: %s", strerror(errno));
    return at;
}

fault_flow_table *fault_flow_table_create(int *ret_fd)
{
    *ret_fd = memfd_create("flows", MFD_CLOEXEC);
    if (*ret_fd < 0 || ftruncate(*ret_fd, sizeof(fault_flow_table)) < 0)
        fault_die("memfd: %s", strerror(errno));
    return map_table(*ret_fd);
}

void fault_flow_table_destroy(fault_flow_table *t, int fd)
{
    (void)munmap(t, sizeof *t);
    (void)close(fd);
}

/* ---- calls ---- */

static void refuse(fault_flow_table *t, const char *what, int number, const dureq_error *err)
{
    if (atomic_fetch_add(&t->n_refused, 1) == 0)
        (void)snprintf(t->refused, sizeof t->refused, "%s of %d: %s %s", what, number, dureq_errcode_name(err->code), err->msg);
}

static int start_once(dureq_client *c, const fault_flow *f, int number, dureq_job_id *ret, dureq_error *err)
{
    DQ_BUF_AUTO text = {0};

    if (f->kind == FAULT_FLOW_BATCH) {
        put_batch(&text, f, number);
        return dureq_client_start_batch(c, dq_buf_str(&text), ret, err);
    }
    put_flow(&text, f, number);
    return dureq_client_start_workflow(c, dq_buf_str(&text), ret, err);
}

/* What is not known is asked again: the request id finds what an earlier call started. */
static void start_one(fault_flow_table *t, dureq_client *c, int number)
{
    fault_flow_entry *e = &t->items[number];
    fault_flow f = fault_flow_of(number);
    int64_t until_us = dq_mono_us() + LIMIT_US;
    dureq_error err = {0};
    dureq_job_id id;
    int rc;

    atomic_store(&e->answer, FAULT_FLOW_BEGUN);
    rc = start_once(c, &f, number, &id, &err);
    while (rc < 0 && dq_mono_us() < until_us) {
        fault_pass(10);
        rc = start_once(c, &f, number, &id, &err);
    }
    if (rc < 0) {
        refuse(t, "start", number, &err);
        return;
    }
    memcpy(e->id, id.text, sizeof id.text);
    atomic_store(&e->answer, FAULT_FLOW_STARTED);
}

/* It was done, or it was too late, or nobody knows whether it was done. */
static bool is_in_order(int rc)
{
    return rc == 0 || rc == DUREQ_ECONFLICT || rc == DUREQ_EUNKNOWN || rc == DUREQ_EUNAVAILABLE;
}

static bool take_fate(fault_flow_entry *e, fault_flow_fate fate)
{
    int open = FAULT_FATE_OPEN;

    return atomic_load(&e->answer) == FAULT_FLOW_STARTED && atomic_compare_exchange_strong(&e->fate, &open, fate);
}

static void cancel_one(fault_flow_table *t, dureq_client *c, int number)
{
    fault_flow_entry *e = &t->items[number];
    dureq_error err = {0};
    int rc;

    if (!take_fate(e, FAULT_FATE_CANCEL))
        return;
    rc = number % 4 == 3 ? dureq_client_cancel_batch(c, e->id, "enough", &err)
                         : dureq_client_cancel_workflow(c, e->id, "enough", &err);
    if (rc == 0) {
        atomic_store(&e->cancelled_wall_ms, dq_wall_ms());
        atomic_store(&e->cancelled_us, dq_mono_us());
    } else if (!is_in_order(rc)) {
        refuse(t, "cancel", number, &err);
    }
}

static void retry_one(fault_flow_table *t, dureq_client *c, int number)
{
    fault_flow_entry *e = &t->items[number];
    dureq_error err = {0};
    int rc;

    if (!take_fate(e, FAULT_FATE_RETRY))
        return;
    rc =
        number % 4 == 3 ? dureq_client_retry_batch(c, e->id, number % 8 == 3, &err) : dureq_client_retry_workflow(c, e->id, &err);
    if (!is_in_order(rc))
        refuse(t, "retry", number, &err);
}

/* ---- the role ---- */

/* Some that were started a while ago are cancelled, of those that do not do well some are retried. */
static void meddle(fault_flow_table *t, dureq_client *c, dq_rng *rng, int number)
{
    int of = number - (int)dq_rng_below(rng, 12);

    if (of < 0)
        return;
    if (dq_rng_below(rng, 5) == 0)
        cancel_one(t, c, of);
    else if (of % 2 && dq_rng_below(rng, 2))
        retry_one(t, c, of);
}

/* argv: role url prefix shards */
static int role(char **argv)
{
    dureq_client_options o = dureq_client_options_init();
    fault_flow_table *t = map_table(TABLE_FD);
    dureq_client *c = NULL;
    dureq_error err = {0};
    dq_rng rng;

    dq_rng_seed(&rng, (uint64_t)dq_mono_us());
    o.redis_url = argv[1];
    o.prefix = argv[2];
    o.shards = (int32_t)strtol(argv[3], NULL, 10);
    o.timeout_ms = 30000;
    if (dureq_client_create(&o, &c, &err) < 0) {
        fprintf(stderr, "starter: %s\n", err.msg);
        return 1;
    }
    for (int number = atomic_fetch_add(&t->n, 1); number < FAULT_FLOWS_MAX; number = atomic_fetch_add(&t->n, 1)) {
        start_one(t, c, number);
        meddle(t, c, &rng, number);
        fault_pass(PACE_MS);
    }
    dureq_client_destroy(c);
    return 0;
}

void fault_starter_main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], ROLE) == 0)
        exit(role(argv + 1));
}

static void exec_role(int fd, const char *const *argv, pid_t parent)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (fd == TABLE_FD) /* dup2 onto itself would leave close-on-exec set */
        fd = dup(fd);
    if (getppid() != parent || dup2(fd, TABLE_FD) < 0)
        _exit(126);
    execv("/proc/self/exe", (char *const *)argv);
    _exit(127);
}

void fault_starter_spawn(fault_starter *s, int table_fd, const char *url, const char *prefix, int shards)
{
    char text[16];
    const char *argv[] = {"fault-starter", ROLE, url, prefix, text, NULL};
    pid_t parent = getpid();

    (void)snprintf(text, sizeof text, "%d", shards);
    s->pid = fork();
    if (s->pid == 0)
        exec_role(table_fd, argv, parent);
    if (s->pid < 0)
        fault_die("fork: %s", strerror(errno));
}

void fault_starter_kill(fault_starter *s)
{
    if (!s->pid)
        return;
    (void)kill(s->pid, SIGKILL);
    while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    s->pid = 0;
}

void fault_flows_finish(fault_flow_table *t, dureq_client *c)
{
    int n = DQ_MIN(atomic_load(&t->n), FAULT_FLOWS_MAX);

    for (int i = 0; i < n; i++)
        if (atomic_load(&t->items[i].answer) != FAULT_FLOW_STARTED)
            start_one(t, c, i);
}
