/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules made, changed and operated from callers' threads. A definition is packed here, whole; whether it is another one than before is decided where it
   is kept. The first schedule of a prefix asks for a version of the scripts that knows of schedules, which a node that is too old refuses. */
#include "base/date.h"
#include "base/random.h"
#include "client/keys.h"
#include "client/queues.h"
#include "client/require.h"
#include "client/schedule_view.h"
#include "model/queue.h"
#include "redis/resp.h"
#include "store/queue_calls.h"

/* ---- definitions ---- */

/* What is made of a schedule and its job. */
typedef struct making {
    dureq_client *c;
    const dureq_schedule *schedule;
    dureq_job_options o;
    dq_definition d;
    dureq_str payload; /* of its own key */
    unsigned shard;
    dq_buf lane, j, packed;
    dq_arena arena;
} making;

static void making_deinit(making *m)
{
    dq_buf_deinit(&m->lane);
    dq_buf_deinit(&m->j);
    dq_buf_deinit(&m->packed);
    dq_arena_deinit(&m->arena);
}

static int check_job(making *m, const dureq_job_spec *spec, dureq_error *err)
{
    static const char takes[] = "is not for the jobs of a schedule, which says itself when they start";
    int rc = dq_job_spec_check(spec, m->c->max_payload, err);

    if (rc < 0)
        return rc;
    m->o = (dureq_job_options){0};
    if (spec->options)
        memcpy(&m->o, spec->options, DQ_MIN(spec->options->struct_size, sizeof m->o));
    m->o.struct_size = sizeof m->o;
    if (m->o.delay_ms)
        return dq_fail(err, DUREQ_EINVAL, "delay %s", takes);
    if (m->o.run_at_ms)
        return dq_fail(err, DUREQ_EINVAL, "run_at %s", takes);
    if (m->o.request_id.len)
        return dq_fail(err, DUREQ_EINVAL, "request_id is not for the jobs of a schedule: put it by a key of its own");
    if (m->o.unique_for_ms)
        return dq_fail(err, DUREQ_EINVAL, "unique_for is not for a schedule, which holds its unique_key for as long as it lives");
    return 0;
}

/* The queue, by name or by priority; and where a schedule of it lives. */
static int find_queue(making *m, const dureq_job_spec *spec, dureq_error *err)
{
    const dq_keys *k = dq_client_keys(m->c);
    dq_queue_set set = {0};
    const dq_queue *q;
    int rc = dq_client_read_queues(m->c, &set, err);

    if (rc < 0)
        return rc;
    q = m->o.queue ? dq_queue_set_find(&set, dureq_str_from(m->o.queue))
                   : set.by_priority[m->o.priority ? m->o.priority : DQ_PRIORITY_DEFAULT];
    if (!q && m->o.queue)
        rc = dq_fail(err, DUREQ_ENOTFOUND, "queue '%s' is not defined", m->o.queue);
    else if (!q)
        rc = dq_fail(err, DUREQ_ENOTFOUND, "no queue takes this priority");
    if (q) {
        dq_buf_append_fmt(&m->lane, DQ_STR_FMT "|%s|", DQ_STR_ARG(q->name), spec->task_type);
        if (q->max_len > 0 && !m->d.key.len && !m->d.unique_key.len)
            m->shard = dq_keys_shard_of(k, q->name);
    }
    dq_queue_set_deinit(&set);
    return rc;
}

static int choose_shard(making *m, dureq_error *err)
{
    const dq_keys *k = dq_client_keys(m->c);
    dureq_str key = m->d.key, ukey = m->d.unique_key;
    uint32_t random = 0;
    int rc = dq_random_bytes(&random, sizeof random, err);

    if (rc < 0)
        return rc;
    m->shard = random % k->n_shards;
    if (ukey.len)
        m->shard = dq_keys_shard_of(k, ukey);
    if (key.len && ukey.len && dq_keys_shard_of(k, key) != m->shard)
        return dq_fail(
            err, DUREQ_EUNSUPPORTED,
            "unique_key is at home on another shard than the schedule's key: give them the same value, or one of them");
    if (key.len)
        m->shard = dq_keys_shard_of(k, key);
    return 0;
}

