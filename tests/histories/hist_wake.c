/* SPDX-License-Identifier: Apache-2.0 */
/* Wake-ups. A session that waits for work of a lane is registered there; a call that brings n jobs to the lane takes n of the registered out, whichever
   the script picks, and tells each. A producer's call may hand a session its job in the same message: it is the session's from then on, whether it
   hears of it or not. So who was taken out is read from the server, and everything else follows from that. */
#include "hist_play.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/id.h"

typedef struct wakes {
    int added[HM_LANES], made[HM_LANES]; /* made: of those added, the jobs that are new, which go out with wake-ups */
    bool taken[HM_LANES][HM_SESSIONS];   /* out of the registered, and not told yet */
} wakes;

static bool any_idle(const hist *h, int lane)
{
    bool any = false;

    for (int s = 1; s <= h->m.n_sessions; s++)
        any = any || h->m.idle[lane][s];
    return any;
}

hist_before hist_wake_before(const hist *h)
{
    hist_before b = {.n_jobs = h->m.n_jobs};

    for (int i = 0; i < HM_LANES; i++)
        b.any = b.any || any_idle(h, i);
    for (int i = 0; i < h->m.n_jobs; i++)
        b.turn[i] = h->m.job[i].turn;
    return b;
}

/* A call that replaces what it dispatched itself wakes for that too. */
static bool is_added(const hist *h, int job, const hist_before *before)
{
    const hm_job *j = &h->m.job[job];
    bool is_new = job >= before->n_jobs;

    if (is_new && (j->sched >= 0 || j->flow || j->batch))
        return true;
    return (j->place == HM_LANE || j->place == HM_FRONT) && j->session == 0 && (is_new || j->turn != before->turn[job]);
}

static int added_to(const hist *h, int lane, const hist_before *before, int *ret_made)
{
    int n = 0;

    *ret_made = 0;
    for (int i = 0; i < h->m.n_jobs; i++) {
        if (h->m.job[i].lane != lane || !is_added(h, i, before))
            continue;
        n++;
        *ret_made += i >= before->n_jobs;
    }
    return n;
}

static void see_registered(hist *h, wakes *w, int lane)
{
    char key[48];
    bool still[HM_SESSIONS] = {false};
    int n_idle = 0, n_taken = 0;
    dq_reply r;

    (void)snprintf(key, sizeof key, "{dureq:0}:idle:%d", h->m.lane_no[lane]);
    r = hist_words(h->w, 0, "SMEMBERS", key, NULL);
    for (size_t i = 0; i < dq_reply_len(r); i++) {
        int session = atoi(dq_reply_str(dq_reply_at(r, i)).ptr);

        if (session < 1 || session > h->m.n_sessions || !h->m.idle[lane][session])
            hist_fail(h, "wake: session %d is registered in lane %d, and did not ask for it", session, lane);
        else
            still[session] = true;
    }
    for (int s = 1; s <= h->m.n_sessions; s++) {
        n_idle += h->m.idle[lane][s];
        w->taken[lane][s] = h->m.idle[lane][s] && !still[s];
        n_taken += w->taken[lane][s];
        h->m.idle[lane][s] = still[s];
    }
    (void)hist_equal(h, "wake: sessions that are woken", DQ_MIN(n_idle, w->added[lane]), n_taken);
}

static int lane_of(const hist *h, int no)
{
    for (int i = 0; i < HM_LANES; i++) {
        if (no > 0 && h->m.lane_no[i] == no)
            return i;
    }
    return -1;
}

static void see_woken(hist *h, wakes *w, int session, int lane)
{
    if (lane < 0 || !w->taken[lane][session]) {
        hist_fail(h, "wake: session %d is woken for lane %d out of turn", session, lane);
        return;
    }
    w->taken[lane][session] = false;
    hist_say(h, "    session %d is woken for lane %d", session, lane);
    if (w->made[lane] == w->added[lane] && hm_may_deliver(&h->m, session, lane, w->made[lane]))
        hist_fail(h, "wake: session %d is woken without the job that it could be given", session);
}

