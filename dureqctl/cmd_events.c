/* SPDX-License-Identifier: Apache-2.0 */
/* Events as they happen. A connection that is lost is made again, and goes on after the last event that came. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"

#define AGAIN_S 1

typedef struct follower {
    ctl *c;
    dq_api_sink sink;
    dq_buf line; /* that is not whole yet */
    dq_buf since;
    bool has_begun; /* something came */
    dq_buf refusal;
    int status, code;
} follower;

static dureq_str text_of(const dq_json *doc, const char *name, dq_buf *room)
{
    dq_json_ref v = dq_json_member(doc, 0, name);

    dq_buf_clear(room);
    if (v == DQ_JSON_NONE || dq_json_string(doc, v, room) < 0)
        return (dureq_str){0};
    return dq_buf_str(room);
}

/* A line for people: when, what, of which job, and what else it says. */
static void print_table(const follower *f, const dq_json *doc)
{
    static const char *const more[] = {"queue", "task_type", "node_id", "workflow_id", "schedule_id", "reason", "error"};
    DQ_BUF_AUTO line = {0};
    DQ_BUF_AUTO room = {0};

    dq_buf_append_str(&line, text_of(doc, "timestamp", &room));
    dq_buf_append_char(&line, ' ');
    dq_buf_append_str(&line, text_of(doc, "type", &room));
    dq_buf_append_char(&line, ' ');
    dq_buf_append_str(&line, text_of(doc, "job_id", &room));
    for (size_t i = 0; i < DQ_ARRAY_LEN(more); i++) {
        dureq_str v = text_of(doc, more[i], &room);

        if (v.len)
            dq_buf_append_fmt(&line, " %s=" DQ_STR_FMT, more[i], DQ_STR_ARG(v));
    }
    ctl_clean(&line, /*keep_lines=*/false);
    (void)f;
    printf(DQ_STR_FMT "\n", DQ_STR_ARG(dq_buf_str(&line)));
}

static void take_line(follower *f, dureq_str line)
{
    DQ_BUF_AUTO room = {0};
    dq_json doc = {0};
    dureq_str seq;

    if (line.len == 0 || dq_json_parse(line, &doc, NULL) < 0)
        return;
    f->has_begun = true;
    seq = text_of(&doc, "seq", &room);
    if (seq.len) {
        dq_buf_clear(&f->since);
        dq_buf_append_str(&f->since, seq);
    }
    if (!dq_str_eq_text(text_of(&doc, "type", &room),
                        "stream.position")) { /* that nothing happened is said for programs that hold the connection */
        if (f->c->format == CTL_TABLE)
            print_table(f, &doc);
        else
            printf(DQ_STR_FMT "\n", DQ_STR_ARG(line));
    }
    dq_json_deinit(&doc);
}

static void take_bytes(void *userdata, dureq_str bytes)
{
    follower *f = userdata;
    const char *end;
    size_t at = 0;

    dq_buf_append_str(&f->line, bytes);
    for (;;) {
        end = at < f->line.len ? memchr(f->line.ptr + at, '\n', f->line.len - at) : NULL;
        if (!end)
            break;
        take_line(f, dureq_str_of(f->line.ptr + at, (size_t)(end - f->line.ptr) - at));
        at = (size_t)(end - f->line.ptr) + 1;
    }
    dq_buf_consume(&f->line, at);
    (void)fflush(stdout);
}

/* ---- in this process, on Redis itself ---- */

static follower *follower_of(dq_api_sink *s)
{
    return dq_container_of(s, follower, sink);
}

static void sink_begin(dq_api_sink *s, const dq_api_response *head, int64_t length)
{
    (void)length;
    follower_of(s)->status = head->status;
    follower_of(s)->code = head->code;
}

static void sink_write(dq_api_sink *s, dureq_str part)
{
    follower *f = follower_of(s);

    if (f->status >= 400)
        dq_buf_append_str(&f->refusal, part);
    else
        take_bytes(f, part);
}

static void sink_end(dq_api_sink *s, bool is_whole)
{
    (void)s;
    (void)is_whole;
}

static bool sink_is_gone(dq_api_sink *s)
{
    (void)s;
    return ferror(stdout) != 0;
}

static int follow_here(follower *f, const dq_api_request *req)
{
    f->sink = (dq_api_sink){.begin = sink_begin, .write = sink_write, .end = sink_end, .is_gone = sink_is_gone};
    dq_api_run(f->c->client, req, &f->sink);
    return 0;
}