static int take_job(making *m, const dureq_job_spec *spec, dureq_error *err)
{
    dureq_job_spec template = *spec;
    dureq_job_options o;
    size_t more_at;
    int rc = check_job(m, spec, err);

    if (rc < 0)
        return rc;
    o = m->o;
    m->d.unique_key = o.unique_key;
    rc = choose_shard(m, err);
    if (rc == 0)
        rc = find_queue(m, spec, err);
    if (rc < 0)
        return rc;
    o.unique_key = (dureq_str){0};
    template.options = &o;
    more_at = dq_envelope_pack_template(&m->j, &template);
    m->d.more_at = (uint32_t)more_at;
    m->d.lane_name = dq_buf_str(&m->lane);
    m->d.j = dq_buf_str(&m->j);
    m->payload = spec->payload.len > DQ_PAYLOAD_INLINE_MAX ? spec->payload : (dureq_str){0};
    return dq_buf_failed(&m->j) || dq_buf_failed(&m->lane) ? dq_fail_nomem(err) : 0;
}

static int take_schedule(making *m, const dureq_schedule *given, dureq_error *err)
{
    int rc = dq_options_adopt(&m->d.schedule, sizeof m->d.schedule, given, "a schedule", err);

    if (rc == 0)
        rc = dq_schedule_check(&m->d.schedule, err);
    if (rc == 0 && !dq_schedule_is_recurring(m->d.schedule.type))
        return dq_fail(err, DUREQ_EINVAL, "type %s is one job: enqueue it", dureq_schedule_type_to_str(m->d.schedule.type));
    return rc;
}

/* At the server's time, it comes round yet. */
static int check_fires(const making *m, int64_t created_ms, int64_t now_ms, dureq_error *err)
{
    dq_calendar c;
    int rc = dq_schedule_open(&c, &m->d.schedule, created_ms, NULL, err);

    if (rc < 0)
        return rc;
    rc = dq_calendar_check_fires(&c, dq_floor_div(now_ms, 1000), err);
    dq_calendar_deinit(&c);
    return rc;
}

/* ---- put ---- */

static int send_put(making *m, const dq_schedule_put *put, unsigned flags, dq_schedule_answer *ret, dureq_job_id *ret_id,
                    dureq_error *err)
{
    dq_owned_reply reply;
    dq_buf call = {0};
    dq_id id;
    int rc;

    dq_call_schedule_put(&call, dq_client_keys(m->c), m->shard, put);
    rc = dq_client_call(m->c, m->shard, flags, &call, &reply, err);
    if (rc < 0)
        return rc;
    rc = dq_schedule_put_decode(&reply.reply, ret);
    if (rc == 0 && ret_id && dq_id_unpack(ret->id, &id) && id.ms)
        dq_id_to_text(&id, ret_id);
    dq_owned_reply_deinit(&reply);
    ret->id = (dureq_str){0};
    return rc < 0 ? dq_fail(err, rc, "the answer of schedule_put cannot be read") : 0;
}

#define PUT_AGAIN 100 /* another change came between reading and writing */

/* The answer's `what`, PUT_AGAIN, or negative. */
static int put(making *m, dureq_str id, dureq_str seen, unsigned flags, dureq_job_id *ret_id, dureq_error *err)
{
    dq_schedule_answer a;
    dq_schedule_put p = {.actor = dq_client_actor(m->c), .id = id, .key = id.len ? (dureq_str){0} : m->d.key, .seen = seen};
    int rc;

    dq_buf_clear(&m->packed);
    dq_definition_pack(&m->packed, &m->d);
    if (dq_buf_failed(&m->packed))
        return dq_fail_nomem(err);
    p.definition = dq_buf_str(&m->packed);
    p.payload = m->payload;
    rc = send_put(m, &p, flags, &a, ret_id, err);
    if (rc == 0 && a.what == DQ_SCHEDULE_TOO_OLD) {
        rc = dq_client_require_version(m->c, DQ_SCHEDULE_SCRIPTS, err);
        if (rc == 0)
            rc = send_put(m, &p, flags, &a, ret_id, err);
    }
    if (rc < 0)
        return rc;
    switch (a.what) {
    case DQ_SCHEDULE_UNKNOWN: return dq_fail(err, DUREQ_ENOTFOUND, "there is no such schedule any more");
    case DQ_SCHEDULE_HAS_ENDED: return dq_fail(err, DUREQ_ECONFLICT, "the schedule is completed: make another one");
    case DQ_SCHEDULE_KEY_HELD: return dq_fail(err, DUREQ_EDUPLICATE, "unique_key is held by a living job or schedule");
    case DQ_SCHEDULE_TOO_OLD: return dq_fail(err, DUREQ_ECONFLICT, "a shard was made again meanwhile: try again");
    case DQ_SCHEDULE_OTHER: return PUT_AGAIN;
    default: return a.what;
    }
}

