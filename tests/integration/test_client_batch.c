/* SPDX-License-Identifier: Apache-2.0 */
/* Batches from end to end: each item runs once, no more at a time than may, and all of it ends. */
#include "test_rig.h"

#include "base/buf.h"
#include "client/batch.h"
#include "client/client_internal.h"
#include "store/batch_calls.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* ---- what handlers saw, outside of dureq ---- */

enum { ITEMS_MAX = 20000 };

static struct ledger {
    pthread_mutex_t mu;
    int starts[ITEMS_MAX];
    int n, running, most_running;
    bool hold, heals;
    char last[128];
} ledger = {.mu = PTHREAD_MUTEX_INITIALIZER};

static void ledger_clear(void)
{
    pthread_mutex_lock(&ledger.mu);
    memset(ledger.starts, 0, sizeof ledger.starts);
    ledger.n = ledger.running = ledger.most_running = 0;
    ledger.hold = ledger.heals = false;
    ledger.last[0] = '\0';
    pthread_mutex_unlock(&ledger.mu);
}

static void ledger_set(bool hold, bool heals)
{
    pthread_mutex_lock(&ledger.mu);
    ledger.hold = hold;
    ledger.heals = heals;
    pthread_mutex_unlock(&ledger.mu);
}

static int ledger_n(void)
{
    pthread_mutex_lock(&ledger.mu);
    int n = ledger.n;
    pthread_mutex_unlock(&ledger.mu);
    return n;
}

/* How many items of those with the payloads from..to were started not once. */
static int ledger_other(int from, int to)
{
    int other = 0;

    pthread_mutex_lock(&ledger.mu);
    for (int i = from; i <= to; i++)
        other += ledger.starts[i] != 1;
    pthread_mutex_unlock(&ledger.mu);
    return other;
}

static bool holds(dureq_run *run)
{
    pthread_mutex_lock(&ledger.mu);
    bool hold = ledger.hold;
    pthread_mutex_unlock(&ledger.mu);
    return hold && !dureq_run_is_cancelled(run);
}

/* Payload: a number; below 0 it fails for good until the ledger heals. 7 is skipped. The result is twice the number. */
static int act(dureq_run *run, void *userdata)
{
    dureq_str p = dureq_run_payload(run);
    char text[64], result[32];
    int number;

    (void)userdata;
    (void)snprintf(text, sizeof text, "%.*s", (int)DQ_MIN(p.len, (size_t)60), p.ptr ? p.ptr : "");
    number = atoi(text);
    pthread_mutex_lock(&ledger.mu);
    ledger.n++;
    (void)snprintf(ledger.last, sizeof ledger.last, "%s", text);
    if (abs(number) < ITEMS_MAX)
        ledger.starts[abs(number)]++;
    ledger.running++;
    ledger.most_running = DQ_MAX(ledger.most_running, ledger.running);
    bool heals = ledger.heals;
    pthread_mutex_unlock(&ledger.mu);
    while (holds(run))
        rig_pause();
    pthread_mutex_lock(&ledger.mu);
    ledger.running--;
    pthread_mutex_unlock(&ledger.mu);
    if (number < 0 && !heals)
        return dureq_run_fail(run, 7, "it broke");
    if (number == 7)
        return dureq_run_skip(run, "nothing to do");
    (void)snprintf(result, sizeof result, "%d", 2 * number);
    return dureq_run_set_result(run, dureq_str_from(result), "application/json");
}

static void node_start(void)
{
    ledger_clear();
    (void)rig_node("n1", "act", act, NULL);
}

/* ---- batches ---- */

static dureq_job_id start(const char *definition)
{
    dureq_job_id id = {{0}};

    RIG_OK(dureq_client_start_batch(rig.client, dureq_str_from(definition), &id, &err));
    return id;
}

/* Items with the payloads from..to, of the ids "i<number>" when they are named. */
static dureq_job_id start_many(const char *more, int from, int to, bool named)
{
    DQ_BUF_AUTO text = {0};

    dq_buf_append_fmt(&text, "{\"name\":\"many\",\"item_task_type\":\"act\"%s,\"items\":[", more);
    for (int i = from; i <= to; i++) {
        dq_buf_append_fmt(&text, "%s{\"payload\":%d", i > from ? "," : "", i);
        if (named)
            dq_buf_append_fmt(&text, ",\"id\":\"i%d\"", i);
        dq_buf_append_char(&text, '}');
    }
    dq_buf_append_text(&text, "]}");
    EXPECT_FALSE(dq_buf_failed(&text));
    return start(text.ptr);
}

