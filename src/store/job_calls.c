/* SPDX-License-Identifier: Apache-2.0 */
#include "store/job_calls.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#define SCORE_MAX 9e18 /* of a time; no more than int64_t takes */

void dq_call_job_get(dq_buf *out, const dq_keys *k, unsigned shard, const dureq_str *ids, size_t n)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_JOB_GET);

    dq_call_args(&c, ids, n);
    dq_call_end(&c);
}

void dq_call_job_cancel(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, dureq_str reason, dureq_str operation,
                        const dureq_str *ids, size_t n)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_JOB_CANCEL);

    dq_call_arg(&c, actor);
    dq_call_arg(&c, reason);
    dq_call_arg(&c, operation);
    dq_call_args(&c, ids, n);
    dq_call_end(&c);
}

void dq_call_job_retry(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, bool force, dureq_str operation,
                       const dureq_str *ids, size_t n)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_JOB_RETRY);

    dq_call_arg(&c, actor);
    dq_call_arg_flag(&c, force);
    dq_call_arg(&c, operation);
    dq_call_args(&c, ids, n);
    dq_call_end(&c);
}

void dq_call_job_delete(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, dureq_str operation, const dureq_str *ids,
                        size_t n)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_JOB_DELETE);

    dq_call_arg(&c, actor);
    dq_call_arg(&c, operation);
    dq_call_args(&c, ids, n);
    dq_call_end(&c);
}

void dq_call_job_move(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, const dq_job_move *what,
                      const dureq_str *ids, size_t n)
{
    static const char *const verbs[] = {
        [DQ_JOB_RUN_NOW] = "run",   [DQ_JOB_RESCHEDULE] = "reschedule", [DQ_JOB_PAUSE] = "pause",
        [DQ_JOB_RESUME] = "resume", [DQ_JOB_DELAY] = "delay",
    };
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_JOB_MOVE);

    dq_call_arg(&c, actor);
    dq_call_arg_text(&c, verbs[what->verb]);
    dq_call_arg_i64(&c, what->at_ms);
    dq_call_arg_i64(&c, shard);
    dq_call_arg(&c, what->operation);
    dq_call_args(&c, ids, n);
    dq_call_end(&c);
}

void dq_call_job_update(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, dureq_str id, dureq_str old_j,
                        dureq_str new_j, dureq_str blob)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_JOB_UPDATE);

    dq_call_arg(&c, actor);
    dq_call_arg(&c, id);
    dq_call_arg(&c, old_j);
    dq_call_arg(&c, new_j);
    dq_call_arg(&c, blob);
    dq_call_end(&c);
}

void dq_call_page(dq_buf *out, const dq_keys *k, const dq_page *p)
{
    bool lanes = p->place == DQ_PLACE_LANES;
    dq_call c = dq_call_begin(out, k, p->shard, lanes ? DQ_SCRIPT_LANES_PAGE : DQ_SCRIPT_JOBS_PAGE);

    if (!lanes)
        dq_call_arg_text(&c, dq_places[p->place].name);
    dq_call_arg(&c, p->cursor);
    dq_call_arg_i64(&c, p->limit);
    dq_call_arg_text(&c, p->newest_first ? "new" : "old");
    dq_call_arg_i64(&c, (int64_t)p->bytes_max);
    if (lanes) {
        dq_call_arg_i64(&c, p->shard);
        dq_call_arg_text(&c, !p->running ? "p" : p->pending ? "pr" : "r");
        for (size_t i = 0; i < p->n_lanes; i++)
            dq_call_arg_i64(&c, p->lanes[i]);
    }
    dq_call_end(&c);
}

void dq_call_counts(dq_buf *out, const dq_keys *k, unsigned shard, int64_t from, int limit)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_COUNTS);

    dq_call_arg_i64(&c, from);
    dq_call_arg_i64(&c, limit);
    dq_call_end(&c);
}

void dq_call_node_list(dq_buf *out, const dq_keys *k, unsigned shard, const dureq_str *sessions, size_t n)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_NODE_LIST);

    dq_call_key(&c, "lease");
    dq_call_args(&c, sessions, n);
    dq_call_end(&c);
}

void dq_call_node_drain(dq_buf *out, const dq_keys *k, unsigned shard, const dq_node_drain *what, const dureq_str *sessions,
                        size_t n)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_NODE_DRAIN);

    dq_call_arg(&c, what->actor);
    dq_call_arg(&c, what->node_id);
    dq_call_arg_flag(&c, what->drain);
    dq_call_arg_flag(&c, what->first);
    dq_call_args(&c, sessions, n);
    dq_call_end(&c);
}

void dq_call_audit_add(dq_buf *out, const dq_keys *k, unsigned shard, const dq_audit_note *note)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_AUDIT_ADD);

    dq_call_arg(&c, note->actor);
    dq_call_arg_text(&c, note->action);
    dq_call_arg(&c, note->target);
    dq_call_arg(&c, note->detail);
    dq_call_end(&c);
}