static int follow_there(follower *f, const dq_api_request *req)
{
    dq_api_response res;
    int rc = ctl_http_follow(f->c->http, req, take_bytes, f, &res);

    if (rc == 0) {
        f->status = res.status;
        f->code = res.code;
        dq_buf_append_buf(&f->refusal, &res.body);
        dq_api_response_deinit(&res);
    }
    return rc;
}

/* ---- the command ---- */

static int refused(const follower *f)
{
    DQ_BUF_AUTO room = {0};
    DQ_BUF_AUTO words = {0};
    dq_json doc = {0};
    int rc = ctl_exit_of(f->code);

    if (dq_json_parse(dq_buf_str(&f->refusal), &doc, NULL) < 0)
        return ctl_fail(rc, "the answer cannot be read");
    (void)text_of(&doc, "error", &room);
    ctl_own_words(room.ptr ? room.ptr : "", &words);
    rc = ctl_fail(rc, "%s", words.ptr ? words.ptr : "");
    dq_json_deinit(&doc);
    return rc;
}

static int follow_once(follower *f, dureq_str filters)
{
    DQ_BUF_AUTO query = {0};
    dq_api_request req = {.method = "GET", .path = "/api/events"};

    dq_buf_append_str(&query, filters);
    if (f->since.len)
        ctl_query(&query, "since", f->since.ptr);
    if (dq_buf_failed(&query))
        return ctl_fail(CTL_FAILED, "out of memory");
    req.query = query.ptr;
    return f->c->http ? follow_there(f, &req) : follow_here(f, &req);
}

static int follow(follower *f, dureq_str filters)
{
    int rc;

    for (;;) {
        rc = follow_once(f, filters);
        if (ferror(stdout))
            return CTL_FAILED;
        if (rc == 0 && f->status >= 400 && !(f->has_begun && f->status == 503))
            return refused(f);
        if (rc != 0 && !f->has_begun)
            return rc;
        dq_buf_clear(&f->line);
        dq_buf_clear(&f->refusal);
        (void)sleep(AGAIN_S);
    }
}

static int events(ctl *c, int argc, char **argv)
{
    const char *since = NULL, *types = NULL, *job = NULL, *workflow = NULL, *queue = NULL, *type = NULL;
    const ctl_option options[] = {
        {.name = "since", .value = &since},       {.name = "types", .value = &types}, {.name = "job", .value = &job},
        {.name = "workflow", .value = &workflow}, {.name = "queue", .value = &queue}, {.name = "type", .value = &type},
    };
    follower f = {.c = c};
    DQ_BUF_AUTO filters = {0};
    int rc = ctl_only_options(argc, argv, options, DQ_ARRAY_LEN(options));

    if (rc == 0 && c->format == CTL_CSV)
        rc = ctl_usage("events come as a table, -o json or -o ndjson");
    if (rc == 0)
        rc = ctl_connect(c, CTL_READS);
    if (rc != 0)
        return rc;
    ctl_query(&filters, "format", "ndjson");
    for (size_t i = 1; i < DQ_ARRAY_LEN(options); i++)
        if (*options[i].value)
            ctl_query(&filters, options[i].name, *options[i].value);
    if (since)
        dq_buf_append_text(&f.since, since);
    rc = follow(&f, dq_buf_str(&filters));
    dq_buf_deinit(&f.line);
    dq_buf_deinit(&f.since);
    dq_buf_deinit(&f.refusal);
    return rc;
}

const ctl_command ctl_event_commands[] = {
    {"events", "[--since TOKEN] [--types T,T] [--job ID] [--workflow ID] [--queue Q] [--type T]",
     "Show what happens, as it happens",
     "  --since TOKEN          go on after the event that had this as seq, instead of from now on\n"
     "  --types job.*,node.*   of these types only; docs/api.md lists them\n"
     "  --job ID               of this job, or schedule\n"
     "  --workflow ID          of this workflow and its tasks\n"
     "  --queue Q, --type T    of these only; T may end in *\n"
     "With -o ndjson each event is a line of JSON. When events are missing a line of the type stream.gap says so, with the positions before and\n"
     "after. A connection that is lost is made again and goes on where it was. Until Ctrl-C.\n"
     "Example: dureqctl events --types job.failed,job.dead -o ndjson | jq -r .error\n",
     events},
    {NULL, NULL, NULL, NULL, NULL},
};