static void expect_end(const char *id, const char *status, int completed, int failed, int cancelled)
{
    dureq_batch *b = NULL;

    RIG_OK(dureq_client_wait_batch(rig.client, id, RIG_LIMIT_MS, &b, &err));
    EXPECT_TEXT(status, dureq_batch_status_to_str(b->status));
    EXPECT_I64(completed, b->n_completed);
    EXPECT_I64(failed, b->n_failed);
    EXPECT_I64(cancelled, b->n_cancelled);
    EXPECT_I64(0, b->n_running);
    EXPECT_I64(0, b->n_pending);
    EXPECT_I64(b->n_items, b->n_completed + b->n_failed + b->n_cancelled);
    EXPECT_TRUE(b->finished_at_ms >= b->created_at_ms);
    dureq_batch_destroy(b);
}

static dureq_batch_items *items_of(const char *id, uint32_t first, const char *item)
{
    dureq_batch_items_filter f = dureq_batch_items_filter_init();
    dureq_batch_items *items = NULL;

    f.first = first;
    f.limit = 1000;
    f.item_id = item;
    RIG_OK(dureq_client_list_batch_items(rig.client, id, &f, &items, &err));
    return items;
}

SCENARIO(each_item_runs_once)
{
    node_start();
    dureq_job_id id = start_many("", 10, 12, true);
    expect_end(id.text, "completed", 3, 0, 0);
    EXPECT_I64(3, ledger_n());

    dureq_batch_items *items = items_of(id.text, 0, NULL);
    EXPECT_I64(3, items->n);
    EXPECT_TEXT("i11", items->items[1].id.ptr);
    EXPECT_I64(DUREQ_BATCH_ITEM_COMPLETED, items->items[1].state);
    EXPECT_TEXT("22", items->items[1].result.ptr);
    dureq_batch_items_destroy(items);
    items = items_of(id.text, 0, "i12");
    EXPECT_I64(1, items->n);
    EXPECT_TEXT("24", items->items[0].result.ptr);
    dureq_batch_items_destroy(items);
}

SCENARIO(a_batch_without_items_is_complete)
{
    dureq_job_id id = start("{\"name\":\"none\",\"item_task_type\":\"act\",\"items\":[]}");

    expect_end(id.text, "completed", 0, 0, 0);
    id = start("{\"name\":\"none\",\"item_task_type\":\"act\"}");
    expect_end(id.text, "completed", 0, 0, 0);
}

SCENARIO(no_more_items_are_in_flight_than_may_be)
{
    node_start();
    ledger_set(true, false);
    dureq_job_id id = start_many(",\"chunk_size\":3", 100, 149, false);
    RIG_UNTIL(ledger_n() == 3);
    dureq_batch *b = NULL;
    RIG_OK(dureq_client_get_batch(rig.client, id.text, &b, &err));
    EXPECT_I64(3, b->n_running);
    EXPECT_I64(47, b->n_pending);
    dureq_batch_destroy(b);
    dureq_batch_items *items = items_of(id.text, 0, NULL);
    EXPECT_I64(DUREQ_BATCH_ITEM_RUNNING, items->items[0].state);
    EXPECT_I64(DUREQ_JOB_RUNNING, rig_state(items->items[0].job_id.text));
    EXPECT_I64(DUREQ_BATCH_ITEM_PENDING, items->items[3].state);
    dureq_batch_items_destroy(items);
    ledger_set(false, false);
    expect_end(id.text, "completed", 50, 0, 0);
    EXPECT_I64(50, ledger_n());
    EXPECT_TRUE(ledger.most_running <= 3);
}

/* More than a chunk, a step and a call take. */
SCENARIO(a_long_batch_loses_nothing)
{
    enum { N = 3500 };

    node_start();
    dureq_job_id id = start_many(",\"chunk_size\":1500", 1000, 1000 + N - 1, true);
    expect_end(id.text, "completed", N, 0, 0);
    EXPECT_I64(N, ledger_n());
    EXPECT_I64(0, ledger_other(1000, 1000 + N - 1));
    dureq_batch_items *items = items_of(id.text, 2900, NULL);
    EXPECT_I64(600, items->n);
    EXPECT_FALSE(items->has_more);
    EXPECT_TEXT("i4499", items->items[599].id.ptr);
    dureq_batch_items_destroy(items);
}

SCENARIO(failed_items_do_not_stop_the_others)
{
    node_start();
    dureq_job_id id = start_many("", -2, 9, true);
    expect_end(id.text, "failed", 10, 2, 0);

    dureq_batch_items_filter f = dureq_batch_items_filter_init();
    dureq_batch_item_state failed = DUREQ_BATCH_ITEM_FAILED;
    dureq_batch_items *items;
    f.states = &failed;
    f.n_states = 1;
    RIG_OK(dureq_client_list_batch_items(rig.client, id.text, &f, &items, &err));
    EXPECT_I64(2, items->n);
    EXPECT_TEXT("i-2", items->items[0].id.ptr);
    EXPECT_HAS("it broke", items->items[0].error.ptr);
    dureq_batch_items_destroy(items);
    items = items_of(id.text, 0, "i7");
    EXPECT_I64(DUREQ_BATCH_ITEM_SKIPPED, items->items[0].state);
    EXPECT_TEXT("nothing to do", items->items[0].error.ptr);
    dureq_batch_items_destroy(items);
    EXPECT_I64(0, rig_counts().dead); /* the batch has them */
}

