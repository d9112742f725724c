/* SPDX-License-Identifier: Apache-2.0 */
#include "hist_play.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/random.h"

/* ---- what is said ---- */

void hist_fail(hist *h, const char *fmt, ...)
{
    va_list args;

    if (h->failed)
        return;
    h->failed = true;
    va_start(args, fmt);
    (void)vsnprintf(h->fault, sizeof(h->fault), fmt, args);
    va_end(args);
}

void hist_say(hist *h, const char *fmt, ...)
{
    va_list args;

    if (!h->trace)
        return;
    va_start(args, fmt);
    (void)vprintf(fmt, args);
    va_end(args);
    (void)putchar('\n');
}

bool hist_equal(hist *h, const char *what, int64_t want, int64_t got)
{
    if (want != got)
        hist_fail(h, "%s: wanted %" PRId64 ", got %" PRId64, what, want, got);
    return want == got;
}

/* ---- fates of a call: taken over by what this returns ---- */

enum { FATE_ONCE, FATE_TWICE, FATE_LATE, FATE_AGAIN_LATE, FATES };

/* A plain call that was refused goes the general way, once its producer reads so: with the last copy that was not lost. */
static void follow(hist *h, hist_msg *msg, uint32_t r)
{
    if (msg->kind != MSG_SEAL || msg->followed || h->failed)
        return;
    msg->followed = true;
    if (h->stale)
        hist_go_general(h, msg, r % 4 == 0);
}

static void send_again(hist *h, const hist_msg *msg, uint32_t r)
{
    hist_say(h, "  the same again:");
    if (msg->kind == MSG_SEAL && r % 2)
        hist_by_name(h, msg);
    else
        hist_exec(h, msg);
}

/* Sends it now, twice, later, or now and later once more; n / 16 of the calls go straight. */
static void dispatch(hist *h, hist_msg *msg, uint32_t r)
{
    int fate = r % 16 < 10 ? FATE_ONCE : (int)(r % 16 - 10) / 2 + 1;
    hist_msg *slot = &h->msg[r / 16 % HIST_MSGS];

    if (msg->kind == MSG_NONE)
        return;
    if (fate != FATE_LATE)
        hist_exec(h, msg);
    if (fate == FATE_TWICE)
        send_again(h, msg, r >> 12);
    if (fate != FATE_LATE)
        follow(h, msg, r >> 13);
    if (fate == FATE_LATE || fate == FATE_AGAIN_LATE) {
        hist_say(h, "  %s", fate == FATE_LATE ? "a call is on its way" : "a copy of it is on its way");
        dq_buf_deinit(&slot->bytes);
        *slot = *msg;
        *msg = (hist_msg){0};
        return;
    }
    dq_buf_deinit(&msg->bytes);
    *msg = (hist_msg){0};
}

static void deliver(hist *h, const uint32_t *r)
{
    hist_msg *slot = &h->msg[r[0] % HIST_MSGS];

    hist_exec(h, slot);
    follow(h, slot, r[2]);
    if (r[1] % 4 == 0)
        return; /* it may come once more */
    dq_buf_deinit(&slot->bytes);
    *slot = (hist_msg){0};
}

/* ---- who does something ---- */

static hm_item any_item(uint32_t bits)
{
    return (hm_item){
        .lane = (int)(bits % HM_LANES),
        .delay = bits / 4 % 4 == 0 ? 1 + (int)(bits / 16 % 4) : 0,
        .ukey = bits / 64 % 3 == 0 ? (int)(bits / 256 % HM_KEYS) : -1,
        .request = bits / 1024 % 4 == 0 ? (int)(bits / 4096 % HM_REQUESTS) : -1,
        .s2s = bits / 16384 % 4 == 0 ? 2 + (int)(bits / 65536 % 4) : 0,
        .ukey_stays = bits / 131072 % 4 == 0,
        .kept = bits / 524288 % 4 != 0,
    };
}

/* Mostly of the queue that has no limit as a rule. */
static hm_item plain_item(uint32_t bits)
{
    return (hm_item){
        .lane = (int)(bits % 2) + (bits / 2 % 16 == 0 ? 2 : 0), .ukey = -1, .request = -1, .kept = bits / 32 % 4 != 0};
}

