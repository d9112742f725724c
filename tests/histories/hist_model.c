/* SPDX-License-Identifier: Apache-2.0 */
#include "hist_model.h"

#include "store/job_calls.h"

#include <stdio.h>
#include <string.h>

void hm_init(hm *m)
{
    memset(m, 0, sizeof(*m));
    m->version = 1;
    m->limit[1] = HM_FULL;
    for (int i = 0; i < HM_KEYS; i++)
        m->key[i] = -1;
    for (int i = 0; i < HM_REQUESTS; i++)
        m->request[i] = -1;
    for (int i = 0; i < HM_SKEYS; i++)
        m->skey[i] = -1;
    m->lost = -1;
}

static bool waits(const hm_job *j) /* in a stream, and nobody was given it */
{
    return (j->place == HM_LANE || j->place == HM_FRONT) && j->session == 0;
}

static bool alive(const hm_job *j)
{
    return j->place >= HM_LANE && j->place <= HM_PAUSED;
}

static void put(hm_job *j, hm_place place)
{
    j->place = place;
    j->session = 0;
    j->turn++;
}

static void let_key_go(hm *m, int job)
{
    hm_job *j = &m->job[job];

    if (j->ukey >= 0 && !j->ukey_stays && m->key[j->ukey] == job)
        m->key[j->ukey] = -1;
}

/* What follows from it for others comes after it: see the callers of hm_occurrence_ended. */
static void over(hm *m, int job, hm_place place, int state)
{
    hm_job *j = &m->job[job];

    put(j, j->batch ? HM_GONE : place); /* of an item its batch says what became of it */
    j->state = state;
    let_key_go(m, job);
    if (j->flow)
        hm_flow_job_ended(m, job, state);
    if (j->batch)
        hm_batch_job_ended(m, job, state);
}

void hm_end(hm *m, int job, hm_place place, int state)
{
    over(m, job, place, state);
    hm_occurrence_ended(m, job, place == HM_DEAD);
}

/* ---- late runs ---- */

void hm_late_add(hm *m, int session, int job, int run)
{
    m->late[m->n_late++] = (hm_late){.session = session, .job = job, .run = run};
}

bool hm_has_late(const hm *m, int job)
{
    bool any = false;

    for (int i = 0; i < m->n_late; i++)
        any = any || m->late[i].job == job;
    return any;
}

static void late_forget(hm *m, int at)
{
    int job = m->late[at].job;

    m->late[at] = m->late[--m->n_late];
    if (!hm_has_late(m, job))
        hm_occurrence_late_over(m, job);
}

void hm_late_over(hm *m, int session, int job, int run)
{
    for (int i = 0; i < m->n_late; i++) {
        if (m->late[i].session == session && m->late[i].job == job && m->late[i].run == run) {
            late_forget(m, i);
            return;
        }
    }
}

int hm_n_late(const hm *m, int session)
{
    int n = 0;

    for (int i = 0; i < m->n_late; i++)
        n += m->late[i].session == session;
    return n;
}

static void late_drop(hm *m, int session)
{
    for (int i = m->n_late - 1; i >= 0; i--) {
        if (m->late[i].session == session)
            late_forget(m, i);
    }
}

int hm_state(const hm *m, int job)
{
    const hm_job *j = &m->job[job];

    switch (j->place) {
    case HM_LANE:
    case HM_FRONT: return j->session ? DUREQ_JOB_RUNNING : DUREQ_JOB_PENDING;
    case HM_DUE: return j->runs > 0 ? DUREQ_JOB_RETRYING : DUREQ_JOB_SCHEDULED;
    case HM_PAUSED: return DUREQ_JOB_PAUSED;
    case HM_DEAD:
    case HM_HISTORY: return j->state;
    case HM_GONE: break;
    }
    return -1;
}

/* ---- producers ---- */

int hm_room(const hm *m, int queue)
{
    int n = m->limit[queue];

    if (n == 0)
        return HM_NEVER;
    for (int i = 0; i < m->n_jobs; i++)
        n -= m->job[i].lane / 2 == queue && waits(&m->job[i]);
    return n;
}

int hm_make_of(hm *m, const hm_item *it)
{
    int job = m->n_jobs++;
    hm_job *j = &m->job[job];

    *j = (hm_job){.lane = it->lane,
                  .ukey = it->ukey,
                  .ukey_stays = it->ukey_stays,
                  .kept = it->kept,
                  .s2s = it->s2s,
                  .large = it->large > 0,
                  .sched = -1};
    put(j, it->delay ? HM_DUE : HM_LANE);
    j->due = m->now + it->delay;
    j->s2s_at = it->s2s > 0 ? m->now + it->delay + it->s2s : -1;
    if (it->ukey >= 0)
        m->key[it->ukey] = job;
    if (it->request >= 0)
        m->request[it->request] = job;
    m->stat_e[it->lane]++;
    return job;
}

