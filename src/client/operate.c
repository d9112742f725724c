/* SPDX-License-Identifier: Apache-2.0 */
/* What operators and producers do to one job: each a script call, whose answer is 0 or a code. */

#include "client/client_internal.h"
#include "client/schedule_view.h"
#include "redis/resp.h"

#define DELAY_MAX_MS (100LL * 366 * 86400000)

typedef struct target {
    dq_id id;
    unsigned char packed[DQ_ID_BYTES];
    dureq_str one;
} target;

static int target_of(dureq_client *c, const char *id, target *ret, dureq_error *err)
{
    if (!c || !id)
        return dq_fail(err, DUREQ_EINVAL, "client and id must be given");
    ret->one = dureq_str_of(ret->packed, sizeof ret->packed);
    return dq_parse_job_id(id, c, &ret->id, ret->packed, err);
}

static int told(const char *id, int code, const char *wrong_state, dureq_error *err)
{
    switch (code) {
    case 0: return 0;
    case DUREQ_ENOTFOUND: return dq_fail(err, code, "no job %s", id);
    case DUREQ_ECONFLICT: return dq_fail(err, code, "job %s %s", id, wrong_state);
    case DUREQ_EUNSUPPORTED: return dq_fail(err, code, "job %s is a task of a workflow, which goes on without it", id);
    case DUREQ_EDUPLICATE: return dq_fail(err, code, "the unique key of job %s is held by another job", id);
    default: return dq_fail(err, code, "job %s: %s", id, dureq_errcode_text(code));
    }
}

/* Sends the call; the answer's only code becomes the result. */
static int operate(dureq_client *c, const char *id, const target *t, dq_buf *call, const char *wrong_state, dureq_error *err)
{
    dq_owned_reply reply;
    int rc;

    dq_client_enter(c);
    rc = dq_client_call(c, t->id.shard, 0, call, &reply, err);
    dq_client_leave(c);
    if (rc < 0)
        return rc;
    rc = (int)dq_reply_int(dq_reply_at(reply.reply, 0));
    dq_owned_reply_deinit(&reply);
    return told(id, rc, wrong_state, err);
}

int dureq_client_cancel(dureq_client *c, const char *id, const char *reason, dureq_error *err)
{
    dq_buf call = {0};
    target t;
    int rc;

    rc = target_of(c, id, &t, err);
    if (rc < 0)
        return rc;
    if (reason && strlen(reason) > DQ_ERROR_TEXT_MAX)
        return dq_fail(err, DUREQ_ETOOLARGE, "reason takes at most %d bytes", DQ_ERROR_TEXT_MAX);
    dq_call_job_cancel(&call, dq_client_keys(c), t.id.shard, dq_client_actor(c), dureq_str_from(reason ? reason : ""),
                       /*operation=*/(dureq_str){0}, &t.one, 1);
    return operate(c, id, &t, &call, "has ended already", err);
}

int dureq_client_cancel_by_unique_key(dureq_client *c, dureq_str key, dureq_error *err)
{
    dureq_job_id id;
    int rc;

    rc = dureq_client_get_unique_key(c, key, &id, NULL, err);
    return rc < 0 ? rc : dureq_client_cancel(c, id.text, NULL, err);
}

int dureq_client_retry(dureq_client *c, const char *id, bool force, dureq_error *err)
{
    dureq_many_options o = dureq_many_options_init();
    target t;
    int code, rc;

    rc = target_of(c, id, &t, err);
    if (rc < 0)
        return rc;
    o.force = force;
    rc = dureq_client_retry_many(c, &id, 1, &o, &code, err);
    if (rc < 0)
        return rc;
    return told(id, code, force ? "has not ended" : "is neither dead nor cancelled (completed ones are retried with force only)",
                err);
}

int dureq_client_delete(dureq_client *c, const char *id, dureq_error *err)
{
    dq_buf call = {0};
    target t;
    int rc;

    rc = target_of(c, id, &t, err);
    if (rc < 0)
        return rc;
    dq_call_job_delete(&call, dq_client_keys(c), t.id.shard, dq_client_actor(c), /*operation=*/(dureq_str){0}, &t.one, 1);
    return operate(c, id, &t, &call, "has not ended: cancel it first", err);
}

static int move(dureq_client *c, const char *id, dq_job_verb verb, int64_t at_ms, const char *wrong_state, dureq_error *err)
{
    dq_buf call = {0};
    target t;
    int rc;

    rc = target_of(c, id, &t, err);
    if (rc < 0)
        return rc;
    dq_call_job_move(&call, dq_client_keys(c), t.id.shard, dq_client_actor(c), &(dq_job_move){.verb = verb, .at_ms = at_ms},
                     &t.one, 1);
    return operate(c, id, &t, &call, wrong_state, err);
}

int dureq_client_run_now(dureq_client *c, const char *id, dureq_error *err)
{
    return move(c, id, DQ_JOB_RUN_NOW, 0, "is not scheduled, retrying or pending", err);
}

