/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <stdlib.h>

#include "model/job.h"
#include "model/queue.h"

/* A stored queue definition: what is taken keeps its limits, is taken again when it is written, and means the same. */

static dq_queue read_back(const dq_queue *q, dq_arena *arena, dq_buf *json)
{
    dq_queue again = {0};
    dureq_error err = {0};
    int rc;

    dq_queue_to_json(q, json);
    rc = dq_queue_from_json(q->name, dq_buf_str(json), arena, &again, &err);
    assert(rc == 0);
    return again;
}

static void check_taken(const dq_queue *q, dq_arena *arena)
{
    DQ_BUF_AUTO first = {0};
    DQ_BUF_AUTO second = {0};
    dq_queue again = read_back(q, arena, &first), third = read_back(&again, arena, &second);

    assert(q->weight >= 1 && q->weight <= 1000 && q->priority_min >= 0 && q->priority_max <= 10);
    assert(q->priority_min <= q->priority_max && q->max_len >= 0 && q->retention_ms >= -1);
    assert(dq_queue_same(q, &again) && again.paused == q->paused && dq_queue_same(&again, &third));
    assert(dq_str_eq(dq_buf_str(&first), dq_buf_str(&second)));
}

/* Every priority has a queue, whatever the ranges. */
static void check_set(const dq_queue *q, dq_arena *arena)
{
    dq_queue_set set = {.n = 2};

    set.items = dq_arena_alloc(arena, 2 * sizeof *set.items);
    assert(set.items);
    set.items[0] = *q;
    set.items[1] = (dq_queue){.name = DQ_STR_LIT("other"), .weight = 3};
    dq_queue_set_index(&set);
    for (int p = 1; p <= 10; p++)
        assert(set.by_priority[p] && set.by_priority[p] >= set.items && set.by_priority[p] < set.items + 2);
    assert(dq_queue_set_find(&set, q->name));
    dq_queue_set_deinit(&set); /* its queues are in the caller's arena */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dureq_str json = dureq_str_of((const char *)data, size), name = DQ_STR_LIT("q");
    dq_arena arena = {0};
    dureq_error err = {0};
    dq_queue q = {0};
    int rc = dq_queue_from_json(name, json, &arena, &q, &err);

    assert(rc == 0 || (rc == DUREQ_EPROTO && err.code == rc && err.msg[0]));
    if (rc == 0) {
        check_taken(&q, &arena);
        check_set(&q, &arena);
    }
    (void)dq_queue_from_json(json, DQ_STR_LIT("{}"), &arena, &q, &err);
    dq_arena_deinit(&arena);
    return 0;
}
