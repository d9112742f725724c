/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

/* Reading events is the file's own. */
#include "client/events.c" /* NOLINT(bugprone-suspicious-include) */

/* An entry of the event stream and the id of a job, in the first 13 bytes: looking never reads beyond, and what has an event has the id. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dureq_str input = dureq_str_of((const char *)data, size), entry;
    unsigned char packed[DQ_ID_BYTES];
    const char *name;
    dq_id id;

    if (size < DQ_ID_BYTES || !dq_id_unpack(dureq_str_of(data, DQ_ID_BYTES), &id))
        return 0;
    dq_id_pack(&id, packed);
    entry = dureq_str_of(input.ptr + DQ_ID_BYTES, input.len - DQ_ID_BYTES);
    name = event_of(entry, &id, packed);
    assert(!name || strncmp(name, entry.ptr[0] == 'H' ? "schedule." : "job.", 4) == 0);
    if (name && entry.ptr[0] == 'H') {
        DQ_BUF_AUTO text = {0};
        dq_json_writer w = dq_json_writer_of(&text);

        dq_json_begin_array(&w);
        put_schedule_events(&w, entry, packed);
        dq_json_end_array(&w);
        assert(!dq_buf_failed(&text) && dq_json_valid(dq_buf_str(&text)));
    }
    if (name && entry.ptr[0] != 'E' && entry.ptr[0] != 'A')
        assert(memmem(entry.ptr, entry.len, packed, sizeof packed));
    if (name && entry.ptr[0] == 'O')
        assert(part_with(entry, packed) != 0);
    return 0;
}
