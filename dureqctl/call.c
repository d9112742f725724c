/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "client/absent.h"
#include "ctl.h"

#define PROGRESS_US 200000 /* between two looks at the progress of a call */

DUREQ_PRINTF(1, 0) static void say(const char *fmt, va_list args)
{
    DQ_BUF_AUTO text = {0};

    dq_buf_append_text(&text, "dureqctl: ");
    ctl_append_vfmt(&text, fmt, args);
    ctl_clean(&text, /*keep_lines=*/false);
    fprintf(stderr, DQ_STR_FMT "\n", DQ_STR_ARG(dq_buf_str(&text)));
}

int ctl_fail(int code, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    say(fmt, args);
    va_end(args);
    return code;
}

int ctl_usage(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    say(fmt, args);
    va_end(args);
    fputs("Try 'dureqctl help' or 'dureqctl help COMMAND'.\n", stderr);
    return CTL_USAGE;
}

int ctl_exit_of(int code)
{
    switch (code) {
    case DUREQ_OK: return CTL_DONE;
    case DUREQ_EINVAL:
    case DUREQ_EPARSE:
    case DUREQ_EUNSUPPORTED: return CTL_USAGE;
    case DUREQ_ENOTFOUND: return CTL_NOT_FOUND;
    case DUREQ_ECONFLICT:
    case DUREQ_EPAUSED: return CTL_WRONG_STATE;
    case DUREQ_EDUPLICATE:
    case DUREQ_ELIMIT:
    case DUREQ_ETOOLARGE:
    case DUREQ_EREDISOOM: return CTL_REFUSED;
    case DUREQ_EUNAVAILABLE:
    case DUREQ_ETIMEOUT:
    case DUREQ_EBUSY:
    case DUREQ_EREADONLY:
    case DUREQ_ENOWRITE:
    case DUREQ_EUNKNOWN:
    case DUREQ_ELOADING: return CTL_SERVER_AWAY;
    case DUREQ_EAUTH:
    case DUREQ_EPERM: return CTL_NOT_ALLOWED;
    default: return CTL_FAILED;
    }
}

/* Where a person reads: an empty answer looks the same in a deployment that is there. */
static void tell_absent(ctl *c)
{
    if (c->format == CTL_TABLE && !c->quiet && !c->told_absent)
        (void)ctl_fail(CTL_DONE, "nothing here yet: no program that writes has used the prefix '%s'",
                       c->prefix ? c->prefix : "dureq");
    c->told_absent = true;
}

int ctl_connect(ctl *c, ctl_use use)
{
    dureq_client_options o = dureq_client_options_init();
    DQ_BUF_AUTO url = {0};
    dureq_error err = {0};
    int rc;

    if (c->http)
        return 0;
    if (c->client && (use == CTL_READS || !dq_client_is_absent(c->client)))
        return 0;
    dureq_client_destroy(c->client);
    c->client = NULL;
    rc = ctl_server(c, &url);
    if (rc != 0)
        return rc;
    if (ctl_is_http(url.ptr))
        return ctl_http_create(c, url.ptr, &c->http);
    o.redis_url = url.ptr;
    o.prefix = c->prefix;
    o.timeout_ms = c->timeout_ms;
    o.allow_eviction = c->allow_eviction;
    o.client_name = "dureqctl";
    o.actor = "dureqctl";
    o.no_create = use == CTL_READS;
    rc = dureq_client_create(&o, &c->client, &err);
    if (rc == DUREQ_EUNAVAILABLE && c->server_found)
        return ctl_fail(ctl_exit_of(rc),
                        "no server given, and none answers at %s: start dureqd, or give --server URL or DUREQ_SERVER", url.ptr);
    if (rc < 0)
        return ctl_fail(ctl_exit_of(rc), "%s", err.msg);
    if (dq_client_is_absent(c->client))
        tell_absent(c);
    return 0;
}

void ctl_answer_deinit(ctl_answer *a)
{
    dq_json_deinit(&a->doc);
    dq_api_response_deinit(&a->res);
}

/* "no queue 'nomral'": did you mean 'normal'? */
static void hint_queue(ctl *c, dureq_str msg, dq_buf *out)
{
    DQ_BUF_AUTO name = {0};
    dureq_str rest = msg, before = dq_str_cut(&rest, '\'');

    if (!dq_str_eq_text(before, "no queue ") && !dq_str_eq_text(before, "queue "))
        return;
    dq_buf_append_str(&name, dq_str_cut(&rest, '\''));
    if (name.len)
        ctl_near_queue(c, name.ptr, out);
}

