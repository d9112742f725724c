/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/http1.h"

#include <string.h>

static ptrdiff_t refuse(dq_http_fault *fault, int status, const char *text)
{
    *fault = (dq_http_fault){.status = status, .text = text};
    return -1;
}

/* ---- characters ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(dureq_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_token_char(s.ptr[i]))
            return false;
    return s.len > 0;
}

/* Of a field's value or a chunk's extension: visible, blank, tab, or of another character set. */
static bool is_text_char(char c)
{
    unsigned char u = (unsigned char)c;

    return u == '\t' || (u >= ' ' && u != 0x7f);
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool dq_http_eq_nocase(dureq_str a, const char *b)
{
    size_t i = 0;

    for (; i < a.len && b[i]; i++)
        if (lower(a.ptr[i]) != b[i])
            return false;
    return i == a.len && !b[i];
}

static dureq_str trim(dureq_str s)
{
    while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) {
        s.ptr++;
        s.len--;
    }
    while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
        s.len--;
    return s;
}

dureq_str dq_http_field_get(const dq_http_head *head, const char *name)
{
    for (size_t i = 0; i < head->n_fields; i++)
        if (dq_http_eq_nocase(head->fields[i].name, name))
            return head->fields[i].value;
    return (dureq_str){0};
}

/* ---- the head's end ---- */

/* Length up to and with the empty line, 0: not there yet, -1: a line ends by LF alone. A CR alone is found when its line is read. */
static ptrdiff_t find_end(dureq_str in, size_t *seen)
{
    while (*seen < in.len) {
        const char *lf = memchr(in.ptr + *seen, '\n', in.len - *seen);
        size_t at;

        if (!lf) {
            *seen = in.len;
            return 0;
        }
        at = (size_t)(lf - in.ptr);
        if (at == 0 || in.ptr[at - 1] != '\r')
            return -1;
        *seen = at + 1;
        if (at >= 3 && in.ptr[at - 2] == '\n')
            return (ptrdiff_t)at + 1;
    }
    return 0;
}

/* ---- the request line ---- */

static bool target_is_clean(dureq_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char u = (unsigned char)s.ptr[i];

        if (u <= ' ' || u >= 0x7f || u == '#')
            return false;
    }
    return s.len > 0;
}

static ptrdiff_t take_target(dureq_str target, dq_http_head *h, dq_http_fault *fault)
{
    static const char *const schemes[] = {"http://", "https://"};

    if (!target_is_clean(target))
        return refuse(fault, 400, "the target of the request has characters that are not allowed in one");
    for (size_t i = 0; i < DQ_ARRAY_LEN(schemes); i++) {
        size_t n = strlen(schemes[i]);
        const char *slash;

        if (target.len <= n || !dq_http_eq_nocase(dureq_str_of(target.ptr, n), schemes[i]))
            continue;
        target = dureq_str_of(target.ptr + n, target.len - n);
        slash = memchr(target.ptr, '/', target.len);
        if (!slash || slash == target.ptr)
            return refuse(fault, 400, "the target of the request is neither a path nor an address with one");
        h->authority = dureq_str_of(target.ptr, (size_t)(slash - target.ptr));
        target = dureq_str_of(slash, target.len - h->authority.len);
        break;
    }
    if (target.ptr[0] != '/' && !dq_str_eq_text(target, "*"))
        return refuse(fault, 400, "the target of the request is neither a path nor an address with one");
    h->query = target;
    h->path = dq_str_cut(&h->query, '?');
    return 0;
}

static ptrdiff_t take_request_line(dureq_str line, dq_http_head *h, dq_http_fault *fault)
{
    dureq_str target, version = line;

    if (line.len > DQ_HTTP_LINE_MAX)
        return refuse(fault, 414, "the request line is longer than 8 KiB");
    h->method = dq_str_cut(&version, ' ');
    target = dq_str_cut(&version, ' ');
    if (!is_token(h->method) || !version.ptr)
        return refuse(fault, 400, "the request line is not: method, target, version");
    if (version.len != 8 || memcmp(version.ptr, "HTTP/", 5) != 0 || !is_digit(version.ptr[5]) || version.ptr[6] != '.' ||
        !is_digit(version.ptr[7]))
        return refuse(fault, 400, "the request line is not: method, target, version");
    if (version.ptr[5] != '1' || version.ptr[7] > '1')
        return refuse(fault, 505, "this port speaks HTTP/1.1");
    h->minor = version.ptr[7] - '0';
    if (h->method.len > DQ_HTTP_METHOD_MAX)
        return refuse(fault, 501, "the method is unknown");
    return take_target(target, h, fault);
}

/* ---- fields ---- */

