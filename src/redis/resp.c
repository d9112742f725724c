/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/resp.h"

#include "base/clock.h"

#include <assert.h>

/* A reply becomes an array of nodes in the order of the wire; an aggregate's children follow it and `end` points after
   them. Nothing is copied: nodes hold offsets from the reply's first byte, so the input may move between two calls.

   The parser keeps the position of the value it could not finish (`pos`), how far the end of an unfinished line was looked
   for (`scan`), and a stack of the open aggregates. Both the position and the stack survive a call that asks for more, so
   each byte is looked at once, except for the at most 24 bytes of a header that was cut in two. */

enum {
    DEPTH_MAX = 32,
    FIRST_NODES = 256,
    KEEP_NODES = 1 << 18, /* more than this is given back after a large reply */
    LINE_MAX_BYTES = 1 << 20,
    HEADER_MAX_BYTES = 24, /* type, sign, 20 digits, CR LF */
};

#define BULK_MAX  (512LL << 20)
#define NODES_MAX (8LL << 20)
#define REPLY_MAX 0xf0000000ull /* offsets have 32 bits */

typedef struct open_aggregate {
    uint32_t node;
    bool is_attribute;
    bool is_inner_push;
    size_t at;    /* offset of its first byte */
    int64_t left; /* children still to come */
} open_aggregate;

struct dq_resp_parser {
    dq_resp_node *nodes;
    size_t n, cap;
    size_t pos;
    size_t scan;
    unsigned depth;
    bool is_done; /* the last call gave a whole reply */
    open_aggregate open[DEPTH_MAX];
    dureq_str pushes[DQ_RESP_PUSHES_MAX]; /* .ptr: offset in the reply, made a pointer when it is whole */
    size_t n_pushes;
};

/* A nil of this length is no value but the end of a walk, which goes no further: whoever reads more values than the peer sent gets nils. */
#define LEN_OF_END UINT32_MAX

static const dq_resp_node nil_node = {.type = DQ_RESP_NIL, .end = 1, .len = LEN_OF_END};

/* What one step over the input came to. */
enum { STEP_MORE = 0, STEP_OK = 1 };

/* ---- parser life ---- */

int dq_resp_parser_create(dq_resp_parser **ret)
{
    dq_resp_parser *p = dq_calloc(1, sizeof(*p));

    if (!p)
        return DUREQ_ENOMEM;

    *ret = p;
    return 0;
}

void dq_resp_parser_destroy(dq_resp_parser *p)
{
    if (!p)
        return;
    dq_free(p->nodes);
    dq_free(p);
}

void dq_resp_parser_reset(dq_resp_parser *p)
{
    if (p->cap > KEEP_NODES) {
        dq_free(p->nodes);
        p->nodes = NULL;
        p->cap = 0;
    }
    p->n = p->pos = p->scan = 0;
    p->depth = 0;
    p->n_pushes = 0;
    p->is_done = false;
}

static int grow_nodes(dq_resp_parser *p, dureq_error *err)
{
    size_t cap = p->cap ? p->cap * 2 : FIRST_NODES;
    dq_resp_node *nodes;

    if ((int64_t)p->n >= NODES_MAX)
        return dq_fail(err, DUREQ_EPROTO, "reply with more than %lld values", NODES_MAX);
    nodes = dq_realloc(p->nodes, cap * sizeof(*nodes));
    if (!nodes)
        return dq_fail_nomem(err);

    p->nodes = nodes;
    p->cap = cap;
    return STEP_OK;
}

static inline dq_resp_node *push_node(dq_resp_parser *p, dq_resp_type type)
{
    dq_resp_node *node = &p->nodes[p->n++];

    *node = (dq_resp_node){.type = (uint8_t)type, .end = (uint32_t)p->n};
    return node;
}

/* ---- pieces of the wire ---- */

static int bad_number(dureq_error *err)
{
    (void)dq_fail(err, DUREQ_EPROTO, "malformed number in a reply");
    return DUREQ_EPROTO; /* a constant, so that compilers see what parse_number leaves unset */
}

