/* SPDX-License-Identifier: Apache-2.0 */
#include "soak_role.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <dureq/node.h>

#include "base/clock.h"
#include "fault_wait.h"

#define ROLE          "--soak"
#define BOARD_FD      3
#define START_LIMIT   20000
#define TYPE          "soak"
#define BATCH         100
#define LEAD_MAX      20000 /* jobs that producers are ahead of nodes */
#define DEBT_MAX_US   5000000
#define LOOK_MS       1
#define CALL_LIMIT    60000 /* longer than any fault */
#define SLOW_MS       50
#define CONCURRENCY   32  /* few, so that the maximum rate makes all threads that there can be */
#define CRASHES_MAX   200 /* what is killed here is the process's doing, not the job's */
#define DEAD_KEPT_MS  30000
#define DELAY_MS      200
#define RETRY_MS      20
#define RETRY_MS_MAX  100
#define ATTEMPTS_MAX  4
#define STOP_LIMIT_MS 5000

typedef struct self {
    soak_board *board;
    soak_who who;
    const char *url;
    char name[16];
} self;

static void on_log(const dureq_log_record *r, void *userdata)
{
    const self *me = userdata;

    fprintf(stderr, "%lld %s %s %s\n", (long long)dq_mono_us() / 1000, me->name, r->event, r->text);
}

static int end_role(const self *me, const dureq_error *err)
{
    fprintf(stderr, "%s: %s: %s\n", me->name, dureq_errcode_name(err->code), err->msg);
    return 1;
}

/* ---- a node ---- */

/* Until it has returned its job cannot have ended: when its process dies meanwhile, the job must start elsewhere. */
static int run_slow(self *me, dureq_run *task, int64_t number)
{
    _Atomic int64_t *slots = me->board->held[me->who];
    bool stopped;
    int i = 0;

    for (int64_t none = 0; i < SOAK_HELD_MAX && !atomic_compare_exchange_strong(&slots[i], &none, number + 1); none = 0)
        i++;
    stopped = dureq_run_wait_cancelled(task, SLOW_MS);
    if (i < SOAK_HELD_MAX)
        atomic_store(&slots[i], 0);
    return stopped ? dureq_run_retry(task, 2, "told to stop") : 0;
}

static int run_job(dureq_run *task, void *userdata)
{
    self *me = userdata;
    int64_t number = soak_payload_read(dureq_run_payload(task));

    if (number < 0 || number >= me->board->n_max)
        fault_die("%s: job %s has a payload nobody gave it", me->name, dureq_run_job_id(task));
    soak_note_start(me->board, me->who, number);
    switch (soak_kind_of(number)) {
    case SOAK_FLAKY_1: return dureq_run_attempt(task) <= 1 ? dureq_run_retry(task, 3, "not yet") : 0;
    case SOAK_FLAKY_2: return dureq_run_attempt(task) <= 2 ? dureq_run_retry(task, 3, "not yet") : 0;
    case SOAK_SLOW: return run_slow(me, task, number);
    case SOAK_DEAD: return dureq_run_fail(task, 4, "doomed");
    default: return 0;
    }
}

static dureq_node_options node_options(self *me)
{
    dureq_node_options o = dureq_node_options_init();

    o.redis_url = me->url;
    o.prefix = SOAK_PREFIX;
    o.concurrency = CONCURRENCY;
    o.lease_ms = FAULT_LEASE_MS;
    o.max_crashes = CRASHES_MAX;
    o.dead_retention_ms = DEAD_KEPT_MS;
    o.shutdown_timeout_ms = STOP_LIMIT_MS;
    o.log_fn = getenv("DUREQ_FAULT_LOG") ? on_log : NULL;
    o.log_userdata = me;
    return o;
}

static int be_node(self *me)
{
    dureq_node_options o = node_options(me);
    dureq_node *node = NULL;
    dureq_error err = {0};
    sigset_t set;
    int sig;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (dureq_node_create(&o, &node, &err) < 0 || dureq_node_handle(node, TYPE, run_job, me, NULL, &err) < 0 ||
        dureq_node_start(node, &err) < 0)
        return end_role(me, &err);
    atomic_store(&me->board->is_ready[me->who], true);
    (void)sigwait(&set, &sig);
    if (dureq_node_stop(node, &err) < 0)
        return end_role(me, &err);
    dureq_node_destroy(node);
    return 0;
}

/* ---- a producer ---- */

/* The jobs of a call and all that they point to: made once, so that only numbers change. */
typedef struct batch {
    dureq_job_spec specs[BATCH];
    dureq_job_options options[BATCH];
    dureq_enqueue_result results[BATCH];
    char payloads[BATCH][SOAK_PAYLOAD], keys[BATCH][24];
    dureq_retry_policy policy;
} batch;

static void make_job(batch *c, int i, int64_t number)
{
    dureq_job_options *o = &c->options[i];
    soak_kind kind = soak_kind_of(number);

    soak_payload_write(c->payloads[i], number);
    *o = dureq_job_options_init();
    o->retention_ms = -1;
    o->retry_policy = &c->policy;
    if (kind == SOAK_DELAYED)
        o->delay_ms = DELAY_MS;
    if (kind == SOAK_UNIQUE) {
        (void)snprintf(c->keys[i], sizeof c->keys[i], "key-%lld", (long long)(number / 64 % SOAK_UNIQUE_KEYS));
        o->unique_key = dureq_str_from(c->keys[i]);
    }
    c->specs[i] = (dureq_job_spec){.task_type = TYPE, .payload = dureq_str_of(c->payloads[i], SOAK_PAYLOAD), .options = o};
}