static ptrdiff_t take_field(dureq_str line, dq_http_head *h, dq_http_fault *fault)
{
    dureq_str value = line, name = dq_str_cut(&value, ':');

    if (line.ptr[0] == ' ' || line.ptr[0] == '\t')
        return refuse(fault, 400, "a header is folded over several lines");
    if (!value.ptr || !is_token(name))
        return refuse(fault, 400, "a header line is not: name, colon, value");
    for (size_t i = 0; i < value.len; i++)
        if (!is_text_char(value.ptr[i]))
            return refuse(fault, 400, "a header has a control character in its value");
    if (h->n_fields == DQ_HTTP_FIELDS_MAX)
        return refuse(fault, 431, "there are more than 100 headers");
    h->fields[h->n_fields++] = (dq_http_field){.name = name, .value = trim(value)};
    return 0;
}

static ptrdiff_t take_length(dureq_str value, dq_http_head *h, dq_http_fault *fault)
{
    if (h->has_length)
        return refuse(fault, 400, "the length of the body is told twice");
    h->has_length = true;
    for (size_t i = 0; i < value.len; i++)
        if (!is_digit(value.ptr[i]))
            return refuse(fault, 400, "Content-Length is not a number");
    if (value.len == 0)
        return refuse(fault, 400, "Content-Length is not a number");
    if (dq_parse_i64(value, 0, INT64_MAX, &h->length) < 0)
        return refuse(fault, 413, "Content-Length is beyond all measure");
    return 0;
}

static ptrdiff_t take_coding(dureq_str value, dq_http_head *h, dq_http_fault *fault)
{
    if (h->is_chunked || h->minor == 0)
        return refuse(fault, 400, "Transfer-Encoding is given twice, or by HTTP/1.0");
    if (!dq_http_eq_nocase(value, "chunked"))
        return refuse(fault, 501, "the only Transfer-Encoding taken is chunked");
    h->is_chunked = true;
    return 0;
}

static void take_connection(dureq_str value, dq_http_head *h)
{
    while (value.len) {
        dureq_str word = trim(dq_str_cut(&value, ','));

        if (dq_http_eq_nocase(word, "close"))
            h->keeps_alive = false;
        else if (dq_http_eq_nocase(word, "keep-alive") && h->minor == 0)
            h->keeps_alive = true;
    }
}

static bool is_host(dureq_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = lower(s.ptr[i]);

        if (!(is_digit(c) || (c >= 'a' && c <= 'z') || (c && strchr(".-_:[]%~", c))))
            return false;
    }
    return true;
}

static ptrdiff_t take_hosts(dq_http_head *h, dq_http_fault *fault)
{
    size_t n = 0;

    for (size_t i = 0; i < h->n_fields; i++) {
        if (!dq_http_eq_nocase(h->fields[i].name, "host"))
            continue;
        if (!is_host(h->fields[i].value))
            return refuse(fault, 400, "Host is not a name with or without a port");
        if (!h->authority.ptr)
            h->authority = h->fields[i].value;
        n++;
    }
    if (n > 1 || (n == 0 && h->minor == 1))
        return refuse(fault, 400, n ? "Host is given twice" : "Host is missing");
    return h->authority.ptr && !is_host(h->authority) ? refuse(fault, 400, "the target's host is not a name") : 0;
}

/* What the fields say of the message itself. */
static ptrdiff_t take_framing(dq_http_head *h, dq_http_fault *fault)
{
    h->keeps_alive = h->minor == 1;
    for (size_t i = 0; i < h->n_fields; i++) {
        dureq_str name = h->fields[i].name, value = h->fields[i].value;
        ptrdiff_t rc = 0;

        if (dq_http_eq_nocase(name, "content-length"))
            rc = take_length(value, h, fault);
        else if (dq_http_eq_nocase(name, "transfer-encoding"))
            rc = take_coding(value, h, fault);
        else if (dq_http_eq_nocase(name, "connection"))
            take_connection(value, h);
        else if (dq_http_eq_nocase(name, "expect")) {
            if (!dq_http_eq_nocase(value, "100-continue"))
                return refuse(fault, 417, "the only expectation that can be met is 100-continue");
            h->expects_continue = h->minor == 1;
        }
        if (rc < 0)
            return rc;
    }
    if (h->has_length && h->is_chunked)
        return refuse(fault, 400, "the length of the body is told twice: by Content-Length and by chunks");
    return take_hosts(h, fault);
}

static dureq_str next_line(dureq_str *rest)
{
    dureq_str line = dq_str_cut(rest, '\n');

    line.len--; /* the CR, which find_end saw */
    return line;
}

