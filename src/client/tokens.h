/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Tokens of the API as Redis keeps them: an id and a text each, which the API makes and reads. Any thread; blocking. */

#include <dureq/client.h>

int dq_client_token_put(dureq_client *c, const char *id, dureq_str text, dureq_error *err);
int dq_client_token_delete(dureq_client *c, const char *id, bool *ret_existed, dureq_error *err);
int dq_client_tokens(dureq_client *c, void (*fn)(void *userdata, dureq_str id, dureq_str text), void *userdata, dureq_error *err);
