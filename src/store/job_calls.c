/* SPDX-License-Identifier: Apache-2.0 */
#include "store/job_calls.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#define SCORE_MAX 9e18 /* of a time; no more than int64_t takes */

/* EVALSHA script 1 {p:s}:sh, n_args to come. */
static void begin(dq_buf *out, const dq_keys *k, unsigned shard, int script, size_t n_args)
{
    dq_call_begin(out, script, 1, n_args);
    dq_keys_arg(out, k, shard, "sh", dureq_str_of(NULL, 0));
}

static void put_all(dq_buf *out, const dureq_str *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dq_resp_arg(out, ids[i]);
}

void dq_call_job_get(dq_buf *out, const dq_keys *k, unsigned shard, const dureq_str *ids, size_t n)
{
    begin(out, k, shard, DQ_SCRIPT_JOB_GET, n);
    put_all(out, ids, n);
}

void dq_call_job_cancel(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, dureq_str reason, const dureq_str *ids,
                        size_t n)
{
    begin(out, k, shard, DQ_SCRIPT_JOB_CANCEL, n + 2);
    dq_resp_arg(out, actor);
    dq_resp_arg(out, reason);
    put_all(out, ids, n);
}

void dq_call_job_retry(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, bool force, const dureq_str *ids, size_t n)
{
    begin(out, k, shard, DQ_SCRIPT_JOB_RETRY, n + 2);
    dq_resp_arg(out, actor);
    dq_resp_arg_text(out, force ? "1" : "");
    put_all(out, ids, n);
}

void dq_call_job_delete(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, const dureq_str *ids, size_t n)
{
    begin(out, k, shard, DQ_SCRIPT_JOB_DELETE, n + 1);
    dq_resp_arg(out, actor);
    put_all(out, ids, n);
}

void dq_call_job_move(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, dq_job_verb verb, int64_t at_ms,
                      const dureq_str *ids, size_t n)
{
    static const char *const verbs[] = {
        [DQ_JOB_RUN_NOW] = "run",   [DQ_JOB_RESCHEDULE] = "reschedule", [DQ_JOB_PAUSE] = "pause",
        [DQ_JOB_RESUME] = "resume", [DQ_JOB_DELAY] = "delay",
    };

    begin(out, k, shard, DQ_SCRIPT_JOB_MOVE, n + 4);
    dq_resp_arg(out, actor);
    dq_resp_arg_text(out, verbs[verb]);
    dq_resp_arg_i64(out, at_ms);
    dq_resp_arg_i64(out, shard);
    put_all(out, ids, n);
}

void dq_call_job_update(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, dureq_str id, dureq_str old_j,
                        dureq_str new_j, dureq_str blob)
{
    begin(out, k, shard, DQ_SCRIPT_JOB_UPDATE, 5);
    dq_resp_arg(out, actor);
    dq_resp_arg(out, id);
    dq_resp_arg(out, old_j);
    dq_resp_arg(out, new_j);
    dq_resp_arg(out, blob);
}

static void put_how(dq_buf *out, const dq_page *p)
{
    dq_resp_arg(out, p->cursor);
    dq_resp_arg_i64(out, p->limit);
    dq_resp_arg_text(out, p->newest_first ? "new" : "old");
    dq_resp_arg_i64(out, (int64_t)p->bytes_max);
}

void dq_call_page(dq_buf *out, const dq_keys *k, const dq_page *p)
{
    if (p->place != DQ_PLACE_LANES) {
        begin(out, k, p->shard, DQ_SCRIPT_JOBS_PAGE, 5);
        dq_resp_arg_text(out, dq_places[p->place].name);
        put_how(out, p);
        return;
    }
    begin(out, k, p->shard, DQ_SCRIPT_LANES_PAGE, 6 + p->n_lanes);
    put_how(out, p);
    dq_resp_arg_i64(out, p->shard);
    dq_resp_arg_text(out, !p->running ? "p" : p->pending ? "pr" : "r");
    for (size_t i = 0; i < p->n_lanes; i++)
        dq_resp_arg_i64(out, p->lanes[i]);
}

void dq_call_counts(dq_buf *out, const dq_keys *k, unsigned shard)
{
    begin(out, k, shard, DQ_SCRIPT_COUNTS, 0);
}

void dq_call_node_list(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str sessions, size_t n)
{
    dq_call_begin(out, DQ_SCRIPT_NODE_LIST, 2, n);
    dq_keys_arg(out, k, shard, "sh", dureq_str_of(NULL, 0));
    dq_keys_arg(out, k, shard, "lease", dureq_str_of(NULL, 0));
    dq_buf_append_str(out, sessions);
}

void dq_call_node_drain(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, dureq_str node_id, bool drain)
{
    begin(out, k, shard, DQ_SCRIPT_NODE_DRAIN, 3);
    dq_resp_arg(out, actor);
    dq_resp_arg(out, node_id);
    dq_resp_arg_text(out, drain ? "1" : "");
}

int dq_job_view_decode(dq_reply r, dq_job_view *ret)
{
    dq_reply f[12];
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

void dq_call_stats_days(dq_buf *out, const dq_keys *k, unsigned shard, int64_t first_day, int n)
{
    begin(out, k, shard, DQ_SCRIPT_STATS_DAYS, 2);
    dq_resp_arg_i64(out, first_day);
    dq_resp_arg_i64(out, n);
}
