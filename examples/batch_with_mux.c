/* SPDX-License-Identifier: Apache-2.0 */

/* A batch whose items share what a one-time task found out before them, with one handler for both types and middleware around it. An item's payload
   becomes {"upstream": what the one-time task gave, "original": the item's}.

       batch_with_mux [redis://host:port]   DUREQ_REDIS_URL and DUREQ_PREFIX are read too */

#include <dureq/dureq.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_MS 30000

/* ---- middleware ---- */

static int logged(dureq_run *run, dureq_next_fn next, void *next_data, void *userdata)
{
    int rc = next(run, next_data);

    (void)userdata;
    printf("[log] %s attempt %d: %s\n", dureq_run_task_type(run), (int)dureq_run_attempt(run),
           rc >= 0 ? "0" : dureq_errcode_name(rc));
    return rc;
}

/* ---- handler ---- */

/* "price.*": the rate is asked once, the items are priced with it. */
static int price(dureq_run *run, void *userdata)
{
    (void)userdata;
    if (strcmp(dureq_run_task_type(run), "price.rate") == 0)
        return dureq_run_set_result(run, dureq_str_from("{\"rate\": 2}"), NULL);
    return dureq_run_set_result(run, dureq_run_payload(run), NULL); /* a real one would multiply */
}

static int register_all(dureq_node *node, dureq_error *err)
{
    int rc = dureq_node_use(node, logged, NULL, err);

    return rc == 0 ? dureq_node_handle(node, "price.*", price, NULL, NULL, err) : rc;
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

static int produce(dureq_client *client, dureq_error *err)
{
    dureq_batch_spec spec = dureq_batch_spec_init();
    dureq_batch_item items[3];
    dureq_job_id id;
    int rc;

    memset(items, 0, sizeof items);
    items[0].id = dureq_str_from("pen");
    items[0].payload = dureq_str_from("10");
    items[1].id = dureq_str_from("ink");
    items[1].payload = dureq_str_from("25");
    items[2].id = dureq_str_from("pad");
    items[2].payload = dureq_str_from("7");
    items[0].is_json = items[1].is_json = items[2].is_json = true;
    spec.name = "prices";
    spec.item_task_type = "price.item";
    spec.onetime_task_type = "price.rate";
    spec.items = items;
    spec.n_items = 3;
    rc = dureq_client_start_batch_spec(client, &spec, &id, err);
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
        rc = register_all(node, &err);
    if (rc == 0)
        rc = dureq_node_start(node, &err);
    if (rc == 0)
        rc = produce(dureq_node_client(node), &err);
    if (rc != 0)
        fprintf(stderr, "batch_with_mux: %s: %s\n", dureq_errcode_name(rc), err.msg);
    dureq_node_destroy(node);
    return rc == 0 ? 0 : 1;
}
