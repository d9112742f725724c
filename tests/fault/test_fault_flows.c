/* SPDX-License-Identifier: Apache-2.0 */
/* Workflows and batches, while nodes, those who start them, and Redis are killed at random instants: judged by what handlers wrote. No task began before
   those it depends on had ended, nothing was released after a cancel was acknowledged, each workflow and each batch was made once and ended, and what ran
   twice ran where something was killed. */
#include <dureq/batch.h>
#include <dureq/workflow.h>

#include "base/clock.h"
#include "base/random.h"
#include "base/str.h"
#include "fault_flows.h"
#include "fault_lines.h"
#include "fault_wait.h"
#include "fault_world.h"
#include "model/id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LIMIT_MS     120000
#define START_MS     60000
#define LATE_US      5000000 /* by then whoever was given a job before the cancel has begun with it, or heard of it */
#define STARTERS     2
#define ROUNDS       16
#define ROUNDS_SHORT 5
#define STARTS_EACH  6 /* workflows and batches between two faults, at least */

/* ---- what handlers wrote ---- */

typedef struct run {
    int64_t from_us, to_us; /* to_us 0: it did not end */
    bool well;
    long no, seq;
    char node[32], job[24];
} run;

typedef struct runs {
    run *items;
    size_t n;
    size_t *first; /* of each number of a task; then those of the next one */
} runs;

static int by_task(const void *a, const void *b)
{
    const run *x = a, *y = b;

    if (x->seq != y->seq)
        return x->seq < y->seq ? -1 : 1;
    return x->from_us < y->from_us ? -1 : x->from_us > y->from_us;
}

/* The line of an end belongs to the last start of this run by this node. */
static void end_run(runs *r, const run *end)
{
    for (size_t i = r->n; i-- > 0;) {
        run *s = &r->items[i];

        if (s->no == end->no && s->to_us == 0 && strcmp(s->job, end->job) == 0 && strcmp(s->node, end->node) == 0) {
            s->to_us = end->from_us;
            s->well = end->well;
            return;
        }
    }
    fault_die("job %s ended on %s, and did not begin", end->job, end->node);
}

static void add_line(runs *r, const char *line, size_t *room)
{
    long long at;
    run one = {0};
    char mark;

    if (sscanf(line, "%c %lld %31s %ld %23s %ld", &mark, &at, one.node, &one.seq, one.job, &one.no) != 6)
        fault_die("a line cannot be read: %s", line);
    one.from_us = at;
    one.well = mark == 'E';
    if (mark != 'S') {
        end_run(r, &one);
        return;
    }
    if (r->n == *room) {
        *room = *room ? 2 * *room : 4096;
        r->items = dq_realloc(r->items, *room * sizeof *r->items);
        assert_non_null(r->items);
    }
    r->items[r->n++] = one;
}

static runs read_runs(const fault_world *w, int n_flows)
{
    char path[300], line[256];
    size_t room = 0, n_tasks = (size_t)n_flows * FAULT_FLOW_SEQ;
    runs r = {0};

    (void)snprintf(path, sizeof path, "%s" FAULT_TASKS, w->log_path);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        add_line(&r, line, &room);
    if (f)
        (void)fclose(f);
    if (!r.items)
        fault_die("no handler was called");
    qsort(r.items, r.n, sizeof *r.items, by_task);
    r.first = dq_calloc(n_tasks + 1, sizeof *r.first);
    for (size_t task = 0, i = 0; task <= n_tasks; task++) {
        while (i < r.n && r.items[i].seq < (long)task)
            i++;
        r.first[task] = i;
    }
    return r;
}

static void runs_deinit(runs *r)
{
    dq_free(r->items);
    dq_free(r->first);
}

/* ---- the scene ---- */

typedef struct killed {
    char node[32];
    int64_t at_us;
} killed;

typedef struct scene {
    fault_world *world;
    fault_flow_table *table;
    int table_fd;
    fault_starter starters[STARTERS];
    dq_rng rng;
    killed *kills; /* of nodes */
    int n_kills, n_starter_kills, n_redis_kills;
    fault_lines lines; /* of nodes, at the end */
} scene;