SCENARIO(fail_fast_cancels_the_rest)
{
    node_start();
    dureq_job_id id = start_many(",\"failure_policy\":\"fail_fast\",\"chunk_size\":1", -5, 94, false);
    expect_end(id.text, "failed", 0, 1, 99);
    EXPECT_I64(1, ledger_n());
}

SCENARIO(fail_fast_cancels_what_runs)
{
    node_start();
    ledger_set(true, false);
    dureq_job_id id = start_many(",\"failure_policy\":\"fail_fast\",\"chunk_size\":4", 20, 29, true);
    RIG_UNTIL(ledger_n() == 4);
    dureq_batch_items *items = items_of(id.text, 0, NULL);
    RIG_OK(dureq_client_cancel(rig.client, items->items[1].job_id.text, "no", &err));
    dureq_batch_items_destroy(items);
    expect_end(id.text, "failed", 0, 0, 10);
    EXPECT_I64(4, ledger_n());
}

SCENARIO(what_failed_is_retried_by_itself)
{
    node_start();
    dureq_job_id id = start_many(",\"retry_policy\":{\"max_attempts\":3}", -2, 3, true);
    expect_end(id.text, "failed", 4, 2, 0);
    EXPECT_I64(4 + 2 * 3, ledger_n());
    dureq_batch *b = NULL;
    RIG_OK(dureq_client_get_batch(rig.client, id.text, &b, &err));
    EXPECT_I64(3, b->attempt);
    dureq_batch_destroy(b);
}

SCENARIO(a_failed_batch_is_retried_by_hand)
{
    node_start();
    dureq_job_id id = start_many("", -20, -11, true);
    expect_end(id.text, "failed", 0, 10, 0);
    RIG_OK(dureq_client_retry_batch(rig.client, id.text, false, &err));
    expect_end(id.text, "failed", 0, 10, 0);
    ledger_set(false, true);
    RIG_OK(dureq_client_retry_batch(rig.client, id.text, false, &err));
    expect_end(id.text, "completed", 10, 0, 0);
    EXPECT_I64(30, ledger_n());
    RIG_FAILS(DUREQ_ECONFLICT, "has not failed", dureq_client_retry_batch(rig.client, id.text, false, &err));
    dureq_batch_items *items = items_of(id.text, 0, "i-20");
    EXPECT_TEXT("-40", items->items[0].result.ptr);
    EXPECT_I64(0, items->items[0].error.len);
    dureq_batch_items_destroy(items);
}

SCENARIO(a_cancelled_batch_starts_nothing_more_and_can_be_retried)
{
    node_start();
    ledger_set(true, false);
    dureq_job_id id = start_many(",\"chunk_size\":5", 100, 399, true);
    RIG_UNTIL(ledger_n() == 5);
    RIG_OK(dureq_client_cancel_batch(rig.client, id.text, "not wanted", &err));
    expect_end(id.text, "cancelled", 0, 0, 300);
    EXPECT_I64(5, ledger_n());
    RIG_FAILS(DUREQ_ECONFLICT, "has ended already", dureq_client_cancel_batch(rig.client, id.text, NULL, &err));
    dureq_batch *b = NULL;
    RIG_OK(dureq_client_get_batch(rig.client, id.text, &b, &err));
    EXPECT_TEXT("not wanted", b->reason.ptr);
    dureq_batch_destroy(b);
    ledger_set(false, false);
    RIG_OK(dureq_client_retry_batch(rig.client, id.text, false, &err));
    expect_end(id.text, "completed", 300, 0, 0);
    EXPECT_I64(305, ledger_n());
}

SCENARIO(all_of_a_batch_is_run_again)
{
    node_start();
    dureq_job_id id = start_many("", -1, 98, true);
    expect_end(id.text, "failed", 99, 1, 0);
    ledger_set(false, true);
    RIG_OK(dureq_client_retry_batch(rig.client, id.text, true, &err));
    expect_end(id.text, "completed", 100, 0, 0);
    EXPECT_I64(200, ledger_n());
}

SCENARIO(a_batch_times_out)
{
    node_start();
    ledger_set(true, false);
    dureq_job_id id = start_many(",\"execution_timeout\":\"200ms\",\"chunk_size\":2", 10, 19, false);
    expect_end(id.text, "failed", 0, 0, 10);
    dureq_batch *b = NULL;
    RIG_OK(dureq_client_get_batch(rig.client, id.text, &b, &err));
    EXPECT_TRUE(b->timed_out);
    EXPECT_TEXT("timed_out", b->reason.ptr);
    dureq_batch_destroy(b);
    ledger_set(false, false);
}