static uint8_t accept(hm *m, const hm_item *it, int room_left[HM_QUEUES], int *ret_job)
{
    int *left = &room_left[it->lane / 2];

    if (it->request >= 0 && m->request[it->request] >= 0) {
        *ret_job = m->request[it->request];
        return 4;
    }
    if (it->ukey >= 0 && m->key[it->ukey] >= 0) {
        *ret_job = m->key[it->ukey];
        return 3;
    }
    if (it->delay == 0 && *left <= 0)
        return 2;
    *left -= it->delay == 0;
    *ret_job = hm_make_of(m, it);
    return 0;
}

static int repeated(const hm *m, int producer, int64_t no, hm_answer *ret)
{
    *ret = m->producer[producer].slot[no % 64];
    return ret->no == no ? 0 : HM_UNKNOWN;
}

int hm_enqueue(hm *m, int producer, int64_t no, const hm_item *items, int n, hm_answer *ret)
{
    hm_producer *p = &m->producer[producer];
    hm_answer *a = &p->slot[no % 64];
    int left[HM_QUEUES];

    if (no <= p->last)
        return repeated(m, producer, no, ret);
    for (int i = 0; i < HM_QUEUES; i++)
        left[i] = hm_room(m, i);
    *a = (hm_answer){.no = no, .n = n};
    p->last = no;
    for (int i = 0; i < n; i++) {
        if (m->lane_no[items[i].lane] == 0)
            m->lane_no[items[i].lane] = ++m->n_lanes;
    }
    for (int i = 0; i < n; i++)
        a->kind[i] = accept(m, &items[i], left, &a->job[i]);
    *ret = *a;
    return 0;
}

int hm_enqueue_seal(hm *m, int producer, int64_t no, int version, const hm_item *items, int n, hm_answer *ret)
{
    hm_producer *p = &m->producer[producer];
    hm_answer *a = &p->slot[no % 64];

    if (no <= p->last)
        return repeated(m, producer, no, ret);
    if (version != m->version)
        return HM_STALE;
    *a = (hm_answer){.no = no, .n = n, .sealed = true};
    p->last = no;
    for (int i = 0; i < n; i++)
        a->job[i] = hm_make_of(m, &items[i]);
    *ret = *a;
    return 0;
}

/* ---- sessions ---- */

/* The served clock: what passed since the last look, but at most a quarter of the lease. */
void hm_serve(hm *m)
{
    int passed = m->now - m->looked_at;

    m->served += passed <= 0 ? 0 : passed < HM_LEASE / 4 ? passed : HM_LEASE / 4;
    m->looked_at = m->now;
}

int hm_session_open(hm *m)
{
    hm_session *s = &m->session[++m->n_sessions];

    hm_serve(m);
    *s = (hm_session){.life = HM_LIVE, .lease = m->served + HM_LEASE, .blamed = -1};
    return m->n_sessions;
}

static int stand(hm *m, int session)
{
    bool other = m->leader && m->leader != session;
    hm_life life = m->session[m->leader].life;

    if (other && m->leader_until > m->now && m->leader_until <= m->now + 2 * HM_LEASE && (life == HM_LIVE || life == HM_REAPING))
        return 0;
    if (m->leader != session)
        m->epoch++;
    m->leader = session;
    m->leader_until = m->now + HM_LEASE;
    return m->epoch;
}

int hm_session_beat(hm *m, int session, bool leader, int blamed, const int *started, int n)
{
    hm_session *s = &m->session[session];
    int epoch;

    if (s->life != HM_LIVE)
        return HM_FENCED;
    hm_serve(m);
    s->lease = m->served + HM_LEASE;
    s->blamed = blamed;
    epoch = leader ? stand(m, session) : 0;
    for (int i = 0; i < n; i++)
        s->started[started[i]] = true;
    for (int i = 0; i < m->n_jobs; i++) {
        if (s->cancelled[i])
            s->started[i] = false;
    }
    return epoch;
}

static void forget(hm *m, int session)
{
    m->session[session].life = HM_DROPPED;
    m->session[session].touched++;
    memset(m->session[session].started, 0, sizeof(m->session[session].started));
    memset(m->session[session].cancelled, 0, sizeof(m->session[session].cancelled));
}

static void unregister(hm *m, int session, int lane_no)
{
    for (int i = 0; i < HM_LANES; i++)
        m->idle[i][session] = m->idle[i][session] && m->lane_no[i] != lane_no;
}

