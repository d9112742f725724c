/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <stdlib.h>

#include "store/core.h"

/* Taking an answer apart is the file's own. */
#include "client/produce_call.c" /* NOLINT(bugprone-suspicious-include) */

/* The answer of an enqueue call of six jobs on three lanes, one of whose callers gave up: each job has exactly one answer behind it, and an id that
   is given can be written. */

enum { JOBS = 6, LANES = 3, GONE = 4, LEFT = 100 };

static enq_lane *lanes[LANES];
static enq_item items[JOBS];
static dureq_enqueue_result results[JOBS];

static enq_lane *lane_create(void)
{
    enq_lane *lane = calloc(1, sizeof *lane + 4 * sizeof lane->no[0]);

    if (!lane)
        abort();
    lane->name = DQ_STR_LIT("normal|mail|");
    return lane;
}

static void check_results(const enq_request *request)
{
    assert(request->left == LEFT - (JOBS - 1));
    for (size_t i = 0; i < JOBS; i++) {
        const dureq_enqueue_result *r = &results[i];
        dq_id id;

        assert(items[i].done == (i != GONE) && !items[i].call && memchr(r->msg, '\0', sizeof r->msg));
        assert(r->code == 0 || i == GONE || r->msg[0]);
        assert(!r->id.text[0] || dq_id_parse(dureq_str_from(r->id.text), &id) == 0);
        assert(r->code != 0 || i == GONE || r->id.text[0]);
    }
}

static void take(dureq_str answer)
{
    static dq_store store;
    static dureq_client client = {.store = &store};
    static dq_producer producer = {.client = &client};
    static enq_shard shard = {.producer = &producer, .no = 1};
    enq_request request = {.results = results, .left = LEFT};
    enq_call *call = dq_calloc(1, sizeof *call);

    if (!call)
        abort();
    dq_mutex_init(&request.mu);
    dq_cond_init(&request.cond);
    dq_list_init(&shard.flying);
    memset(results, 0, sizeof results);
    *call = (enq_call){.producer = &producer, .shard = 1, .n = JOBS};
    for (size_t i = 0; i < JOBS; i++) {
        items[i] = (enq_item){.request = &request, .index = (uint32_t)i, .lane = lanes[i % LANES], .call = call, .ukey_home = -1};
        call->items[i] = i == GONE ? NULL : &items[i];
        items[i].call = i == GONE ? NULL : call;
        call->lanes[i] = items[i].lane;
        call->lane_nos[i] = (uint32_t)(i % LANES) + 1;
    }
    dq_list_push_back(&shard.flying, &call->link);
    shard.n_flying = 1;
    take_answer(&shard, call, answer);
    assert(shard.n_flying == 0 && dq_list_empty(&shard.flying));
    check_results(&request);
    dq_cond_deinit(&request.cond);
    dq_mutex_deinit(&request.mu);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < LANES; i++)
        if (!lanes[i])
            lanes[i] = lane_create();
    take(dureq_str_of((const char *)data, size));
    return 0;
}
