/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Users that a proxy lets in, and what they may: the proxy has asked them who they are, names them in a field of each request, and proves itself by the
   Unix socket or by a secret that it sends along. Its address proves nothing. */

#include "api/api.h"
#include "serve/http1.h"

#define DQ_USER_NAME_MAX   58 /* with "user:" it fits an actor */
#define DQ_USER_SECRET_MIN 16 /* bytes of the secret */

typedef struct dq_users dq_users;

typedef struct dq_users_options {
    const char *roles;  /* "alice=admin,bob=viewer+payload,*=viewer"; NULL or empty: no user is let in */
    const char *field;  /* the name of the field that has the user; NULL: X-Forwarded-User */
    const char *secret; /* what X-Dureq-Proxy-Secret must be; NULL: the proxy comes by the Unix socket */
} dq_users_options;

/* *ret is NULL when there are no roles. DUREQ_EINVAL names what is none. */
int dq_users_create(const dq_users_options *o, dq_users **ret, dureq_error *err);
void dq_users_destroy(dq_users *u); /* NULL is fine */

typedef struct dq_user {
    dureq_str name; /* a view into the head; {NULL, 0}: none is named */
    dq_api_role role;
    bool hides_payload;
} dq_user;
/* Whom the request is for. False with *fault: what it says of that cannot be believed, or may do nothing. u NULL: nobody is named. */
bool dq_users_read(const dq_users *u, const dq_http_head *head, bool is_unix, dq_user *ret, dq_http_fault *fault);
