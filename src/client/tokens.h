/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Tokens of the API and the sessions of who signed in, as Redis keeps them: an id and a text each, which the API makes and reads. Any thread;
   blocking. */

#include <dureq/client.h>

typedef enum dq_pass_kind {
    DQ_PASS_TOKEN,
    DQ_PASS_SESSION,
} dq_pass_kind;

int dq_client_pass_put(dureq_client *c, dq_pass_kind kind, const char *id, dureq_str text, dureq_error *err);
/* *ret_n: how many of them there were. n 0 is fine. */
int dq_client_pass_delete(dureq_client *c, dq_pass_kind kind, const dureq_str *ids, size_t n, int64_t *ret_n, dureq_error *err);
int dq_client_passes(dureq_client *c, dq_pass_kind kind, void (*fn)(void *userdata, dureq_str id, dureq_str text), void *userdata,
                     dureq_error *err);
/* Those of n ids, however many others there are: fn is called for each that there is, with its place among the ids. */
int dq_client_passes_some(dureq_client *c, dq_pass_kind kind, const dureq_str *ids, size_t n,
                          void (*fn)(void *userdata, size_t i, dureq_str text), void *userdata, dureq_error *err);
/* Notes in the audit what this thread's caller did to a token, or to many jobs. */
int dq_client_audit_note(dureq_client *c, const char *action, const char *target, dureq_str detail, dureq_error *err);