/* Reads "[+-]digits CR LF" from `at`. On STEP_OK *ret_next is after the LF. */
static inline int parse_number(const char *in, size_t len, size_t at, int64_t *ret, size_t *ret_next, dureq_error *err)
{
    size_t i = at, first;
    bool negative = false;
    uint64_t v = 0;

    if (i < len && (in[i] == '-' || in[i] == '+')) {
        negative = in[i] == '-';
        i++;
    }
    first = i;
    while (i < len && (unsigned char)(in[i] - '0') <= 9 && i - first < 20) {
        v = v * 10 + (uint64_t)(in[i] - '0');
        i++;
    }
    if (i - first > 19 || (i < len && i == first))
        return bad_number(err);
    if (i + 1 >= len)
        return (i < len && in[i] != '\r') || len - at > HEADER_MAX_BYTES ? bad_number(err) : STEP_MORE;
    /* 19 digits always fit 64 bits without sign. */
    if (in[i] != '\r' || in[i + 1] != '\n' || v > (uint64_t)INT64_MAX + negative)
        return bad_number(err);

    *ret = negative ? (int64_t)(0 - v) : (int64_t)v;
    *ret_next = i + 2;
    return STEP_OK;
}

/* A line's text from p->pos + 1; on STEP_OK p->pos is after its CR LF. */
static int parse_line(dq_resp_parser *p, const char *in, size_t len, dureq_str *ret, dureq_error *err)
{
    size_t start = p->pos + 1;
    size_t from = DQ_MAX(start, p->scan);
    const char *lf = from < len ? memchr(in + from, '\n', len - from) : NULL;
    size_t end;

    if (!lf) {
        p->scan = len;
        if (len - start > LINE_MAX_BYTES && len > start)
            return dq_fail(err, DUREQ_EPROTO, "reply line longer than %d bytes", LINE_MAX_BYTES);
        return STEP_MORE;
    }
    end = (size_t)(lf - in);
    if (end == start || in[end - 1] != '\r')
        return dq_fail(err, DUREQ_EPROTO, "reply line does not end in CR LF");

    *ret = dureq_str_of(in + start, end - 1 - start);
    p->pos = end + 1;
    return STEP_OK;
}

static int take_line_value(dq_resp_parser *p, const char *in, size_t len, dq_resp_type type, dureq_error *err)
{
    dureq_str text = {0};
    dq_resp_node *node;
    int rc = parse_line(p, in, len, &text, err);

    if (rc != STEP_OK)
        return rc;

    node = push_node(p, type);
    node->off = (uint32_t)(text.ptr - in);
    node->len = (uint32_t)text.len;
    return STEP_OK;
}

static int take_nil_or_bool(dq_resp_parser *p, const char *in, size_t len, dureq_error *err)
{
    char kind = in[p->pos];
    dureq_str text = {0};
    int rc = parse_line(p, in, len, &text, err);

    if (rc != STEP_OK)
        return rc;
    if (kind == '_' && text.len == 0) {
        push_node(p, DQ_RESP_NIL);
        return STEP_OK;
    }
    if (kind == '#' && text.len == 1 && (text.ptr[0] == 't' || text.ptr[0] == 'f')) {
        push_node(p, DQ_RESP_INTEGER)->i = text.ptr[0] == 't';
        return STEP_OK;
    }
    return dq_fail(err, DUREQ_EPROTO, "malformed null or boolean in a reply");
}

static int take_integer(dq_resp_parser *p, const char *in, size_t len, dureq_error *err)
{
    int64_t v;
    size_t next;
    int rc = parse_number(in, len, p->pos + 1, &v, &next, err);

    if (rc != STEP_OK)
        return rc;

    push_node(p, DQ_RESP_INTEGER)->i = v;
    p->pos = next;
    return STEP_OK;
}