ptrdiff_t dq_http_head_parse(dureq_str in, size_t *seen, dq_http_head *ret, dq_http_fault *fault)
{
    ptrdiff_t len = find_end(in, seen);
    dureq_str rest, line;

    if (len < 0)
        return refuse(fault, 400, "a line ends with LF alone");
    if (len == 0 && in.len > DQ_HTTP_LINE_MAX && !memchr(in.ptr, '\n', DQ_HTTP_LINE_MAX))
        return refuse(fault, 414, "the request line is longer than 8 KiB");
    if ((size_t)len > DQ_HTTP_HEAD_MAX || (len == 0 && in.len > DQ_HTTP_HEAD_MAX))
        return refuse(fault, 431, "the headers take more than 16 KiB");
    if (len == 0)
        return 0;
    *ret = (dq_http_head){0};
    rest = dureq_str_of(in.ptr, (size_t)len);
    if (take_request_line(next_line(&rest), ret, fault) < 0)
        return -1;
    for (line = next_line(&rest); line.len; line = next_line(&rest))
        if (take_field(line, ret, fault) < 0)
            return -1;
    return take_framing(ret, fault) < 0 ? -1 : len;
}

/* ---- chunks ---- */

enum { SIZE, EXT, SIZE_LF, DATA, DATA_CR, DATA_LF, TRAILER_START, TRAILER, TRAILER_LF, END_LF, DONE };

static int hex(char c)
{
    c = lower(c);
    return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static const char *const bad_chunk = "a chunk of the body is malformed";

static int step_size(dq_http_chunks *c, char ch)
{
    int digit = hex(ch);

    if (digit >= 0 && c->n_digits < 15) {
        c->left = c->left * 16 + (unsigned)digit;
        c->n_digits++;
        return SIZE;
    }
    if (c->n_digits == 0 || digit >= 0)
        return -1;
    return ch == ';' ? EXT : ch == '\r' ? SIZE_LF : -1;
}

static int step_text(dq_http_chunks *c, char ch, size_t max, int same, int at_cr)
{
    if (ch == '\r')
        return at_cr;
    return is_text_char(ch) && ++c->n_line <= max ? same : -1;
}

static int step_trailer_start(dq_http_chunks *c, char ch)
{
    c->line_has_colon = false;
    if (ch == '\r')
        return END_LF;
    return is_token_char(ch) && ++c->n_line <= DQ_HTTP_TRAILER_MAX ? TRAILER : -1;
}

static int step_trailer(dq_http_chunks *c, char ch)
{
    if (ch == ':')
        c->line_has_colon = true;
    else if (!c->line_has_colon && !is_token_char(ch))
        return -1;
    return step_text(c, ch, DQ_HTTP_TRAILER_MAX, TRAILER, TRAILER_LF);
}

static int after_size(dq_http_chunks *c)
{
    c->n_line = 0;
    c->n_digits = 0;
    return c->left ? DATA : TRAILER_START;
}

static int step(dq_http_chunks *c, char ch)
{
    switch (c->state) {
    case SIZE: return step_size(c, ch);
    case EXT: return step_text(c, ch, DQ_HTTP_EXT_MAX, EXT, SIZE_LF);
    case SIZE_LF: return ch == '\n' ? after_size(c) : -1;
    case DATA_CR: return ch == '\r' ? DATA_LF : -1;
    case DATA_LF: return ch == '\n' ? SIZE : -1;
    case TRAILER_START: return step_trailer_start(c, ch);
    case TRAILER: return step_trailer(c, ch);
    case TRAILER_LF: return ch == '\n' ? TRAILER_START : -1;
    case END_LF: return ch == '\n' ? DONE : -1;
    default: return -1;
    }
}

ptrdiff_t dq_http_chunks_read(dq_http_chunks *c, dureq_str in, size_t room, dq_buf *out, bool *ret_done, dq_http_fault *fault)
{
    size_t i = 0;

    while (i < in.len && c->state != DONE) {
        if (c->state == DATA) {
            size_t n = (size_t)DQ_MIN(c->left, (uint64_t)DQ_MIN(in.len - i, room));

            if (n == 0)
                break;
            dq_buf_append(out, in.ptr + i, n);
            room -= n;
            i += n;
            c->left -= n;
            c->state = c->left ? DATA : DATA_CR;
        } else {
            c->state = step(c, in.ptr[i++]);
            if (c->state < 0)
                return refuse(fault, 400, bad_chunk);
        }
    }
    *ret_done = c->state == DONE;
    return (ptrdiff_t)i;
}

/* ---- words ---- */

const char *dq_http_reason(int status)
{
    static const struct {
        int status;
        const char *text;
    } rows[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++)
        if (rows[i].status == status)
            return rows[i].text;
    return "Unknown";
}