SCENARIO(items_come_to_a_batch_that_is_open)
{
    dureq_batch_item more[2] = {{.id = {"x", 1}, .payload = {"50", 2}, .is_json = true},
                                {.id = {"y", 1}, .payload = {"51", 2}, .is_json = true}};
    dureq_batch *b = NULL;
    uint32_t n = 0;

    node_start();
    dureq_job_id id =
        start("{\"name\":\"open\",\"item_task_type\":\"act\",\"open\":true,\"items\":[{\"id\":\"a\",\"payload\":40}]}");
    RIG_UNTIL(ledger_n() == 1);
    RIG_OK(dureq_client_add_batch_items(rig.client, id.text, 1, more, 2, &n, &err));
    EXPECT_I64(3, n);
    RIG_OK(dureq_client_add_batch_items(rig.client, id.text, 1, more, 2, &n, &err)); /* the same again adds nothing */
    EXPECT_I64(3, n);
    RIG_FAILS(DUREQ_EDUPLICATE, "has an item 'x' already",
              dureq_client_add_batch_items(rig.client, id.text, -1, more, 1, &n, &err));
    RIG_FAILS(DUREQ_ECONFLICT, "the next one is not number 9",
              dureq_client_add_batch_items(rig.client, id.text, 9, more, 1, &n, &err));
    RIG_UNTIL(ledger_n() == 3);
    RIG_OK(dureq_client_get_batch(rig.client, id.text, &b, &err));
    EXPECT_I64(DUREQ_BATCH_RUNNING, b->status);
    EXPECT_TRUE(b->open);
    dureq_batch_destroy(b);
    RIG_OK(dureq_client_seal_batch(rig.client, id.text, &err));
    expect_end(id.text, "completed", 3, 0, 0);
    RIG_FAILS(DUREQ_ECONFLICT, "takes no items any more",
              dureq_client_add_batch_items(rig.client, id.text, -1, more, 1, &n, &err));
}

SCENARIO(nothing_runs_before_the_seal)
{
    dureq_batch_item more = {.payload = {"50", 2}, .is_json = true};
    dureq_job_id id;

    node_start();
    RIG_OK(dureq_client_open_batch(
        rig.client, dureq_str_from("{\"name\":\"two\",\"item_task_type\":\"act\",\"items\":[{\"payload\":40}]}"), &id, &err));
    RIG_OK(dureq_client_add_batch_items(rig.client, id.text, 1, &more, 1, NULL, &err));
    dureq_batch *b = NULL;
    RIG_OK(dureq_client_get_batch(rig.client, id.text, &b, &err));
    EXPECT_I64(DUREQ_BATCH_LOADING, b->status);
    EXPECT_I64(2, b->n_pending);
    dureq_batch_destroy(b);
    EXPECT_I64(0, rig_counts().pending);
    RIG_OK(dureq_client_seal_batch(rig.client, id.text, &err));
    RIG_OK(dureq_client_seal_batch(rig.client, id.text, &err));
    expect_end(id.text, "completed", 2, 0, 0);
}

SCENARIO(two_items_of_one_id_are_refused)
{
    static const char definition[] = "{\"name\":\"twice\",\"item_task_type\":\"act\",\"items\":"
                                     "[{\"id\":\"a\",\"payload\":1},{\"id\":\"a\",\"payload\":2}]}";
    dureq_job_id id;

    RIG_FAILS(DUREQ_EDUPLICATE, "has an item 'a' already",
              dureq_client_start_batch(rig.client, dureq_str_from(definition), &id, &err));
    EXPECT_I64(0, rig_counts().pending);
}

SCENARIO(a_request_id_starts_one_batch)
{
    static const char definition[] =
        "{\"name\":\"once\",\"item_task_type\":\"act\",\"request_id\":\"r1\",\"items\":[{\"payload\":30}]}";

    node_start();
    dureq_job_id first = start(definition), second = start(definition);
    EXPECT_TEXT(first.text, second.text);
    expect_end(first.text, "completed", 1, 0, 0);
    EXPECT_I64(1, ledger_n());
}

SCENARIO(a_unique_key_is_held_until_the_end)
{
    static const char definition[] =
        "{\"name\":\"alone\",\"item_task_type\":\"act\",\"unique_key\":\"k1\",\"items\":[{\"payload\":30}]}";
    dureq_job_id other;

    node_start();
    ledger_set(true, false);
    dureq_job_id id = start(definition);
    RIG_FAILS(DUREQ_EDUPLICATE, id.text, dureq_client_start_batch(rig.client, dureq_str_from(definition), &other, &err));
    ledger_set(false, false);
    expect_end(id.text, "completed", 1, 0, 0);
    id = start(definition);
    expect_end(id.text, "completed", 1, 0, 0);
}

SCENARIO(each_item_gets_what_the_one_time_task_gave)
{
    node_start();
    dureq_job_id id = start("{\"name\":\"first\",\"item_task_type\":\"act\",\"onetime_task_type\":\"act\",\"onetime_payload\":21,"
                            "\"items\":[{\"payload\":5}]}");
    expect_end(id.text, "completed", 1, 0, 0);
    EXPECT_I64(2, ledger_n());
    pthread_mutex_lock(&ledger.mu);
    EXPECT_TEXT("{\"upstream\":42,\"original\":5}", ledger.last);
    pthread_mutex_unlock(&ledger.mu);
    dureq_batch *b = NULL;
    RIG_OK(dureq_client_get_batch(rig.client, id.text, &b, &err));
    EXPECT_TEXT("42", b->once_result.ptr);
    dureq_batch_destroy(b);
}