static int take_bulk(dq_resp_parser *p, const char *in, size_t len, dureq_error *err)
{
    char kind = in[p->pos];
    size_t prefix = kind == '=' ? 4 : 0; /* "txt:" of a verbatim string */
    int64_t size;
    size_t start;
    dq_resp_node *node;
    int rc = parse_number(in, len, p->pos + 1, &size, &start, err);

    if (rc != STEP_OK)
        return rc;
    if (size == -1 && kind == '$') {
        push_node(p, DQ_RESP_NIL);
        p->pos = start;
        return STEP_OK;
    }
    if (size < (int64_t)prefix || size > BULK_MAX)
        return dq_fail(err, DUREQ_EPROTO, "bulk of %lld bytes in a reply", (long long)size);
    if (len - start < (size_t)size + 2)
        return STEP_MORE;
    if (in[start + (size_t)size] != '\r' || in[start + (size_t)size + 1] != '\n')
        return dq_fail(err, DUREQ_EPROTO, "bulk does not end in CR LF");

    node = push_node(p, kind == '!' ? DQ_RESP_ERROR : DQ_RESP_STRING);
    node->off = (uint32_t)(start + prefix);
    node->len = (uint32_t)((size_t)size - prefix);
    p->pos = start + (size_t)size + 2;
    return STEP_OK;
}

static dq_resp_type aggregate_type(char kind)
{
    if (kind == '%' || kind == '|')
        return DQ_RESP_MAP;
    return kind == '>' ? DQ_RESP_PUSH : DQ_RESP_ARRAY;
}

/* Opens an aggregate; its children are taken by the steps that follow. */
static int open_children(dq_resp_parser *p, const char *in, size_t len, dureq_error *err)
{
    char kind = in[p->pos];
    int64_t count;
    size_t next;
    dq_resp_node *node;
    int rc = parse_number(in, len, p->pos + 1, &count, &next, err);

    if (rc != STEP_OK)
        return rc;
    if (count == -1 && kind == '*') {
        push_node(p, DQ_RESP_NIL);
        p->pos = next;
        return STEP_OK;
    }
    if (kind == '>' && count < 1)
        return dq_fail(err, DUREQ_EPROTO, "empty push message");
    if (count < 0 || count > NODES_MAX)
        return dq_fail(err, DUREQ_EPROTO, "aggregate of %lld values in a reply", (long long)count);
    if (p->depth == DEPTH_MAX)
        return dq_fail(err, DUREQ_EPROTO, "reply nested deeper than %d", DEPTH_MAX);

    if (kind == '%' || kind == '|')
        count *= 2;
    node = push_node(p, aggregate_type(kind));
    node->n = (uint32_t)count;
    node->off = (uint32_t)p->n - 1; /* its own index, for dq_reply_next */
    p->open[p->depth] = (open_aggregate){.node = (uint32_t)p->n - 1,
                                         .is_attribute = kind == '|',
                                         .is_inner_push = kind == '>' && p->depth > 0,
                                         .at = p->pos,
                                         .left = count};
    p->depth++;
    p->pos = next;
    return STEP_OK;
}

static int take_value(dq_resp_parser *p, const char *in, size_t len, dureq_error *err)
{
    switch (in[p->pos]) {
    case '$':
    case '=':
    case '!': return take_bulk(p, in, len, err);
    case '*':
    case '~':
    case '%':
    case '>':
    case '|': return open_children(p, in, len, err);
    case ':': return take_integer(p, in, len, err);
    case '+': return take_line_value(p, in, len, DQ_RESP_STRING, err);
    case '-': return take_line_value(p, in, len, DQ_RESP_ERROR, err);
    case ',': return take_line_value(p, in, len, DQ_RESP_DOUBLE, err);
    case '(': return take_line_value(p, in, len, DQ_RESP_BIGNUM, err);
    case '_':
    case '#': return take_nil_or_bool(p, in, len, err);
    default: return dq_fail(err, DUREQ_EPROTO, "reply begins with byte 0x%02x, which is no type", (unsigned char)in[p->pos]);
    }
}

/* A push in the middle of a reply (Redis 7.0 does that when a script in a MULTI publishes to its own caller): remembered by its bytes, and
   out of the reply. */
