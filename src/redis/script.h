/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Scripts by EVALSHA, and by EVAL with the very same arguments when the server answers that it does not know the script
   (NOSCRIPT: it has not run). fn is called once, with the answer that counts. The pattern:

       dq_redis_eval_begin(r, sha1, n_keys, n_args);
       dq_resp_arg(dq_redis_out(r), ...);             n_keys + n_args times
       dq_redis_eval_commit(r, flags, text, fn, userdata);

   A call that is repeated runs behind commands that were committed after it. Not for use between MULTI and EXEC. Loop
   thread only. */

#include "redis/conn.h"

int dq_redis_eval_begin(dq_redis *r, const char sha1[41], size_t n_keys, size_t n_args); /* always 0: see commit */
/* `text` must stay valid until the answer. Results as dq_redis_commit. */
int dq_redis_eval_commit(dq_redis *r, unsigned flags, dureq_str text, dq_redis_reply_fn fn, void *userdata);
/* SHA-1 of a script as EVALSHA wants it: 40 lower-case hex digits and NUL. */
void dq_redis_script_sha1(dureq_str text, char out[41]);
