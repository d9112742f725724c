/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A scripted peer on a thread of its own, for what a real server cannot be made to do: torn and damaged replies, old
   versions, endless silence. It answers the greeting of a connection by itself and asks its script for the rest.
   Whatever fails here ends the test program. */

#include "base/buf.h"

typedef struct fake_redis fake_redis;

/* On the peer's thread, once a command. Appends what is to be sent (nothing: silence) and returns true, or returns false
   to have the usual answer sent. `connection` counts from 1. */
typedef bool (*fake_redis_fn)(void *userdata, int connection, const dureq_str *words, size_t n, dq_buf *out);

typedef struct fake_redis_options {
    const char *version;   /* NULL = "7.0.15" */
    const char *policy;    /* maxmemory_policy; NULL = "noeviction" */
    const char *more_info; /* further lines of INFO server; NULL: none */
    bool no_hello;         /* does not know HELLO, as before version 6 */
    bool no_memory;        /* does not tell the policy */
    fake_redis_fn fn;      /* NULL: the usual answers only */
    void *userdata;
    bool stepped; /* each byte waits for fake_redis_step */
    bool has_cut; /* the first connection ends after `cut_after` bytes of answers */
    size_t cut_after;
} fake_redis_options;

fake_redis *fake_redis_start(const fake_redis_options *opts); /* NULL: all usual */
void fake_redis_stop(fake_redis *f);                          /* NULL is fine */
const char *fake_redis_url(const fake_redis *f);              /* unix://... */
int fake_redis_connections(fake_redis *f);                    /* accepted so far */
int fake_redis_commands(fake_redis *f);                       /* read so far */
/* Lets one byte through and returns when it is written; false when none is waiting to be written now. */
bool fake_redis_step(fake_redis *f);
void fake_redis_send(fake_redis *f, dureq_str bytes); /* to all connections, unasked */
void fake_redis_hang_up(fake_redis *f);               /* ends all connections there are */