static void note_push(dq_resp_parser *p, const open_aggregate *top)
{
    if (p->n_pushes < DQ_RESP_PUSHES_MAX)
        p->pushes[p->n_pushes++] = dureq_str_of((const char *)(uintptr_t)top->at, p->pos - top->at);
}

size_t dq_resp_parser_pushes(const dq_resp_parser *p, const char *input, dureq_str *ret)
{
    for (size_t i = 0; i < p->n_pushes; i++)
        ret[i] = dureq_str_of(input + (uintptr_t)p->pushes[i].ptr, p->pushes[i].len);
    return p->n_pushes;
}

/* After a value was taken: closes every aggregate that it completed. An attribute, and a push inside, vanish and count for nothing. */
static void close_finished(dq_resp_parser *p, bool value_taken)
{
    while (p->depth > 0) {
        open_aggregate *top = &p->open[p->depth - 1];

        top->left -= value_taken;
        if (top->left > 0)
            return;
        value_taken = !top->is_attribute && !top->is_inner_push;
        if (top->is_inner_push)
            note_push(p, top);
        if (!value_taken)
            p->n = top->node;
        else
            p->nodes[top->node].end = (uint32_t)p->n;
        p->depth--;
    }
}

int dq_resp_parse(dq_resp_parser *p, const char *input, size_t len, size_t *ret_used, dq_reply *ret, dureq_error *err)
{
    if (p->is_done)
        dq_resp_parser_reset(p);
    if (len > REPLY_MAX)
        return dq_fail(err, DUREQ_EPROTO, "reply larger than %llu bytes", REPLY_MAX);
    assert(p->pos <= len); /* the caller gives the same start again, never shorter */

    do {
        unsigned depth = p->depth;
        int rc;

        if (p->pos >= len)
            return 0;
        if (p->n + 1 >= p->cap) { /* one is kept for the end */
            rc = grow_nodes(p, err);
            if (rc < 0)
                return rc;
        }
        rc = take_value(p, input, len, err);
        if (rc != STEP_OK)
            return rc;
        close_finished(p, p->depth == depth);
    } while (p->depth > 0 || p->n == 0);

    p->is_done = true;
    p->nodes[p->n] = nil_node;
    *ret_used = p->pos;
    *ret = (dq_reply){.base = input, .node = p->nodes};
    return 1;
}

/* ---- reading a reply ---- */

static inline bool has_children(dq_reply r)
{
    return r.node->type == DQ_RESP_ARRAY || r.node->type == DQ_RESP_MAP || r.node->type == DQ_RESP_PUSH;
}

dureq_str dq_reply_str(dq_reply r)
{
    switch ((dq_resp_type)r.node->type) {
    case DQ_RESP_STRING:
    case DQ_RESP_ERROR:
    case DQ_RESP_DOUBLE:
    case DQ_RESP_BIGNUM: return dureq_str_of(r.base + r.node->off, r.node->len);
    case DQ_RESP_NIL:
    case DQ_RESP_INTEGER:
    case DQ_RESP_ARRAY:
    case DQ_RESP_MAP:
    case DQ_RESP_PUSH: break;
    }
    return (dureq_str){.ptr = "", .len = 0};
}

int64_t dq_reply_int(dq_reply r)
{
    int64_t v = 0;

    if (r.node->type == DQ_RESP_INTEGER)
        return r.node->i;
    if (r.node->type == DQ_RESP_STRING && dq_parse_i64(dq_reply_str(r), INT64_MIN, INT64_MAX, &v) == 0)
        return v;
    return 0;
}

dq_reply dq_reply_first(dq_reply r)
{
    bool any = has_children(r) && r.node->n > 0;

    return (dq_reply){.base = r.base, .node = any ? r.node + 1 : &nil_node};
}

dq_reply dq_reply_next(dq_reply r)
{
    const dq_resp_node *node = r.node;

    if (node->type == DQ_RESP_NIL && node->len == LEN_OF_END)
        return r;
    /* An aggregate's `off` is its own index: a handle does not know where the array starts. */
    return (dq_reply){.base = r.base, .node = has_children(r) ? node + (node->end - node->off) : node + 1};
}

