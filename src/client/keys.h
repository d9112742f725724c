/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Unique keys of jobs that are not alive: see keys.c. */

#include "client/client_internal.h"
#include "store/key_calls.h"

/* Whether it is worth asking if the holder is alive: it is of another shard, and does not hold the key for a time. own (packed, may be NULL): the job
   that wants it, to which this does not matter. */
bool dq_key_may_be_freed(const dq_key_holder *h, const unsigned char *own);
/* 1 when the key is free by now or may be (it is asked for next), 0 when a living job holds it, or somebody reserved it. Between enter and leave. */
int dq_key_free_if_dead(dureq_client *c, dureq_str key, const unsigned char *own, dureq_error *err);
