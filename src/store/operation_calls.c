/* SPDX-License-Identifier: Apache-2.0 */
#include "store/operation_calls.h"

#define HOME 0 /* the shard that has the records */

void dq_call_operation_start(dq_buf *out, const dq_keys *k, const dq_operation_start *what)
{
    dq_call c = dq_call_begin(out, k, HOME, DQ_SCRIPT_OPERATION_START);

    dq_call_arg(&c, what->id);
    dq_call_arg(&c, what->spec);
    dq_call_arg(&c, what->actor);
    dq_call_arg(&c, what->detail);
    dq_call_end(&c);
}

void dq_call_operation_turn(dq_buf *out, const dq_keys *k, const dq_operation_turn *what)
{
    static const char *const verbs[] = {
        [DQ_OPERATION_CLAIM] = "claim", [DQ_OPERATION_SAVE] = "save", [DQ_OPERATION_FINISH] = "finish",
        [DQ_OPERATION_FREE] = "free",   [DQ_OPERATION_DROP] = "drop",
    };
    dq_call c = dq_call_begin(out, k, HOME, DQ_SCRIPT_OPERATION_TURN);

    dq_call_arg_text(&c, verbs[what->verb]);
    dq_call_arg(&c, what->holder);
    dq_call_arg_i64(&c, what->lease_ms);
    dq_call_arg(&c, what->id);
    dq_call_args(&c, what->fields, what->n_fields);
    dq_call_end(&c);
}

void dq_call_operation_stop(dq_buf *out, const dq_keys *k, dureq_str actor, dureq_str id, dureq_str reason)
{
    dq_call c = dq_call_begin(out, k, HOME, DQ_SCRIPT_OPERATION_STOP);

    dq_call_arg(&c, actor);
    dq_call_arg(&c, id);
    dq_call_arg(&c, reason);
    dq_call_end(&c);
}

void dq_call_operations_page(dq_buf *out, const dq_keys *k, dureq_str id, dureq_str before, int limit)
{
    dq_call c = dq_call_begin(out, k, HOME, DQ_SCRIPT_OPERATIONS_PAGE);

    dq_call_arg(&c, id);
    dq_call_arg(&c, before);
    dq_call_arg_i64(&c, limit);
    dq_call_end(&c);
}

void dq_call_operation_count(dq_buf *out, const dq_keys *k, unsigned shard, const char *verb, dureq_str id)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_OPERATION_COUNT);

    dq_call_arg_text(&c, verb);
    dq_call_arg(&c, id);
    dq_call_end(&c);
}