void dq_reply_add(dq_reply r, int64_t *sum)
{
    *sum = dq_add_sat(*sum, dq_reply_int(r));
}

dq_reply dq_reply_at(dq_reply r, size_t i)
{
    dq_reply child = dq_reply_first(r);

    if (!has_children(r) || i >= r.node->n)
        return (dq_reply){.base = r.base, .node = &nil_node};
    while (i-- > 0)
        child = dq_reply_next(child);
    return child;
}

dq_reply dq_reply_lookup(dq_reply r, const char *key)
{
    dq_reply child = dq_reply_first(r);
    size_t n = has_children(r) ? r.node->n / 2 : 0;

    for (size_t i = 0; i < n; i++) {
        dq_reply value = dq_reply_next(child);

        if (child.node->type == DQ_RESP_STRING && dq_str_eq_text(dq_reply_str(child), key))
            return value;
        if (i + 1 < n)
            child = dq_reply_next(value);
    }
    return (dq_reply){.base = r.base, .node = &nil_node};
}

int dq_reply_error(dq_reply r, dureq_error *err)
{
    dureq_str text = dq_reply_str(r);
    int code;

    if (r.node->type != DQ_RESP_ERROR)
        return 0;
    code = dq_resp_error_code(text);
    if (text.len == 0 || text.ptr[0] == '\0') /* an error has a message, whoever made it */
        return dq_fail(err, code, "%s", dureq_errcode_text(code));
    return dq_fail(err, code, DQ_STR_FMT, (int)DQ_MIN(text.len, DUREQ_ERROR_MSG_MAX), text.ptr);
}

/* ---- error replies ---- */

typedef struct error_word {
    const char *word;
    int code;
} error_word;

/* Redis's own first words, and those our scripts raise ("DQ" and the code's name). */
static const error_word error_words[] = {
    {"ASK", DUREQ_EMOVED},
    {"BUSY", DUREQ_EBUSY},
    {"BUSYKEY", DUREQ_ECONFLICT},
    {"CLUSTERDOWN", DUREQ_EUNAVAILABLE},
    {"DENIED", DUREQ_EPERM},
    {"DQCONFLICT", DUREQ_ECONFLICT},
    {"DQDUPLICATE", DUREQ_EDUPLICATE},
    {"DQFENCED", DUREQ_EFENCED},
    {"DQINVAL", DUREQ_EINVAL},
    {"DQLIMIT", DUREQ_ELIMIT},
    {"DQNOTFOUND", DUREQ_ENOTFOUND},
    {"DQPAUSED", DUREQ_EPAUSED},
    {"DQPERM", DUREQ_EPERM},
    {"DQPROTO", DUREQ_EPROTO},
    {"DQSCHEMA", DUREQ_ESCHEMA},
    {"DQTOOLARGE", DUREQ_ETOOLARGE},
    {"DQUNKNOWN", DUREQ_EUNKNOWN},
    {"DQWRONGTYPE", DUREQ_EWRONGTYPE},
    {"EXECABORT", DUREQ_EREDIS},
    {"LOADING", DUREQ_ELOADING},
    {"MASTERDOWN", DUREQ_EUNAVAILABLE},
    {"MISCONF", DUREQ_ENOWRITE},
    {"MOVED", DUREQ_EMOVED},
    {"NOAUTH", DUREQ_EAUTH},
    {"NOPERM", DUREQ_EPERM},
    {"NOREPLICAS", DUREQ_ENOWRITE},
    {"NOSCRIPT", DUREQ_ENOSCRIPT},
    {"OOM", DUREQ_EREDISOOM},
    {"READONLY", DUREQ_EREADONLY},
    {"TRYAGAIN", DUREQ_EUNAVAILABLE},
    {"UNBLOCKED", DUREQ_ECANCELLED},
    {"WRONGPASS", DUREQ_EAUTH},
    {"WRONGTYPE", DUREQ_EWRONGTYPE},
};

