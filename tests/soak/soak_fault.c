/* SPDX-License-Identifier: Apache-2.0 */
#include "soak_fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "fault_wait.h"
#include "soak_role.h"

#define LIMIT_MS     30000
#define STALL_MS     (2 * FAULT_LEASE_MS)
#define CALL_WAIT_US 1000000

void soak_scene_spawn(soak_scene *s, soak_who who)
{
    s->n_producers += who >= SOAK_N_NODES;
    soak_role_spawn(&s->processes[who], s->board, s->board_fd, who, s->url);
}

/* ---- what a node ran ---- */

typedef struct held {
    soak_board *board;
    int n;
    int64_t numbers[SOAK_HELD_MAX];
    int starts[SOAK_HELD_MAX];
} held;

/* Of a node that stands still or is dead. */
static held look_at_held(soak_board *b, soak_who node)
{
    held h = {.board = b};

    for (int i = 0; i < SOAK_HELD_MAX; i++) {
        int64_t number = atomic_load(&b->held[node][i]) - 1;

        if (number < 0)
            continue;
        h.numbers[h.n] = number;
        h.starts[h.n++] = soak_starts(b, number);
    }
    return h;
}

static bool has_started_again(void *userdata)
{
    held *h = userdata;

    for (int i = 0; i < h->n; i++)
        if (soak_starts(h->board, h->numbers[i]) <= h->starts[i])
            return false;
    return true;
}

/* Looked at so late that they may have started elsewhere already, they tell nothing. */
static void wait_elsewhere(soak_scene *s, soak_fault *f, soak_who node, int64_t since_us)
{
    held h = look_at_held(s->board, node);
    int64_t held_up_ms = fault_held_up_ms(), ms;

    if (dq_mono_us() - since_us > FAULT_LEASE_MS * 1000 / 2)
        return;
    if (!fault_wait(LIMIT_MS, has_started_again, &h))
        fault_die("%s: what %s ran (%d jobs) did not run elsewhere within %d ms", f->name, s->processes[node].node_id, h.n,
                  LIMIT_MS);
    ms = (dq_mono_us() - since_us) / 1000;
    if (h.n == 0)
        return;
    if (fault_is_to_set_aside(ms, FAULT_RECOVER_MS, held_up_ms)) {
        f->n_aside++;
        return;
    }
    f->n_jobs += h.n;
    f->elsewhere_ms = DQ_MAX(f->elsewhere_ms, ms);
}

/* ---- faults ---- */

static void kill_node(soak_scene *s, soak_fault *f)
{
    int64_t at_us = dq_mono_us();

    fault_node_kill(&s->processes[SOAK_NODE_2]);
    wait_elsewhere(s, f, SOAK_NODE_2, at_us);
    soak_scene_spawn(s, SOAK_NODE_2);
}

static void freeze_node(soak_scene *s, soak_fault *f)
{
    soak_who node = dq_rng_below(&s->rng, 2) ? SOAK_NODE : SOAK_NODE_2;
    int64_t at_us = dq_mono_us();

    fault_node_freeze(&s->processes[node]);
    wait_elsewhere(s, f, node, at_us);
    fault_pass(DQ_MAX(STALL_MS - (dq_mono_us() - at_us) / 1000, 0));
    fault_node_thaw(&s->processes[node]);
}

/* In the middle of a call, which is too short for being looked for now and then. */
static void kill_producer(soak_scene *s, soak_fault *f)
{
    int64_t until_us = dq_mono_us() + CALL_WAIT_US;

    (void)f;
    while (!atomic_load(&s->board->in_call[SOAK_PRODUCER_2]) && dq_mono_us() < until_us)
        ;
    fault_node_kill(&s->processes[SOAK_PRODUCER_2]);
    soak_scene_spawn(s, SOAK_PRODUCER_2);
}