static int server_time(const making *m, int64_t *ret, dureq_error *err)
{
    dq_owned_reply reply;
    dq_schedule_view v;
    int rc = dq_schedule_read(m->c, m->shard, (dureq_str){0}, m->d.key, &reply, &v, err);

    *ret = v.now_ms;
    if (rc == 0)
        dq_owned_reply_deinit(&reply);
    return rc == DUREQ_ENOTFOUND ? 0 : rc;
}

static int make(dureq_client *c, dureq_str key, const dureq_schedule *schedule, const dureq_job_spec *job, dureq_job_id *ret,
                dureq_put_result *ret_what, dureq_error *err)
{
    DQ_CLEANUP(making_deinit) making m = {.c = c, .schedule = schedule};
    int64_t now_ms = 0;
    int rc;

    m.d.key = key;
    rc = take_schedule(&m, schedule, err);
    if (rc == 0)
        rc = take_job(&m, job, err);
    if (rc == 0)
        rc = server_time(&m, &now_ms, err);
    if (rc == 0)
        rc = check_fires(&m, now_ms, now_ms, err);
    if (rc == 0)
        rc = put(&m, (dureq_str){0}, (dureq_str){0}, key.len ? DQ_CALL_REPEAT : 0, ret, err);
    if (rc < 0)
        return rc;
    if (ret_what)
        *ret_what = (dureq_put_result)rc;
    return 0;
}

/* One that is a single job. */
static int enqueue_once(dureq_client *c, const dureq_schedule *s, const dureq_job_spec *job, dureq_job_id *ret, dureq_error *err)
{
    dureq_job_options o = dureq_job_options_init();
    dureq_job_spec spec = *job;
    int rc;

    if (job->options) {
        rc = dq_options_adopt(&o, sizeof o, job->options, "job options", err);
        if (rc < 0)
            return rc;
    }
    if (o.delay_ms || o.run_at_ms)
        return dq_fail(err, DUREQ_EINVAL, "delay and run_at are not for a job with a schedule, which says when it starts");
    o.run_at_ms = s->run_at_ms;
    spec.options = &o;
    return dureq_client_enqueue(c, &spec, ret, err);
}

int dureq_client_create_schedule(dureq_client *c, const dureq_schedule *schedule, const dureq_job_spec *job, dureq_job_id *ret,
                                 dureq_error *err)
{
    dureq_schedule s;
    int rc;

    if (!c || !schedule || !job)
        return dq_fail(err, DUREQ_EINVAL, "client, schedule and job must be given");
    rc = dq_options_adopt(&s, sizeof s, schedule, "a schedule", err);
    if (rc == 0)
        rc = dq_schedule_check(&s, err);
    if (rc < 0)
        return rc;
    if (!dq_schedule_is_recurring(s.type))
        return enqueue_once(c, &s, job, ret, err);
    rc = dq_client_may_write(c, err);
    if (rc < 0)
        return rc;
    dq_client_enter(c);
    rc = make(c, (dureq_str){0}, schedule, job, ret, NULL, err);
    dq_client_leave(c);
    return rc;
}

int dureq_client_put_schedule(dureq_client *c, dureq_str key, const dureq_schedule *schedule, const dureq_job_spec *job,
                              dureq_job_id *ret, dureq_put_result *ret_what, dureq_error *err)
{
    int rc;

    if (!c || !schedule || !job)
        return dq_fail(err, DUREQ_EINVAL, "client, schedule and job must be given");
    rc = dq_key_check("key", key, err);
    if (rc == 0)
        rc = dq_client_may_write(c, err);
    if (rc < 0)
        return rc;
    dq_client_enter(c);
    rc = make(c, key, schedule, job, ret, ret_what, err);
    dq_client_leave(c);
    return rc;
}