static void spawn_starter(scene *s, int i)
{
    fault_starter_spawn(&s->starters[i], s->table_fd, s->world->url, FAULT_PREFIX, s->world->o.shards);
}

static int n_started(const scene *s)
{
    int n = DQ_MIN(atomic_load(&s->table->n), FAULT_FLOWS_MAX), started = 0;

    for (int i = 0; i < n; i++)
        started += atomic_load(&s->table->items[i].answer) == FAULT_FLOW_STARTED;
    return started;
}

typedef struct more {
    const scene *s;
    int until;
} more;

static bool has_more(void *userdata)
{
    const more *m = userdata;

    return n_started(m->s) >= m->until || atomic_load(&m->s->table->n_refused) > 0;
}

static void wait_starts(const scene *s, int n)
{
    more m = {.s = s, .until = n_started(s) + n};

    if (!fault_wait(START_MS, has_more, &m))
        fault_die("no %d more were started within %d ms", n, START_MS);
    if (atomic_load(&s->table->n_refused) > 0)
        fault_die("refused: %s", s->table->refused);
}

static void kill_node(scene *s)
{
    int slot = (int)dq_rng_below(&s->rng, 2);
    killed *k = &s->kills[s->n_kills++];

    (void)snprintf(k->node, sizeof k->node, "%s", s->world->nodes[slot].node_id);
    k->at_us = dq_mono_us();
    fault_node_kill(&s->world->nodes[slot]);
    fault_world_spawn(s->world, slot);
}

static void kill_starter(scene *s)
{
    int i = (int)dq_rng_below(&s->rng, STARTERS);

    fault_starter_kill(&s->starters[i]);
    s->n_starter_kills++;
    spawn_starter(s, i);
}

static void kill_redis(scene *s)
{
    test_redis_kill(s->world->server);
    test_redis_restart(s->world->server);
    s->n_redis_kills++;
}

static void round_of(scene *s, int round)
{
    wait_starts(s, STARTS_EACH);
    fault_pass((int64_t)dq_rng_below(&s->rng, 40));
    switch (round % 5) {
    case 0:
    case 3: kill_node(s); break;
    case 1:
    case 4: kill_starter(s); break;
    default: kill_redis(s); break;
    }
}

/* ---- each ends ---- */

static bool any_workflow(dureq_client *c)
{
    static const dureq_workflow_status live[] = {DUREQ_WORKFLOW_RUNNING, DUREQ_WORKFLOW_CANCELLING};
    dureq_workflow_filter f = dureq_workflow_filter_init();
    dureq_workflow_list *list = NULL;
    bool any = true, more_to_come = true;
    char cursor[24] = "";

    f.statuses = live;
    f.n_statuses = DQ_ARRAY_LEN(live);
    f.limit = 1000;
    while (more_to_come) {
        f.cursor = cursor[0] ? cursor : NULL;
        if (dureq_client_list_workflows(c, &f, &list, NULL) < 0)
            return true;
        any = list->n > 0;
        more_to_come = !any && list->next_cursor[0];
        (void)snprintf(cursor, sizeof cursor, "%s", list->next_cursor);
        dureq_workflow_list_destroy(list);
    }
    return any;
}

static bool any_batch(dureq_client *c)
{
    static const dureq_batch_status live[] = {DUREQ_BATCH_RUNNING, DUREQ_BATCH_CANCELLING, DUREQ_BATCH_LOADING};
    dureq_batch_filter f = dureq_batch_filter_init();
    dureq_batch_list *list = NULL;
    bool any = true, more_to_come = true;
    char cursor[24] = "";

    f.statuses = live;
    f.n_statuses = DQ_ARRAY_LEN(live);
    f.limit = 1000;
    while (more_to_come) {
        f.cursor = cursor[0] ? cursor : NULL;
        if (dureq_client_list_batches(c, &f, &list, NULL) < 0)
            return true;
        any = list->n > 0;
        more_to_come = !any && list->next_cursor[0];
        (void)snprintf(cursor, sizeof cursor, "%s", list->next_cursor);
        dureq_batch_list_destroy(list);
    }
    return any;
}

