/* SPDX-License-Identifier: Apache-2.0 */
/* Deleting a queue. Nothing may name it: no job that waits or runs, no dead one that could be retried. That takes looking through all of
   them, in pages, while others enqueue; so it is looked before the definition goes, and once more after it, when nothing new can come. What
   was found only then came in between, and the definition is put back as it was. Jobs that are there all the same (of a producer that died
   between) are not lost: nodes go on serving their lanes. One that failed in between is done again, until it is done. */
#include "client/client_internal.h"
#include "client/queues.h"
#include "store/plain_calls.h"

#define PAGE       1000
#define PASSES_MAX 20 /* that found something although nothing new can come: a session that gives jobs back meanwhile */

typedef struct deletion {
    dureq_client *c;
    const char *name;
    bool force;
    int64_t n;     /* jobs that were deleted */
    bool is_clear; /* the last pass found nothing */
    dureq_error *err;
} deletion;

static int refuse(const deletion *d, const dureq_job *job)
{
    return dq_fail(d->err, DUREQ_ECONFLICT, "queue '%s' is not empty: job %s is %s (force deletes its jobs, too)", d->name,
                   job->id.text, dureq_job_state_to_str(job->state));
}

static int64_t n_done(const int *codes, size_t n)
{
    int64_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += codes[i] == 0;
    return sum;
}

/* Ended by others meanwhile, moved, or not kept: the next pass looks again. */
static int end_jobs(deletion *d, const dureq_job_list *list)
{
    const char *ids[PAGE];
    int codes[PAGE];
    size_t n = 0;
    int rc;

    for (size_t i = 0; i < list->n; i++)
        if (list->items[i].state != DUREQ_JOB_DEAD)
            ids[n++] = list->items[i].id.text;
    rc = n ? dureq_client_cancel_many(d->c, ids, n, /*opts=*/NULL, codes, d->err) : 0;
    if (rc < 0)
        return rc;
    d->n += n_done(codes, n);
    rc = n ? dureq_client_delete_many(d->c, ids, n, /*opts=*/NULL, codes, d->err) : 0;
    if (rc < 0)
        return rc;
    n = 0;
    for (size_t i = 0; i < list->n; i++)
        if (list->items[i].state == DUREQ_JOB_DEAD)
            ids[n++] = list->items[i].id.text;
    rc = n ? dureq_client_delete_many(d->c, ids, n, /*opts=*/NULL, codes, d->err) : 0;
    d->n += rc < 0 ? 0 : n_done(codes, n);
    return rc;
}

/* Tasks of running workflows are yet to come to it. */
static int refuse_workflows(deletion *d)
{
    const dq_keys *k = dq_client_keys(d->c);

    for (unsigned shard = 0; shard < k->n_shards; shard++) {
        dq_owned_reply reply;
        dq_buf bytes = {0};
        int rc;

        dq_plain_field(&bytes, k, shard, "wn", dureq_str_from(d->name));
        rc = dq_client_command(d->c, &bytes, 1, &reply, d->err);
        if (rc < 0)
            return rc;
        bool is_named = !dq_reply_is_nil(reply.reply);
        dq_owned_reply_deinit(&reply);
        if (is_named)
            return dq_fail(d->err, DUREQ_ECONFLICT, "queue '%s' is named by a workflow that has not ended", d->name);
    }
    return 0;
}

/* All jobs that name the queue and could run yet: the first one is the reason to refuse, or with force they are ended. */
static int pass(deletion *d)
{
    static const dureq_job_state states[] = {DUREQ_JOB_PENDING,  DUREQ_JOB_SCHEDULED, DUREQ_JOB_RUNNING,
                                             DUREQ_JOB_RETRYING, DUREQ_JOB_PAUSED,    DUREQ_JOB_DEAD};
    dureq_job_filter f = dureq_job_filter_init();
    DQ_BUF_AUTO cursor = {0};
    int rc = 0;

    d->is_clear = true;
    f.states = states;
    f.n_states = DQ_ARRAY_LEN(states);
    f.queue = d->name;
    f.limit = d->force ? PAGE : 1;
    do {
        dureq_job_list *list;

        rc = dureq_client_list_jobs(d->c, &f, &list, d->err);
        if (rc < 0)
            return rc;
        d->is_clear = d->is_clear && list->n == 0;
        if (list->n)
            rc = d->force ? end_jobs(d, list) : refuse(d, &list->items[0]);
        dq_buf_clear(&cursor);
        dq_buf_append_str(&cursor, list->next_cursor);
        dureq_job_list_destroy(list);
        if (rc == 0)
            rc = dq_buf_finish(&cursor, d->err);
        f.cursor = cursor.ptr;
    } while (rc == 0 && cursor.len);
    return rc;
}