SCENARIO(a_dead_one_time_task_fails_the_batch)
{
    node_start();
    dureq_job_id id = start("{\"name\":\"first\",\"item_task_type\":\"act\",\"onetime_task_type\":\"act\",\"onetime_payload\":-1,"
                            "\"items\":[{\"payload\":5},{\"payload\":6}]}");
    expect_end(id.text, "failed", 0, 0, 2);
    EXPECT_I64(1, ledger_n());
    ledger_set(false, true);
    RIG_OK(dureq_client_retry_batch(rig.client, id.text, false, &err));
    expect_end(id.text, "completed", 2, 0, 0);
    EXPECT_I64(4, ledger_n());
}

SCENARIO(an_item_is_retried_before_it_fails)
{
    node_start();
    dureq_job_id id = start_many(",\"item_options\":{\"timeout\":\"1h\"}", 30, 30, false);
    expect_end(id.text, "completed", 1, 0, 0);
    RIG_FAILS(DUREQ_EINVAL, "item_options.delay",
              dureq_client_start_batch(
                  rig.client, dureq_str_from("{\"name\":\"x\",\"item_task_type\":\"act\",\"item_options\":{\"delay\":\"1s\"}}"),
                  &id, &err));
    RIG_FAILS(DUREQ_EINVAL, "items[1]",
              dureq_client_start_batch(rig.client,
                                       dureq_str_from("{\"name\":\"x\",\"item_task_type\":\"act\",\"items\":[{},{\"nme\":1}]}"),
                                       &id, &err));
    RIG_FAILS(DUREQ_EINVAL, "failure_policy",
              dureq_client_start_batch(
                  rig.client, dureq_str_from("{\"name\":\"x\",\"item_task_type\":\"act\",\"failure_policy\":\"x\"}"), &id, &err));
}

static size_t large_len, smallest_len;

static int measure(dureq_run *run, void *userdata)
{
    (void)userdata;
    pthread_mutex_lock(&ledger.mu);
    large_len = dureq_run_payload(run).len;
    smallest_len = DQ_MIN(smallest_len, large_len);
    pthread_mutex_unlock(&ledger.mu);
    return 0;
}

SCENARIO(large_payloads_go_along)
{
    DQ_BUF_AUTO text = {0};
    dureq_batch_item item = {.is_json = false};
    dureq_job_id id;

    ledger_clear();
    (void)rig_node("n1", "measure", measure, NULL);
    for (int i = 0; i < 100000; i++)
        dq_buf_append_char(&text, 'x');
    item.payload = dq_buf_str(&text);
    RIG_OK(dureq_client_open_batch(rig.client, dureq_str_from("{\"name\":\"large\",\"item_task_type\":\"measure\"}"), &id, &err));
    RIG_OK(dureq_client_add_batch_items(rig.client, id.text, 0, &item, 1, NULL, &err));
    RIG_OK(dureq_client_seal_batch(rig.client, id.text, &err));
    expect_end(id.text, "completed", 1, 0, 0);
    pthread_mutex_lock(&ledger.mu);
    EXPECT_I64(100000, large_len);
    pthread_mutex_unlock(&ledger.mu);
}

SCENARIO(batches_are_listed_newest_first_in_pages)
{
    dureq_batch_filter f = dureq_batch_filter_init();
    dureq_batch_list *list = NULL;
    char last[24] = "~", cursor[24];
    int n = 0, pages = 0;

    node_start();
    for (int i = 0; i < 25; i++)
        (void)start("{\"name\":\"many\",\"item_task_type\":\"act\",\"items\":[{\"payload\":30}]}");
    do {
        (void)snprintf(cursor, sizeof cursor, "%s", list ? list->next_cursor : "");
        if (pages++)
            dureq_batch_list_destroy(list);
        f.cursor = cursor;
        RIG_OK(dureq_client_list_batches(rig.client, &f, &list, &err));
        for (size_t i = 0; i < list->n; i++, n++) {
            EXPECT_TRUE(strcmp(list->items[i].id.text, last) < 0);
            (void)snprintf(last, sizeof last, "%s", list->items[i].id.text);
        }
    } while (*list->next_cursor && pages < 40);
    dureq_batch_list_destroy(list);
    EXPECT_I64(25, n);
}

/* A leader keeps house when it is elected. */
SCENARIO(what_is_kept_no_longer_goes)
{
    dureq_job_id id = start_many(",\"retention\":\"0s\"", 100, 1299, true);
    dureq_batch *b = NULL;

    RIG_OK(dureq_client_cancel_batch(rig.client, id.text, NULL, &err));
    node_start();
    RIG_UNTIL(dureq_client_get_batch(rig.client, id.text, &b, NULL) == DUREQ_ENOTFOUND || (dureq_batch_destroy(b), false));
}