/* As a producer does: by the plain call whenever it may. */
static void step_enqueue(hist *h, const uint32_t *r)
{
    hist_msg msg = {.kind = MSG_ENQUEUE, .who = (int)(r[0] % 4 % HM_PRODUCERS), .n = 1 + (int)(r[0] / 8 % HM_ITEMS)};
    bool plain = r[0] / 32 % 8 < 5;

    if (h->m.n_jobs + 4 * HM_ITEMS > HIST_ENQUEUED) /* those on their way make jobs too */
        return;
    if (r[0] / 256 % 16 == 0) /* it connected again */
        hist_ask_token(h, msg.who);
    if (r[0] / 4096 % 4 == 0)
        hist_see_queues(h, msg.who);
    /* Sometimes as if many calls had been between, whose answers push out older ones. */
    h->producer[msg.who].call_no += r[0] / 4194304 % 16 == 0 ? 64 : 1;
    msg.no = h->producer[msg.who].call_no;
    for (int i = 0; i < msg.n; i++) {
        uint32_t bits = r[1 + i % 3] >> (i / 3 * 13);

        msg.item[i] = plain ? plain_item(bits) : any_item(bits);
        if (bits / 1024 % 16 == 1)
            msg.item[i].large = ++h->payloads;
    }
    if (hist_may_seal(h, &msg)) {
        msg.flag = r[0] / 16384 % 8 == 0;
        msg.b = r[0] / 131072 % 8 == 0 ? 1 + (int)(r[0] / 1048576 % 3) : msg.n;
        hist_put_seal(h, &msg);
    } else {
        hist_put_enqueue(h, &msg);
    }
    dispatch(h, &msg, r[4]);
}

/* A session whose process lives, 0 when there is none. */
static int living(const hist *h, uint32_t r)
{
    for (int i = 0; i < h->m.n_sessions; i++) {
        int session = 1 + (int)((r + (uint32_t)i) % (uint32_t)h->m.n_sessions);

        if (!h->node[session].dead)
            return session;
    }
    return 0;
}

/* What it does not know comes first: until then it sends nothing else. */
static void ask_again(hist *h, int session)
{
    hist_node *n = &h->node[session];

    if (n->unsure.kind == MSG_NONE)
        return;
    hist_say(h, "  session %d asks again what became of call %" PRId64, session, n->unsure.no);
    hist_exec(h, &n->unsure);
    for (int i = n->n_held - 1; i >= 0; i--) {
        for (int k = 0; k < n->unsure.n; k++) {
            if (n->held[i].job == n->unsure.done[k].job && n->held[i].turn == n->unsure.done[k].turn) {
                hist_node_drop(n, i);
                break;
            }
        }
    }
    dq_buf_deinit(&n->unsure.bytes);
    n->unsure = (hist_msg){0};
}

static void step_beat(hist *h, int session, const uint32_t *r)
{
    const hist_node *n = &h->node[session];
    hist_msg msg = {.kind = MSG_BEAT, .who = session, .flag = r[1] % 3 == 0, .a = -1};

    msg.no = r[1] / 4 % 32 == 0; /* as one whose number a server gave away that had forgotten it */

    for (int i = 0; i < n->n_held; i++) {
        if (r[2] >> i & 1)
            msg.job[msg.n++] = n->held[i].job;
    }
    if (n->n_held > 0 && r[3] % 4 == 0)
        msg.a = n->held[r[3] / 4 % (uint32_t)n->n_held].job;
    else if (r[3] % 4 == 1)
        msg.a = HM_SUSPECTS;
    for (int i = 0; i < h->m.n_late && msg.n_late < HIST_LATE; i++) {
        if (h->m.late[i].session == session && r[1] >> (10 + i % 16) & 1)
            msg.late[msg.n_late++] = h->m.late[i];
    }
    hist_put_beat(h, &msg);
    dispatch(h, &msg, r[4]);
}

/* An end of a task or an item: how, and what it gives to others. */
static void end_of_task(const hist *h, const hist_held *held, uint32_t bits, hm_done *d)
{
    const hm_job *j = &h->m.job[held->job];
    bool ends = strchr("cnd", d->kind) != NULL;

    if ((!j->flow && !j->batch) || !ends)
        return;
    d->skips = d->kind != 'd' && bits % 6 == 0;
    if (d->kind != 'd' && !d->skips && bits / 8 % 4 != 0 && hist_is_wanted(held))
        d->result = held->job + 1;
    if (j->batch) {
        d->fails = d->kind == 'd';
        d->kind = 'i';
    }
}

