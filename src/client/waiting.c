/* SPDX-License-Identifier: Apache-2.0 */
/* What waits, lane by lane: pages of them, so that each step of the server stays short. */
#include "client/waiting.h"

#include "client/client_internal.h"

#define LANES_A_CALL 500

static int walk_shard(dureq_client *c, unsigned shard, dq_lane_waiting_fn fn, void *userdata, dureq_error *err)
{
    int64_t from = 1;
    int rc = 0;

    while (rc == 0 && from > 0) {
        dq_owned_reply reply;
        dq_buf call = {0};

        dq_call_lanes_waiting(&call, dq_client_keys(c), shard, from, LANES_A_CALL);
        rc = dq_client_call(c, shard, DQ_CALL_REPEAT, &call, &reply, err);
        if (rc < 0)
            break;
        rc = dq_lanes_waiting_decode(&reply.reply, &from, fn, userdata);
        dq_owned_reply_deinit(&reply);
        if (rc == DUREQ_EPROTO)
            dq_fail(err, rc, "the answer of lanes_waiting cannot be read");
    }
    return rc;
}

int dq_client_walk_waiting(dureq_client *c, dq_lane_waiting_fn fn, void *userdata, dureq_error *err)
{
    int rc = 0;

    dq_client_enter(c);
    for (unsigned s = 0; rc == 0 && s < dq_client_keys(c)->n_shards; s++)
        rc = walk_shard(c, s, fn, userdata, err);
    dq_client_leave(c);
    return rc;
}
