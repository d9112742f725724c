/* SPDX-License-Identifier: Apache-2.0 */
/* Runs that ended, of all jobs that ended: there is no structure of runs, they are parts of their jobs. So they come by the end of their job, and
   those of a job by their number, the newest first. A page may end within a job: the cursor says how many of its runs were given. */
#include "api/scope.h"

#include <stdio.h>

#define LIMIT_MAX 1000
#define LOOKS_MAX 10 /* pages of jobs for a page of runs, when few fit */

typedef struct history {
    dq_api_ctx *c;
    dureq_job_filter f;
    int64_t limit, since_ms; /* a run starts after its job was made: until is the filter's, too */
    const char *status, *node_id, *job_id;
    dq_buf cursor; /* of the jobs */
    int64_t skip;  /* runs of the next job that were given */
    int64_t n;     /* runs that are written */
    int64_t scanned;
} history;

static const char *status_of(const dureq_attempt *a)
{
    switch (a->outcome) {
    case DUREQ_OUTCOME_DONE:
    case DUREQ_OUTCOME_SKIP: return "succeeded";
    case DUREQ_OUTCOME_TIMED_OUT: return "timed_out";
    case DUREQ_OUTCOME_CANCELLED: return "cancelled";
    default: return "failed";
    }
}

static bool fits(const history *h, const dureq_attempt *a)
{
    return (!h->status || strcmp(h->status, status_of(a)) == 0) && (!h->node_id || dq_str_eq_text(a->node_id, h->node_id)) &&
           (h->since_ms == 0 || a->started_at_ms >= h->since_ms) && (h->f.until_ms == 0 || a->started_at_ms < h->f.until_ms);
}

/* Runs of the job, from the one that comes next. How many were passed when the page is full; -1: all. */
static int64_t write_job(history *h, const dureq_job *job, int64_t skip)
{
    for (int64_t i = skip; i < (int64_t)job->n_attempts; i++) {
        const dureq_attempt *a = &job->attempts[job->n_attempts - 1 - (size_t)i];

        if (!fits(h, a))
            continue;
        if (h->n == h->limit)
            return i;
        dq_api_write_attempt(h->c, job, a);
        h->n++;
    }
    return -1;
}

static int put_next(history *h, int64_t skip)
{
    DQ_BUF_AUTO next = {0};

    if (h->cursor.len == 0 && skip == 0)
        return 0;
    dq_buf_append_fmt(&next, "%lld~", (long long)skip);
    dq_buf_append_buf(&next, &h->cursor);
    if (dq_buf_failed(&next))
        return DUREQ_ENOMEM;
    dq_json_set_str(&h->c->w, "next_cursor", dq_buf_str(&next));
    return 0;
}

/* The cursor after the first n jobs of the page that was read: that page again, n long. */
static int cursor_after(history *h, int64_t n, dureq_error *err)
{
    dureq_job_list *list;
    int rc;

    if (n == 0)
        return 0; /* it stands before them */
    h->f.limit = (int32_t)n;
    h->f.cursor = h->cursor.len ? h->cursor.ptr : NULL;
    rc = dq_api_list_jobs(h->c, &h->f, &list, err);
    if (rc < 0)
        return rc;
    dq_buf_clear(&h->cursor);
    dq_buf_append_str(&h->cursor, list->next_cursor);
    dureq_job_list_destroy(list);
    return dq_buf_finish(&h->cursor, err);
}

/* One page of jobs. 1: the page of runs is full, and what comes next is in cursor and skip; 0: there may be room. */
static int take_page(history *h, dureq_error *err)
{
    dureq_job_list *list;
    int64_t i, passed = -1;
    int rc;

    h->f.limit = (int32_t)h->limit;
    h->f.cursor = h->cursor.len ? h->cursor.ptr : NULL;
    rc = dq_api_list_jobs(h->c, &h->f, &list, err);
    if (rc < 0)
        return rc;
    h->scanned += list->scanned;
    for (i = 0; i < (int64_t)list->n; i++) {
        passed = write_job(h, &list->items[i], i == 0 ? h->skip : 0);
        if (passed >= 0)
            break;
    }
    if (passed < 0) {
        dq_buf_clear(&h->cursor);
        dq_buf_append_str(&h->cursor, list->next_cursor);
        rc = dq_buf_finish(&h->cursor, err);
    }
    dureq_job_list_destroy(list);
    h->skip = DQ_MAX(passed, 0);
    if (passed < 0)
        return rc;
    rc = cursor_after(h, i, err);
    return rc < 0 ? rc : 1;
}

