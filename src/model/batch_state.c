/* SPDX-License-Identifier: Apache-2.0 */
#include "model/batch_state.h"

#include "base/base.h"
#include "base/buf.h"

#define HEAD_VERSION   1
#define FLAG_FAILING   1
#define FLAG_FAST      2
#define FLAG_OPEN      4
#define FLAG_TIMED_OUT 16

static const char *const status_words[] = {
#define X(num, name, text) [num] = text,
    DUREQ_BATCH_STATUS_MAP(X)
#undef X
};
static const char *const state_words[] = {
#define X(num, name, text) [num] = text,
    DUREQ_BATCH_ITEM_STATE_MAP(X)
#undef X
};

const char *dureq_batch_status_to_str(dureq_batch_status status)
{
    unsigned i = (unsigned)status;

    return i < DQ_ARRAY_LEN(status_words) && status_words[i] ? status_words[i] : "unknown";
}

int dureq_batch_status_parse(dureq_str text, dureq_batch_status *ret)
{
    for (size_t i = 0; i < DQ_ARRAY_LEN(status_words); i++)
        if (status_words[i] && dq_str_eq_text(text, status_words[i])) {
            *ret = (dureq_batch_status)i;
            return 0;
        }
    return DUREQ_EINVAL;
}

const char *dureq_batch_item_state_to_str(dureq_batch_item_state state)
{
    unsigned i = (unsigned)state;

    return i < DQ_ARRAY_LEN(state_words) ? state_words[i] : "unknown";
}

int dureq_batch_item_state_parse(dureq_str text, dureq_batch_item_state *ret)
{
    for (size_t i = 0; i < DQ_ARRAY_LEN(state_words); i++)
        if (dq_str_eq_text(text, state_words[i])) {
            *ret = (dureq_batch_item_state)i;
            return 0;
        }
    return DUREQ_EINVAL;
}

int dq_batch_head_unpack(dureq_str bytes, dq_batch_head *ret)
{
    dq_reader r = dq_reader_of(bytes);
    uint8_t version = dq_read_u8(&r), status = dq_read_u8(&r), flags = dq_read_u8(&r);

    if (version > HEAD_VERSION)
        return DUREQ_ESCHEMA;
    if (bytes.len != DQ_BATCH_HEAD || version != HEAD_VERSION || status >= DQ_ARRAY_LEN(status_words) || !status_words[status])
        return DUREQ_EPROTO;
    *ret = (dq_batch_head){.status = (dureq_batch_status)status,
                           .is_failing = flags & FLAG_FAILING,
                           .fails_fast = flags & FLAG_FAST,
                           .is_open = flags & FLAG_OPEN,
                           .is_timed_out = flags & FLAG_TIMED_OUT};
    ret->once = dq_read_u8(&r);
    (void)dq_read_be(&r, 2); /* epoch */
    ret->attempt = (uint32_t)dq_read_be(&r, 2);
    ret->max_attempts = (uint32_t)dq_read_be(&r, 2);
    ret->window = (uint32_t)dq_read_be(&r, 4);
    ret->n_items = (uint32_t)dq_read_be(&r, 4);
    (void)dq_read_be(&r, 4); /* the next to be released */
    ret->n_running = (uint32_t)dq_read_be(&r, 4);
    ret->n_completed = (uint32_t)dq_read_be(&r, 4);
    ret->n_skipped = (uint32_t)dq_read_be(&r, 4);
    ret->n_failed = (uint32_t)dq_read_be(&r, 4);
    ret->n_cancelled = (uint32_t)dq_read_be(&r, 4);
    ret->started_at_ms = (int64_t)dq_read_be(&r, 6);
    ret->finished_at_ms = (int64_t)dq_read_be(&r, 6);
    ret->deadline_ms = (int64_t)dq_read_be(&r, 6);
    return r.bad ? DUREQ_EPROTO : 0;
}
