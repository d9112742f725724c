/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_reply.h"

/* From a stream's entry to a claim is the file's own. */
#include "worker/fetch.c" /* NOLINT(bugprone-suspicious-include) */

/* An entry of a stream as a worker reads it: [id, [field, value ...]]. What can be read has an id that can be written, and a policy that gives delays. */

static void check_claim(dq_claim *c)
{
    dureq_str run;
    dq_id id;

    set_texts(c);
    assert(dq_id_parse(dureq_str_from(c->job.id_text), &id) == 0);
    assert(memchr(c->job.run_text, '\0', sizeof c->job.run_text));
    run = dureq_str_from(c->job.run_text);
    assert(dq_str_starts_with(run, dureq_str_from(c->job.id_text)) && run.len > DUREQ_JOB_ID_LEN + 1);
    assert(c->job.retry.max_attempts >= 1 && dq_retry_delay_ms(&c->job.retry, 3, 0.5) >= 0);
}

static void read_entry(dq_reply entry, dureq_str whole)
{
    static dq_wshard shard = {.no = 2};
    static dq_handler handler;
    static dq_wqueue queue;
    static dq_wlane lane = {.no = 5, .shard = &shard, .handler = &handler, .queue_of = &queue};
    static dq_claim c;
    dq_reply id = dq_reply_first(entry);

    (void)whole;
    memset(&c, 0, sizeof c);
    c.shard = &shard;
    c.lane = &lane;
    c.handler = &handler;
    if (!parse_entry(dq_reply_str(id), &c.job.entry.ms, &c.job.entry.seq))
        return;
    read_fields(&c, dq_reply_next(id));
    if (decode(&c) == 0)
        check_claim(&c);
    else
        set_texts(&c);
}

static void read_key(dureq_str key)
{
    static dq_wlane lane;
    static dq_wlane *list[] = {&lane, &lane};
    dq_wshard shard = {.lanes = {.items = list, .n = 2}};
    bool front = false;

    (void)lane_of(&shard, key, &front);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_with_reply(data, size, read_entry);
    read_key(dureq_str_of((const char *)data, size));
    return 0;
}
