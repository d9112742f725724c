/* SPDX-License-Identifier: Apache-2.0 */

/* A batch: one task type for each of many items, some of which are in flight at a time. It keeps what became of each item; those that failed are
   retried by themselves, without the others.

       batch [redis://host:port]   DUREQ_REDIS_URL and DUREQ_PREFIX are read too */

#include <dureq/dureq.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_MS 30000

/* ---- handler ---- */

static int broken = 1; /* the picture of the dog, until somebody mends it; written while nothing runs */

static int thumbnail(dureq_run *run, void *userdata)
{
    dureq_str name = dureq_run_payload(run);

    (void)userdata;
    if (broken && strncmp(name.ptr, "\"dog", 4) == 0)
        return dureq_run_fail(run, 0, "not a picture");
    return dureq_run_set_result(run, dureq_str_from("{\"width\": 200}"), NULL);
}

/* ---- producer ---- */

/* Counts of the whole, then what became of each item. */
static int show(dureq_client *client, const char *id, dureq_error *err)
{
    dureq_batch_items *items = NULL;
    dureq_batch *batch = NULL;
    size_t i;
    int rc = dureq_client_wait_batch(client, id, LIMIT_MS, &batch, err);

    if (rc != 0)
        return rc;
    printf("batch %s: %u items, %u completed, %u failed\n", dureq_batch_status_to_str(batch->status), (unsigned)batch->n_items,
           (unsigned)batch->n_completed, (unsigned)batch->n_failed);
    dureq_batch_destroy(batch);
    rc = dureq_client_list_batch_items(client, id, NULL, &items, err); /* a page of 100: many items are read page by page */
    if (rc != 0)
        return rc;
    for (i = 0; i < items->n; i++) {
        const dureq_batch_item_info *item = &items->items[i];
        dureq_str text = item->error.len ? item->error : item->result;

        printf("%.*s: %s, %.*s\n", (int)item->id.len, item->id.ptr, dureq_batch_item_state_to_str(item->state), (int)text.len,
               text.ptr ? text.ptr : "");
    }
    dureq_batch_items_destroy(items);
    return 0;
}

static int start(dureq_client *client, dureq_job_id *ret, dureq_error *err)
{
    static const char *const names[] = {"cat", "dog", "owl", "fox"};
    dureq_batch_spec spec = dureq_batch_spec_init();
    dureq_batch_item items[4];
    char payloads[4][16];
    int i;

    memset(items, 0, sizeof items);
    for (i = 0; i < 4; i++) {
        (void)snprintf(payloads[i], sizeof payloads[i], "\"%s.png\"", names[i]);
        items[i].id = dureq_str_from(names[i]);
        items[i].payload = dureq_str_from(payloads[i]);
        items[i].is_json = true;
    }
    spec.name = "thumbnails";
    spec.item_task_type = "thumbnail";
    spec.chunk_size = 2; /* in flight at most */
    spec.items = items;
    spec.n_items = 4; /* however many: they need not fit into one call (dureq_client_add_batch_items) */
    return dureq_client_start_batch_spec(client, &spec, ret, err);
}

static int produce(dureq_client *client, dureq_error *err)
{
    dureq_job_id id;
    int rc = start(client, &id, err);

    if (rc == 0)
        rc = show(client, id.text, err);
    if (rc != 0)
        return rc;
    broken = 0;
    rc = dureq_client_retry_batch(client, id.text, /* all */ false, err); /* the dog only */
    return rc == 0 ? show(client, id.text, err) : rc;
}

int main(int argc, char **argv)
{
    dureq_node_options opts = dureq_node_options_init();
    const char *url = argc > 1 ? argv[1] : getenv("DUREQ_REDIS_URL");
    dureq_node *node = NULL;
    dureq_error err = {0, 0, ""};
    int rc;

    opts.redis_url = url ? url : "redis://127.0.0.1:6379";
    opts.prefix = getenv("DUREQ_PREFIX");
    rc = dureq_node_create(&opts, &node, &err);
    if (rc == 0)
        rc = dureq_node_handle(node, "thumbnail", thumbnail, NULL, NULL, &err);
    if (rc == 0)
        rc = dureq_node_start(node, &err);
    if (rc == 0)
        rc = produce(dureq_node_client(node), &err);
    if (rc != 0)
        fprintf(stderr, "batch: %s: %s\n", dureq_errcode_name(rc), err.msg);
    dureq_node_destroy(node);
    return rc == 0 ? 0 : 1;
}