int hm_session_close(hm *m, int session)
{
    hm_session *s = &m->session[session];
    bool clean = true;

    if (m->leader == session)
        m->leader = m->leader_until = 0;
    if (s->life != HM_LIVE)
        return 0;
    for (int i = 0; i < m->n_jobs; i++)
        clean = clean && m->job[i].session != session;
    for (int i = 1; i <= m->n_lanes; i++)
        unregister(m, session, i);
    if (clean) {
        late_drop(m, session);
        forget(m, session);
        return 1;
    }
    s->life = HM_REAPING;
    s->lane = 1;
    s->lease = 0;
    s->touched++;
    return 0;
}

static bool owns(const hm *m, int session, int job, int turn)
{
    return m->job[job].session == session && m->job[job].turn == turn;
}

int hm_session_return(hm *m, int session, const int *job, const int *turn, const bool *ran, int n)
{
    int done = 0;

    if (m->session[session].life != HM_LIVE)
        return HM_FENCED;
    for (int i = 0; i < n; i++) {
        if (!owns(m, session, job[i], turn[i]))
            continue;
        m->job[job[i]].runs += ran[i];
        m->session[session].started[job[i]] = false;
        put(&m->job[job[i]], HM_FRONT);
        done++;
    }
    m->session[session].touched += done > 0;
    return done;
}

void hm_fetch(hm *m, int session, int job, const char *entry)
{
    m->job[job].session = session;
    (void)snprintf(m->job[job].entry, sizeof(m->job[job].entry), "%s", entry);
}

/* ---- what became of jobs ---- */

static void done_one(hm *m, int session, const hm_done *d)
{
    hm_job *j = &m->job[d->job];

    j->skips = d->skips;
    j->result = d->result;
    if (d->late)
        hm_late_add(m, session, d->job, d->run);
    if (d->kind == 'i') {
        over(m, d->job, HM_GONE, d->fails ? DUREQ_JOB_DEAD : DUREQ_JOB_COMPLETED);
        return;
    }
    if (d->kind == 'c' || d->kind == 'n') {
        j->was_run = true;
        over(m, d->job, d->kind == 'c' ? HM_HISTORY : HM_GONE, DUREQ_JOB_COMPLETED);
        return;
    }
    j->attempts++;
    j->runs++;
    j->suspect = false;
    if (d->kind == 'd') {
        over(m, d->job, HM_DEAD, DUREQ_JOB_DEAD);
        return;
    }
    put(j, d->kind == 'r' ? HM_DUE : d->kind == 'p' ? HM_PAUSED : HM_FRONT);
    j->due = d->delay < 0 ? HM_NEVER : m->now + d->delay;
}

int hm_complete(hm *m, int session, int64_t no, const hm_done *done, int n)
{
    hm_session *s = &m->session[session];
    bool ended[HM_ITEMS * 2] = {false};

    if (s->life != HM_LIVE)
        return HM_FENCED;
    if (s->last_call == no)
        return 0;
    s->last_call = no;
    s->n_refused = 0;
    s->touched++;
    for (int i = 0; i < n; i++) {
        if (owns(m, session, done[i].job, done[i].turn)) {
            done_one(m, session, &done[i]);
            m->stat_c[m->job[done[i].job].lane]++;
            ended[i] = strchr("cndi", done[i].kind) != NULL;
        } else {
            s->refused[s->n_refused++] = (uint8_t)i;
        }
    }
    for (int i = 0; i < n; i++)
        s->started[done[i].job] = false;
    for (int i = 0; i < n; i++) {
        if (ended[i])
            hm_occurrence_ended(m, done[i].job, done[i].kind == 'd');
    }
    return 0;
}

bool hm_cycle(hm *m, int session, int64_t no, const hm_done *done, int n)
{
    for (int i = 0; i < n; i++) {
        done_one(m, session, &done[i]);
        m->stat_c[m->job[done[i].job].lane]++;
    }
    if (n > 0) {
        m->session[session].last_call = no;
        m->session[session].n_refused = 0;
    }
    return m->session[session].life == HM_LIVE;
}

/* ---- wake-ups ---- */

void hm_register(hm *m, int session, int lane)
{
    m->idle[lane][session] = true;
}

/* FIFO in a lane, in a front any that waits there. */
bool hm_is_next(const hm *m, int job, int lane, hm_place place)
{
    const hm_job *j = &m->job[job];

    if (j->place != place || j->lane != lane || j->session)
        return false;
    for (int i = 0; i < m->n_jobs && place == HM_LANE; i++) {
        const hm_job *o = &m->job[i];

        if (o->place == HM_LANE && o->lane == lane && o->session == 0 && memcmp(o->id, j->id, sizeof(o->id)) < 0)
            return false;
    }
    return true;
}