static bool all_have_ended(void *userdata)
{
    scene *s = userdata;

    return !any_workflow(s->world->client) && !any_batch(s->world->client);
}

static void settle(scene *s)
{
    for (int i = 0; i < STARTERS; i++)
        fault_starter_kill(&s->starters[i]);
    fault_flows_finish(s->table, s->world->client);
    if (atomic_load(&s->table->n_refused) > 0)
        fault_die("refused: %s", s->table->refused);
    if (!fault_wait(LIMIT_MS, all_have_ended, s)) {
        fault_world_assert_clean(s->world);
        fault_die("a workflow or batch does not end");
    }
    fault_world_wait_done(s->world, LIMIT_MS);
    fault_world_assert_clean(s->world);
    fault_node_stop(&s->world->nodes[0]);
    fault_node_stop(&s->world->nodes[1]);
    s->lines = fault_lines_read(s->world->log_path);
}

/* ---- the judgment ---- */

static bool was_killed(const scene *s, const char *node, int64_t before_us)
{
    for (int i = 0; i < s->n_kills; i++)
        if (strcmp(s->kills[i].node, node) == 0 && s->kills[i].at_us <= before_us)
            return true;
    return false;
}

/* A machine that stood still: the node said at its end that some of its jobs were taken from it, or was told so of this one. */
static bool lost_it(const scene *s, const run *r)
{
    for (size_t i = 0; i < s->lines.n; i++) {
        const fault_line *l = &s->lines.items[i];

        if (strcmp(l->node_id, r->node) != 0)
            continue;
        if ((l->mark == FAULT_MARK_LOST && l->run > 0) || (l->mark == FAULT_MARK_CANCELLED && strcmp(l->job_id, r->job) == 0))
            return true;
    }
    return false;
}

/* This run was going when `at_us` came, as far as dureq had to know. */
static bool was_going(const scene *s, const runs *r, const run *one, int64_t at_us)
{
    if (one->from_us > at_us || (one->to_us != 0 && one->to_us <= at_us) || was_killed(s, one->node, at_us))
        return false;
    for (size_t i = r->first[one->seq]; i < r->first[one->seq + 1]; i++) {
        const run *other = &r->items[i];

        if (other != one && strcmp(other->job, one->job) == 0 && other->no > one->no && other->from_us <= at_us)
            return false; /* another has its place; what it still does is judged by judge_again */
    }
    return true;
}

static bool did_well_before(const runs *r, long seq, int64_t at_us)
{
    for (size_t i = r->first[seq]; i < r->first[seq + 1]; i++)
        if (r->items[i].well && r->items[i].to_us <= at_us)
            return true;
    return false;
}

/* No task begins before those it depends on have ended; what is cancelled has ended, whatever its handler still does. */
static void judge_order(const scene *s, const runs *r, int number, const fault_flow *f)
{
    bool is_cancelled = atomic_load(&s->table->items[number].fate) == FAULT_FATE_CANCEL;

    for (int task = 0; task < f->n; task++) {
        long seq = (long)number * FAULT_FLOW_SEQ + task;

        for (size_t i = r->first[seq]; i < r->first[seq + 1]; i++) {
            const run *one = &r->items[i];

            for (int dep = 0; dep < task; dep++) {
                long on = (long)number * FAULT_FLOW_SEQ + dep;

                if (!(f->task[task].deps >> dep & 1))
                    continue;
                if (f->kind == FAULT_FLOW_PURE && !did_well_before(r, on, one->from_us))
                    fault_die("workflow %d: task %d began as job %s before task %d had ended", number, task, one->job, dep);
                for (size_t k = r->first[on]; k < r->first[on + 1] && !is_cancelled && !f->cancels; k++)
                    if (was_going(s, r, &r->items[k], one->from_us))
                        fault_die("workflow %d: task %d began as job %s on %s while task %d ran as job %s on %s", number, task,
                                  one->job, one->node, dep, r->items[k].job, r->items[k].node);
            }
        }
    }
}