static int clear(deletion *d)
{
    int rc = pass(d);

    for (int i = 1; rc == 0 && d->force && !d->is_clear && i < PASSES_MAX; i++)
        rc = pass(d);
    return rc;
}

/* Whoever enqueued in between keeps the queue. */
static int put_back(const deletion *d, dq_buf *json)
{
    dureq_error why = {0};
    dq_buf taken = *json;

    *json = (dq_buf){0};
    int rc = dq_client_change_queue(d->c, DQ_QUEUE_PUT_BACK, d->name, &taken, NULL, &why);

    return rc < 0
               ? dq_fail(d->err, rc, "queue '%s' got jobs while it was deleted, and could not be put back: %s", d->name, why.msg)
               : DUREQ_ECONFLICT;
}

/* It is not defined (any more). A deletion that failed after that is taken up where it was left: shards may have the queue still, and jobs may have
   come in between. Where there is nothing of it, there is no such queue. */
static int take_up(deletion *d)
{
    dureq_error why = *d->err;
    bool was_left = false;
    dq_buf none = {0};
    int rc;

    rc = dq_client_change_queue(d->c, DQ_QUEUE_COPY, d->name, &none, &was_left, d->err);
    if (rc == 0)
        rc = clear(d);
    if (rc == 0 && !was_left && d->n == 0) {
        *d->err = why;
        rc = DUREQ_ENOTFOUND;
    }
    return rc;
}

static int end(deletion *d, dq_buf *json)
{
    int rc = clear(d);

    if (rc == DUREQ_ECONFLICT && !d->force)
        return put_back(d, json);
    return rc;
}

static int run(deletion *d)
{
    dq_buf json = {0}, none = {0};
    int rc = dq_client_queue_definition(d->c, d->name, &json, d->err);

    if (rc == 0)
        rc = refuse_workflows(d);
    if (rc == 0)
        rc = clear(d);
    if (rc == 0)
        rc = dq_client_change_queue(d->c, DQ_QUEUE_DELETE, d->name, &none, NULL, d->err);
    if (rc == 0)
        rc = end(d, &json);
    else if (rc == DUREQ_ENOTFOUND)
        rc = take_up(d);
    if (rc == 0 && !d->is_clear)
        rc = dq_fail(d->err, DUREQ_ECONFLICT, "queue '%s' is deleted, but its jobs come back all the time", d->name);
    dq_buf_deinit(&json);
    return rc;
}

/* Before any job is touched. Others may delete queues meanwhile: the step that deletes looks once more. */
static int refuse_last(dureq_client *c, const char *name, dureq_error *err)
{
    dureq_queue_list *list;
    int rc = dureq_client_list_queues(c, &list, err);

    if (rc < 0)
        return rc;
    if (list->n == 1 && dq_str_eq_text(list->items[0].name, name))
        rc = dq_fail(err, DUREQ_ECONFLICT, "queue %s is the last one: there is always some queue", name);
    dureq_queue_list_destroy(list);
    return rc;
}

int dureq_client_delete_queue(dureq_client *c, const char *name, bool force, int64_t *ret_n, dureq_error *err)
{
    dureq_error why = {0};
    deletion d = {.c = c, .name = name, .force = force, .err = &why};
    int rc;

    if (!c)
        return dq_fail(err, DUREQ_EINVAL, "client must be given");
    rc = dq_name_check("queue", dureq_str_from(name), err);
    if (rc == 0)
        rc = refuse_last(c, name, err);
    if (rc < 0)
        return rc;
    dq_client_enter(c);
    rc = run(&d);
    dq_client_leave(c);
    if (rc < 0 && err)
        *err = why;
    if (rc == 0 && ret_n)
        *ret_n = d.n;
    return rc;
}