bool hm_may_deliver(const hm *m, int session, int lane, int n_added)
{
    bool ok = m->session[session].life == HM_LIVE && n_added <= 4, waiting = false;

    for (int i = 0; i < HM_QUEUES; i++)
        ok = ok && !m->paused[i];
    for (int i = 0; i < m->n_jobs; i++)
        waiting = waiting || (m->job[i].lane == lane && m->job[i].place == HM_LANE && m->job[i].session == 0);
    return ok && waiting;
}

/* ---- the leader ---- */

bool hm_is_over(const hm *m, int session, int leader)
{
    const hm_session *s = &m->session[session];

    return session != leader && (s->life == HM_LIVE || s->life == HM_REAPING) && s->lease <= m->served;
}

int hm_leader_check(const hm *m, int session, int epoch)
{
    return m->leader == session && m->epoch == epoch ? 0 : HM_FENCED;
}

static bool is_blamed(const hm_session *s, const hm_job *j, int job)
{
    if (s->blamed == HM_SUSPECTS)
        return j->suspect && j->crashes == 0;
    return s->blamed < 0 || s->blamed == job;
}

/* true: it died. */
static bool hand_over(hm *m, int victim, int job)
{
    hm_job *j = &m->job[job];
    hm_session *s = &m->session[victim];

    if (s->started[job]) {
        bool charged = is_blamed(s, j, job);

        j->runs++;
        j->crashes += charged;
        s->started[job] = false;
        if (charged && j->crashes >= HM_CRASHES) {
            j->s2s_at = -1;
            hm_end(m, job, HM_DEAD, DUREQ_JOB_DEAD);
            m->stat_d[j->lane]++;
            return true;
        }
    } else {
        j->suspect = true;
    }
    put(j, HM_FRONT);
    return false;
}

static bool before(const char *a, const char *b) /* stream entries */
{
    unsigned long long ams = 0, aseq = 0, bms = 0, bseq = 0;

    (void)sscanf(a, "%llu-%llu", &ams, &aseq);
    (void)sscanf(b, "%llu-%llu", &bms, &bseq);
    return ams != bms ? ams < bms : aseq < bseq;
}

/* The oldest entry that the session holds of a stream, -1: none. */
static int held_first(const hm *m, int session, int lane, hm_place place)
{
    int found = -1;

    for (int i = 0; i < m->n_jobs; i++) {
        const hm_job *j = &m->job[i];

        if (j->session == session && j->place == place && m->lane_no[j->lane] == lane &&
            (found < 0 || before(j->entry, m->job[found].entry)))
            found = i;
    }
    return found;
}

static bool drain(hm *m, int victim, int lane, hm_place place, int *left, hm_reaped *r)
{
    int job = held_first(m, victim, lane, place);

    for (; job >= 0 && *left > 0; --*left) {
        if (hand_over(m, victim, job))
            r->dead++;
        else
            r->handed++;
        job = held_first(m, victim, lane, place);
    }
    return job < 0;
}

hm_reaped hm_session_reap(hm *m, int victim, int leader, int limit, int lanes)
{
    hm_session *s = &m->session[victim];
    hm_reaped r = {0};
    int over = 0;

    for (int i = 1; i <= m->n_sessions; i++)
        over += hm_is_over(m, i, leader);
    if (s->life != HM_REAPING) {
        s->life = HM_REAPING;
        s->lane = 1;
        s->touched++;
    }
    while (s->lane <= m->n_lanes && lanes > 0 && limit > 0) {
        bool empty;

        unregister(m, victim, s->lane);
        empty = drain(m, victim, s->lane, HM_LANE, &limit, &r);
        empty = drain(m, victim, s->lane, HM_FRONT, &limit, &r) && empty;
        if (!empty)
            break;
        s->lane++;
        lanes--;
    }
    r.late = s->lane > m->n_lanes ? (hm_n_late(m, victim) < limit ? hm_n_late(m, victim) : limit) : 0;
    r.through = s->lane > m->n_lanes && r.late == hm_n_late(m, victim);
    r.more = !r.through || over > 1;
    return r;
}

void hm_session_reaped(hm *m, int victim)
{
    forget(m, victim);
}

int hm_due_promote(hm *m)
{
    int n = 0;

    for (int i = 0; i < m->n_jobs; i++) {
        hm_job *j = &m->job[i];

        if ((j->place == HM_DUE || j->place == HM_PAUSED) && j->due <= m->now) {
            put(j, HM_FRONT);
            n++;
        }
    }
    return n;
}

