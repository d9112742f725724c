/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "model/job.h"

/* Ids, names, keys and words as people and servers write them: what is taken is written the same again. */

static void read_id(dureq_str text)
{
    dureq_job_id again;
    dq_id id, back;

    if (dq_id_parse(text, &id) == 0) {
        unsigned char packed[DQ_ID_BYTES];
        bool ok;

        dq_id_to_text(&id, &again);
        assert(dq_str_eq(dureq_str_from(again.text), text));
        assert(id.ms >> 44 == 0 && id.seq <= DQ_ID_SEQ_MAX && id.lane <= DQ_LANE_MAX && id.shard <= DQ_SHARD_MAX);
        dq_id_pack(&id, packed);
        ok = dq_id_unpack(dureq_str_of(packed, sizeof packed), &back);
        assert(ok && back.ms == id.ms && back.seq == id.seq && back.lane == id.lane && back.shard == id.shard);
    }
    if (dq_id_from_entry(text, 7, 3, &id)) {
        char entry[32];
        size_t len = dq_id_entry(&id, entry);

        assert(id.ms >> 44 == 0 && id.seq <= DQ_ID_SEQ_MAX);
        assert(len > 2 && dq_id_from_entry(dureq_str_of(entry, len), 7, 3, &back) && back.ms == id.ms && back.seq == id.seq);
    }
}

static void read_words(dureq_str text)
{
    dureq_job_state state;
    dureq_outcome outcome;

    if (dureq_job_state_parse(text, &state) == 0)
        assert(dq_str_eq_text(text, "failed") || dq_str_eq_text(text, dureq_job_state_to_str(state)));
    if (dureq_outcome_parse(text, &outcome) == 0)
        assert(dq_str_eq_text(text, dureq_outcome_to_str(outcome)));
}

static void read_lane_name(dureq_str text)
{
    dureq_str queue, type, version;

    if (!dq_lane_name_split(text, &queue, &type, &version))
        return;
    assert(queue.len + type.len + version.len + 2 == text.len);
    assert(queue.ptr == text.ptr && (version.len == 0 || version.ptr + version.len == text.ptr + text.len));
}

static void check_names(dureq_str text)
{
    dureq_error err = {0};

    if (dq_name_check("name", text, &err) == 0)
        assert(text.len >= 1 && text.len <= DUREQ_NAME_MAX);
    else
        assert(err.msg[0]);
    if (dq_key_check("key", text, &err) == 0)
        assert(text.len >= 1);
    if (dq_prefix_check(text, &err) == 0)
        assert(text.len >= 1 && !memchr(text.ptr, '{', text.len) && !memchr(text.ptr, '}', text.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dureq_str text = dureq_str_of((const char *)data, size);

    read_id(text);
    read_words(text);
    read_lane_name(text);
    check_names(text);
    return 0;
}
