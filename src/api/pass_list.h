/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* All tokens, and all sessions, read from Redis: for who lists them or clears them up. Any thread; blocking. */

#include "api/passes.h"

typedef struct dq_pass_list {
    dq_token *tokens;
    size_t n_tokens, tokens_cap;
    dq_session *sessions;
    size_t n_sessions, sessions_cap;
    bool failed;
} dq_pass_list;

int dq_pass_list_read(dureq_client *client, dq_pass_list *ret, dureq_error *err);
int dq_pass_list_read_tokens(dureq_client *client, dq_pass_list *ret, dureq_error *err); /* no session */
void dq_pass_list_deinit(dq_pass_list *l);