/* ---- edit ---- */

typedef struct target {
    dq_id id;
    unsigned char packed[DQ_ID_BYTES];
    dureq_str one;
    const char *text;
} target;

static int target_of(dureq_client *c, const char *id, target *ret, dureq_error *err)
{
    if (!c || !id)
        return dq_fail(err, DUREQ_EINVAL, "client and id must be given");
    ret->one = dureq_str_of(ret->packed, sizeof ret->packed);
    ret->text = id;
    return dq_schedule_id_parse(c, id, &ret->id, ret->packed, err);
}

typedef struct change {
    const dureq_schedule *schedule; /* NULL: stays */
    const dureq_job_spec *job;      /* NULL: stays */
    bool only_payload;              /* of job */
} change;

static int take_payload(making *m, const dureq_job_spec *job, dureq_error *err)
{
    const char *type = job->options ? job->options->content_type : NULL;
    dq_envelope e;
    int rc = dq_envelope_repack(&m->j, m->d.j, job->payload, type);

    if (rc == 0)
        rc = dq_envelope_unpack(dq_buf_str(&m->j), &e);
    if (rc < 0)
        return dq_fail(err, rc, "the envelope of a schedule: %s", dureq_errcode_text(rc));
    m->d.j = dq_buf_str(&m->j);
    m->d.more_at = (uint32_t)(e.more.ptr - m->d.j.ptr);
    m->payload = job->payload.len > DQ_PAYLOAD_INLINE_MAX ? job->payload : (dureq_str){0};
    return 0;
}

static int take_change(making *m, const target *t, const change *ch, dureq_error *err)
{
    int rc = 0;

    m->shard = t->id.shard;
    if (ch->schedule)
        rc = take_schedule(m, ch->schedule, err);
    if (rc == 0 && ch->only_payload)
        rc = take_payload(m, ch->job, err);
    else if (rc == 0 && ch->job)
        rc = take_job(m, ch->job, err);
    if (rc == 0 && m->shard != t->id.shard && dq_client_keys(m->c)->n_shards > 1 && m->d.unique_key.len)
        rc = dq_fail(err, DUREQ_EUNSUPPORTED, "unique_key is at home on another shard than the schedule: make another one");
    m->shard = t->id.shard;
    return rc;
}

static int edit_once(dureq_client *c, const target *t, const change *ch, dureq_error *err)
{
    DQ_CLEANUP(making_deinit) making m = {.c = c};
    dq_owned_reply reply;
    dq_schedule_view v;
    dureq_str seen;
    int rc = dq_schedule_read(c, t->id.shard, t->one, (dureq_str){0}, &reply, &v, err);

    if (rc < 0)
        return rc == DUREQ_ENOTFOUND ? dq_fail(err, rc, "no schedule %s", t->text) : rc;
    seen = dq_schedule_newest(&v);
    m.payload = v.payload;
    rc = dq_definition_unpack(seen, &m.arena, &m.d);
    if (rc < 0)
        (void)dq_fail(err, rc, "what Redis holds of schedule %s cannot be read", t->text);
    if (rc == 0)
        rc = take_change(&m, t, ch, err);
    if (rc == 0 && ch->schedule)
        rc = check_fires(&m, v.state.created_ms, v.now_ms, err);
    if (rc == 0)
        rc = put(&m, t->one, seen, 0, NULL, err);
    dq_owned_reply_deinit(&reply);
    return rc;
}

static int edit(dureq_client *c, const target *t, const change *ch, dureq_error *err)
{
    int rc = dq_client_may_write(c, err);

    if (rc < 0)
        return rc;
    dq_client_enter(c);
    do {
        rc = edit_once(c, t, ch, err);
    } while (rc == PUT_AGAIN);
    dq_client_leave(c);
    return DQ_MIN(rc, 0);
}

int dureq_client_edit_schedule(dureq_client *c, const char *id, const dureq_schedule *schedule, const dureq_job_spec *job,
                               dureq_error *err)
{
    target t;
    int rc = target_of(c, id, &t, err);

    if (rc == 0 && !schedule && !job)
        rc = dq_fail(err, DUREQ_EINVAL, "schedule or job must be given");
    return rc < 0 ? rc : edit(c, &t, &(change){.schedule = schedule, .job = job}, err);
}