/* False when the board has no byte left. */
static bool enqueue(self *me, dureq_client *client, batch *c)
{
    soak_board *b = me->board;
    int64_t first = atomic_fetch_add(&b->next, BATCH);
    dureq_error err = {0};
    int rc;

    if (first + BATCH > b->n_max)
        return false;
    for (int i = 0; i < BATCH; i++)
        make_job(c, i, first + i);
    atomic_store(&b->in_call[me->who], true);
    rc = dureq_client_enqueue_many(client, c->specs, BATCH, c->results, &err);
    atomic_store(&b->in_call[me->who], false);
    if (rc < 0) /* each job has its answer all the same */
        fprintf(stderr, "%s: %s: %s\n", me->name, dureq_errcode_name(rc), err.msg);
    for (int i = 0; i < BATCH; i++)
        soak_note_answer(b, me->who, first + i, c->results[i].code);
    return true;
}

/* Its share of the rate, as a schedule: what a fault held up is made up for, but not what a machine without time for us did. */
typedef struct pace {
    int64_t rate, begun_us, done;
} pace;

/* How long its next call is late; negative: it is not due yet. */
static int64_t late_us(pace *p)
{
    double due_us = p->rate == SOAK_RATE_MAX ? 0 : (double)p->done * SOAK_N_PRODUCERS / (double)p->rate * 1e6;
    int64_t late = dq_mono_us() - p->begun_us - (int64_t)due_us;

    if (late > DEBT_MAX_US)
        p->begun_us += late - DEBT_MAX_US;
    return late;
}

static bool is_due(soak_board *b, pace *p)
{
    int64_t rate = atomic_load(&b->rate);

    if (rate != p->rate)
        *p = (pace){.rate = rate, .begun_us = dq_mono_us()};
    return rate != 0 && late_us(p) >= 0 && atomic_load(&b->acknowledged) - atomic_load(&b->ran) <= LEAD_MAX;
}

static void produce(self *me, dureq_client *client)
{
    batch *c = dq_calloc(1, sizeof *c);
    pace p = {0};

    c->policy = dureq_retry_policy_init();
    c->policy.max_attempts = ATTEMPTS_MAX;
    c->policy.initial_delay_ms = RETRY_MS;
    c->policy.max_delay_ms = RETRY_MS_MAX;
    for (;;) {
        bool due = is_due(me->board, &p);

        atomic_store(&me->board->is_idle[me->who], p.rate == 0);
        if (!due)
            fault_pass(LOOK_MS);
        else if (enqueue(me, client, c))
            p.done += BATCH;
        else
            fault_die("%s: the board is full", me->name);
    }
}

static int be_producer(self *me)
{
    dureq_client_options o = dureq_client_options_init();
    dureq_client *client = NULL;
    dureq_error err = {0};

    o.redis_url = me->url;
    o.prefix = SOAK_PREFIX;
    o.timeout_ms = CALL_LIMIT;
    o.log_fn = getenv("DUREQ_FAULT_LOG") ? on_log : NULL;
    o.log_userdata = me;
    if (dureq_client_create(&o, &client, &err) < 0)
        return end_role(me, &err);
    atomic_store(&me->board->is_ready[me->who], true);
    produce(me, client);
    return 0;
}

/* ---- start ---- */

static void name_self(char *out, size_t cap, soak_who who)
{
    (void)snprintf(out, cap, "%s-%d", who < SOAK_N_NODES ? "node" : "producer", who % SOAK_N_NODES + 1);
}

/* argv: program role url who */
void soak_role_main(int argc, char **argv)
{
    self me = {.url = argc == 4 ? argv[2] : NULL};

    if (argc != 4 || strcmp(argv[1], ROLE) != 0)
        return;
    me.board = soak_board_attach(BOARD_FD);
    me.who = (soak_who)strtol(argv[3], NULL, 10);
    name_self(me.name, sizeof me.name, me.who);
    exit(me.who < SOAK_N_NODES ? be_node(&me) : be_producer(&me));
}

static void exec_role(int board_fd, soak_who who, const char *url, pid_t parent)
{
    char number[8];
    const char *argv[] = {"soak", ROLE, url, number, NULL};

    (void)snprintf(number, sizeof number, "%d", (int)who);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (board_fd == BOARD_FD) /* dup2 onto itself would leave close-on-exec set */
        board_fd = dup(board_fd);
    if (getppid() != parent || dup2(board_fd, BOARD_FD) < 0)
        _exit(126);
    execv("/proc/self/exe", (char *const *)argv);
    _exit(127);
}

typedef struct start {
    soak_board *board;
    fault_node *process;
    soak_who who;
} start;

static bool is_ready_or_dead(void *userdata)
{
    start *s = userdata;

    return atomic_load(&s->board->is_ready[s->who]) || !fault_node_is_alive(s->process);
}

void soak_role_spawn(fault_node *process, soak_board *b, int board_fd, soak_who who, const char *url)
{
    start s = {.board = b, .process = process, .who = who};
    pid_t parent = getpid();

    atomic_store(&b->is_ready[who], false);
    atomic_store(&b->is_idle[who], false);
    atomic_store(&b->in_call[who], false);
    for (int i = 0; who < SOAK_N_NODES && i < SOAK_HELD_MAX; i++)
        atomic_store(&b->held[who][i], 0);
    name_self(process->node_id, sizeof process->node_id, who);
    process->pid = fork();
    if (process->pid == 0)
        exec_role(board_fd, who, url, parent);
    if (process->pid < 0)
        fault_die("fork: %s", strerror(errno));
    if (!fault_wait(START_LIMIT, is_ready_or_dead, &s) || !atomic_load(&b->is_ready[who]))
        fault_die("%s did not start", process->node_id);
}
