/* SPDX-License-Identifier: Apache-2.0 */
/* The dashboard. Its answers are made on the loop from what is in memory; nothing of it can fail but memory. The policy lets a page load scripts,
   styles and data from this server alone, and no script or style of its own text, so that data that got into a page could do nothing. */
#include "serve/serve_internal.h"

#include <stdio.h>

#define POLICY                                                                                                       \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; font-src 'self'; " \
    "base-uri 'self'; form-action 'self'; frame-ancestors 'none'"

static bool is_below(dureq_str path, dureq_str folder)
{
    return dq_str_starts_with(path, folder) && (path.len == folder.len || path.ptr[folder.len] == '/');
}

void dq_pages_strip(const dq_server *s, dq_http_head *head)
{
    dureq_str base = dureq_str_from(s->base_path);

    if (base.len == 0 || !is_below(head->path, base))
        return;
    head->path =
        head->path.len == base.len ? DQ_STR_LIT("/") : dureq_str_of(head->path.ptr + base.len, head->path.len - base.len);
}

/* ---- what the browser takes ---- */

/* Whether a field with commas names the word, and not with a weight of 0. */
static bool takes(dureq_str list, const char *word)
{
    while (list.len) {
        dureq_str item = dq_str_cut(&list, ','), name = dq_str_trim(dq_str_cut(&item, ';')), weight = dq_str_trim(item);

        if (!dq_http_eq_nocase(name, word))
            continue;
        return !(dq_str_starts_with(weight, DQ_STR_LIT("q=0")) && strspn(weight.ptr + 3, ".0") >= weight.len - 3);
    }
    return false;
}

static bool is_etag_listed(dureq_str list, const char *etag)
{
    while (list.len) {
        dureq_str item = dq_str_trim(dq_str_cut(&list, ','));

        if (dq_str_starts_with(item, DQ_STR_LIT("W/")))
            item = dureq_str_of(item.ptr + 2, item.len - 2);
        if (dq_str_eq_text(item, etag) || dq_str_eq_text(item, "*"))
            return true;
    }
    return false;
}

/* ---- which file ---- */

static bool is_page_path(dureq_str path)
{
    static const dureq_str others[] = {{"/api", 4}, {"/livez", 6}, {"/readyz", 7}, {"/healthz", 8}, {"/metrics", 8}};

    for (size_t i = 0; i < DQ_ARRAY_LEN(others); i++)
        if (is_below(path, others[i]))
            return false;
    return true;
}

static const dq_page *find(const dq_server *s, const dq_http_head *head)
{
    bool is_html = takes(dq_http_field_get(head, "accept"), "text/html");
    const dq_page *index = NULL;

    if (!s->pages || !(dq_str_eq_text(head->method, "GET") || dq_str_eq_text(head->method, "HEAD")) || !is_page_path(head->path))
        return NULL;
    for (const dq_page *p = s->pages; p->path; p++) {
        if (strcmp(p->path, "index.html") == 0)
            index = p;
        else if (head->path.len && dq_str_eq_text(dureq_str_of(head->path.ptr + 1, head->path.len - 1), p->path))
            return p;
    }
    return is_html ? index : NULL;
}

/* ---- the answer ---- */

typedef struct form {
    dureq_str bytes;
    const char *coding; /* NULL: as it is */
} form;

static form form_of(const dq_server *s, const dq_page *page, const dq_http_head *head)
{
    dureq_str codings = dq_http_field_get(head, "accept-encoding");

    if (strcmp(page->path, "index.html") == 0)
        return (form){dq_buf_str(&s->index), NULL};
    if (page->br.ptr && takes(codings, "br"))
        return (form){page->br, "br"};
    if (page->gz.ptr && takes(codings, "gzip"))
        return (form){page->gz, "gzip"};
    return (form){page->raw, NULL};
}

