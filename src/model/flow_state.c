/* SPDX-License-Identifier: Apache-2.0 */
#include "model/flow_state.h"

#include "base/base.h"
#include "base/buf.h"

#define HEAD_VERSION 1
#define FLAG_FAILING 1
#define FLAG_HOLDS   8 /* one that runs is suspended */

static const char *const status_words[] = {
#define X(num, name, text) [num] = text,
    DUREQ_WORKFLOW_STATUS_MAP(X)
#undef X
};
static const char *const state_words[] = {
#define X(num, name, text) [num] = text,
    DUREQ_WORKFLOW_TASK_STATE_MAP(X)
#undef X
};

const char *dureq_workflow_status_to_str(dureq_workflow_status status)
{
    unsigned i = (unsigned)status;

    return i < DQ_ARRAY_LEN(status_words) && status_words[i] ? status_words[i] : "unknown";
}

int dureq_workflow_status_parse(dureq_str text, dureq_workflow_status *ret)
{
    for (size_t i = 0; i < DQ_ARRAY_LEN(status_words); i++)
        if (status_words[i] && dq_str_eq_text(text, status_words[i])) {
            *ret = (dureq_workflow_status)i;
            return 0;
        }
    return DUREQ_EINVAL;
}

const char *dureq_workflow_task_state_to_str(dureq_workflow_task_state state)
{
    unsigned i = (unsigned)state;

    return i < DQ_ARRAY_LEN(state_words) ? state_words[i] : "unknown";
}

int dq_flow_head_unpack(dureq_str bytes, dq_flow_head *ret)
{
    dq_reader r = dq_reader_of(bytes);
    uint8_t version = dq_read_u8(&r), status = dq_read_u8(&r), flags = dq_read_u8(&r);

    if (bytes.len != DQ_FLOW_HEAD || status < DUREQ_WORKFLOW_RUNNING || status > DUREQ_WORKFLOW_CANCELLED)
        return version > HEAD_VERSION ? DUREQ_ESCHEMA : DUREQ_EPROTO;
    if (version != HEAD_VERSION)
        return DUREQ_ESCHEMA;
    *ret = (dq_flow_head){.status = (dureq_workflow_status)status, .is_failing = flags & FLAG_FAILING};
    if (status == DUREQ_WORKFLOW_RUNNING && flags & FLAG_HOLDS)
        ret->status = DUREQ_WORKFLOW_SUSPENDED;
    (void)dq_read_be(&r, 4); /* epoch, version of the graph */
    ret->n_tasks = (uint32_t)dq_read_be(&r, 3);
    ret->n_active = (uint32_t)dq_read_be(&r, 3);
    ret->n_ended = (uint32_t)dq_read_be(&r, 3);
    ret->n_failed = (uint32_t)dq_read_be(&r, 3);
    ret->n_skipped = (uint32_t)dq_read_be(&r, 3);
    ret->n_unreached = (uint32_t)dq_read_be(&r, 3);
    ret->max_running = (uint32_t)dq_read_be(&r, 3);
    ret->started_at_ms = (int64_t)dq_read_be(&r, 6);
    ret->finished_at_ms = (int64_t)dq_read_be(&r, 6);
    (void)dq_read_bytes(&r, 16); /* the definition */
    ret->attempt = (uint32_t)dq_read_be(&r, 2);
    ret->max_attempts = (uint32_t)dq_read_be(&r, 2);
    ret->attempt = DQ_MAX(ret->attempt, 1U); /* 0: of a version before that knew no retries */
    ret->max_attempts = DQ_MAX(ret->max_attempts, 1U);
    return r.bad ? DUREQ_EPROTO : 0;
}

bool dq_flow_cell_unpack(dureq_str cells, size_t i, dq_flow_cell *ret)
{
    if (cells.len < (i + 1) * DQ_FLOW_CELL)
        return false;
    dq_reader r = dq_reader_of(dureq_str_of(cells.ptr + i * DQ_FLOW_CELL, DQ_FLOW_CELL));
    uint8_t state = dq_read_u8(&r);

    (void)dq_read_be(&r, 3); /* marks, incarnation */
    *ret = (dq_flow_cell){.state = (dureq_workflow_task_state)state, .n_met = (uint32_t)dq_read_be(&r, 3)};
    (void)dq_id_unpack(dq_read_bytes(&r, DQ_ID_BYTES), &ret->job);
    ret->released_at_ms = (int64_t)dq_read_be(&r, 6);
    ret->ended_at_ms = (int64_t)dq_read_be(&r, 6);
    return !r.bad && state < DQ_ARRAY_LEN(state_words);
}
