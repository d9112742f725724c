/* SPDX-License-Identifier: Apache-2.0 */
/* One job read back, its logs, unique keys; and the lists that results come in. */

#include <stdio.h>

#include "client/client_internal.h"
#include "client/request.h"
#include "store/plain_calls.h"

int dq_parse_job_id(const char *text, const dureq_client *c, dq_id *ret, unsigned char packed[DQ_ID_BYTES], dureq_error *err)
{
    if (!text || dq_id_parse(dureq_str_from(text), ret) < 0)
        return dq_fail(err, DUREQ_EINVAL, "id '%.40s' is not a job id: it takes 20 characters 0-9a-v", text ? text : "");
    if (ret->shard >= dq_client_keys(c)->n_shards)
        return dq_fail(err, DUREQ_ENOTFOUND, "no job %s: it is not of this prefix", text);
    dq_id_pack(ret, packed);
    return 0;
}

dureq_job_list *dq_job_list_create(void)
{
    dureq_job_list *list = dq_calloc(1, sizeof *list);
    dq_result_owner *owner = dq_calloc(1, sizeof *owner);

    if (!list || !owner) {
        dq_free(list);
        dq_free(owner);
        return NULL;
    }
    list->owner = owner;
    list->total = -1;
    return list;
}

void dureq_job_list_destroy(dureq_job_list *list)
{
    if (!list)
        return;
    dq_result_owner *owner = list->owner;
    dq_arena_deinit(&owner->arena);
    dq_owned_reply_deinit(&owner->reply);
    dq_free(owner);
    dq_free(list);
}

int dq_client_read_payload(dureq_client *c, unsigned shard, const dq_id *id, dq_arena *arena, dureq_job *job, dureq_error *err)
{
    unsigned char packed[DQ_ID_BYTES];
    dq_owned_reply reply;
    dq_buf bytes = {0};
    int rc = 0;

    if (!job->payload_omitted)
        return 0;
    dq_id_pack(id, packed);
    dq_plain_get(&bytes, dq_client_keys(c), shard, "b:", dureq_str_of(packed, sizeof packed));
    rc = dq_client_read_large(c, &bytes, &reply, err);
    if (rc < 0)
        return rc;
    dureq_str payload = dq_reply_str(reply.reply);
    if (!dq_reply_is_nil(reply.reply)) {
        job->payload = dq_arena_dup_str(arena, payload);
        job->payload_omitted = false;
        rc = job->payload.ptr || payload.len == 0 ? 0 : dq_fail_nomem(err);
    }
    dq_owned_reply_deinit(&reply);
    return rc;
}

static int job_from_reply(dureq_client *c, const char *id, unsigned shard, dq_reply r, dureq_job_list *list, dureq_error *err)
{
    dq_job_view view;
    int rc;

    rc = dq_job_view_decode(r, &view);
    if (rc == DUREQ_ENOTFOUND)
        return dq_fail(err, rc, "no job %s", id);
    if (rc < 0)
        return dq_fail(err, rc, "what Redis holds of job %s cannot be read", id);
    list->items = dq_arena_alloc(dq_job_list_arena(list), sizeof *list->items);
    if (!list->items)
        return dq_fail_nomem(err);
    dq_node_names *names = dq_node_names_create(c, shard);
    dq_node_names_know(names, view.node_session, view.node_name);
    rc = dq_job_view_to_job(&view, dq_node_names_get, names, dq_job_list_arena(list), &list->items[0], err);
    dq_node_names_destroy(names);
    if (rc == 0)
        rc = dq_client_read_payload(c, shard, &view.id, dq_job_list_arena(list), &list->items[0], err);
    list->n = rc == 0;
    return rc;
}

static int get_job(dureq_client *c, const char *id_text, dureq_job_list **ret, dureq_error *err)
{
    unsigned char packed[DQ_ID_BYTES];
    dq_owned_reply reply;
    dq_buf call = {0};
    dq_id id;
    int rc;

    rc = dq_parse_job_id(id_text, c, &id, packed, err);
    if (rc < 0)
        return rc;
    dureq_str one = dureq_str_of(packed, sizeof packed);
    dq_call_job_get(&call, dq_client_keys(c), id.shard, &one, 1);
    rc = dq_client_call(c, id.shard, DQ_CALL_REPEAT | DQ_CALL_LARGE, &call, &reply, err);
    if (rc < 0)
        return rc;
    dureq_job_list *list = dq_job_list_create();
    rc = list ? job_from_reply(c, id_text, id.shard, dq_reply_at(reply.reply, 0), list, err) : dq_fail_nomem(err);
    dq_owned_reply_deinit(&reply);
    if (rc < 0)
        dureq_job_list_destroy(list);
    else
        *ret = list;
    return rc;
}

/* ---- without a thread that waits ---- */

#define SUBMITTED_BYTES_MAX 65536 /* of a job that is decoded on the loop */

typedef struct submitted {
    char id[DUREQ_JOB_ID_LEN + 1];
    dq_job_fn fn;
    void *userdata;
} submitted;