static void step_complete(hist *h, int session, const uint32_t *r)
{
    static const char kinds[] = {'c', 'c', 'r', 'f', 'd', 'p'};
    hist_node *n = &h->node[session];
    hist_msg msg = {.kind = MSG_COMPLETE, .who = session};
    const hist_held *held[HM_ITEMS];
    int want = 1 + (int)(r[1] % HM_ITEMS);

    for (int i = 0; i < n->n_held && msg.n < want; i++) {
        uint32_t bits = r[2] >> (5 * msg.n);
        char kind = kinds[bits % DQ_ARRAY_LEN(kinds)];

        if (kind == 'c' && !h->m.job[n->held[i].job].kept)
            kind = 'n';
        held[msg.n] = &n->held[i];
        msg.done[msg.n] = (hm_done){.job = n->held[i].job,
                                    .turn = n->held[i].turn,
                                    .kind = kind,
                                    .delay = kind == 'p' && bits & 8 ? -1 : 1 + (int)(bits / 8 % 3),
                                    .late = strchr("rfd", kind) && r[3] >> (8 + 3 * msg.n) & 1,
                                    .run = h->m.job[n->held[i].job].runs + 1};
        end_of_task(h, &n->held[i], r[3] >> (4 * msg.n + 5), &msg.done[msg.n]);
        msg.n++;
    }
    if (msg.n == 0)
        return;
    msg.no = ++n->call_no;
    hist_put_complete(h, &msg, held);
    for (int i = n->n_held - 1; i >= 0; i--) {
        for (int k = 0; k < msg.n; k++) {
            if (held[k] == &n->held[i]) {
                hist_node_drop(n, i);
                break;
            }
        }
    }
    if (r[3] % 5 == 0) { /* executed or not: its reply does not come */
        if (r[3] % 2)
            hist_exec(h, &msg);
        n->unsure = msg;
        return;
    }
    dispatch(h, &msg, r[4]);
}

static void step_return(hist *h, int session, const uint32_t *r)
{
    hist_node *n = &h->node[session];
    hist_msg msg = {.kind = MSG_RETURN, .who = session, .n = (int)DQ_MIN(1 + r[1] % 3, (uint32_t)n->n_held)};

    if (msg.n == 0)
        return;
    for (int i = 0; i < msg.n; i++) {
        msg.job[i] = n->held[i].job;
        msg.turn[i] = n->held[i].turn;
        msg.ran[i] = r[2] >> i & 1;
    }
    hist_put_return(h, &msg, n->held);
    for (int i = msg.n - 1; i >= 0; i--)
        hist_node_drop(n, i);
    dispatch(h, &msg, r[4]);
}

static void step_node(hist *h, const uint32_t *r, uint32_t what)
{
    int session = living(h, r[0]);
    hist_msg msg = {.kind = MSG_CLOSE, .who = session};

    if (session == 0)
        return;
    if (what == 4) {
        hist_say(h, "  session %d dies", session);
        if (r[1] % 2) /* else it stands still: its connections are open */
            hist_node_cut(h, session);
        h->node[session].dead = true;
        return;
    }
    if (what == 7) {
        hist_node_cut(h, session);
        return;
    }
    if (r[1] >> 24 & 3)
        hist_node_hear(h, session, (r[1] >> 26 & 7) == 0);
    ask_again(h, session);
    switch (what) {
    case 0: hist_node_turn(h, session, r); break;
    case 1: step_beat(h, session, r); break;
    case 2: step_complete(h, session, r); break;
    case 3: step_return(h, session, r); break;
    case 5: hist_node_watch(h, session); break;
    default:
        hist_put_operator(h, &msg);
        h->node[session].dead = true;
        dispatch(h, &msg, r[4]);
        break;
    }
}

/* Mostly the leader that is, sometimes one that was, or never. */
static int any_leader(const hist *h, const uint32_t *r)
{
    return r[1] % 4 && h->m.leader ? h->m.leader : 1 + (int)(r[1] / 4 % (uint32_t)h->m.n_sessions);
}

static void step_leader(hist *h, const uint32_t *r)
{
    hist_msg msg = {.kind = (hist_msg_kind)(MSG_REAP + r[0] % 3), .a = 1 + (int)(r[2] % 4), .b = r[3] % 4 ? 1 : 3};

    if (h->m.n_sessions == 0)
        return;
    msg.who = any_leader(h, r);
    msg.no = h->epoch_of[msg.who];
    hist_put_operator(h, &msg);
    dispatch(h, &msg, r[4]);
}