int dq_schedule_update_payload(dureq_client *c, const char *id, const dureq_job_spec *payload, dureq_error *err)
{
    target t;
    int rc = target_of(c, id, &t, err);

    return rc < 0 ? rc : edit(c, &t, &(change){.job = payload, .only_payload = true}, err);
}

/* ---- operate ---- */

static int told(const target *t, int what, dureq_error *err)
{
    switch (what) {
    case DQ_SCHEDULE_UNKNOWN: return dq_fail(err, DUREQ_ENOTFOUND, "no schedule %s", t->text);
    case DQ_SCHEDULE_HAS_ENDED: return dq_fail(err, DUREQ_ECONFLICT, "schedule %s is completed", t->text);
    default: return what < 0 ? dq_fail(err, DUREQ_EPROTO, "schedule %s: the answer cannot be read", t->text) : 0;
    }
}

/* Sends the call; the answer's first number says what became of it. */
static int operate(dureq_client *c, const target *t, unsigned flags, dq_buf *call, dureq_error *err)
{
    dq_owned_reply reply;
    int rc;

    dq_client_enter(c);
    rc = dq_client_call(c, t->id.shard, flags, call, &reply, err);
    dq_client_leave(c);
    if (rc < 0)
        return rc;
    rc = told(t, (int)dq_reply_int(dq_reply_at(reply.reply, 0)), err);
    dq_owned_reply_deinit(&reply);
    return rc;
}

static int set_paused(dureq_client *c, const char *id, bool pause, dureq_error *err)
{
    dq_buf call = {0};
    target t;
    int rc = target_of(c, id, &t, err);

    if (rc < 0)
        return rc;
    dq_call_schedule_pause(&call, dq_client_keys(c), t.id.shard, dq_client_actor(c), pause, t.one);
    return operate(c, &t, DQ_CALL_REPEAT, &call, err);
}

int dureq_client_pause_schedule(dureq_client *c, const char *id, dureq_error *err)
{
    return set_paused(c, id, true, err);
}

int dureq_client_resume_schedule(dureq_client *c, const char *id, dureq_error *err)
{
    return set_paused(c, id, false, err);
}

int dureq_client_delete_schedule(dureq_client *c, const char *id, dureq_error *err)
{
    dq_buf call = {0};
    target t;
    int rc = target_of(c, id, &t, err);

    if (rc < 0)
        return rc;
    dq_call_schedule_delete(&call, dq_client_keys(c), t.id.shard, dq_client_actor(c), t.one);
    return operate(c, &t, 0, &call, err);
}

static int no_room(const target *t, unsigned reason, dureq_error *err)
{
    bool is_full = strcmp(dq_schedule_reason(reason), "queue_full") == 0;

    return dq_fail(err, is_full ? DUREQ_ELIMIT : DUREQ_ENOTFOUND, "schedule %s: its queue is %s", t->text,
                   is_full ? "full" : "gone");
}

static int trigger(dureq_client *c, const target *t, const dureq_overlap *policy, const int64_t *at, size_t n, dq_triggered *ret,
                   dureq_job_id *ret_job, dureq_error *err)
{
    dq_owned_reply reply;
    dq_buf call = {0};
    dq_id job;
    int rc;

    dq_call_schedule_trigger(&call, dq_client_keys(c), t->id.shard, dq_client_actor(c), policy ? (int)*policy : -1, t->one, at,
                             n);
    rc = dq_client_call(c, t->id.shard, 0, &call, &reply, err);
    if (rc < 0)
        return rc;
    rc = dq_schedule_trigger_decode(&reply.reply, ret);
    if (rc == 0 && ret_job && dq_id_unpack(ret->job, &job))
        dq_id_to_text(&job, ret_job);
    dq_owned_reply_deinit(&reply);
    ret->job = (dureq_str){0};
    if (rc < 0)
        return dq_fail(err, rc, "the answer of schedule_trigger cannot be read");
    return ret->what == DQ_SCHEDULE_NO_ROOM ? no_room(t, ret->reason, err) : told(t, ret->what, err);
}

