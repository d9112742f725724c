/* SPDX-License-Identifier: Apache-2.0 */
/* What others tell this node's sessions by SPUBLISH (docs/redis-keys.md "Channels"). Nothing depends on a message to arrive: heartbeats and
   the resync after a lost connection find all of it too, only later. Loop thread. */

#include "worker/worker_internal.h"

/* What happened without a run: whoever is leader tells it. */
static void tell_resumed(dq_wshard *s, dureq_str packed)
{
    dq_worker *w = s->worker;
    dureq_job_id text;
    dq_id id;

    if (!w->on_event || !dq_id_unpack(packed, &id))
        return;
    dq_id_to_text(&id, &text);
    const dq_wlane *lane = id.lane > 0 && id.lane <= s->lanes.n ? s->lanes.items[id.lane - 1] : NULL;
    dureq_node_event e = {
        .kind = DUREQ_NODE_JOB_RESUMED,
        .job_id = text.text,
        .run_id = "",
        .task_type = lane ? lane->type : "",
        .queue = lane ? lane->queue : "",
        .error = "",
    };
    w->on_event(&e, w->on_event_userdata);
}

/* P: the store looks at definitions by itself, and may have seen new ones before the shard had them.
   w:<session>: L<lane> J<job> D<ms> T<ms> H W U<id> C<id><l|f><entry> R; ctl: N<lane> P. */
void dq_worker_on_message(dq_worker *w, unsigned shard, dureq_str name, dureq_str text)
{
    dq_wshard *s = shard < w->n_shards ? &w->shards[shard] : NULL;
    dureq_str rest = dureq_str_of(text.ptr + 1, text.len ? text.len - 1 : 0);
    int64_t n;

    if (!s || text.len == 0)
        return;
    if (!dq_str_eq_text(name, "ctl") && !(dq_str_starts_with(name, DQ_STR_LIT("w:")) &&
                                          dq_str_eq_text(dureq_str_of(name.ptr + 2, name.len - 2), s->session.text)))
        return;
    switch (text.ptr[0]) {
    case 'L':
    case 'N':
        if (dq_parse_i64(rest, 1, UINT32_MAX, &n) == 0)
            dq_lane_wake(s, (uint32_t)n, /*is_called=*/text.ptr[0] == 'L');
        break;
    case 'J': dq_fetch_pushed(s, rest); break;
    case 'D':
        if (dq_parse_i64(rest, 0, INT64_MAX, &n) == 0 && w->cb.on_due)
            w->cb.on_due(w, shard, n, w->cb.userdata);
        break;
    case 'T':
        if (dq_parse_i64(rest, 0, INT64_MAX, &n) == 0 && w->cb.on_schedule)
            w->cb.on_schedule(w, shard, n, w->cb.userdata);
        break;
    case 'H':
        if (w->cb.on_history)
            w->cb.on_history(w, shard, w->cb.userdata);
        break;
    case 'W':
        if (w->cb.on_flow)
            w->cb.on_flow(w, shard, w->cb.userdata);
        break;
    case 'U': tell_resumed(s, rest); break;
    case 'C': dq_session_cancelled(s, rest); break;
    case 'R': dq_session_beat_now(s); break;
    case 'P': dq_paused_load(s); break;
    default: break;
    }
}
