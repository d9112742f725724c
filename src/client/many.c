/* SPDX-License-Identifier: Apache-2.0 */
/* What operators do to many jobs. Ids go out in waves of at most DQ_LIST_MAX, a call for each shard that a wave has jobs of, all at once;
   a script that had enough (its jobs are large) answers for the first of its ids, and the others go with the next wave. One wave at a
   time: the server serves others in between. Callers' threads. */

#include "client/many.h"

#include "client/operations.h"
#include "redis/resp.h"

/* ---- verbs ---- */

static const dq_keys *keys_of(const many *m)
{
    return dq_client_keys(m->client);
}

static void put_cancel(const many *m, dq_buf *out, unsigned shard, const dureq_str *ids, size_t n)
{
    dureq_str reason = dureq_str_from(m->opts.reason ? m->opts.reason : "");

    dq_call_job_cancel(out, keys_of(m), shard, dq_client_actor(m->client), reason, m->operation, ids, n);
}

static void put_retry(const many *m, dq_buf *out, unsigned shard, const dureq_str *ids, size_t n)
{
    dq_call_job_retry(out, keys_of(m), shard, dq_client_actor(m->client), m->opts.force, m->operation, ids, n);
}

static void put_delete(const many *m, dq_buf *out, unsigned shard, const dureq_str *ids, size_t n)
{
    dq_call_job_delete(out, keys_of(m), shard, dq_client_actor(m->client), m->operation, ids, n);
}

static void put_move(const many *m, dq_buf *out, unsigned shard, const dureq_str *ids, size_t n)
{
    dq_job_move what = {.verb = m->move, .at_ms = m->opts.run_at_ms, .operation = m->operation};

    dq_call_job_move(out, keys_of(m), shard, dq_client_actor(m->client), &what, ids, n);
}

/* ---- one wave ---- */

/* What the wave has of one shard: indices into the wave, and their call. */
struct many_part {
    unsigned shard;
    size_t n;
    uint16_t at[DQ_LIST_MAX];
    void *call;
};

/* What goes to the script for a job of the wave. */
static dureq_str arg_of(const many *m, size_t at)
{
    const many_key *k = m->keys_are_asked ? &m->keys[at] : NULL;

    if (k && k->reserved)
        return dureq_str_of(k->arg, sizeof k->arg);
    return dureq_str_of(m->ids[m->wave[at]].packed, DQ_ID_BYTES);
}

static void part_begin(const many *m, many_part *p)
{
    dureq_str ids[DQ_LIST_MAX];
    dq_buf call = {0};

    for (size_t i = 0; i < p->n; i++)
        ids[i] = arg_of(m, p->at[i]);
    m->put(m, &call, p->shard, ids, p->n);
    p->call = dq_client_call_begin(m->client, p->shard, 0, &call);
}

/* The key of a job is asked for once: then it is another's. */
static void take_code(many *m, size_t index, dq_reply at)
{
    int64_t code = dq_reply_int(at);

    if (dq_reply_type(at) != DQ_RESP_STRING && (dq_reply_type(at) != DQ_RESP_INTEGER || code > 0 || code < -1000))
        code = DUREQ_EPROTO; /* above 0 are our own marks */
    if (dq_reply_type(at) == DQ_RESP_STRING)
        code = m->keys_are_asked ? DUREQ_EDUPLICATE : dq_many_note_key(m, index, dq_reply_str(at));
    m->codes[index] = (int)code;
    m->n_done += code != DQ_MANY_KEY;
}

static int part_end(many *m, many_part *p, int64_t deadline_us, dureq_error *err)
{
    dq_owned_reply reply;
    size_t n_answered = 0;
    int rc;

    rc = dq_client_call_end(p->call, deadline_us, &reply, err);
    if (rc == 0) {
        dq_reply_items items = dq_reply_items_of(reply.reply);
        dq_reply code;

        for (; n_answered < p->n && dq_reply_items_next(&items, &code); n_answered++)
            take_code(m, m->wave[p->at[n_answered]], code);
        dq_owned_reply_deinit(&reply);
        if (n_answered == 0) /* a script answers for one at least */
            rc = dq_fail(err, DUREQ_EPROTO, "the answer for a list of jobs cannot be read");
    }
    for (size_t i = n_answered; rc < 0 && i < p->n; i++)
        m->codes[m->wave[p->at[i]]] = rc;
    return rc;
}