SCENARIO(a_batch_that_nobody_runs_is_cancelled)
{
    dureq_job_id id = start_many("", 100, 149, false);

    RIG_OK(dureq_client_cancel_batch(rig.client, id.text, NULL, &err));
    expect_end(id.text, "cancelled", 0, 0, 50);
}

/* ---- more than one scan sees, and what is told to be cancelled ---- */

static dureq_batch_items *items_that_are(const char *id, dureq_batch_item_state state)
{
    dureq_batch_items_filter f = dureq_batch_items_filter_init();
    dureq_batch_items *items = NULL;

    f.limit = 1000;
    f.states = &state;
    f.n_states = 1;
    RIG_OK(dureq_client_list_batch_items(rig.client, id, &f, &items, &err));
    return items;
}

static void expect_n_that_are(const char *id, dureq_batch_item_state state, int n)
{
    dureq_batch_items *items = items_that_are(id, state);

    EXPECT_I64(n, items->n);
    for (size_t i = 0; i < items->n; i++)
        EXPECT_I64(state, items->items[i].state);
    dureq_batch_items_destroy(items);
}

static dureq_batch *batch_of(const char *id)
{
    dureq_batch *b = NULL;

    RIG_OK(dureq_client_get_batch(rig.client, id, &b, &err));
    return b;
}

static int n_running(const char *id)
{
    dureq_batch *b = batch_of(id);
    int n = (int)b->n_running;

    dureq_batch_destroy(b);
    return n;
}

/* A scan of a large hash that is half empty may find nothing although there is something. */
SCENARIO(all_of_a_wide_batch_is_cancelled)
{
    enum { WIDE = 20000 };

    ledger_clear();
    (void)rig_node("n1", "other", act, NULL);
    dureq_job_id id = start_many(",\"chunk_size\":100000", 0, WIDE - 1, false);
    RIG_UNTIL(n_running(id.text) == WIDE);
    RIG_OK(dureq_client_cancel_batch(rig.client, id.text, NULL, &err));
    EXPECT_I64(0, n_running(id.text)); /* when the call returns */
    expect_end(id.text, "cancelled", 0, 0, WIDE);
    EXPECT_I64(0, rig_counts().pending);
}

SCENARIO(a_cancel_whose_answer_was_lost_is_known_again)
{
    dureq_job_id id = start_many("", 100, 109, false);
    unsigned char packed[DQ_ID_BYTES];
    dq_id of;

    RIG_OK(dq_batch_parse_id(rig.client, id.text, &of, packed, &err));
    static const struct {
        const char *token;
        bool first;
        int answer;
    } calls[] = {
        {"mine", true, 1}, {"mine", false, 0}, {"mine", true, 0}, {"other", true, DUREQ_ECONFLICT}, {"", true, DUREQ_ECONFLICT}};
    for (size_t i = 0; i < DQ_ARRAY_LEN(calls); i++) {
        dq_owned_reply reply;
        dq_buf call = {0};

        dq_call_batch_cancel(&call, dq_client_keys(rig.client), of.shard, (dureq_str){0}, dureq_str_of(packed, sizeof packed),
                             DQ_STR_LIT("why"), calls[i].first, dureq_str_from(calls[i].token));
        RIG_OK(dq_client_call(rig.client, of.shard, 0, &call, &reply, &err));
        EXPECT_I64(calls[i].answer, dq_reply_int(reply.reply));
        dq_owned_reply_deinit(&reply);
    }
}

SCENARIO(items_are_found_by_what_they_are_shown_and_counted_as)
{
    dureq_job_id id = start_many(",\"chunk_size\":3", 100, 149, false);

    expect_n_that_are(id.text, DUREQ_BATCH_ITEM_PENDING, 47);
    RIG_OK(dureq_client_cancel_batch(rig.client, id.text, NULL, &err));
    expect_n_that_are(id.text, DUREQ_BATCH_ITEM_CANCELLED, 50);
    expect_n_that_are(id.text, DUREQ_BATCH_ITEM_PENDING, 0);

    node_start();
    id = start_many(",\"chunk_size\":2", -20, -11, true);
    expect_end(id.text, "failed", 0, 10, 0);
    expect_n_that_are(id.text, DUREQ_BATCH_ITEM_FAILED, 10);
    ledger_set(true, false);
    RIG_OK(dureq_client_retry_batch(rig.client, id.text, false, &err));
    expect_n_that_are(id.text, DUREQ_BATCH_ITEM_FAILED, 0);
    expect_n_that_are(id.text, DUREQ_BATCH_ITEM_RUNNING, 2);
    expect_n_that_are(id.text, DUREQ_BATCH_ITEM_PENDING, 8);
    RIG_OK(dureq_client_cancel_batch(rig.client, id.text, NULL, &err));
    expect_end(id.text, "cancelled", 0, 0, 10);
    expect_n_that_are(id.text, DUREQ_BATCH_ITEM_CANCELLED, 10);
    expect_n_that_are(id.text, DUREQ_BATCH_ITEM_FAILED, 0);
}

