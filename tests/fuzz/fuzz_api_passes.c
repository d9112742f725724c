/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <stdlib.h>

#include "api/passes.h"

/* What Redis may hold of tokens and sessions, whoever wrote it. What is read can be stored and read again, and is the same then: neither its role nor its
   limits grow on the way. */

static bool same_text(const char *a, const char *b)
{
    return (!a && !b) || (a && b && strcmp(a, b) == 0);
}

static void check_token(dureq_str text)
{
    DQ_BUF_AUTO stored = {0};
    dq_json_writer w = dq_json_writer_of(&stored);
    dq_token t, again;

    if (!dq_token_read(text, &t))
        return;
    assert(t.role >= DQ_API_VIEWER && t.role <= DQ_API_ADMIN && strlen(t.hash) == DQ_PASS_HASH_MAX - 1);
    dq_token_store(&w, &t);
    if (dq_token_read(dq_buf_str(&stored), &again)) { /* a name that is no UTF-8 may be longer then */
        assert(again.role == t.role && again.hides_payload == t.hides_payload);
        assert(same_text(again.scope.queues, t.scope.queues) || !dq_scope_is_open(&again.scope));
        assert(dq_scope_is_open(&again.scope) == dq_scope_is_open(&t.scope));
        dq_token_deinit(&again);
    }
    dq_token_deinit(&t);
}

static void check_session(dureq_str text)
{
    dq_session s;

    if (dq_session_read(text, &s))
        assert(s.expires_at_ms > 0 && s.id[0] && s.token[0] && strlen(s.hash) == DQ_PASS_HASH_MAX - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dureq_str text = dureq_str_of((const char *)data, size), id, secret;

    check_token(text);
    check_session(text);
    if (dq_pass_split(text, "dq", &id, &secret))
        assert(id.ptr > text.ptr && secret.ptr + secret.len == text.ptr + text.len);
    return 0;
}