/* Errors under the general word "ERR" that still say something of their own. */
static const error_word err_phrases[] = {
    {"max number of clients reached", DUREQ_EUNAVAILABLE},
    {"AUTH <password> called without any password configured", DUREQ_EAUTH},
    {"invalid password", DUREQ_EAUTH},
};

static int word_code(dureq_str word)
{
    for (size_t i = 0; i < DQ_ARRAY_LEN(error_words); i++)
        if (dq_str_eq_text(word, error_words[i].word))
            return error_words[i].code;
    return 0;
}

int dq_resp_error_code(dureq_str text)
{
    dureq_str rest = text;
    dureq_str word = dq_str_cut(&rest, ' ');
    int code = word_code(word);

    if (code)
        return code;
    /* Servers put "ERR" before what a script raised without a code, and older ones before what a script passed on
       ("ERR Error running script ...: @user_script:1: WRONGTYPE ..."): the word after it decides when we know it. */
    if (!dq_str_eq_text(word, "ERR"))
        return DUREQ_EREDIS;
    for (size_t i = 0; i < DQ_ARRAY_LEN(err_phrases); i++)
        if (dq_str_starts_with(rest, dureq_str_from(err_phrases[i].word)))
            return err_phrases[i].code;
    code = word_code(dq_str_cut(&rest, ' '));
    return code ? code : DUREQ_EREDIS;
}

/* ---- commands ---- */

/* Writes "<kind><v>\r\n" at `at`, which has room for 23 bytes; returns the byte after it. */
static inline char *put_header(char *at, char kind, uint64_t v)
{
    *at++ = kind;
    if (v < 10) {
        *at++ = (char)('0' + v);
    } else if (v < 1000) { /* nearly every length: without a loop and a copy */
        unsigned small = (unsigned)v;

        *at = (char)('0' + small / 100);
        at += small >= 100;
        *at++ = (char)('0' + small / 10 % 10);
        *at++ = (char)('0' + small % 10);
    } else {
        char digits[DQ_DIGITS_MAX];
        char *first = dq_digits_before(digits + sizeof(digits), v);
        size_t n = (size_t)(digits + sizeof(digits) - first);

        memcpy(at, first, n);
        at += n;
    }
    *at++ = '\r';
    *at++ = '\n';
    return at;
}

/* Where `need` bytes can be written after b->len; NULL when out of memory. */
static inline char *room(dq_buf *b, size_t need)
{
    if (!b->failed && b->cap - b->len > need)
        return b->ptr + b->len;
    return dq_buf_reserve(b, need);
}

static inline void wrote_until(dq_buf *b, char *end)
{
    b->len = (size_t)(end - b->ptr);
    *end = '\0';
}

void dq_resp_begin(dq_buf *out, size_t n_args)
{
    char *at = room(out, DQ_DIGITS_MAX + 3);

    if (at)
        wrote_until(out, put_header(at, '*', n_args));
}

void dq_resp_arg(dq_buf *out, dureq_str arg)
{
    char *at = room(out, arg.len + DQ_DIGITS_MAX + 5);

    if (!at)
        return;
    at = put_header(at, '$', arg.len);
    if (arg.len)
        memcpy(at, arg.ptr, arg.len);
    at += arg.len;
    *at++ = '\r';
    *at++ = '\n';
    wrote_until(out, at);
}

void dq_resp_arg_buf(dq_buf *out, const dq_buf *arg)
{
    if (arg->failed)
        out->failed = true;
    dq_resp_arg(out, dq_buf_str(arg));
}

void dq_resp_arg_text(dq_buf *out, const char *arg)
{
    dq_resp_arg(out, dureq_str_from(arg));
}

void dq_resp_arg_i64(dq_buf *out, int64_t arg)
{
    char digits[DQ_DIGITS_MAX + 1];
    char *end = digits + sizeof(digits);
    char *first = dq_digits_before(end, arg < 0 ? 0 - (uint64_t)arg : (uint64_t)arg);

    if (arg < 0)
        *--first = '-';
    dq_resp_arg(out, dureq_str_of(first, (size_t)(end - first)));
}
