/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What lets somebody in: tokens, dq_<id>_<secret>, and the sessions of those who signed in by one, dqs_<id>_<secret>. Redis has the SHA-256 of the
   secret, which has 256 random bits, so that no salt is needed. Pure but for randomness. */

#include "api/api.h"
#include "json/json.h"
#include "model/scope.h"

#define DQ_PASS_ID_MAX   13  /* with its NUL */
#define DQ_PASS_HASH_MAX 65  /* the same */
#define DQ_PASS_TEXT_MAX 100 /* a token or session as it is sent */
#define DQ_PASS_NAME_MAX 64

typedef struct dq_token {
    char id[DQ_PASS_ID_MAX], name[DQ_PASS_NAME_MAX], hash[DQ_PASS_HASH_MAX];
    dq_api_role role;
    bool hides_payload;
    dq_scope scope;
    int64_t created_at_ms, expires_at_ms; /* 0: never */
} dq_token;

typedef struct dq_session {
    char id[DQ_PASS_ID_MAX], token[DQ_PASS_ID_MAX], hash[DQ_PASS_HASH_MAX];
    int64_t created_at_ms, expires_at_ms;
} dq_session;

const char *dq_role_word(dq_api_role role);
dq_api_role dq_role_of(dureq_str word); /* DQ_API_ITSELF: it is none */

/* The right of a pass that was sent, after its id: what its hash must be. */
void dq_pass_hash(dureq_str secret, char ret[DQ_PASS_HASH_MAX]);
/* "dq_<id>_<secret>" with that mark, "dq" or "dqs". */
bool dq_pass_split(dureq_str text, const char *mark, dureq_str *ret_id, dureq_str *ret_secret);
int dq_pass_make(const char *mark, char id[DQ_PASS_ID_MAX], char hash[DQ_PASS_HASH_MAX], char text[DQ_PASS_TEXT_MAX],
                 dureq_error *err);
/* In constant time. */
bool dq_pass_is_right(dureq_str id, const char *hash, const char *right_id, const char *right_hash);

/* "queues" and "task_types", of what has some. */
void dq_scope_to_json(dq_json_writer *w, const dq_scope *scope);
bool dq_scope_of_json(const dq_json *doc,
                      dq_scope *ret); /* false: it cannot be read, or there is no memory; to deinit even then */

/* As people see it: without its hash. */
void dq_token_to_json(dq_json_writer *w, const dq_token *t);
/* As Redis keeps it. */
void dq_token_store(dq_json_writer *w, const dq_token *t);
bool dq_token_read(dureq_str text, dq_token *ret); /* what cannot be read is no token */
void dq_token_deinit(dq_token *t);
void dq_session_store(dq_json_writer *w, const dq_session *s);
bool dq_session_read(dureq_str text, dq_session *ret);