int dureq_client_reschedule(dureq_client *c, const char *id, int64_t run_at_ms, dureq_error *err)
{
    if (run_at_ms <= 0 || run_at_ms >= 1LL << 44)
        return dq_fail(err, DUREQ_EINVAL, "run_at_ms takes a Unix time in ms, not %lld", (long long)run_at_ms);
    return move(c, id, DQ_JOB_RESCHEDULE, run_at_ms, "is not scheduled, retrying or pending", err);
}

int dq_client_reschedule_in(dureq_client *c, const char *id, int64_t delay_ms, dureq_error *err)
{
    if (delay_ms < 0 || delay_ms > DELAY_MAX_MS)
        return dq_fail(err, DUREQ_EINVAL, "delay takes 0s to 100 years, not %lld ms", (long long)delay_ms);
    return move(c, id, DQ_JOB_DELAY, delay_ms, "is not scheduled, retrying or pending", err);
}

int dureq_client_pause(dureq_client *c, const char *id, dureq_error *err)
{
    return move(c, id, DQ_JOB_PAUSE, 0, "is not pending, scheduled or retrying", err);
}

int dureq_client_resume(dureq_client *c, const char *id, dureq_error *err)
{
    return move(c, id, DQ_JOB_RESUME, 0, "is not paused", err);
}

/* The envelope as it is now: from job_get, copied into *ret. */
static int read_envelope(dureq_client *c, const char *id, const target *t, dq_buf *ret, dureq_error *err)
{
    dq_owned_reply reply;
    dq_buf call = {0};
    dq_job_view view;
    int rc;

    dq_call_job_get(&call, dq_client_keys(c), t->id.shard, &t->one, 1);
    rc = dq_client_call(c, t->id.shard, DQ_CALL_REPEAT | DQ_CALL_LARGE, &call, &reply, err);
    if (rc < 0)
        return rc;
    rc = dq_job_view_decode(dq_reply_at(reply.reply, 0), &view);
    if (rc == DUREQ_ENOTFOUND)
        dq_fail(err, rc, "no job %s", id);
    else if (rc < 0)
        dq_fail(err, rc, "what Redis holds of job %s cannot be read", id);
    else if (view.state == -1 || view.state == DUREQ_JOB_DEAD || view.state == DUREQ_JOB_RUNNING)
        rc = dq_fail(err, DUREQ_ECONFLICT, "job %s is running or has ended", id);
    else
        dq_buf_append_str(ret, view.body);
    dq_owned_reply_deinit(&reply);
    return rc < 0 ? rc : dq_buf_finish(ret, err);
}

static int update_once(dureq_client *c, const char *id, const target *t, dureq_str payload, const char *content_type,
                       dureq_error *err)
{
    DQ_BUF_AUTO old_j = {0};
    DQ_BUF_AUTO new_j = {0};
    dq_owned_reply reply;
    dq_buf call = {0};
    int rc;

    rc = read_envelope(c, id, t, &old_j, err);
    if (rc < 0)
        return rc;
    rc = dq_envelope_repack(&new_j, dq_buf_str(&old_j), payload, content_type);
    if (rc < 0)
        return dq_fail(err, rc, "the envelope of job %s: %s", id, dureq_errcode_text(rc));
    dq_call_job_update(&call, dq_client_keys(c), t->id.shard, dq_client_actor(c), t->one, dq_buf_str(&old_j), dq_buf_str(&new_j),
                       payload.len > DQ_PAYLOAD_INLINE_MAX ? payload : (dureq_str){0});
    rc = dq_client_call(c, t->id.shard, 0, &call, &reply, err);
    if (rc < 0)
        return rc;
    rc = (int)dq_reply_int(dq_reply_at(reply.reply, 0));
    dq_owned_reply_deinit(&reply);
    if (rc == DUREQ_ENOTFOUND)
        return dq_fail(err, rc, "no job %s", id);
    if (rc == DUREQ_ECONFLICT)
        return dq_fail(err, rc, "job %s is running or has ended", id);
    return rc < 0 ? dq_fail(err, rc, "job %s: %s", id, dureq_errcode_text(rc)) : 0;
}

int dureq_client_update_payload(dureq_client *c, const char *id, dureq_str payload, const char *content_type, dureq_error *err)
{
    dureq_job_options o = dureq_job_options_init();
    dureq_job_spec spec = {.task_type = "any", .payload = payload, .options = &o};
    target t;
    int rc;

    rc = target_of(c, id, &t, err);
    if (rc < 0)
        return rc;
    o.content_type = content_type;
    rc = dq_job_spec_check(&spec, c->max_payload, err);
    if (rc < 0)
        return rc;
    if (t.id.lane == 0)
        return dq_schedule_update_payload(c, id, &spec, err);
    dq_client_enter(c);
    do { /* another writer came between reading and writing: again */
        rc = update_once(c, id, &t, payload, content_type, err);
    } while (rc == DUREQ_ETOOLARGE);
    dq_client_leave(c);
    return rc;
}
