/* SPDX-License-Identifier: Apache-2.0 */
#include "client/events.h"

#include "client/client_internal.h"
#include "client/event_page.h"

#define EVENTS_MAX 1000
#define BEFORE_MS  60000 /* that its id may be ahead of the stream, when the server's clock was set back */

static void put_event(dq_json_writer *w, const dq_json *doc, dq_json_ref event)
{
    dureq_str raw = dq_json_raw(doc, event);

    dq_json_put_raw(w, dureq_str_of(raw.ptr, raw.len - 1));
    dq_buf_append_text(w->out, ",\"at\":");
    dq_buf_append_str(w->out, dq_json_raw(doc, dq_json_member(doc, event, "timestamp")));
    dq_buf_append_char(w->out, '}');
}

/* A page has them newest first. */
static int put_oldest_first(const dq_json *doc, dq_buf *ret, dureq_error *err)
{
    dq_json_ref data = dq_json_member(doc, 0, "data");
    dq_json_writer w = dq_json_writer_of(ret);
    size_t n = 0;
    dq_json_ref *events = dq_calloc(doc->nodes[data].n + 1, sizeof *events);

    if (!events)
        return dq_fail_nomem(err);
    for (dq_json_ref e = dq_json_first(doc, data); e != DQ_JSON_NONE; e = dq_json_next(doc, data, e))
        events[n++] = e;
    dq_json_begin_array(&w);
    while (n > 0)
        put_event(&w, doc, events[--n]);
    dq_json_end_array(&w);
    dq_free(events);
    return dq_buf_finish(ret, err);
}

int dq_client_job_events(dureq_client *c, const char *id_text, bool hides_payload, dq_buf *ret, dureq_error *err)
{
    unsigned char packed[DQ_ID_BYTES];
    dq_event_page p = {.filter = {.types = UINT64_MAX, .has_job = true},
                       .until_ms = INT64_MAX,
                       .limit = EVENTS_MAX,
                       .hides_payload = hides_payload,
                       .is_of_shard = true};
    DQ_BUF_AUTO text = {0};
    dq_json doc = {0};
    int rc = dq_parse_job_id(id_text, c, &p.filter.job, packed, err);

    if (rc < 0)
        return rc;
    p.shard = p.filter.job.shard;
    p.since_ms = DQ_MAX((int64_t)p.filter.job.ms - BEFORE_MS, 0); /* nothing tells of it before it was there */
    rc = dq_client_event_page(c, &p, &text, err);
    if (rc == 0)
        rc = dq_json_parse(dq_buf_str(&text), &doc, err);
    if (rc == 0)
        rc = put_oldest_first(&doc, ret, err);
    dq_json_deinit(&doc);
    return rc;
}
