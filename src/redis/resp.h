/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* RESP2 and RESP3 replies, parsed without copies into a flat array of nodes over the receive buffer.

   The parser never allocates on the word of the peer: nodes grow as values arrive. It remembers where it stopped,
   so a fragmented reply costs each byte once. Limits: depth 32, bulk 512 MiB, 8 M nodes a reply.
   Protocol: https://redis.io/docs/latest/develop/reference/protocol-spec/ */

#include "base/buf.h"

typedef enum dq_resp_type {
    DQ_RESP_NIL,
    DQ_RESP_STRING, /* bulk or simple or verbatim (without its 4-byte prefix) */
    DQ_RESP_ERROR,
    DQ_RESP_INTEGER, /* also booleans: 0 or 1 */
    DQ_RESP_DOUBLE,
    DQ_RESP_ARRAY, /* also sets; attributes are skipped */
    DQ_RESP_MAP,   /* n counts keys and values */
    DQ_RESP_PUSH,
    DQ_RESP_BIGNUM,
} dq_resp_type;

typedef struct dq_resp_node {
    uint8_t type;
    uint32_t n;   /* children of an aggregate */
    uint32_t end; /* index of the node after this value */
    uint32_t
        off; /* STRING, ERROR, BIGNUM, DOUBLE: bytes at buffer + off (relative to the reply's first byte); aggregates: own index */
    uint32_t len;
    int64_t i; /* INTEGER */
} dq_resp_node;

/* A parsed reply: valid until its owner says so (a callback: until it returns). */
typedef struct dq_reply {
    const char *base;
    const dq_resp_node *node; /* the value this handle points at */
} dq_reply;

static inline dq_resp_type dq_reply_type(dq_reply r)
{
    return (dq_resp_type)r.node->type;
}
static inline bool dq_reply_is_nil(dq_reply r)
{
    return r.node->type == DQ_RESP_NIL;
}
static inline size_t dq_reply_len(dq_reply r)
{
    return r.node->n;
} /* of an aggregate; else 0 */
dureq_str dq_reply_str(dq_reply r);          /* strings, errors, doubles; else the empty view */
int64_t dq_reply_int(dq_reply r);            /* integers, and strings that are one; else 0 */
void dq_reply_add(dq_reply r, int64_t *sum); /* the same to a sum, which ends at its limits */
dq_reply dq_reply_at(dq_reply r, size_t i);  /* O(i); out of range gives a nil */
dq_reply dq_reply_first(dq_reply r);         /* walking: first child, then next sibling; nils after the reply's last value */
dq_reply dq_reply_next(dq_reply r);
/* The items of an aggregate, one after the other; of what is none there are none. */
typedef struct dq_reply_items {
    dq_reply at; /* the next one */
    size_t left;
} dq_reply_items;
static inline dq_reply_items dq_reply_items_of(dq_reply r)
{
    return (dq_reply_items){.at = dq_reply_first(r), .left = dq_reply_len(r)};
}
static inline bool dq_reply_items_next(dq_reply_items *items, dq_reply *ret)
{
    if (items->left == 0)
        return false;
    *ret = items->at;
    items->at = dq_reply_next(items->at);
    items->left--;
    return true;
}
dq_reply dq_reply_lookup(dq_reply r, const char *key); /* map, or flat array of key, value; nil when absent */
int dq_reply_error(dq_reply r,
                   dureq_error *err); /* 0 when not an error, else its DUREQ_E code, err filled with the server's text */

/* Server error text ("WRONGTYPE Operation ...") to code. */
int dq_resp_error_code(dureq_str text);

typedef struct dq_resp_parser dq_resp_parser; /* keeps nodes and position between feeds */
int dq_resp_parser_create(dq_resp_parser **ret);
void dq_resp_parser_destroy(dq_resp_parser *p);
/* Looks at bytes [0,len) of the unread input. 1: one whole reply of *ret_used bytes is in *ret (valid until the
   next call or the bytes move); 0: more bytes needed (give the same start again, longer); DUREQ_EPROTO. */
int dq_resp_parse(dq_resp_parser *p, const char *input, size_t len, size_t *ret_used, dq_reply *ret, dureq_error *err);
/* Pushes that came in the middle of the reply just given, as bytes to be parsed each by itself; room for DQ_RESP_PUSHES_MAX. More than that are
   lost, as Pub/Sub messages may be. */
#define DQ_RESP_PUSHES_MAX 64
size_t dq_resp_parser_pushes(const dq_resp_parser *p, const char *input, dureq_str *ret);
void dq_resp_parser_reset(dq_resp_parser *p);

/* Commands, appended in RESP form. */
void dq_resp_begin(dq_buf *out, size_t n_args);
void dq_resp_arg(dq_buf *out, dureq_str arg);
void dq_resp_arg_buf(dq_buf *out, const dq_buf *arg); /* one that failed makes the command fail */
void dq_resp_arg_text(dq_buf *out, const char *arg);
void dq_resp_arg_i64(dq_buf *out, int64_t arg);
