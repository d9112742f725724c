/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/ws.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

enum { OP_MORE = 0, OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };

/* ---- the handshake ---- */

static bool has_word(dureq_str list, const char *word)
{
    while (list.len)
        if (dq_http_eq_nocase(dq_str_trim(dq_str_cut(&list, ',')), word))
            return true;
    return false;
}

/* 16 bytes in base64: 22 digits and "==". */
static bool is_key(dureq_str key)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    if (key.len != 24 || memcmp(key.ptr + 22, "==", 2) != 0)
        return false;
    for (size_t i = 0; i < 22; i++)
        if (!key.ptr[i] || !strchr(digits, key.ptr[i]))
            return false;
    return true;
}

bool dq_ws_handshake(const dq_http_head *head, char accept[DQ_WS_ACCEPT_TEXT])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    dureq_str key = dq_http_field_get(head, "sec-websocket-key");
    unsigned char text[24 + sizeof guid - 1], digest[SHA_DIGEST_LENGTH];

    if (head->minor != 1 || !has_word(dq_http_field_get(head, "upgrade"), "websocket") ||
        !has_word(dq_http_field_get(head, "connection"), "upgrade"))
        return false;
    if (!dq_str_eq_text(dq_http_field_get(head, "sec-websocket-version"), "13"))
        return false;
    if (!is_key(key) || head->is_chunked || head->length > 0)
        return false;
    memcpy(text, key.ptr, 24);
    memcpy(text + 24, guid, sizeof guid - 1);
    (void)SHA1(text, sizeof text, digest);
    (void)EVP_EncodeBlock((unsigned char *)accept, digest, sizeof digest);
    return true;
}

/* ---- frames that come ---- */

void dq_ws_deinit(dq_ws *w)
{
    dq_buf_deinit(&w->message);
    dq_buf_deinit(&w->control);
}

static bool is_control(const dq_ws *w)
{
    return w->opcode >= OP_CLOSE;
}

static bool fail(dq_ws_event *ret, int code)
{
    *ret = (dq_ws_event){.kind = DQ_WS_FAULT, .code = code};
    return false;
}

/* How long the head is, as far as its first two bytes tell. */
static size_t head_len(const dq_ws *w)
{
    unsigned n = w->n_head >= 2 ? w->head[1] & 127 : 0;

    if (w->n_head < 2)
        return 2;
    return 6 + (n == 126 ? 2u : n == 127 ? 8u : 0u);
}

static uint64_t length_of(const dq_ws *w)
{
    unsigned n = w->head[1] & 127;
    uint64_t len = 0;

    if (n < 126)
        return n;
    for (size_t i = 2; i < (n == 126 ? 4u : 10u); i++)
        len = len << 8 | w->head[i];
    return len;
}

/* As soon as the first two bytes are there. */
static bool check_begin(const dq_ws *w, dq_ws_event *ret)
{
    uint8_t opcode = w->head[0] & 15;
    bool is_last = w->head[0] & 128;

    if ((w->head[0] & 0x70) || !(w->head[1] & 128))
        return fail(ret, DQ_WS_PROTOCOL);
    if (opcode > OP_PONG || (opcode > OP_BINARY && opcode < OP_CLOSE))
        return fail(ret, DQ_WS_PROTOCOL);
    if (opcode >= OP_CLOSE)
        return is_last && (w->head[1] & 127) <= DQ_WS_CONTROL_MAX ? true : fail(ret, DQ_WS_PROTOCOL);
    return (opcode == OP_MORE) == (w->message_opcode != 0) ? true : fail(ret, DQ_WS_PROTOCOL);
}

static bool begin_payload(dq_ws *w, dq_ws_event *ret)
{
    unsigned n = w->head[1] & 127;
    uint64_t len = length_of(w);

    if ((n == 126 && len < 126) || (n == 127 && len < 65536)) /* not the shortest way to say it */
        return fail(ret, DQ_WS_PROTOCOL);
    w->opcode = w->head[0] & 15;
    w->is_last = w->head[0] & 128;
    if (!is_control(w) && len > DQ_WS_MESSAGE_MAX - w->message.len)
        return fail(ret, DQ_WS_TOO_LARGE);
    if (!is_control(w) && w->opcode != OP_MORE)
        w->message_opcode = w->opcode;
    w->left = len;
    w->n_masked = 0;
    w->in_payload = true;
    return true;
}

/* False: *ret says what is wrong. */
static bool read_head(dq_ws *w, dureq_str *in, dq_ws_event *ret)
{
    while (in->len && w->n_head < head_len(w)) {
        w->head[w->n_head++] = (unsigned char)*in->ptr++;
        in->len--;
        if (w->n_head == 2 && !check_begin(w, ret))
            return false;
    }
    return w->n_head < head_len(w) || begin_payload(w, ret);
}

static void read_payload(dq_ws *w, dureq_str *in)
{
    size_t n = (size_t)DQ_MIN((uint64_t)in->len, w->left);
    const unsigned char *mask = w->head + w->n_head - 4;
    dq_buf *to = is_control(w) ? &w->control : &w->message;
    char *room = n ? dq_buf_reserve(to, n) : NULL;

    for (size_t i = 0; room && i < n; i++)
        room[i] = (char)((unsigned char)in->ptr[i] ^ mask[w->n_masked++ & 3]);
    to->len += room ? n : 0;
    in->ptr += n;
    in->len -= n;
    w->left -= n;
}