static int refused(ctl *c, const ctl_answer *a, const dureq_error *err)
{
    DQ_BUF_AUTO text = {0};
    DQ_BUF_AUTO own = {0};
    dq_json_ref v = a->doc.n_nodes ? dq_json_member(&a->doc, 0, "error") : DQ_JSON_NONE;

    if (v != DQ_JSON_NONE)
        (void)dq_json_string(&a->doc, v, &text); /* not a string: the status says enough */
    if (err->code == DUREQ_ETOOLARGE)
        return ctl_fail(CTL_FAILED, "the answer is too large: ask for fewer with --limit (%s)", err->msg);
    ctl_own_words(text.len ? text.ptr : err->msg, &own);
    if (a->res.code == DUREQ_ENOTFOUND)
        hint_queue(c, dq_buf_str(&text), &own);
    return ctl_fail(a->res.code ? ctl_exit_of(a->res.code) : CTL_FAILED, "%s", own.ptr ? own.ptr : err->msg);
}

/* Told only when it lasts, and wiped out at the end: then the answer says it. */
typedef struct progress {
    const char *verb;
    int64_t shown_us; /* when last, or the call's begin */
    bool is_shown;
} progress;

static void show_progress(int64_t n_done, int64_t n, void *userdata)
{
    progress *p = userdata;
    int64_t now_us = dq_mono_us();

    if (now_us - p->shown_us < PROGRESS_US)
        return;
    p->shown_us = now_us;
    p->is_shown = true;
    if (n)
        fprintf(stderr, "\r\033[K%" PRId64 " of %" PRId64 " jobs %s", n_done, n, p->verb);
    else
        fprintf(stderr, "\r\033[K%" PRId64 " jobs %s", n_done, p->verb);
    (void)fflush(stderr);
}

int ctl_call(ctl *c, const char *method, const char *path, const char *query, dureq_str body, ctl_answer *ret)
{
    progress p = {.verb = c->progress_verb, .shown_us = dq_mono_us()};
    dq_api_request req = {.method = method, .path = path, .query = query, .body = body, .progress_userdata = &p};
    bool is_dry = query && strstr(query, "dry_run=1");
    dureq_error err = {0};
    int rc = ctl_connect(c, is_dry || strcmp(method, "GET") == 0 ? CTL_READS : CTL_WRITES);

    if (rc != 0)
        return rc;
    *ret = (ctl_answer){0};
    if (p.verb && !c->quiet && isatty(STDERR_FILENO))
        req.progress_fn = show_progress;
    if (c->http)
        rc = ctl_http_ask(c->http, &req, &ret->res);
    else
        dq_api_handle(c->client, &req, &ret->res);
    if (rc != 0)
        return rc;
    if (p.is_shown)
        fputs("\r\033[K", stderr);
    rc = dq_json_parse_frame(dq_buf_str(&ret->res.body), &ret->doc, &err);
    if (rc < 0)
        ret->doc = (dq_json){0};
    if (rc == 0 && ret->res.status < 400)
        return 0;
    rc = refused(c, ret, &err);
    ctl_answer_deinit(ret);
    return rc;
}

int ctl_show_list(ctl *c, const char *path, const char *query, const char *member, const ctl_column *columns)
{
    ctl_answer a;
    int rc = ctl_call(c, "GET", path, query, dureq_str_of(NULL, 0), &a);

    if (rc != 0)
        return rc;
    ctl_print_list(c, &a, member ? dq_json_member(&a.doc, 0, member) : DQ_JSON_NONE, columns);
    ctl_answer_deinit(&a);
    return CTL_DONE;
}

static void encode(dq_buf *out, const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || strchr("-_.~", *p);

        if (plain)
            dq_buf_append_char(out, (char)*p);
        else
            dq_buf_append_fmt(out, "%%%02X", *p);
    }
}

void ctl_path(dq_buf *out, const char *fmt, const char *arg)
{
    const char *at = strstr(fmt, "%s");

    dq_buf_append(out, fmt, (size_t)(at - fmt));
    encode(out, arg);
    dq_buf_append_text(out, at + 2);
}

void ctl_query(dq_buf *out, const char *name, const char *value)
{
    if (!value)
        return;
    if (out->len)
        dq_buf_append_char(out, '&');
    dq_buf_append_text(out, name);
    dq_buf_append_char(out, '=');
    encode(out, value);
}
