/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <stdlib.h>

#include "api/tokens.h"
#include "serve/http1.h"
#include "serve/proxies.h"
#include "serve/users.h"

/* Bytes as a connection sends them: heads, and chunked bodies after those that say so, one after the other. What is read does not depend on where the
   bytes are cut; views stay within what was parsed; a fault has a status and a sentence. */

typedef struct outcome {
    size_t n_heads;
    int status;
    size_t at;    /* bytes that were understood */
    uint64_t sum; /* of what was read */
} outcome;

static void add(outcome *o, dureq_str s)
{
    o->sum = o->sum * 31 + dq_hash_bytes(s.ptr ? s.ptr : "", s.len) + (s.ptr ? 1 : 0);
}

static void check_view(dureq_str all, dureq_str view)
{
    if (view.ptr)
        assert(view.ptr >= all.ptr && view.ptr + view.len <= all.ptr + all.len);
}

static void add_head(outcome *o, dureq_str all, const dq_http_head *h)
{
    const dureq_str views[] = {h->method, h->path, h->query, h->authority};

    for (size_t i = 0; i < DQ_ARRAY_LEN(views); i++) {
        check_view(all, views[i]);
        add(o, views[i]);
    }
    for (size_t i = 0; i < h->n_fields; i++) {
        check_view(all, h->fields[i].name);
        check_view(all, h->fields[i].value);
        add(o, h->fields[i].value);
    }
    assert(h->path.len && h->length >= 0 && !(h->is_chunked && h->has_length));
    assert(h->authority.ptr || h->minor == 0);
}

static void read_user(dureq_str all, const dq_http_head *h)
{
    static const dq_users_options o = {.roles = "alice=admin,*=viewer", .secret = "0123456789abcdef"};
    static dq_users *users;
    dq_http_fault fault = {0};
    dq_user user;

    if (!users && dq_users_create(&o, &users, NULL) < 0)
        abort();
    for (int is_unix = 0; is_unix < 2; is_unix++) {
        bool passes = dq_users_read(users, h, is_unix, &user, &fault);

        assert(passes ? !user.name.ptr == !user.role : fault.status == 403 && fault.text && !user.name.ptr);
        check_view(all, user.name);
    }
}

/* What is made of fields that anybody may send. */
static void read_fields(dureq_str all, const dq_http_head *h)
{
    static dq_proxies *proxies;
    char client[DQ_PROXY_TEXT_MAX] = "";

    if (!proxies && dq_proxies_create("10.0.0.0/8,fd00::/8", &proxies, NULL) < 0)
        abort();
    assert(dq_proxies_client(proxies, h, client) == (client[0] != '\0'));
    for (const char *p = client; *p; p++)
        assert(strchr("0123456789abcdefABCDEF.:", *p));
    assert(!client[0] || dq_proxies_passed_on(h));
    (void)dq_proxies_says_tls(h);
    read_user(all, h);
    for (int secure = 0; secure < 2; secure++)
        check_view(all, dq_api_session_in(dq_http_field_get(h, "cookie"), secure, NULL, dq_api_port_in(h->authority)));
}

static bool read_chunks(outcome *o, dureq_str in, size_t piece, dq_http_fault *fault)
{
    dq_http_chunks c = {0};
    DQ_BUF_AUTO out = {0};
    size_t at = 0;
    bool is_done = false;

    while (at < in.len && !is_done) {
        ptrdiff_t n =
            dq_http_chunks_read(&c, dureq_str_of(in.ptr + at, DQ_MIN(piece, in.len - at)), SIZE_MAX, &out, &is_done, fault);

        if (n < 0)
            return false;
        assert(n > 0);
        at += (size_t)n;
    }
    add(o, dq_buf_str(&out));
    o->at += at;
    return true;
}

static outcome run(dureq_str in, size_t piece)
{
    dq_http_fault fault = {0};
    outcome o = {0};
    dq_http_head h;

    while (o.at < in.len && o.n_heads < 100) {
        dureq_str rest = dureq_str_of(in.ptr + o.at, in.len - o.at);
        size_t seen = 0, have = 0;
        ptrdiff_t len = 0;

        while (len == 0 && have < rest.len) {
            have = DQ_MIN(have + piece, rest.len);
            len = dq_http_head_parse(dureq_str_of(rest.ptr, have), &seen, &h, &fault);
        }
        if (len <= 0)
            break;
        add_head(&o, rest, &h);
        read_fields(rest, &h);
        o.n_heads++;
        o.at += (size_t)len;
        if (h.is_chunked && !read_chunks(&o, dureq_str_of(in.ptr + o.at, in.len - o.at), piece, &fault))
            break;
    }
    assert(fault.status == 0 || (fault.status >= 400 && fault.status < 600 && fault.text));
    o.status = fault.status;
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dureq_str in = dureq_str_of((const char *)data, size);
    outcome whole = run(in, size ? size : 1);

    for (size_t piece = 1; piece < 8; piece += 3) {
        outcome cut = run(in, piece);

        /* a fault may be seen before the end of a head is, and a limit after it */
        assert(cut.n_heads == whole.n_heads && cut.sum == whole.sum && cut.at == whole.at &&
               (cut.status != 0) == (whole.status != 0));
    }
    return 0;
}