/* ---- starts that are made again ---- */

#define REQUEST_HEAD "{\"name\":\"again\",\"item_task_type\":\"act\",\"request_id\":\"r1\""

static void timers_are_due(void)
{
    static const char lua[] = "for _, t in ipairs(redis.call('ZRANGE', ARGV[1] .. 'tm', 0, -1)) do "
                              "redis.call('ZADD', ARGV[1] .. 'tm', 1, t) end";

    for (int i = 0; i < rig.shards; i++) {
        char base[80];

        (void)snprintf(base, sizeof base, "{%s:%d}:", rig.prefix, i);
        free(test_redis_command(rig.server, "EVAL", lua, "0", base, NULL));
    }
}

SCENARIO(a_start_is_made_anew_when_the_first_was_never_begun)
{
    static const char definition[] = REQUEST_HEAD ",\"items\":[{\"payload\":40}]}";
    dureq_job_id cancelled, late, third;

    RIG_OK(dureq_client_open_batch(rig.client, dureq_str_from(definition), &cancelled, &err));
    RIG_OK(dureq_client_cancel_batch(rig.client, cancelled.text, NULL, &err));
    RIG_OK(dureq_client_open_batch(rig.client, dureq_str_from(definition), &late, &err));
    EXPECT_TRUE(strcmp(cancelled.text, late.text) != 0);
    timers_are_due();
    node_start();
    dureq_batch *b = NULL;
    RIG_UNTIL(dureq_client_get_batch(rig.client, late.text, &b, NULL) == DUREQ_ENOTFOUND || (dureq_batch_destroy(b), false));
    third = start(definition);
    EXPECT_TRUE(strcmp(third.text, late.text) != 0);
    expect_end(third.text, "completed", 1, 0, 0);
    EXPECT_TEXT(third.text, start(definition).text); /* that one ran */
    EXPECT_I64(1, ledger_n());
}

/* As when the connection broke after the batch was made, before its items went. */
SCENARIO(an_open_batch_gets_what_its_first_start_did_not_add)
{
    node_start();
    dureq_job_id first = start(REQUEST_HEAD ",\"open\":true,\"items\":[{\"payload\":40}]}");
    dureq_job_id second = start(REQUEST_HEAD ",\"open\":true,\"items\":[{\"payload\":40},{\"payload\":41},{\"payload\":42}]}");
    EXPECT_TEXT(first.text, second.text);
    RIG_UNTIL(ledger_n() == 3);
    RIG_OK(dureq_client_seal_batch(rig.client, first.text, &err));
    expect_end(first.text, "completed", 3, 0, 0);
    EXPECT_I64(0, ledger_other(40, 42));
}

enum { STARTERS = 4, LOADED = 3000 };

typedef struct starting {
    pthread_t thread;
    const char *definition;
    dureq_job_id id;
    int rc;
    dureq_error err;
} starting;

static void *start_beside(void *userdata)
{
    starting *s = userdata;

    s->rc = dureq_client_start_batch(rig.client, dureq_str_from(s->definition), &s->id, &s->err);
    return NULL;
}

SCENARIO(starts_of_one_request_at_a_time_load_one_batch_together)
{
    DQ_BUF_AUTO text = {0};
    starting s[STARTERS] = {0};

    dq_buf_append_text(&text, REQUEST_HEAD ",\"items\":[");
    for (int i = 0; i < LOADED; i++) /* of lengths by which calls part at other places when they begin at others */
        dq_buf_append_fmt(&text, "%s{\"id\":\"i%d\",\"payload\":\"%0*d\"}", i ? "," : "", i, 300 + i % 7 * 200, i);
    dq_buf_append_text(&text, "]}");
    EXPECT_FALSE(dq_buf_failed(&text));
    for (int i = 0; i < STARTERS; i++) {
        s[i].definition = text.ptr;
        EXPECT_I64(0, pthread_create(&s[i].thread, NULL, start_beside, &s[i]));
    }
    for (int i = 0; i < STARTERS; i++)
        (void)pthread_join(s[i].thread, NULL);
    for (int i = 0; i < STARTERS; i++) {
        rig_ok(s[i].rc, &s[i].err, "a start", __FILE__, __LINE__);
        EXPECT_TEXT(s[0].id.text, s[i].id.text);
    }
    dureq_batch *b = batch_of(s[0].id.text);
    EXPECT_I64(DUREQ_BATCH_RUNNING, b->status);
    EXPECT_I64(LOADED, b->n_items);
    dureq_batch_destroy(b);
    RIG_OK(dureq_client_cancel_batch(rig.client, s[0].id.text, NULL, &err));
}

