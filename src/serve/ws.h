/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* WebSocket (RFC 6455) as a server speaks it: the handshake, frames that come, frames that go. Pure. What the RFC forbids a client is a fault with the code to
   close with: bits or codes that nobody agreed on, frames that are not masked, control frames that are long or in pieces, texts that are no UTF-8. No extension is
   offered: compression costs memory for each connection, and its windows are an attack of their own. */

#include "serve/http1.h"

#define DQ_WS_MESSAGE_MAX 65536 /* of a message that comes, all its pieces together */
#define DQ_WS_CONTROL_MAX 125
#define DQ_WS_ACCEPT_TEXT 29

enum {
    DQ_WS_NORMAL = 1000,
    DQ_WS_GOING_AWAY = 1001,
    DQ_WS_PROTOCOL = 1002,
    DQ_WS_NO_CODE = 1005, /* never sent */
    DQ_WS_BAD_TEXT = 1007,
    DQ_WS_POLICY = 1008,
    DQ_WS_TOO_LARGE = 1009,
    DQ_WS_INTERNAL = 1011,
};

/* Whether the request wants to become a WebSocket, of version 13 and in a way that is right: then `accept` is what the answer says. */
bool dq_ws_handshake(const dq_http_head *head, char accept[DQ_WS_ACCEPT_TEXT]);

typedef enum dq_ws_kind {
    DQ_WS_MORE, /* of the input is needed */
    DQ_WS_TEXT,
    DQ_WS_BINARY,
    DQ_WS_PING,
    DQ_WS_PONG,
    DQ_WS_CLOSE, /* code: what the other side says, DQ_WS_NO_CODE when nothing */
    DQ_WS_FAULT, /* code: to close with */
} dq_ws_kind;

typedef struct dq_ws_event {
    dq_ws_kind kind;
    int code;
    dureq_str data; /* until the next call */
} dq_ws_event;

/* Zeroed is the beginning. */
typedef struct dq_ws {
    unsigned char head[14];
    size_t n_head;
    uint64_t left; /* of the frame's payload */
    size_t n_masked;
    bool in_payload;
    uint8_t opcode, message_opcode; /* message_opcode 0: none is in pieces */
    bool is_last;
    dq_buf message, control;
    bool message_is_given; /* it is cleared at the next call */
    bool control_is_given;
} dq_ws;
void dq_ws_deinit(dq_ws *w);
/* Reads up to the end of one message or control frame; returns how many bytes. MORE: all were read. */
size_t dq_ws_read(dq_ws *w, dureq_str in, dq_ws_event *ret);

void dq_ws_put_text(dq_buf *out, dureq_str text);
void dq_ws_put_ping(dq_buf *out, dureq_str data);
void dq_ws_put_pong(dq_buf *out, dureq_str data);
void dq_ws_put_close(dq_buf *out, int code);