int hm_housekeep(hm *m)
{
    int n = 0, n_jobs = m->n_jobs;

    for (int i = 0; i < n_jobs; i++) { /* not those that are released by the end of others */
        hm_job *j = &m->job[i];
        bool waiting = alive(j) && j->session == 0 && j->runs == 0;
        int due = j->place == HM_DUE ? j->due : m->now;

        if (j->s2s_at < 0 || j->s2s_at > m->now)
            continue;
        if (waiting && (j->place == HM_PAUSED || due > m->now)) {
            j->s2s_at = due + j->s2s;
            continue;
        }
        j->s2s_at = -1;
        if (waiting) {
            hm_end(m, i, HM_DEAD, DUREQ_JOB_DEAD);
            m->stat_d[j->lane]++;
            n++;
        }
    }
    hm_flows_drop(m);
    hm_batches_drop(m);
    return n;
}

/* ---- operators ---- */

int hm_cancel(hm *m, int job)
{
    hm_job *j = &m->job[job];

    if (j->place == HM_GONE)
        return -3;
    if (!alive(j))
        return -4;
    j->was_run = j->session != 0;
    if (j->session) {
        hm_late_add(m, j->session, job, j->runs + 1);
        m->session[j->session].cancelled[job]++;
        m->session[j->session].started[job] = false;
        m->session[j->session].touched++;
    }
    j->s2s_at = -1;
    m->stat_x[j->lane]++;
    hm_end(m, job, j->kept ? HM_HISTORY : HM_GONE, DUREQ_JOB_CANCELLED);
    return 0;
}

int hm_retry(hm *m, int job, bool force)
{
    hm_job *j = &m->job[job];

    if (j->place == HM_GONE)
        return -3;
    if (alive(j))
        return -4;
    if (j->flow)
        return DUREQ_EUNSUPPORTED;
    if (j->state == DUREQ_JOB_COMPLETED && !force)
        return -4;
    if (j->ukey >= 0 && m->key[j->ukey] >= 0 && m->key[j->ukey] != job)
        return -5;
    if (!hm_occurrence_retried(m, job))
        return -4;
    if (j->ukey >= 0)
        m->key[j->ukey] = job;
    j->runs += j->place == HM_HISTORY && j->was_run;
    j->attempts = j->crashes = 0;
    j->suspect = false;
    put(j, HM_FRONT);
    return 0;
}

int hm_delete(hm *m, int job)
{
    hm_job *j = &m->job[job];

    if (j->place == HM_GONE)
        return -3;
    if (alive(j))
        return -4;
    put(j, HM_GONE);
    return 0;
}

int hm_move(hm *m, int job, int verb, int at)
{
    hm_job *j = &m->job[job];

    if (j->place == HM_GONE)
        return -3;
    if (!alive(j) || j->session || (verb == DQ_JOB_RESUME) != (j->place == HM_PAUSED))
        return -4;
    put(j, verb == DQ_JOB_PAUSE ? HM_PAUSED : verb == DQ_JOB_RESCHEDULE ? HM_DUE : HM_FRONT);
    j->due = verb == DQ_JOB_RESCHEDULE ? at : HM_NEVER;
    return 0;
}

int hm_update(hm *m, int job, int from, int to)
{
    hm_job *j = &m->job[job];

    if (j->place == HM_GONE)
        return -3;
    if (!alive(j) || j->session)
        return -4;
    if (j->payload != from)
        return -7;
    j->payload = to;
    j->large = false;
    if (waits(j))
        put(j, HM_FRONT);
    return 0;
}

int hm_purge(hm *m, int queue)
{
    int n = 0, n_jobs = m->n_jobs;

    for (int i = 0; i < n_jobs; i++) { /* not those that are released by the end of others */
        if (m->job[i].lane / 2 != queue || !waits(&m->job[i]))
            continue;
        m->job[i].s2s_at = -1;
        hm_end(m, i, HM_GONE, -1);
        n++;
    }
    return n;
}

int hm_queue_set(hm *m, int queue, bool paused, int limit)
{
    m->paused[queue] = paused;
    m->limit[queue] = limit;
    return ++m->version;
}

int hm_key_delete(hm *m, int key)
{
    bool held = m->key[key] >= 0;

    m->key[key] = -1;
    return held;
}

int hm_node_drain(hm *m, int node, bool drain)
{
    int n = 0;

    m->draining[node] = drain;
    for (int i = 1; i <= m->n_sessions; i++)
        n += i % HM_NODES == node && (m->session[i].life == HM_LIVE || m->session[i].life == HM_REAPING);
    return n;
}