/* The same job again: it asked for it, or it ran where something was killed. Returns how many did. */
static int judge_again(const scene *s, const runs *r, long seq, int attempts)
{
    int n_jobs = 0, n_again = 0;

    for (size_t i = r->first[seq]; i < r->first[seq + 1]; i++) {
        const run *one = &r->items[i], *before = NULL;

        for (size_t k = r->first[seq]; k < i; k++)
            before = strcmp(r->items[k].job, one->job) == 0 ? &r->items[k] : before;
        if (!before) {
            n_jobs++;
            continue;
        }
        if (before->to_us != 0 && !before->well && before->to_us <= one->from_us)
            continue;
        n_again++;
        if (!was_killed(s, before->node, one->from_us) && !lost_it(s, before))
            fault_die("job %s of task %ld ran on %s and again on %s, and the first was not killed", one->job, seq, before->node,
                      one->node);
    }
    if (n_jobs > attempts)
        fault_die("task %ld had %d jobs in %d attempts", seq, n_jobs, attempts);
    return n_again;
}

static void judge_cancel(const scene *s, const runs *r, int number, const fault_flow *f)
{
    const fault_flow_entry *e = &s->table->items[number];
    int64_t at_us = atomic_load(&e->cancelled_us), wall_ms = atomic_load(&e->cancelled_wall_ms);
    long first = (long)number * FAULT_FLOW_SEQ;

    for (size_t i = r->first[first]; at_us && i < r->first[first + f->n]; i++) {
        const run *one = &r->items[i];
        dq_id id = {0};

        if (dq_id_parse(dureq_str_from(one->job), &id) < 0)
            fault_die("%s is no job", one->job);
        if ((int64_t)id.ms > wall_ms)
            fault_die("job %s was released %lld ms after the cancel of %d was acknowledged", one->job,
                      (long long)((int64_t)id.ms - wall_ms), number);
        if (one->from_us > at_us + LATE_US + fault_held_up_ms() * 1000)
            fault_die("job %s began %lld us after the cancel of %d was acknowledged", one->job, (long long)(one->from_us - at_us),
                      number);
    }
}

/* How often it was begun; its status is that of what its tasks did. */
static int judge_workflow(const scene *s, const runs *r, int number, const fault_flow *f)
{
    const fault_flow_entry *e = &s->table->items[number];
    dureq_workflow *w = NULL;
    dureq_error err = {0};
    int attempts;

    if (dureq_client_get_workflow(s->world->client, e->id, 0, 0, &w, &err) < 0)
        fault_die("workflow %d: %s", number, err.msg);
    if (f->kind == FAULT_FLOW_PURE && w->status != DUREQ_WORKFLOW_COMPLETED && atomic_load(&e->fate) != FAULT_FATE_CANCEL)
        fault_die("workflow %d is %s, and all its tasks do well", number, dureq_workflow_status_to_str(w->status));
    for (size_t i = 0; i < w->n; i++) {
        bool ran = did_well_before(r, (long)number * FAULT_FLOW_SEQ + (long)i, INT64_MAX);

        if (w->tasks[i].state == DUREQ_WORKFLOW_TASK_COMPLETED && !ran)
            fault_die("workflow %d: task %zu is completed, and never ran", number, i);
        if (w->status == DUREQ_WORKFLOW_COMPLETED && w->tasks[i].state == DUREQ_WORKFLOW_TASK_WAITING)
            fault_die("workflow %d is completed, and task %zu waits", number, i);
    }
    attempts = (int)w->attempt;
    dureq_workflow_destroy(w);
    return attempts;
}

static int judge_batch(const scene *s, int number, const fault_flow *f)
{
    const fault_flow_entry *e = &s->table->items[number];
    dureq_batch *b = NULL;
    dureq_error err = {0};
    bool all_well = true;
    int attempts;

    if (dureq_client_get_batch(s->world->client, e->id, &b, &err) < 0)
        fault_die("batch %d: %s", number, err.msg);
    for (int i = 0; i < f->n; i++)
        all_well = all_well && f->task[i].n != -1;
    if ((int)b->n_items != f->n || b->n_running != 0)
        fault_die("batch %d has %u items, %u of them in flight", number, b->n_items, b->n_running);
    if (all_well && b->status != DUREQ_BATCH_COMPLETED && atomic_load(&e->fate) != FAULT_FATE_CANCEL)
        fault_die("batch %d is %s, and all its items do well", number, dureq_batch_status_to_str(b->status));
    if (b->status == DUREQ_BATCH_COMPLETED && (int)b->n_completed != f->n)
        fault_die("batch %d is completed with %u items of %d", number, b->n_completed, f->n);
    attempts = (int)b->attempt;
    dureq_batch_destroy(b);
    return attempts;
}

