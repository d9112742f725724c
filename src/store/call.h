/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How a script call is written, as bytes that are sent later: begin, keys, arguments, end. The writer counts, so nobody adds up how many there
   are. Any thread that has the keys.

       dq_call c = dq_call_begin(out, keys, shard, DQ_SCRIPT_...);    its first key is the shard's head, `K sh`
       dq_call_key(&c, "due");                                        the script's other keys, in its order
       dq_call_arg(&c, ...); ...                                      then its arguments
       dq_call_end(&c);

   A failed allocation sticks in `out`, as always.

   Each call declares one key more than its script uses, the guard `K !`, under which nothing is ever stored. Scripts touch keys that their call does not
   name. While a Cluster moves the slot of a shard, a script would stop at the first of these that has moved, after what it had written
   before. A declared key that is nowhere makes the server refuse the call as a whole. */

#include "model/id.h"
#include "store/keys.h"
#include "store/script.h"
#include "store/scripts.h"

typedef struct dq_call {
    dq_buf *out;
    const dq_keys *keys; /* NULL: its only key is of no shard */
    unsigned shard;
    unsigned digits; /* that there is room for in the count of words */
    size_t head;     /* where in `out` the call begins */
    size_t n_words;
    size_t keys_left; /* before the guard */
    bool guarded;
    dureq_str lone_key; /* of no shard; valid until the guard is written */
} dq_call;

typedef struct dq_call_form {
    int script;
    bool as_text;       /* EVAL with its text: for use inside MULTI, where NOSCRIPT would come too late to do anything about */
    size_t n_more_keys; /* beside those that each call of the script has */
    size_t n_about; /* arguments. When the number turns out to have more or fewer digits the call is moved once; 0: two digits */
} dq_call_form;

dq_call dq_call_begin(dq_buf *out, const dq_keys *k, unsigned shard, int script);
dq_call dq_call_begin_as(dq_buf *out, const dq_keys *k, unsigned shard, const dq_call_form *form);
/* Of a key that is of no shard, "<prefix>:meta": it is the only one. It must stay where it is until the first argument, or the end. */
dq_call dq_call_begin_lone(dq_buf *out, dureq_str key, const dq_call_form *form);

void dq_call_key(dq_call *c, const char *name);
void dq_call_key_of(dq_call *c, const char *name, dureq_str suffix);
void dq_call_key_no(dq_call *c, const char *name, uint64_t suffix);

void dq_call_arg(dq_call *c, dureq_str arg);
void dq_call_arg_buf(dq_call *c, const dq_buf *arg); /* one that failed makes the call fail */
void dq_call_arg_text(dq_call *c, const char *arg);
void dq_call_arg_i64(dq_call *c, int64_t arg);
void dq_call_arg_flag(dq_call *c, bool on); /* '1' or '' */
void dq_call_arg_id(dq_call *c, const dq_id *id);
void dq_call_args(dq_call *c, const dureq_str *args, size_t n);
/* n arguments that are written already (dq_resp_arg). */
void dq_call_raw(dq_call *c, dureq_str args, size_t n);
/* An argument that says how many follow, before that is known. Returns where it is. */
size_t dq_call_number_later(dq_call *c);
void dq_call_number(dq_call *c, size_t at, size_t n);

void dq_call_end(dq_call *c);

/* Whether a call that is written changes nothing: its script is marked no-writes, or is one of the doctor, asked for no repair. */
bool dq_call_only_reads(dureq_str call);
