/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/resp.h"
#include "store/store.h"

void dq_call_begin(dq_buf *out, int script, size_t n_keys, size_t n_args)
{
    dq_resp_begin(out, 3 + n_keys + n_args);
    dq_resp_arg(out, DQ_STR_LIT("EVALSHA"));
    dq_resp_arg(out, dureq_str_of(dq_scripts[script].sha1, 40));
    dq_resp_arg_i64(out, (int64_t)n_keys);
}

void dq_call_begin_text(dq_buf *out, int script, size_t n_keys, size_t n_args)
{
    dq_resp_begin(out, 3 + n_keys + n_args);
    dq_resp_arg(out, DQ_STR_LIT("EVAL"));
    dq_resp_arg(out, dureq_str_of(dq_scripts[script].text, dq_scripts[script].len));
    dq_resp_arg_i64(out, (int64_t)n_keys);
}