SCENARIO(a_request_id_of_another_kind_is_refused_by_name)
{
    static const char batch[] = "{\"name\":\"b\",\"item_task_type\":\"act\",\"request_id\":\"%s\"}";
    static const char flow[] = "{\"name\":\"w\",\"request_id\":\"%s\",\"tasks\":[{\"name\":\"a\",\"task_type\":\"act\"}]}";
    dureq_job_options o = dureq_job_options_init();
    dureq_job_spec spec = {.task_type = "act", .payload = DQ_STR_LIT("1"), .options = &o};
    char of_job[2][200], of_batch[200], of_flow[200];
    dureq_job_id id;

    (void)snprintf(of_job[0], sizeof of_job[0], batch, "job");
    (void)snprintf(of_job[1], sizeof of_job[1], flow, "job");
    (void)snprintf(of_batch, sizeof of_batch, flow, "batch");
    (void)snprintf(of_flow, sizeof of_flow, batch, "flow");
    o.request_id = DQ_STR_LIT("job");
    RIG_OK(dureq_client_enqueue(rig.client, &spec, &id, &err));
    RIG_FAILS(DUREQ_ECONFLICT, "belongs to job", dureq_client_start_batch(rig.client, dureq_str_from(of_job[0]), &id, &err));
    RIG_FAILS(DUREQ_ECONFLICT, "belongs to job", dureq_client_start_workflow(rig.client, dureq_str_from(of_job[1]), &id, &err));

    char text[200];
    (void)snprintf(text, sizeof text, batch, "batch");
    RIG_OK(dureq_client_start_batch(rig.client, dureq_str_from(text), &id, &err));
    RIG_FAILS(DUREQ_ECONFLICT, "belongs to batch", dureq_client_start_workflow(rig.client, dureq_str_from(of_batch), &id, &err));
    o.request_id = DQ_STR_LIT("batch");
    RIG_FAILS(DUREQ_ECONFLICT, "belongs to workflow or batch", dureq_client_enqueue(rig.client, &spec, &id, &err));

    (void)snprintf(text, sizeof text, flow, "flow");
    RIG_OK(dureq_client_start_workflow(rig.client, dureq_str_from(text), &id, &err));
    RIG_FAILS(DUREQ_ECONFLICT, "belongs to workflow", dureq_client_start_batch(rig.client, dureq_str_from(of_flow), &id, &err));
    o.request_id = DQ_STR_LIT("flow");
    RIG_FAILS(DUREQ_ECONFLICT, "belongs to workflow or batch", dureq_client_enqueue(rig.client, &spec, &id, &err));
}

/* ---- items added ---- */

SCENARIO(no_items_added_tell_how_many_there_are)
{
    dureq_batch_item item = {.payload = {"50", 2}, .is_json = true};
    dureq_job_id id;
    uint32_t n = 0;

    RIG_OK(dureq_client_open_batch(rig.client, DQ_STR_LIT("{\"name\":\"b\",\"item_task_type\":\"act\"}"), &id, &err));
    RIG_OK(dureq_client_add_batch_items(rig.client, id.text, -1, &item, 1, NULL, &err));
    RIG_OK(dureq_client_add_batch_items(rig.client, id.text, -1, NULL, 0, &n, &err));
    EXPECT_I64(1, n);
    id.text[0] = id.text[0] == '0' ? '1' : '0';
    RIG_FAILS(DUREQ_ENOTFOUND, "no batch", dureq_client_add_batch_items(rig.client, id.text, -1, NULL, 0, &n, &err));
}

/* Nobody leads, so what a step leaves stays. */
SCENARIO(a_step_releases_a_mebibyte_and_one_item)
{
    enum { LARGE = 300000 };
    DQ_BUF_AUTO text = {0};
    dureq_batch_item items[10] = {0};
    dureq_job_id id;

    for (int i = 0; i < LARGE; i++)
        dq_buf_append_char(&text, 'x');
    for (size_t i = 0; i < DQ_ARRAY_LEN(items); i++)
        items[i].payload = dureq_str_of(text.ptr, LARGE - i * 1000);
    RIG_OK(dureq_client_open_batch(rig.client, DQ_STR_LIT("{\"name\":\"large\",\"item_task_type\":\"measure\"}"), &id, &err));
    RIG_OK(dureq_client_add_batch_items(rig.client, id.text, 0, items, DQ_ARRAY_LEN(items), NULL, &err));
    RIG_OK(dureq_client_seal_batch(rig.client, id.text, &err));
    EXPECT_I64(4, n_running(id.text));
    ledger_clear();
    smallest_len = SIZE_MAX;
    (void)rig_node("n1", "measure", measure, NULL);
    expect_end(id.text, "completed", 10, 0, 0);
    pthread_mutex_lock(&ledger.mu);
    size_t smallest = smallest_len;
    pthread_mutex_unlock(&ledger.mu);
    EXPECT_I64(LARGE - 9000, smallest);
}

RIG_MAIN()
