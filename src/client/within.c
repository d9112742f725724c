/* SPDX-License-Identifier: Apache-2.0 */
/* Which of many jobs are within a scope. The server answers with whole jobs, large payloads included, so that few are asked for at a time. */
#include "client/client_internal.h"
#include "model/scope.h"

#define CHUNK 8

/* Ids of one shard that are asked for together. */
typedef struct chunk {
    unsigned shard;
    size_t n, at[CHUNK];
    unsigned char packed[CHUNK][DQ_ID_BYTES];
} chunk;

static int code_of(dq_reply r, const dq_scope *scope)
{
    dq_arena arena = {0};
    dq_job_view view;
    dureq_job job;
    int rc = dq_job_view_decode(r, &view);

    if (rc == 0)
        rc = dq_job_view_to_job(&view, /*node_of=*/NULL, NULL, &arena, &job, NULL);
    if (rc == 0 && !dq_scope_fits(scope, job.queue, job.task_type))
        rc = DUREQ_EPERM;
    dq_arena_deinit(&arena);
    return rc;
}

static int ask(dureq_client *c, const chunk *k, const dq_scope *scope, int *codes, dureq_error *err)
{
    dureq_str ids[CHUNK];
    dq_owned_reply reply;
    dq_buf call = {0};
    int rc;

    for (size_t i = 0; i < k->n; i++)
        ids[i] = dureq_str_of((const char *)k->packed[i], DQ_ID_BYTES);
    dq_call_job_get(&call, dq_client_keys(c), k->shard, ids, k->n);
    rc = dq_client_call(c, k->shard, DQ_CALL_REPEAT | (CHUNK / 2) * DQ_CALL_LARGE, &call, &reply, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < k->n; i++)
        codes[k->at[i]] = code_of(dq_reply_at(reply.reply, i), scope);
    dq_owned_reply_deinit(&reply);
    return 0;
}

/* One chunk for each shard; a full one is asked for. */
static int look(dureq_client *c, const char *const *ids, size_t n, const dq_scope *scope, chunk *chunks, int *codes,
                dureq_error *err)
{
    unsigned n_shards = dq_client_keys(c)->n_shards;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < n; i++) {
        unsigned char packed[DQ_ID_BYTES];
        dq_id id;

        codes[i] = dq_parse_job_id(ids[i], c, &id, packed, NULL);
        if (codes[i] < 0)
            continue;
        chunk *k = &chunks[id.shard];
        memcpy(k->packed[k->n], packed, sizeof packed);
        k->at[k->n++] = i;
        if (k->n < CHUNK)
            continue;
        rc = ask(c, k, scope, codes, err);
        k->n = 0;
    }
    for (unsigned s = 0; rc == 0 && s < n_shards; s++)
        if (chunks[s].n)
            rc = ask(c, &chunks[s], scope, codes, err);
    return rc;
}

int dq_client_look_within(dureq_client *c, const char *const *ids, size_t n, const dq_scope *scope, int *codes, dureq_error *err)
{
    chunk *chunks;
    int rc;

    dq_client_enter(c);
    chunks = dq_calloc(dq_client_keys(c)->n_shards, sizeof *chunks);
    for (unsigned s = 0; chunks && s < dq_client_keys(c)->n_shards; s++)
        chunks[s].shard = s;
    rc = chunks ? look(c, ids, n, scope, chunks, codes, err) : dq_fail_nomem(err);
    dq_free(chunks);
    dq_client_leave(c);
    return rc;
}
