/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Events as they happen, for a thread that waits for them. */

#include "client/event_hub.h"

typedef struct dq_event_follow {
    dq_event_sub_options options; /* but for on_more and userdata */
    dq_event_put_fn put;          /* appends an item to what put_userdata says; on the client's loop, never beside flush_fn */
    void *put_userdata;
    int (*flush_fn)(void *userdata, dureq_error *err); /* on the caller's thread, after some items were put; negative: no more */
    void *flush_userdata;
} dq_event_follow;

/* Blocking; until flush_fn wants no more. Not on the client's loop. */
int dq_client_follow_events(dureq_client *c, const dq_event_follow *f, dureq_error *err);