/* Returns of how many shards the wave has jobs. */
static size_t split(const many *m)
{
    many_part *parts = m->parts;
    size_t n = 0;

    for (size_t i = 0; i < m->n_wave; i++) {
        unsigned shard = m->ids[m->wave[i]].shard;
        size_t at = 0;

        while (at < n && parts[at].shard != shard)
            at++;
        if (at == n) {
            parts[n].shard = shard;
            parts[n++].n = 0;
        }
        parts[at].at[parts[at].n++] = (uint16_t)i;
    }
    return n;
}

/* Up to a full wave: what the last one left, and the next ids that are ids. */
static void fill(many *m)
{
    size_t n_left = 0;

    for (size_t i = 0; i < m->n_wave; i++)
        if (m->codes[m->wave[i]] == DQ_MANY_UNANSWERED)
            m->wave[n_left++] = m->wave[i];
    m->n_wave = n_left;
    for (; m->next < m->n && m->n_wave < DQ_LIST_MAX; m->next++)
        if (m->codes[m->next] == DQ_MANY_UNANSWERED)
            m->wave[m->n_wave++] = m->next;
}

int dq_many_run_wave(many *m, dureq_error *err)
{
    int64_t deadline_us = dq_client_deadline_us(m->client);
    size_t n = split(m);
    int rc = 0;

    for (size_t i = 0; i < n; i++)
        part_begin(m, &m->parts[i]);
    for (size_t i = 0; i < n; i++) {
        int one = part_end(m, &m->parts[i], deadline_us, rc == 0 ? err : NULL);

        rc = rc < 0 ? rc : one;
    }
    return rc;
}

/* ---- all of them ---- */

static int run_waves(many *m, dureq_error *err)
{
    int rc = 0;

    for (fill(m); rc == 0 && m->n_wave > 0; fill(m)) {
        rc = dq_many_run_wave(m, err);
        if (rc == 0 && m->n_keys > 0)
            rc = dq_many_run_keys(m, err);
        if (rc == 0 && m->opts.progress_fn && !m->opts.progress_fn(m->n_done, m->n, m->opts.progress_userdata) &&
            m->n_done < m->n)
            rc = dq_fail(err, DUREQ_ECANCELLED, "stopped after %zu of %zu jobs", m->n_done, m->n);
    }
    for (size_t i = 0; i < m->n; i++)
        if (m->codes[i] == DQ_MANY_UNANSWERED || m->codes[i] == DQ_MANY_KEY)
            m->codes[i] = DUREQ_ECANCELLED;
    return rc;
}

/* What is no id of this client's has its answer. */
static void read_ids(many *m, const char *const *ids)
{
    dq_id id;

    for (size_t i = 0; i < m->n; i++) {
        m->codes[i] = DQ_MANY_UNANSWERED;
        if (!ids[i] || dq_parse_job_id(ids[i], m->client, &id, m->ids[i].packed, NULL) < 0) {
            m->codes[i] = DUREQ_EINVAL;
            m->n_done++;
        } else {
            m->ids[i].shard = (uint16_t)id.shard;
        }
    }
}

static int run(many *m, const char *const *ids, dureq_error *err)
{
    int rc;

    m->ids = dq_calloc(m->n, sizeof *m->ids);
    m->parts = dq_calloc(keys_of(m)->n_shards, sizeof *m->parts);
    if (m->ids && m->parts) {
        read_ids(m, ids);
        rc = run_waves(m, err);
    } else {
        for (size_t i = 0; i < m->n; i++)
            m->codes[i] = DUREQ_ECANCELLED;
        rc = dq_fail_nomem(err);
    }
    dq_free(m->ids);
    dq_free(m->parts);
    dq_free(m->keys);
    return rc;
}

static int take_options(many *m, const dureq_many_options *opts, dureq_error *err)
{
    int rc;

    m->opts = dureq_many_options_init();
    rc = opts ? dq_options_adopt(&m->opts, sizeof m->opts, opts, "options", err) : 0;
    if (rc < 0)
        return rc;
    if (m->opts.reason && strlen(m->opts.reason) > DQ_ERROR_TEXT_MAX)
        return dq_fail(err, DUREQ_ETOOLARGE, "reason takes at most %d bytes", DQ_ERROR_TEXT_MAX);
    return 0;
}