/* How long it reads its file is for the file to say; everyone's time begins when it answers. */
static void kill_redis(soak_scene *s, soak_fault *f)
{
    int64_t since_us;

    test_redis_kill(s->server);
    since_us = dq_mono_us();
    test_redis_restart(s->server);
    f->loading_ms = DQ_MAX(f->loading_ms, (dq_mono_us() - since_us) / 1000);
}

static void cut_all(soak_scene *s, soak_fault *f)
{
    (void)f;
    free(test_redis_command(s->server, "CLIENT", "KILL", "TYPE", "normal", NULL));
    free(test_redis_command(s->server, "CLIENT", "KILL", "TYPE", "pubsub", NULL));
}

static void flush_scripts(soak_scene *s, soak_fault *f)
{
    (void)f;
    free(test_redis_command(s->server, "SCRIPT", "FLUSH", NULL));
}

static void stall_redis(soak_scene *s, soak_fault *f)
{
    char text[32];

    (void)f;
    (void)snprintf(text, sizeof text, "%d.%03d", STALL_MS / 1000, STALL_MS % 1000);
    free(test_redis_command(s->server, "DEBUG", "SLEEP", text, NULL));
}

soak_fault soak_faults[SOAK_N_FAULTS] = {
    {"node killed", kill_node, true},
    {"node frozen for longer than its lease", freeze_node, true},
    {"producer killed in a call", kill_producer, false},
    {"Redis killed and started again", kill_redis, false},
    {"all connections closed", cut_all, false},
    {"scripts forgotten", flush_scripts, false},
    {"Redis stalled for two leases", stall_redis, false},
};

/* ---- one after the other ---- */

typedef struct work {
    soak_board *board;
    int64_t did[SOAK_N_PROCESSES];
} work;

static bool is_at_work(void *userdata)
{
    work *w = userdata;

    for (int i = 0; i < SOAK_N_PROCESSES; i++)
        if (atomic_load(&w->board->did[i]) <= w->did[i])
            return false;
    return true;
}

static void wait_at_work(soak_scene *s, soak_fault *f)
{
    work w = {.board = s->board};
    int64_t since_us = dq_mono_us(), held_up_ms = fault_held_up_ms(), ms;

    for (int i = 0; i < SOAK_N_PROCESSES; i++)
        w.did[i] = atomic_load(&s->board->did[i]);
    if (!fault_wait(LIMIT_MS, is_at_work, &w))
        for (int i = 0; i < SOAK_N_PROCESSES; i++)
            if (atomic_load(&s->board->did[i]) <= w.did[i])
                fault_die("%s: %s does nothing any more", f->name, s->processes[i].node_id);
    ms = (dq_mono_us() - since_us) / 1000;
    if (fault_is_to_set_aside(ms, FAULT_RECOVER_MS, held_up_ms))
        f->n_aside++;
    else
        f->at_work_ms = DQ_MAX(f->at_work_ms, ms);
}

static void shuffle(soak_scene *s, int *order)
{
    for (int i = 0; i < SOAK_N_FAULTS; i++)
        order[i] = i;
    for (int i = SOAK_N_FAULTS - 1; i > 0; i--) {
        int j = (int)dq_rng_below(&s->rng, (uint64_t)i + 1), swapped = order[i];

        order[i] = order[j];
        order[j] = swapped;
    }
}

void soak_faults_reset(void)
{
    for (int i = 0; i < SOAK_N_FAULTS; i++) {
        soak_faults[i].n = soak_faults[i].n_aside = 0;
        soak_faults[i].n_jobs = soak_faults[i].elsewhere_ms = soak_faults[i].loading_ms = soak_faults[i].at_work_ms = 0;
    }
}

void soak_fault_next(soak_scene *s)
{
    static int order[SOAK_N_FAULTS], n_struck;
    soak_fault *f;

    if (n_struck % SOAK_N_FAULTS == 0)
        shuffle(s, order);
    f = &soak_faults[order[n_struck++ % SOAK_N_FAULTS]];
    f->n++;
    f->strike(s, f);
    wait_at_work(s, f);
}