static int job_of_entry(const hist *h, const char *entry, int lane)
{
    unsigned char packed[DQ_ID_BYTES];
    dq_id id;

    if (!dq_id_from_entry(dureq_str_from(entry), (uint32_t)h->m.lane_no[lane], 0, &id))
        return -1;
    dq_id_pack(&id, packed);
    for (int i = 0; i < h->m.n_jobs; i++) {
        if (memcmp(h->m.job[i].id, packed, DQ_ID_BYTES) == 0)
            return i;
    }
    return -1;
}

static void push(hist *h, int session, int job, const char *entry, dureq_str j)
{
    hist_node *n = &h->node[session];
    hist_held *t = &n->pushed[n->n_pushed];

    if (n->dead || n->n_pushed == HIST_HELD)
        return;
    *t = (hist_held){.job = job, .turn = h->m.job[job].turn, .stream = 'l'};
    (void)snprintf(t->entry, sizeof t->entry, "%s", entry);
    dq_buf_append_str(&t->j, j);
    n->n_pushed++;
}

/* lane I3, ms I6, sequence I4, j */
static void see_delivered(hist *h, wakes *w, int session, dureq_str body)
{
    dq_reader in = dq_reader_of(body);
    int lane = lane_of(h, (int)hist_read_be(&in, 3)), job;
    long long ms = hist_read_be(&in, 6), seq = hist_read_be(&in, 4);
    char entry[32];

    if (in.bad || lane < 0 || !w->taken[lane][session] || w->made[lane] == 0) {
        hist_fail(h, "wake: session %d is given something of lane %d out of turn", session, lane);
        return;
    }
    w->taken[lane][session] = false;
    (void)snprintf(entry, sizeof entry, "%lld-%lld", ms, seq);
    job = job_of_entry(h, entry, lane);
    hist_say(h, "    session %d is woken with job %d of lane %d", session, job, lane);
    if (job < 0 || !hm_is_next(&h->m, job, lane, HM_LANE)) {
        hist_fail(h, "wake: session %d is given job %d, whose turn it is not", session, job);
    } else if (!hm_may_deliver(&h->m, session, lane, w->made[lane])) {
        hist_fail(h, "wake: session %d is given job %d, which it may not be", session, job);
    } else {
        hm_fetch(&h->m, session, job, entry);
        push(h, session, job, entry, dureq_str_of((const char *)in.p, (size_t)(in.end - in.p)));
    }
}

static void hear_all(hist *h, wakes *w)
{
    static const char channel[] = "{dureq:0}:w:";
    dq_reply r;

    hist_ask_heard(h->w);
    while (hist_heard(h->w, &r)) {
        dureq_str of = dq_reply_str(dq_reply_at(r, 1)), text = dq_reply_str(dq_reply_at(r, 2));
        int session = of.len >= sizeof channel ? atoi(of.ptr + sizeof channel - 1) : 0;

        if (h->failed || text.len < 2)
            continue;
        if (text.ptr[0] == 'J')
            see_delivered(h, w, session, dureq_str_of(text.ptr + 1, text.len - 1));
        else if (text.ptr[0] == 'L')
            see_woken(h, w, session, lane_of(h, atoi(text.ptr + 1)));
    }
}

void hist_wake_after(hist *h, const hist_before *before)
{
    wakes w = {0};
    bool any = false;

    for (int i = 0; i < HM_LANES && before->any && !h->failed; i++) {
        w.added[i] = any_idle(h, i) ? added_to(h, i, before, &w.made[i]) : 0;
        if (w.added[i] > 0)
            see_registered(h, &w, i);
        any = any || w.added[i] > 0;
    }
    if (!any || h->failed)
        return;
    hear_all(h, &w);
    for (int i = 0; i < HM_LANES; i++) {
        for (int s = 1; s <= h->m.n_sessions; s++) {
            if (w.taken[i][s] && h->node[s].listens)
                hist_fail(h, "wake: session %d is taken out of lane %d, and not told", s, i);
        }
    }
}