static void step_operator(hist *h, const uint32_t *r)
{
    static const hist_msg_kind kinds[] = {MSG_CANCEL,    MSG_CANCEL,     MSG_RETRY,  MSG_RETRY,  MSG_DELETE,
                                          MSG_MOVE,      MSG_MOVE,       MSG_MOVE,   MSG_PURGE,  MSG_QUEUE_SET,
                                          MSG_QUEUE_SET, MSG_KEY_DELETE, MSG_UPDATE, MSG_UPDATE, MSG_DRAIN};
    hist_msg msg = {.kind = kinds[r[0] % DQ_ARRAY_LEN(kinds)], .flag = r[2] % 3 == 0, .a = (int)(r[3] % 4)};

    if (msg.kind <= MSG_UPDATE && h->m.n_jobs == 0)
        return;
    if (msg.kind <= MSG_UPDATE)
        msg.who = (int)(r[1] % (uint32_t)h->m.n_jobs);
    else
        msg.who = (int)(r[1] % (msg.kind == MSG_KEY_DELETE ? HM_KEYS : msg.kind == MSG_DRAIN ? HM_NODES : HM_QUEUES));
    /* what its envelope says of its schedule, workflow or batch is not made here */
    if (msg.kind == MSG_UPDATE && (h->m.job[msg.who].sched >= 0 || h->m.job[msg.who].flow || h->m.job[msg.who].batch))
        msg.kind = MSG_CANCEL;
    msg.b = h->m.now + (int)(r[3] / 4 % 6) - 1;
    if (msg.kind == MSG_QUEUE_SET)
        msg.a = (msg.who == 1) == (msg.a > 0) ? HM_FULL : 0;
    if (msg.kind == MSG_UPDATE) {
        msg.a = h->m.job[msg.who].payload; /* it reads the job first */
        msg.b = ++h->payloads;
    }
    hist_put_operator(h, &msg);
    dispatch(h, &msg, r[4]);
}

void hist_turn_clock(hist *h, int units)
{
    h->m.now += units;
    h->m.now = DQ_MAX(h->m.now, 0);
    hist_say(h, "  clock %d", h->m.now);
    hist_clock(h->w, h->m.now);
}

static void step_clock(hist *h, const uint32_t *r)
{
    static const int steps[] = {1, 1, 1, 2, 5, -2};

    hist_turn_clock(h, steps[r[0] % DQ_ARRAY_LEN(steps)]);
}

/* What happens between a leader's look and its call: the clock is set back; somebody pauses or changes one. */
static void come_between(hist *h, const uint32_t *r)
{
    uint32_t other[5] = {r[0], r[3], r[2] >> 8, r[1], r[4]};
    hist_msg msg = {0};

    if (r[2] % 8 == 0)
        hist_turn_clock(h, -1);
    if (r[2] % 8 != 1)
        return;
    hist_step_schedule(h, other, &msg);
    hist_exec(h, &msg);
    dq_buf_deinit(&msg.bytes);
}

static void step_flow(hist *h, const uint32_t *r)
{
    int n_batches = h->m.n_batches;
    hist_msg msg = {0};

    hist_step_flow(h, r, &msg);
    dispatch(h, &msg, r[4]);
    hist_fill_batch(h, r, n_batches);
}

static void step_flow_step(hist *h, const uint32_t *r)
{
    hist_msg msg = {0};

    if (h->m.n_sessions == 0)
        return;
    hist_put_flow_step(h, any_leader(h, r), &msg);
    dispatch(h, &msg, r[4]);
}

/* How much scripts do of what a workflow or batch wants in one step. */
static void step_budget(hist *h, const uint32_t *r)
{
    int budget = r[0] % 4 == 0 ? HIST_BUDGET : 1 + (int)(r[0] / 4 % 14);

    h->was_small = h->was_small || budget < HIST_BUDGET;
    hist_say(h, "  budget %d", budget);
    hist_budget(h->w, budget);
}

static void step_fire(hist *h, const uint32_t *r)
{
    hist_msg msg = {0};

    if (h->m.n_sessions > 0)
        hist_step_fire(h, any_leader(h, r), &msg);
    if (msg.kind != MSG_NONE)
        come_between(h, r);
    dispatch(h, &msg, r[4]);
}

/* ---- the steps ---- */