static bool is_utf8(dureq_str s)
{
    const unsigned char *p = (const unsigned char *)s.ptr, *end = p + s.len;

    while (p < end) {
        size_t n = *p < 0x80 ? 0 : *p >= 0xc2 && *p <= 0xdf ? 1 : (*p & 0xf0) == 0xe0 ? 2 : *p >= 0xf0 && *p <= 0xf4 ? 3 : 4;
        unsigned char first = *p;

        if (n == 4 || (size_t)(end - p) <= n)
            return false;
        for (size_t i = 1; i <= n; i++)
            if ((p[i] & 0xc0) != 0x80)
                return false;
        if ((first == 0xe0 && p[1] < 0xa0) || (first == 0xed && p[1] > 0x9f) || (first == 0xf0 && p[1] < 0x90) ||
            (first == 0xf4 && p[1] > 0x8f))
            return false;
        p += n + 1;
    }
    return true;
}

static bool may_close_with(int code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

static dq_ws_event closed(dureq_str data)
{
    int code = data.len >= 2 ? (unsigned char)data.ptr[0] << 8 | (unsigned char)data.ptr[1] : DQ_WS_NO_CODE;

    if (data.len == 1 || (data.len >= 2 && !may_close_with(code)))
        return (dq_ws_event){.kind = DQ_WS_FAULT, .code = DQ_WS_PROTOCOL};
    if (data.len > 2 && !is_utf8(dureq_str_of(data.ptr + 2, data.len - 2)))
        return (dq_ws_event){.kind = DQ_WS_FAULT, .code = DQ_WS_BAD_TEXT};
    return (dq_ws_event){.kind = DQ_WS_CLOSE, .code = code};
}

static dq_ws_event control_event(dq_ws *w)
{
    dureq_str data = dq_buf_str(&w->control);

    w->control_is_given = true;
    if (w->opcode == OP_CLOSE)
        return closed(data);
    return (dq_ws_event){.kind = w->opcode == OP_PING ? DQ_WS_PING : DQ_WS_PONG, .data = data};
}

static dq_ws_event message_event(dq_ws *w)
{
    dureq_str data = dq_buf_str(&w->message);
    bool is_text = w->message_opcode == OP_TEXT;

    w->message_is_given = true;
    w->message_opcode = 0;
    if (is_text && !is_utf8(data))
        return (dq_ws_event){.kind = DQ_WS_FAULT, .code = DQ_WS_BAD_TEXT};
    return (dq_ws_event){.kind = is_text ? DQ_WS_TEXT : DQ_WS_BINARY, .data = data};
}

static void forget_given(dq_ws *w)
{
    if (w->message_is_given)
        dq_buf_deinit(&w->message);
    if (w->control_is_given)
        dq_buf_deinit(&w->control);
    w->message_is_given = w->control_is_given = false;
}

size_t dq_ws_read(dq_ws *w, dureq_str in, dq_ws_event *ret)
{
    dureq_str rest = in;

    forget_given(w);
    for (;;) {
        *ret = (dq_ws_event){.kind = DQ_WS_MORE};
        if (!w->in_payload && !read_head(w, &rest, ret))
            break;
        if (w->in_payload)
            read_payload(w, &rest);
        if (dq_buf_failed(&w->message) || dq_buf_failed(&w->control)) {
            (void)fail(ret, DQ_WS_INTERNAL);
            break;
        }
        if (!w->in_payload || w->left)
            break;
        w->in_payload = false;
        w->n_head = 0;
        if (is_control(w) || w->is_last) {
            *ret = is_control(w) ? control_event(w) : message_event(w);
            break;
        }
        if (rest.len == 0)
            break;
    }
    return in.len - rest.len;
}

/* ---- frames that go ---- */

static void put_frame(dq_buf *out, uint8_t opcode, dureq_str data)
{
    dq_buf_append_char(out, (char)(128 | opcode));
    if (data.len < 126) {
        dq_buf_append_char(out, (char)data.len);
    } else if (data.len < 65536) {
        dq_buf_append_char(out, 126);
        dq_buf_append_char(out, (char)(data.len >> 8));
        dq_buf_append_char(out, (char)data.len);
    } else {
        dq_buf_append_char(out, 127);
        dq_buf_append_u64be(out, data.len);
    }
    dq_buf_append_str(out, data);
}

void dq_ws_put_text(dq_buf *out, dureq_str text)
{
    put_frame(out, OP_TEXT, text);
}

void dq_ws_put_ping(dq_buf *out, dureq_str data)
{
    put_frame(out, OP_PING, data);
}

void dq_ws_put_pong(dq_buf *out, dureq_str data)
{
    put_frame(out, OP_PONG, data);
}

void dq_ws_put_close(dq_buf *out, int code)
{
    char bytes[2] = {(char)(code >> 8), (char)code};

    put_frame(out, OP_CLOSE, dureq_str_of(bytes, sizeof bytes));
}