static int write_pages(history *h, dureq_error *err)
{
    int rc = 0;

    for (int looks = 0; rc == 0 && looks < LOOKS_MAX && (looks == 0 || h->cursor.len) && h->n < h->limit; looks++)
        rc = take_page(h, err);
    return DQ_MIN(rc, 0);
}

/* Of one job alone. */
static int write_of_job(history *h, dureq_error *err)
{
    dureq_job_list *list = NULL;
    int rc = dq_api_check_job(h->c, h->job_id, err);

    if (rc == 0)
        rc = dureq_client_get_job(h->c->client, h->job_id, &list, err);
    if (rc == DUREQ_ENOTFOUND) /* none of its runs is known */
        return 0;
    if (rc < 0)
        return rc;
    h->skip = DQ_MAX(write_job(h, &list->items[0], h->skip), 0);
    dureq_job_list_destroy(list);
    return 0;
}

static int read_cursor(history *h, dureq_error *err)
{
    dureq_str rest = dureq_str_from(dq_api_query(h->c, "cursor"));

    if (rest.len == 0)
        return 0;
    if (dq_parse_i64(dq_str_cut(&rest, '~'), 0, 1000, &h->skip) < 0 || !rest.ptr)
        return dq_fail(err, DUREQ_EINVAL, "cursor is not one that a page gave");
    dq_buf_append_str(&h->cursor, rest);
    return dq_buf_finish(&h->cursor, err);
}

static int read_query(history *h, dureq_error *err)
{
    static const char *const words[] = {"succeeded", "failed", "timed_out", "cancelled"};
    dq_api_ctx *c = h->c;
    bool known = false;
    int rc = dq_api_query_i64(c, "limit", 1, LIMIT_MAX, &h->limit, err);

    h->status = dq_api_query(c, "status");
    h->node_id = dq_api_query(c, "node_id");
    h->job_id = dq_api_query(c, "job_id");
    h->f.task_type = dq_api_query(c, "task_type");
    for (size_t i = 0; i < DQ_ARRAY_LEN(words); i++)
        known = known || (h->status && strcmp(h->status, words[i]) == 0);
    if (rc == 0 && h->status && !known)
        rc = dq_fail(err, DUREQ_EINVAL, "parameter 'status' takes succeeded, failed, timed_out or cancelled");
    if (rc == 0)
        rc = dq_api_query_time(c, "since", &h->since_ms, err);
    if (rc == 0)
        rc = dq_api_query_time(c, "until", &h->f.until_ms, err);
    return rc < 0 ? rc : read_cursor(h, err);
}

/* `total` is what is known: of a page that is all there is the number of its runs, else a lower bound. */
static int write_history(history *h, bool is_first, dureq_error *err)
{
    int rc;

    dq_json_begin_object(&h->c->w);
    dq_json_key(&h->c->w, "data");
    dq_json_begin_array(&h->c->w);
    rc = h->job_id ? write_of_job(h, err) : write_pages(h, err);
    dq_json_end_array(&h->c->w);
    dq_json_set_i64(&h->c->w, "total", h->n);
    if (!is_first || h->cursor.len || h->skip)
        dq_json_set_bool(&h->c->w, "total_exact", false);
    dq_json_set_i64(&h->c->w, "scanned", h->scanned);
    if (rc == 0)
        rc = put_next(h, h->skip);
    dq_json_end_object(&h->c->w);
    return rc;
}

static int list_history(dq_api_ctx *c, dureq_error *err)
{
    static const dureq_job_state ended[] = {DUREQ_JOB_COMPLETED, DUREQ_JOB_DEAD, DUREQ_JOB_CANCELLED};
    history h = {.c = c, .f = dureq_job_filter_init(), .limit = 10};
    bool is_first = !dq_api_query(c, "cursor");
    int rc = read_query(&h, err);

    h.f.states = ended;
    h.f.n_states = DQ_ARRAY_LEN(ended);
    if (rc == 0)
        rc = write_history(&h, is_first, err);
    dq_buf_deinit(&h.cursor);
    return rc;
}

const dq_api_route dq_api_history_routes[] = {
    {"GET", "/api/history/runs", list_history, "limit cursor status job_id node_id task_type since until",
     .scope = DQ_API_SCOPE_OWN, .cost = DQ_API_SCANS, .shows_payload = true, .answer = "RunPage",
     .text = "Runs of jobs that ended, the newest first."},
    {NULL, NULL, NULL, NULL},
};
