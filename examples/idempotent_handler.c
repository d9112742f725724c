/* SPDX-License-Identifier: Apache-2.0 */

/* Three ways to do a thing once, each against another kind of repetition:

   1. a request id: the producer asks twice (a lost answer, a double click) and gets the same job both times;
   2. a unique key: as long as one such job lives, a second one is refused, whoever asks;
   3. a key of the business in the handler: a job may be started more than once (its node died before it could say "done"), so an
      effect outside Redis must look whether it has happened already. dureq accepts one completion per attempt, but it cannot take
      back an e-mail.

       idempotent_handler [redis://host:port]  DUREQ_REDIS_URL and DUREQ_PREFIX are read too */

#include <dureq/dureq.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- worker ---- */

/* Stands for a table of the business with a unique column. A real one lives where the effect lives, and "insert, unless it is
   there" is one step in it. */
typedef struct ledger {
    char invoice[64];
    int charges;
} ledger;

static int ledger_charge_once(ledger *l, dureq_str invoice)
{
    if (strlen(l->invoice) == invoice.len && memcmp(l->invoice, invoice.ptr, invoice.len) == 0)
        return 0;
    snprintf(l->invoice, sizeof l->invoice, "%.*s", (int)invoice.len, invoice.ptr);
    l->charges++;
    return 1;
}

static int charge(dureq_run *run, void *userdata)
{
    dureq_str invoice = dureq_run_payload(run);

    if (ledger_charge_once(userdata, invoice))
        printf("%.*s: charged (attempt %d)\n", (int)invoice.len, invoice.ptr, (int)dureq_run_attempt(run));
    else
        printf("%.*s: was charged before (attempt %d)\n", (int)invoice.len, invoice.ptr, (int)dureq_run_attempt(run));

    /* The worst moment: the effect is done, and then something fails. The next attempt finds it done. */
    if (dureq_run_attempt(run) == 1)
        return dureq_run_retry(run, 0, "lost the connection after charging");
    return 0;
}

/* ---- producer ---- */

static int same_request_twice(dureq_client *client, dureq_job_id *ret, dureq_error *err)
{
    dureq_retry_policy policy = dureq_retry_policy_init();
    dureq_job_options options = dureq_job_options_init();
    dureq_job_spec spec = {"invoice.charge", dureq_str_from("invoice-17"), &options};
    dureq_enqueue_result results[2];
    dureq_job_spec twice[2];
    int rc;

    policy.initial_delay_ms = 300;
    options.retry_policy = &policy;
    options.request_id = dureq_str_from("click-4711"); /* of the caller's request; remembered for an hour unless set */
    twice[0] = twice[1] = spec;
    rc = dureq_client_enqueue_many(client, twice, 2, results, err); /* each is accepted or refused by itself */
    if (rc != 0)
        return rc;
    if (results[0].code != 0)
        return results[0].code;
    printf("request id: %s job, %s\n", strcmp(results[0].id.text, results[1].id.text) == 0 ? "the same" : "another",
           results[1].existing ? "accepted before" : "accepted now");
    *ret = results[0].id;
    return 0;
}

static int same_key_twice(dureq_client *client, dureq_error *err)
{
    dureq_job_options options = dureq_job_options_init();
    dureq_job_spec spec = {"report.build", dureq_str_from("{}"), &options};
    dureq_job_id first, second, third;
    int rc;

    options.unique_key = dureq_str_from("report-for-today");
    options.delay_ms = 3600 * 1000; /* waits, and so holds its key */
    rc = dureq_client_enqueue(client, &spec, &first, err);
    if (rc != 0)
        return rc;
    rc = dureq_client_enqueue(client, &spec, &second, err);
    printf("unique key: %s, held by %s job\n", dureq_errcode_text(rc),
           strcmp(first.text, second.text) == 0 ? "the first" : "another");

    rc = dureq_client_cancel(client, first.text, NULL, err); /* an ended job holds no key */
    if (rc == 0)
        rc = dureq_client_enqueue(client, &spec, &third, err);
    if (rc == 0)
        printf("unique key: free again after the end\n");
    if (rc == 0)
        rc = dureq_client_cancel_by_unique_key(client, options.unique_key, err); /* no need to know the id */
    return rc;
}

static int produce(dureq_client *client, dureq_error *err)
{
    dureq_job_list *list = NULL;
    dureq_job_id id;
    int rc;

    rc = same_request_twice(client, &id, err);
    if (rc == 0)
        rc = dureq_client_wait(client, id.text, 15000, &list, err);
    if (rc == 0)
        printf("invoice.charge: %s after %d starts\n", dureq_job_state_to_str(list->items[0].state), (int)list->items[0].runs);
    dureq_job_list_destroy(list);
    if (rc == 0)
        rc = same_key_twice(client, err);
    return rc;
}

int main(int argc, char **argv)
{
    dureq_node_options opts = dureq_node_options_init();
    const char *url = argc > 1 ? argv[1] : getenv("DUREQ_REDIS_URL");
    dureq_node *node = NULL;
    ledger books = {"", 0};
    dureq_error err = {0, 0, ""};
    int rc;

    opts.redis_url = url ? url : "redis://127.0.0.1:6379";
    opts.prefix = getenv("DUREQ_PREFIX");
    opts.concurrency = 1; /* the ledger above is no real one: it has no lock */
    rc = dureq_node_create(&opts, &node, &err);
    if (rc == 0)
        rc = dureq_node_handle(node, "invoice.charge", charge, &books, NULL, &err);
    if (rc == 0)
        rc = dureq_node_start(node, &err);
    if (rc == 0)
        rc = produce(dureq_node_client(node), &err);
    if (rc != 0)
        fprintf(stderr, "idempotent_handler: %s: %s\n", dureq_errcode_name(rc), err.msg);
    dureq_node_destroy(node);
    printf("charges: %d\n", books.charges);
    return rc == 0 ? 0 : 1;
}