/* What the answer names without another question. */
typedef struct told_name {
    const dq_job_view *view;
    bool is_short; /* another was asked for */
} told_name;

static dureq_str told_name_get(uint64_t session, void *userdata)
{
    told_name *t = userdata;

    if (session == t->view->node_session)
        return t->view->node_name;
    t->is_short = true;
    return (dureq_str){0};
}

static void give_job(const submitted *s, const dq_job_view *view)
{
    told_name names = {.view = view};
    dureq_error err = {0};
    dq_arena arena = {0};
    dureq_job job;
    int rc = dq_job_view_to_job(view, told_name_get, &names, &arena, &job, &err);

    if (rc < 0)
        s->fn(s->userdata, NULL, &err);
    else
        s->fn(s->userdata, names.is_short || job.payload_omitted ? NULL : &job, NULL);
    dq_arena_deinit(&arena);
}

static void on_view(void *userdata, const dq_answer *answer)
{
    submitted *s = userdata;
    dureq_error err = {0};
    dq_job_view view = {0};
    int rc = answer->code;

    if (rc < 0)
        err = *answer->err;
    else
        rc = dq_job_view_decode(dq_reply_at(*answer->reply, 0), &view);
    if (answer->code == 0 && rc == DUREQ_ENOTFOUND)
        (void)dq_fail(&err, rc, "no job %s", s->id);
    else if (answer->code == 0 && rc < 0)
        (void)dq_fail(&err, rc, "what Redis holds of job %s cannot be read", s->id);
    if (rc < 0)
        s->fn(s->userdata, NULL, &err);
    else if (view.body.len + view.blob.len > SUBMITTED_BYTES_MAX)
        s->fn(s->userdata, NULL, NULL);
    else
        give_job(s, &view);
    dq_free(s);
}

int dq_client_submit_get(dureq_client *c, const char *id_text, dq_job_fn fn, void *userdata, dq_request **ret, dureq_error *err)
{
    unsigned char packed[DQ_ID_BYTES];
    submitted *s;
    dq_buf call = {0};
    dq_id id;
    int rc;

    rc = dq_parse_job_id(id_text, c, &id, packed, err);
    if (rc < 0)
        return rc;
    s = dq_calloc(1, sizeof *s);
    if (!s)
        return dq_fail_nomem(err);
    (void)snprintf(s->id, sizeof s->id, "%s", id_text);
    s->fn = fn;
    s->userdata = userdata;
    dureq_str one = dureq_str_of(packed, sizeof packed);
    dq_call_job_get(&call, dq_client_keys(c), id.shard, &one, 1);
    rc = dq_client_submit_call(c, id.shard, DQ_CALL_REPEAT | DQ_CALL_LARGE, &call, on_view, s, ret, err);
    if (rc < 0)
        dq_free(s);
    return rc;
}

int dureq_client_get_job(dureq_client *c, const char *id, dureq_job_list **ret, dureq_error *err)
{
    int rc;

    if (!c || !id || !ret)
        return dq_fail(err, DUREQ_EINVAL, "client, id and ret must be given");
    dq_client_enter(c);
    rc = get_job(c, id, ret, err);
    dq_client_leave(c);
    return rc;
}

/* GET of one key; *ret is NUL-ended. A nil gives DUREQ_ENOTFOUND. */
static int get_string(dureq_client *c, unsigned shard, const char *name, dureq_str suffix, dq_buf *ret, dureq_error *err)
{
    dq_owned_reply reply;
    dq_buf bytes = {0};
    int rc;

    dq_plain_get(&bytes, dq_client_keys(c), shard, name, suffix);
    rc = dq_client_command(c, &bytes, 1, &reply, err);
    if (rc < 0)
        return rc;
    bool found = !dq_reply_is_nil(reply.reply);
    dq_buf_append_str(ret, dq_reply_str(reply.reply));
    dq_owned_reply_deinit(&reply);
    return found ? dq_buf_finish(ret, err) : DUREQ_ENOTFOUND;
}

int dureq_client_get_logs(dureq_client *c, const char *id_text, char **ret, size_t *ret_len, dureq_error *err)
{
    unsigned char packed[DQ_ID_BYTES];
    dq_buf text = {0};
    dq_id id;
    int rc;

    if (!c || !id_text || !ret || !ret_len)
        return dq_fail(err, DUREQ_EINVAL, "client, id, ret and ret_len must be given");
    rc = dq_parse_job_id(id_text, c, &id, packed, err);
    if (rc < 0)
        return rc;
    dq_client_enter(c);
    rc = get_string(c, id.shard, "lg:", dureq_str_of(packed, sizeof packed), &text, err);
    if (rc == DUREQ_ENOTFOUND) { /* no lines, or no job? */
        dureq_job_list *job;

        rc = get_job(c, id_text, &job, err);
        if (rc == 0)
            dureq_job_list_destroy(job);
    }
    dq_client_leave(c);
    if (rc < 0) {
        dq_buf_deinit(&text);
        return rc;
    }
    *ret_len = text.len;
    *ret = text.len ? dq_buf_take(&text) : dq_strdup("");
    return *ret ? 0 : dq_fail_nomem(err);
}
