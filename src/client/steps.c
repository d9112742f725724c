/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of a job's handler, read back. Any thread; blocking. */

#include <stdlib.h>

#include "client/client_internal.h"
#include "store/plain_calls.h"
#include "store/step_calls.h"

typedef struct steps_owner {
    dureq_step_list list;
    dq_owned_reply reply; /* what the views are into */
} steps_owner;

void dureq_step_list_destroy(dureq_step_list *list)
{
    if (!list)
        return;
    steps_owner *o = list->owner;
    dq_owned_reply_deinit(&o->reply);
    dq_free(list->items);
    dq_free(o);
}

static int by_start(const void *a, const void *b)
{
    const dureq_step_info *x = a, *y = b;

    if (x->started_at_ms != y->started_at_ms)
        return x->started_at_ms < y->started_at_ms ? -1 : 1;
    return dq_str_cmp(x->key, y->key);
}

static int read_step(dureq_str key, dureq_str packed, dureq_step_info *ret)
{
    dq_step_row row;

    if (dq_step_row_unpack(packed, &row) < 0)
        return DUREQ_EPROTO;
    *ret = (dureq_step_info){.key = key,
                             .is_done = row.is_done,
                             .run = (int32_t)row.run,
                             .started_at_ms = row.started_at_ms,
                             .finished_at_ms = row.finished_at_ms,
                             .result = row.result};
    return 0;
}

/* Fields and values; the field without a name is about all of them. */
static int read_steps(steps_owner *o, dureq_error *err)
{
    dq_reply_items items = dq_reply_items_of(o->reply.reply);
    dq_reply field, value;

    if (dq_reply_len(o->reply.reply) == 0)
        return 0;
    o->list.items = dq_calloc(dq_reply_len(o->reply.reply), sizeof *o->list.items);
    if (!o->list.items)
        return dq_fail_nomem(err);
    while (dq_reply_items_next(&items, &field) && dq_reply_items_next(&items, &value)) {
        dureq_str key = dq_reply_str(field);

        if (key.len && read_step(key, dq_reply_str(value), &o->list.items[o->list.n++]) < 0)
            return dq_fail(err, DUREQ_EPROTO, "step '" DQ_STR_FMT "' cannot be read", DQ_STR_ARG(key));
    }
    qsort(o->list.items, o->list.n, sizeof *o->list.items, by_start);
    return 0;
}

/* No steps, or no job? */
static int look_for_job(dureq_client *c, const char *id, dureq_error *err)
{
    dureq_job_list *job;
    int rc = dureq_client_get_job(c, id, &job, err);

    if (rc == 0)
        dureq_job_list_destroy(job);
    return rc;
}

static int list_steps(dureq_client *c, const char *id_text, steps_owner *o, dureq_error *err)
{
    unsigned char packed[DQ_ID_BYTES];
    dq_buf bytes = {0};
    dq_id id;
    int rc;

    rc = dq_parse_job_id(id_text, c, &id, packed, err);
    if (rc < 0)
        return rc;
    dq_plain_fields(&bytes, dq_client_keys(c), id.shard, "sp:", dureq_str_of(packed, sizeof packed));
    rc = dq_client_read_large(c, &bytes, &o->reply, err);
    if (rc < 0)
        return rc;
    return read_steps(o, err);
}

int dureq_client_list_steps(dureq_client *c, const char *id, dureq_step_list **ret, dureq_error *err)
{
    steps_owner *o;
    int rc;

    if (!c || !id || !ret)
        return dq_fail(err, DUREQ_EINVAL, "client, id and ret must be given");
    o = dq_calloc(1, sizeof *o);
    if (!o)
        return dq_fail_nomem(err);
    o->list.owner = o;
    dq_client_enter(c);
    rc = list_steps(c, id, o, err);
    dq_client_leave(c);
    if (rc == 0 && o->list.n == 0)
        rc = look_for_job(c, id, err);
    if (rc < 0)
        dureq_step_list_destroy(&o->list);
    else
        *ret = &o->list;
    return rc;
}