/* The index names its base; that is in its mark, so that another base is another page. */
static void put_etag(const dq_server *s, const dq_page *page, const form *f, char *to, size_t size)
{
    bool is_index = strcmp(page->path, "index.html") == 0;

    (void)snprintf(to, size, "\"%s%s%s\"", page->hash,
                   f->coding  ? "-"
                   : is_index ? s->base_path
                              : "",
                   f->coding ? f->coding : "");
}

bool dq_pages_answer(dq_server *s, const dq_http_head *head, bool closes, dq_buf *out)
{
    const dq_page *page = find(s, head);
    char etag[DQ_SERVE_BASE_MAX + 64];
    bool is_same, is_asset;
    form f;

    if (!page)
        return false;
    f = form_of(s, page, head);
    put_etag(s, page, &f, etag, sizeof etag);
    is_same = is_etag_listed(dq_http_field_get(head, "if-none-match"), etag);
    is_asset = strcmp(page->path, "index.html") != 0;
    dq_buf_append_fmt(out, "HTTP/1.1 %s\r\nDate: %s\r\n", is_same ? "304 Not Modified" : "200 OK", dq_answer_date(s));
    if (!is_same)
        dq_buf_append_fmt(out, "Content-Type: %s\r\nContent-Length: %zu\r\n", page->type, f.bytes.len);
    if (!is_same && f.coding)
        dq_buf_append_fmt(out, "Content-Encoding: %s\r\n", f.coding);
    dq_buf_append_fmt(out, "ETag: %s\r\nCache-Control: %s\r\nVary: Accept-Encoding, Accept\r\n", etag,
                      is_asset ? "public, max-age=31536000, immutable" : "no-cache");
    dq_buf_append_text(out, "Content-Security-Policy: " POLICY
                            "\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: same-origin\r\n"
                            "Cross-Origin-Opener-Policy: same-origin\r\nCross-Origin-Resource-Policy: same-origin\r\n");
    if (closes)
        dq_buf_append_text(out, "Connection: close\r\n");
    dq_buf_append_text(out, "\r\n");
    if (!is_same && dq_str_eq_text(head->method, "GET"))
        dq_buf_append_str(out, f.bytes);
    return true;
}

/* ---- when the server is made ---- */

/* Letters, digits and what needs no care in a URL or in HTML. */
static bool is_base(dureq_str base)
{
    for (size_t i = 0; i < base.len; i++) {
        char c = base.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("/-._~", c))))
            return false;
    }
    return base.len == 0 || (base.ptr[0] == '/' && !memmem(base.ptr, base.len, "//", 2));
}

static void make_index(dq_server *s, dureq_str text)
{
    const char *at = memmem(text.ptr, text.len, "@BASE@", 6);

    if (!at) {
        dq_buf_append_str(&s->index, text);
        return;
    }
    dq_buf_append(&s->index, text.ptr, (size_t)(at - text.ptr));
    dq_buf_append_fmt(&s->index, "%s/", s->base_path);
    dq_buf_append(&s->index, at + 6, (size_t)(text.ptr + text.len - at) - 6);
}

int dq_pages_init(dq_server *s, const dq_page *pages, const char *base_path, dureq_error *err)
{
    dureq_str base = dureq_str_from(base_path ? base_path : "");

    while (base.len && base.ptr[base.len - 1] == '/')
        base.len--;
    if (!is_base(base) || base.len > DQ_SERVE_BASE_MAX)
        return dq_fail(err, DUREQ_EINVAL, "basePath is a path such as /dureq, of letters, digits and -._~ between slashes");
    memcpy(s->base_path, base.ptr ? base.ptr : "", base.len);
    s->base_path[base.len] = '\0';
    s->pages = pages;
    for (const dq_page *p = pages; p && p->path; p++)
        if (strcmp(p->path, "index.html") == 0)
            make_index(s, p->raw);
    return dq_buf_failed(&s->index) ? dq_fail_nomem(err) : 0;
}
