/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_reply.h"

/* From a stream's entry to a task is the file's own. */
#include "worker/fetch.c" /* NOLINT(bugprone-suspicious-include) */

/* An entry of a stream as a worker reads it: [id, [field, value ...]]. What can be read has an id that can be written, and a policy that gives delays. */

static void check_task(dureq_run *t)
{
    dureq_str run;
    dq_id id;

    set_texts(t);
    assert(dq_id_parse(dureq_str_from(t->job_id_text), &id) == 0);
    assert(memchr(t->run_id_text, '\0', sizeof t->run_id_text));
    run = dureq_str_from(t->run_id_text);
    assert(dq_str_starts_with(run, dureq_str_from(t->job_id_text)) && run.len > DUREQ_JOB_ID_LEN + 1);
    assert(t->retry.max_attempts >= 1 && dq_retry_delay_ms(&t->retry, 3, 0.5) >= 0);
}

static void read_entry(dq_reply entry, dureq_str whole)
{
    static dq_wshard shard = {.no = 2};
    static dq_handler handler;
    static dq_wqueue queue;
    static dq_wlane lane = {.no = 5, .shard = &shard, .handler = &handler, .queue_of = &queue};
    static dureq_run t;
    dq_reply id = dq_reply_first(entry);

    (void)whole;
    memset(&t, 0, sizeof t);
    t.shard = &shard;
    t.lane = &lane;
    t.handler = &handler;
    if (!parse_entry(dq_reply_str(id), &t.entry_ms, &t.entry_seq))
        return;
    read_fields(&t, dq_reply_next(id));
    if (decode(&t) == 0)
        check_task(&t);
    else
        set_texts(&t);
}

static void read_key(dureq_str key)
{
    static dq_wlane lane;
    static dq_wlane *list[] = {&lane, &lane};
    dq_wshard shard = {.lanes = list, .n_lanes = 2};
    bool front = false;

    (void)lane_of(&shard, key, &front);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_with_reply(data, size, read_entry);
    read_key(dureq_str_of((const char *)data, size));
    return 0;
}