static int check_policy(const dureq_overlap *policy, dureq_error *err)
{
    if (policy && (unsigned)*policy > DUREQ_OVERLAP_REPLACE)
        return dq_fail(err, DUREQ_EINVAL, "policy takes ALLOW_ALL, SKIP, BUFFER_ONE, BUFFER_ALL or REPLACE");
    return 0;
}

int dureq_client_trigger_schedule(dureq_client *c, const char *id, const dureq_overlap *policy, dureq_job_id *ret,
                                  dureq_error *err)
{
    dq_triggered triggered;
    target t;
    int rc = target_of(c, id, &t, err);

    if (rc == 0)
        rc = check_policy(policy, err);
    if (rc == 0)
        rc = dq_client_may_write(c, err);
    if (rc < 0)
        return rc;
    if (ret)
        memset(ret, 0, sizeof *ret);
    dq_client_enter(c);
    do /* what it replaces is cancelled some at a time */
        rc = trigger(c, &t, policy, NULL, 0, &triggered, ret, err);
    while (rc == 0 && triggered.n_done == 0);
    dq_client_leave(c);
    return rc;
}

#define BACKFILL_STEP 100

/* What came round in that range, from the definition that counts now. */
static int list_range(dureq_client *c, const target *t, int64_t from_ms, int64_t to_ms, int64_t *at, size_t *ret_n,
                      dureq_error *err)
{
    DQ_CLEANUP(dq_arena_deinit) dq_arena arena = {0};
    dq_owned_reply reply;
    dq_schedule_view v;
    dq_definition d;
    dq_calendar cal;
    size_t n = 0;
    int rc = dq_schedule_read(c, t->id.shard, t->one, (dureq_str){0}, &reply, &v, err);

    if (rc < 0)
        return rc == DUREQ_ENOTFOUND ? dq_fail(err, rc, "no schedule %s", t->text) : rc;
    rc = dq_definition_unpack(dq_schedule_newest(&v), &arena, &d);
    if (rc < 0)
        (void)dq_fail(err, rc, "what Redis holds of schedule %s cannot be read", t->text);
    if (rc == 0 && to_ms > v.now_ms)
        rc = dq_fail(err, DUREQ_EINVAL, "to takes a time that is past");
    if (rc == 0)
        rc = dq_schedule_open(&cal, &d.schedule, v.state.created_ms, NULL, err);
    dq_owned_reply_deinit(&reply);
    if (rc < 0)
        return rc;
    int64_t next = dq_floor_div(from_ms - 1, 1000);
    while (n <= DUREQ_PREVIEW_MAX && dq_calendar_next(&cal, next, &next) && next * 1000 <= to_ms)
        at[n++] = next;
    dq_calendar_deinit(&cal);
    *ret_n = n;
    if (n > DUREQ_PREVIEW_MAX)
        return dq_fail(err, DUREQ_ELIMIT, "there are more than %d occurrences in this range", DUREQ_PREVIEW_MAX);
    return 0;
}

int dureq_client_backfill_schedule(dureq_client *c, const char *id, int64_t from_ms, int64_t to_ms, const dureq_overlap *policy,
                                   int64_t *ret_n, dureq_error *err)
{
    dq_triggered step;
    target t;
    int64_t *at;
    size_t n = 0, done = 0;
    int64_t dispatched = 0;
    int rc = target_of(c, id, &t, err);

    if (rc == 0)
        rc = check_policy(policy, err);
    if (rc == 0 && (from_ms <= 0 || to_ms < from_ms))
        rc = dq_fail(err, DUREQ_EINVAL, "from and to take Unix times in ms, from not after to");
    if (rc == 0)
        rc = dq_client_may_write(c, err);
    if (rc < 0)
        return rc;
    at = dq_calloc(DUREQ_PREVIEW_MAX + 1, sizeof *at);
    if (!at)
        return dq_fail_nomem(err);
    dq_client_enter(c);
    rc = list_range(c, &t, from_ms, to_ms, at, &n, err);
    while (rc == 0 && done < n) {
        rc = trigger(c, &t, policy, at + done, DQ_MIN(n - done, (size_t)BACKFILL_STEP), &step, NULL, err);
        dispatched += rc == 0 || rc == DUREQ_ELIMIT ? step.n : 0;
        done += (size_t)step.n_done;
    }
    dq_client_leave(c);
    dq_free(at);
    if (ret_n)
        *ret_n = dispatched;
    return rc;
}