int dq_job_view_decode(dq_reply r, dq_job_view *ret)
{
    dq_reply f[14];
    size_t n = dq_reply_len(r);
    double due;

    if (dq_reply_is_nil(r))
        return DUREQ_ENOTFOUND;
    if (dq_reply_type(r) != DQ_RESP_ARRAY || n < 10 || n > DQ_ARRAY_LEN(f))
        return DUREQ_EPROTO;
    f[0] = dq_reply_first(r);
    for (size_t i = 1; i < n; i++)
        f[i] = dq_reply_next(f[i - 1]);

    *ret = (dq_job_view){
        .state = (int)dq_reply_int(f[1]),
        .lane_name = dq_reply_str(f[2]),
        .m = dq_reply_str(f[3]),
        .body = dq_reply_str(f[4]),
        .blob = dq_reply_str(f[5]),
        .session = (uint64_t)dq_reply_int(f[7]),
        .started_at_ms = dq_reply_int(f[8]),
        .progress = dq_reply_str(f[9]),
        .cut = n > 10 && dq_reply_int(f[10]) == 1,
        .behind = n > 11 ? dq_reply_str(f[11]) : (dureq_str){0},
        .node_session = n > 13 ? (uint64_t)dq_reply_int(f[12]) : 0,
        .node_name = n > 13 ? dq_reply_str(f[13]) : (dureq_str){0},
    };
    if (!dq_id_unpack(dq_reply_str(f[0]), &ret->id) || ret->state < -1 || ret->state > DUREQ_JOB_CANCELLED)
        return DUREQ_EPROTO;
    if (dq_parse_f64(dq_reply_str(f[6]), &due) == 0) /* a score: large ones come with an exponent */
        ret->due_at_ms = (int64_t)fmax(-SCORE_MAX, fmin(due, SCORE_MAX));
    return 0;
}

int dq_job_view_to_job(const dq_job_view *v, dureq_str (*node_of)(uint64_t session, void *), void *node_of_data, dq_arena *a,
                       dureq_job *ret, dureq_error *err)
{
    dq_row row;
    dq_job_parts p = {
        .id = v->id,
        .state = (dureq_job_state)v->state,
        .lane_name = dq_arena_dup_str(a, v->lane_name),
        .m = dq_arena_dup_str(a, v->m),
        .j = dq_arena_dup_str(a, v->body),
        .blob = dq_arena_dup_str(a, v->blob),
        .due_at_ms = v->due_at_ms < 0 ? INT64_MAX : v->due_at_ms,
        .started_at_ms = v->started_at_ms,
        .progress = dq_arena_dup_str(a, v->progress),
    };
    int rc;

    if (v->state == -1 || v->state == DUREQ_JOB_DEAD) {
        rc = dq_row_unpack(p.j, &v->id, &row);
        if (rc < 0)
            return dq_fail(err, rc, "the row of a job cannot be read");
        p.row = &row;
        p.state = row.state;
        p.m = row.m;
        p.j = row.j;
        if (node_of && row.session)
            p.node_id = dq_arena_dup_str(a, node_of(row.session, node_of_data));
    } else if (node_of && v->session) {
        p.node_id = dq_arena_dup_str(a, node_of(v->session, node_of_data));
    }
    return dq_job_from_parts(&p, node_of, node_of_data, a, ret, err);
}

void dq_call_stats_series(dq_buf *out, const dq_keys *k, unsigned shard, const dq_stats_series *what)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_STATS_SERIES);

    dq_call_arg(&c, dureq_str_of(&what->unit, 1));
    dq_call_arg_i64(&c, what->first);
    dq_call_arg_i64(&c, what->n);
    dq_call_arg(&c, what->queue);
    dq_call_arg(&c, what->type);
    dq_call_end(&c);
}

void dq_call_stats_days(dq_buf *out, const dq_keys *k, unsigned shard, int64_t first_day, int n)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_STATS_DAYS);

    dq_call_arg_i64(&c, first_day);
    dq_call_arg_i64(&c, n);
    dq_call_end(&c);
}

static void call_wait(dq_buf *out, const dq_keys *k, unsigned shard, int script, dureq_str channel, const dureq_str *ids,
                      size_t n)
{
    dq_call c = dq_call_begin(out, k, shard, script);

    dq_call_key(&c, "wt");
    dq_call_arg(&c, channel);
    dq_call_args(&c, ids, n);
    dq_call_end(&c);
}

void dq_call_wait_register(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str channel, const dureq_str *ids, size_t n)
{
    call_wait(out, k, shard, DQ_SCRIPT_WAIT_REGISTER, channel, ids, n);
}

void dq_call_wait_leave(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str channel, const dureq_str *ids, size_t n)
{
    call_wait(out, k, shard, DQ_SCRIPT_WAIT_LEAVE, channel, ids, n);
}
