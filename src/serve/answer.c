/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of answers. */
#include "base/clock.h"
#include "serve/serve_internal.h"

#include <stdio.h>
#include <time.h>

const char *dq_answer_date(dq_server *s)
{
    int64_t now_s = dq_wall_ms() / 1000;
    time_t t = (time_t)now_s;
    struct tm tm;

    if (s->date_s != now_s && gmtime_r(&t, &tm)) {
        static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
        static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

        s->date_s = now_s;
        (void)snprintf(s->date, sizeof s->date, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday % 7], tm.tm_mday % 100,
                       months[tm.tm_mon % 12], (tm.tm_year + 1900) % 10000, tm.tm_hour % 100, tm.tm_min % 100, tm.tm_sec % 100);
    }
    return s->date;
}

void dq_answer_head(dq_server *s, const dq_api_response *r, int64_t length, int minor, bool closes, dq_buf *out)
{
    if (r->status >= 100 && r->status < 100 + (int)DQ_ARRAY_LEN(s->n_answers))
        atomic_fetch_add_explicit(&s->n_answers[r->status - 100], 1, memory_order_relaxed);
    dq_buf_append_fmt(out, "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: %s\r\n", r->status, dq_http_reason(r->status),
                      dq_answer_date(s), r->content_type);
    if (length >= 0)
        dq_buf_append_fmt(out, "Content-Length: %lld\r\n", (long long)length);
    else if (minor == 1)
        dq_buf_append_text(out, "Transfer-Encoding: chunked\r\n");
    if (*r->location)
        dq_buf_append_fmt(out, "Location: %s\r\n", r->location);
    if (*r->allow)
        dq_buf_append_fmt(out, "Allow: %s\r\n", r->allow);
    if (*r->cookie)
        dq_buf_append_fmt(out, "Set-Cookie: %s\r\n", r->cookie);
    if (r->status == 503 || r->status == 429)
        dq_buf_append_text(out, "Retry-After: 1\r\n");
    if (r->status == 401)
        dq_buf_append_text(out, "WWW-Authenticate: Bearer\r\n");
    if (closes)
        dq_buf_append_text(out, "Connection: close\r\n");
    else if (minor == 0)
        dq_buf_append_text(out, "Connection: keep-alive\r\n");
    dq_buf_append_text(out, "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\r\n");
}

static const char *word_of(int status)
{
    switch (status) {
    case 401: return "no_token";
    case 403: return "not_allowed";
    case 408: return "timeout";
    case 413:
    case 414:
    case 431: return "too_large";
    case 415:
    case 417:
    case 501:
    case 505: return "unsupported";
    case 421: return "wrong_host";
    case 429: return "limit";
    case 500: return "out_of_memory";
    case 503: return "overloaded";
    default: return "invalid";
    }
}

void dq_answer_fault(dq_server *s, const dq_http_fault *fault, bool has_no_body, dq_buf *out)
{
    dq_api_response r = {.status = fault->status, .content_type = "application/json"};
    DQ_BUF_AUTO body = {0};

    dq_buf_append_fmt(&body, "{\"error\":\"%s\",\"code\":\"%s\"}", fault->text, word_of(fault->status)); /* our own texts */
    dq_answer_head(s, &r, (int64_t)body.len, 1, /*closes=*/true, out);
    if (!has_no_body)
        dq_buf_append_buf(out, &body);
}