static int change_many(many *m, const char *const *ids, const dureq_many_options *opts, dureq_error *err)
{
    int rc;

    if (!m->client || (m->n > 0 && (!ids || !m->codes)))
        return dq_fail(err, DUREQ_EINVAL, "client, ids and codes must be given");
    rc = take_options(m, opts, err);
    if (rc == 0 && m->move == DQ_JOB_RESCHEDULE && (m->opts.run_at_ms <= 0 || m->opts.run_at_ms >= 1LL << 44))
        rc = dq_fail(err, DUREQ_EINVAL, "run_at_ms takes a Unix time in ms, not %lld", (long long)m->opts.run_at_ms);
    if (rc == 0)
        rc = dq_client_may_write(m->client, err);
    for (size_t i = 0; rc < 0 && i < m->n; i++)
        m->codes[i] = rc;
    if (rc < 0 || m->n == 0)
        return rc;
    dq_client_enter(m->client);
    rc = run(m, ids, err);
    dq_client_leave(m->client);
    return rc;
}

int dq_client_change_many(dureq_client *c, dq_many_verb verb, dureq_str operation, const char *const *ids, size_t n,
                          const dureq_many_options *opts, int *codes, dureq_error *err)
{
    static const struct {
        void (*put)(const many *m, dq_buf *out, unsigned shard, const dureq_str *ids, size_t n);
        dq_job_verb move;
    } verbs[] = {
        [DQ_MANY_CANCEL] = {put_cancel, 0},         [DQ_MANY_RETRY] = {put_retry, 0},
        [DQ_MANY_DELETE] = {put_delete, 0},         [DQ_MANY_RUN] = {put_move, DQ_JOB_RUN_NOW},
        [DQ_MANY_PAUSE] = {put_move, DQ_JOB_PAUSE}, [DQ_MANY_RESUME] = {put_move, DQ_JOB_RESUME},
    };
    many m = {.client = c, .put = verbs[verb].put, .move = verbs[verb].move, .operation = operation, .n = n, .codes = codes};

    return change_many(&m, ids, opts, err);
}

int dureq_client_cancel_many(dureq_client *c, const char *const *ids, size_t n, const dureq_many_options *opts, int *codes,
                             dureq_error *err)
{
    return dq_client_change_many(c, DQ_MANY_CANCEL, (dureq_str){0}, ids, n, opts, codes, err);
}

int dureq_client_retry_many(dureq_client *c, const char *const *ids, size_t n, const dureq_many_options *opts, int *codes,
                            dureq_error *err)
{
    return dq_client_change_many(c, DQ_MANY_RETRY, (dureq_str){0}, ids, n, opts, codes, err);
}

int dureq_client_delete_many(dureq_client *c, const char *const *ids, size_t n, const dureq_many_options *opts, int *codes,
                             dureq_error *err)
{
    return dq_client_change_many(c, DQ_MANY_DELETE, (dureq_str){0}, ids, n, opts, codes, err);
}

int dureq_client_run_now_many(dureq_client *c, const char *const *ids, size_t n, const dureq_many_options *opts, int *codes,
                              dureq_error *err)
{
    return dq_client_change_many(c, DQ_MANY_RUN, (dureq_str){0}, ids, n, opts, codes, err);
}

int dureq_client_reschedule_many(dureq_client *c, const char *const *ids, size_t n, const dureq_many_options *opts, int *codes,
                                 dureq_error *err)
{
    many m = {.client = c, .put = put_move, .move = DQ_JOB_RESCHEDULE, .n = n, .codes = codes};

    return change_many(&m, ids, opts, err);
}

int dureq_client_pause_many(dureq_client *c, const char *const *ids, size_t n, const dureq_many_options *opts, int *codes,
                            dureq_error *err)
{
    return dq_client_change_many(c, DQ_MANY_PAUSE, (dureq_str){0}, ids, n, opts, codes, err);
}

int dureq_client_resume_many(dureq_client *c, const char *const *ids, size_t n, const dureq_many_options *opts, int *codes,
                             dureq_error *err)
{
    return dq_client_change_many(c, DQ_MANY_RESUME, (dureq_str){0}, ids, n, opts, codes, err);
}