enum {
    STEP_ENQUEUE,
    STEP_OPEN,
    STEP_TURN,
    STEP_BEAT,
    STEP_COMPLETE,
    STEP_RETURN,
    STEP_DIE,
    STEP_WATCH,
    STEP_CLOSE,
    STEP_CUT,
    STEP_LEADER,
    STEP_OPERATOR,
    STEP_CLOCK,
    STEP_DELIVER,
    STEP_SCHEDULE,
    STEP_FIRE,
    STEP_FLOW,
    STEP_FLOW_STEP,
    STEP_BUDGET,
    STEPS
};

static const uint8_t weights[HIST_KINDS][STEPS] = {
    [HIST_JOBS] = {18, 5, 24, 12, 14, 3, 2, 4, 2, 2, 12, 14, 7, 6, 0, 0, 0, 0, 0},
    [HIST_SCHEDULES] = {4, 4, 24, 12, 18, 2, 2, 2, 2, 1, 5, 10, 16, 8, 16, 22, 0, 0, 0},
    [HIST_FLOWS] = {3, 4, 34, 10, 30, 3, 2, 2, 2, 2, 6, 7, 6, 6, 0, 0, 20, 14, 2},
};

static void play_one(hist *h, const hist_step *s)
{
    hist_msg msg = {0};

    switch (s->kind) {
    case STEP_ENQUEUE: step_enqueue(h, s->r); break;
    case STEP_OPEN:
        if (h->m.n_sessions + 1 < HM_SESSIONS)
            hist_node_open(h);
        break;
    case STEP_LEADER: step_leader(h, s->r); break;
    case STEP_OPERATOR: step_operator(h, s->r); break;
    case STEP_CLOCK: step_clock(h, s->r); break;
    case STEP_DELIVER: deliver(h, s->r); break;
    case STEP_SCHEDULE:
        hist_step_schedule(h, s->r, &msg);
        dispatch(h, &msg, s->r[4]);
        break;
    case STEP_FIRE: step_fire(h, s->r); break;
    case STEP_FLOW: step_flow(h, s->r); break;
    case STEP_FLOW_STEP: step_flow_step(h, s->r); break;
    case STEP_BUDGET: step_budget(h, s->r); break;
    default: step_node(h, s->r, (uint32_t)s->kind - STEP_TURN); break;
    }
}

static void clean(hist *h)
{
    for (int i = 0; i < HM_SESSIONS; i++)
        hist_node_end(h, i);
    for (int i = 0; i < HIST_MSGS; i++)
        dq_buf_deinit(&h->msg[i].bytes);
    dq_zones_destroy(h->zones);
    h->zones = NULL;
}

void hist_play(hist *h, hist_wire *w, const hist_step *steps, int n, bool trace)
{
    *h = (hist){.w = w, .trace = trace};
    hm_init(&h->m);
    hist_reset(w);
    h->base_ms = hist_base_ms(w);
    for (int i = 0; i < HM_PRODUCERS; i++)
        hist_ask_token(h, i);
    hist_node_open(h);
    for (h->step = 0; h->step < n && !h->failed; h->step++) {
        hist_say(h, "step %d", h->step);
        play_one(h, &steps[h->step]);
        if (h->step % 8 == 7 || trace)
            hist_check_jobs(h);
        if (trace)
            hist_check_all(h);
    }
    hist_end_flows(h);
    hist_check_all(h);
    clean(h);
}

/* One history in four is of workflows and batches, one in four of schedules. */
hist_kind hist_kind_of(uint64_t seed)
{
    if (seed % 4 == 3)
        return HIST_FLOWS;
    return seed % 3 == 2 ? HIST_SCHEDULES : HIST_JOBS;
}

void hist_make(uint64_t seed, hist_step *steps, int *ret_n)
{
    const uint8_t *w = weights[hist_kind_of(seed)];
    dq_rng rng;
    unsigned total = 0;

    dq_rng_seed(&rng, seed);
    *ret_n = 30 + (int)dq_rng_below(&rng, HIST_STEPS_MAX - 30);
    for (int i = 0; i < STEPS; i++)
        total += w[i];
    for (int i = 0; i < *ret_n; i++) {
        unsigned at = (unsigned)dq_rng_below(&rng, total);

        for (steps[i].kind = 0; at >= w[steps[i].kind]; steps[i].kind++)
            at -= w[steps[i].kind];
        for (size_t k = 0; k < DQ_ARRAY_LEN(steps[i].r); k++)
            steps[i].r[k] = (uint32_t)dq_rng_next(&rng);
    }
}