static void judge(const scene *s, const char *what)
{
    int n = DQ_MIN(atomic_load(&s->table->n), FAULT_FLOWS_MAX), n_batches = 0, n_again = 0, n_cancelled = 0;
    runs r = read_runs(s->world, n);

    for (int i = 0; i < n; i++) {
        fault_flow f = fault_flow_of(i);
        bool is_batch = f.kind == FAULT_FLOW_BATCH;
        int attempts = is_batch ? judge_batch(s, i, &f) : judge_workflow(s, &r, i, &f);

        n_batches += is_batch;
        n_cancelled += atomic_load(&s->table->items[i].cancelled_us) != 0;
        for (int k = 0; k < f.n; k++)
            n_again += judge_again(s, &r, (long)i * FAULT_FLOW_SEQ + k, attempts);
        judge_cancel(s, &r, i, &f);
        if (!is_batch)
            judge_order(s, &r, i, &f);
    }
    printf(
        "%s: %d workflows and %d batches, %d of them cancelled, each made once, each ended; %zu runs, %d of them again; killed were %d nodes, "
        "%d of those who start them, %d times Redis\n",
        what, n - n_batches, n_batches, n_cancelled, r.n, n_again, s->n_kills, s->n_starter_kills, s->n_redis_kills);
    (void)fflush(stdout);
    runs_deinit(&r);
}

/* As many are listed as were begun: none was made twice. */
static void judge_count(const scene *s)
{
    long long n = 0;

    for (int shard = 0; shard < s->world->o.shards; shard++) {
        char key[48];

        (void)snprintf(key, sizeof key, "{" FAULT_PREFIX ":%d}:wi", shard);
        n += test_redis_command_int(s->world->server, "ZCARD", key, NULL);
        (void)snprintf(key, sizeof key, "{" FAULT_PREFIX ":%d}:ba", shard);
        n += test_redis_command_int(s->world->server, "ZCARD", key, NULL);
    }
    if (n != DQ_MIN(atomic_load(&s->table->n), FAULT_FLOWS_MAX))
        fault_die("%lld workflows and batches were made of %d starts", n, atomic_load(&s->table->n));
}

static void kill_amid_flows(int shards, const char *what)
{
    fault_world_options o = {.shards = shards, .append_only = true, .timeout_ms = 30000, .concurrency = 16};
    int rounds = fault_rounds(ROUNDS, ROUNDS_SHORT);
    scene s = {.world = fault_world_open(&o)};

    dq_rng_seed(&s.rng, (uint64_t)shards);
    s.table = fault_flow_table_create(&s.table_fd);
    s.kills = dq_calloc((size_t)rounds, sizeof *s.kills);
    fault_world_spawn(s.world, 0);
    fault_world_spawn(s.world, 1);
    for (int i = 0; i < STARTERS; i++)
        spawn_starter(&s, i);
    for (int i = 0; i < rounds; i++)
        round_of(&s, i);
    wait_starts(&s, STARTS_EACH);
    settle(&s);
    judge_count(&s);
    judge(&s, what);
    fault_lines_deinit(&s.lines);
    dq_free(s.kills);
    fault_flow_table_destroy(s.table, s.table_fd);
    fault_world_close(s.world);
}

static void test_workflows_and_batches_end_whatever_dies(void **state)
{
    (void)state;
    kill_amid_flows(1, "flows, 1 shard");
    kill_amid_flows(4, "flows, 4 shards");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_workflows_and_batches_end_whatever_dies),
    };

    fault_node_main(argc, argv);
    fault_starter_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
