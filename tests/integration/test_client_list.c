/* SPDX-License-Identifier: Apache-2.0 */
/* Listing jobs: filters before paging, orders, cursors that stay good while jobs come and go, totals. */
#include "test_rig.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>

static int fine(dureq_run *task, void *userdata)
{
    (void)userdata;
    return dq_str_eq_text(dureq_run_payload(task), "die") ? dureq_run_fail(task, 1, "died") : 0;
}

/* Ids seen over the pages of a listing. */
typedef struct seen {
    dureq_job_id ids[600];
    size_t n, pages;
    char cursor[4096];
} seen;

static size_t times_seen(const seen *s, const char *id)
{
    size_t n = 0;

    for (size_t i = 0; i < s->n; i++)
        n += strcmp(s->ids[i].text, id) == 0;
    return n;
}

static dureq_job_list *page_of(const dureq_job_filter *f)
{
    dureq_job_list *list = NULL;

    RIG_OK(dureq_client_list_jobs(rig.client, f, &list, &err));
    return list;
}

/* One page; false when there was none left. */
static bool next_page(dureq_job_filter *f, seen *s)
{
    dureq_job_list *list;

    if (s->pages > 0 && s->cursor[0] == '\0')
        return false;
    f->cursor = s->pages > 0 ? s->cursor : NULL;
    list = page_of(f);
    for (size_t i = 0; i < list->n && s->n < DQ_ARRAY_LEN(s->ids); i++)
        s->ids[s->n++] = list->items[i].id;
    (void)snprintf(s->cursor, sizeof s->cursor, DQ_STR_FMT, DQ_STR_ARG(list->next_cursor));
    s->pages++;
    dureq_job_list_destroy(list);
    return true;
}

static void read_all(dureq_job_filter *f, seen *s)
{
    while (next_page(f, s) && s->pages < 1000)
        ;
}

static size_t count_of(const dureq_job_filter *f)
{
    dureq_job_filter own = *f;
    seen *s = calloc(1, sizeof *s);
    size_t n;

    read_all(&own, s);
    n = s->n;
    free(s);
    return n;
}

static dureq_job_filter filter_of(const dureq_job_state *state)
{
    dureq_job_filter f = dureq_job_filter_init();

    f.states = state;
    f.n_states = state ? 1 : 0;
    return f;
}

/* ---- states, orders, pages ---- */

enum { EACH = 25 };

/* So many jobs in the state, oldest first in *ids. */
static void fill(dureq_job_state state, dureq_job_id *ids, int n)
{
    dureq_job_options o = dureq_job_options_init();

    for (int i = 0; i < n; i++) {
        o.delay_ms = state == DUREQ_JOB_SCHEDULED ? 3600000 + i * 1000 : 0;
        ids[i] = rig_enqueue("fine", state == DUREQ_JOB_DEAD ? "die" : "{}", &o);
        if (state == DUREQ_JOB_PAUSED)
            RIG_OK(dureq_client_pause(rig.client, ids[i].text, &err));
        if (state == DUREQ_JOB_CANCELLED)
            RIG_OK(dureq_client_cancel(rig.client, ids[i].text, NULL, &err));
        if (state == DUREQ_JOB_DEAD || state == DUREQ_JOB_COMPLETED)
            EXPECT_I64(state, rig_wait(ids[i].text)->state);
    }
}

static void expect_each_once(const seen *s, const dureq_job_id *ids, int n)
{
    for (int i = 0; i < n; i++) {
        EXPECT_NOTE("job %d of %d, %zu listed on %zu pages", i, n, s->n, s->pages);
        EXPECT_U64(1, times_seen(s, ids[i].text));
    }
}

static void check_state(dureq_job_state state)
{
    dureq_job_filter f = filter_of(&state);
    dureq_job_id ids[EACH];
    seen *s = calloc(2, sizeof *s);

    fill(state, ids, EACH);
    for (int oldest = 0; oldest < 2; oldest++) {
        f.oldest_first = oldest;
        f.limit = 4;
        read_all(&f, &s[oldest]);
        EXPECT_U64(EACH, s[oldest].n);
        expect_each_once(&s[oldest], ids, EACH);
        EXPECT_TRUE(s[oldest].pages >= EACH / 4);
    }
    if (rig.shards == 1) { /* within a shard and a lane the order is that of time */
        EXPECT_NOTE("state %s", dureq_job_state_to_str(state));
        EXPECT_TEXT(ids[0].text, s[1].ids[0].text);
        EXPECT_TEXT(ids[EACH - 1].text, s[1].ids[EACH - 1].text);
        EXPECT_TEXT(ids[EACH - 1].text, s[0].ids[0].text);
        EXPECT_TEXT(ids[0].text, s[0].ids[EACH - 1].text);
    }
    free(s);
}

SCENARIO(jobs_of_every_state_are_listed_once_in_both_orders)
{
    check_state(DUREQ_JOB_PENDING);
    check_state(DUREQ_JOB_SCHEDULED);
    check_state(DUREQ_JOB_CANCELLED);
}

SCENARIO(paused_and_ended_jobs_are_listed_once_in_both_orders)
{
    dureq_node_options o = rig_node_options("n");
    dureq_node *n = rig_node_create(&o);
    dureq_job_state paused = DUREQ_JOB_PAUSED;
    dureq_job_filter f = filter_of(&paused);
    dureq_job_id ids[EACH];
    seen *s = calloc(1, sizeof *s);

    f.limit = 7;
    fill(paused, ids, EACH);
    read_all(&f, s);
    EXPECT_U64(EACH, s->n);
    expect_each_once(s, ids, EACH);
    free(s);
    rig_handle(n, "fine", fine, NULL, NULL);
    rig_start(n);
    check_state(DUREQ_JOB_DEAD);
    check_state(DUREQ_JOB_COMPLETED);
    f = filter_of(NULL);
    f.limit = 1000;
    dureq_job_list *list = page_of(&f);
    for (size_t i = 0; i < list->n; i++) /* of all shards, whose tables of names are gone by now */
        for (size_t k = 0; k < list->items[i].n_attempts; k++)
            EXPECT_STR_TEXT("n", list->items[i].attempts[k].node_id);
    dureq_job_list_destroy(list);
}

/* ---- filters ---- */

static dureq_job_id one_of_a_kind(void)
{
    static const char *const tags[] = {"red", "blue"};
    dureq_job_options o = dureq_job_options_init();

    o.queue = "high";
    o.tags = tags;
    o.n_tags = 2;
    o.unique_key = dureq_str_from("key/1");
    return rig_enqueue("order.ship", "{\"city\": \"Lyon\"}", &o);
}

SCENARIO(every_filter_holds_by_itself_and_all_hold_together)
{
    dureq_job_state pending = DUREQ_JOB_PENDING;
    dureq_job_filter all = filter_of(&pending), none = dureq_job_filter_init();
    dureq_job_id id = one_of_a_kind();
    int64_t at = rig_job(id.text)->created_at_ms;

    for (int i = 0; i < 30; i++)
        (void)rig_enqueue(i % 2 ? "order.pack" : "mail", "{\"city\": \"Rome\"}", NULL);
    all.task_type = "order.sh*";
    all.queue = "high";
    all.tag = "blue";
    all.text = "lYoN";
    all.unique_key = dureq_str_from("key/1");
    all.since_ms = at;
    all.until_ms = at + 1;
    all.limit = 1;
    dureq_job_list *list = page_of(&all);
    EXPECT_U64(1, list->n);
    EXPECT_TEXT(id.text, list->items[0].id.text);
    dureq_job_list_destroy(list);

    const dureq_job_filter alone[] = {
        {.task_type = "order.ship"},
        {.task_type = "order.s*"},
        {.queue = "high"},
        {.tag = "red"},
        {.text = "LYON"},
        {.text = "rder.SH"},
        {.text = id.text},
        {.text = "Blu"},
        {.unique_key = all.unique_key},
    };
    for (size_t i = 0; i < DQ_ARRAY_LEN(alone); i++) {
        dureq_job_filter f = alone[i];

        EXPECT_NOTE("filter %zu", i);
        f.struct_size = sizeof f;
        EXPECT_U64(1, count_of(&f));
    }
    EXPECT_U64(31, count_of(&none));
    none.task_type = "order.*";
    EXPECT_U64(16, count_of(&none));
    none.task_type = "*";
    EXPECT_U64(31, count_of(&none));
    none.until_ms = at;
    EXPECT_U64(0, count_of(&none));
}

/* Of what waits in its lanes the newest come first: the first that is too old ends the look. */
SCENARIO(a_time_that_few_are_after_is_not_looked_for_among_all)
{
    enum { OLD = 1500, A_PAGE = 100 };
    static dureq_job_spec specs[OLD];
    static dureq_enqueue_result results[OLD];
    dureq_job_filter f = dureq_job_filter_init();
    dureq_job_id id;
    dureq_job_list *list;

    for (int i = 0; i < OLD; i++)
        specs[i] = (dureq_job_spec){.task_type = "t"};
    RIG_OK(dureq_client_enqueue_many(rig.client, specs, OLD, results, &err));
    f.since_ms = rig_server_ms() + 1;
    RIG_UNTIL(rig_server_ms() > f.since_ms);
    id = rig_enqueue("t", "1", NULL);
    list = page_of(&f);
    EXPECT_U64(1, list->n);
    EXPECT_TEXT(id.text, list->items[0].id.text);
    EXPECT_TRUE(list->scanned <= (int64_t)rig.shards * A_PAGE);
    EXPECT_U64(0, list->next_cursor.len);
    dureq_job_list_destroy(list);
}

SCENARIO(a_filter_that_one_job_misses_gives_nothing)
{
    dureq_job_state dead = DUREQ_JOB_DEAD;
    dureq_job_id id = one_of_a_kind();
    int64_t at = rig_job(id.text)->created_at_ms;
    const dureq_job_filter wrong[] = {
        {.states = &dead, .n_states = 1},
        {.task_type = "order"},
        {.task_type = "order.ship.*"},
        {.queue = "low"},
        {.tag = "re"},
        {.text = "lyons"},
        {.since_ms = at + 1},
        {.until_ms = at},
        {.unique_key = DQ_STR_LIT("key")},
        {.queue = "never.defined"},
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(wrong); i++) {
        dureq_job_filter f = wrong[i];

        EXPECT_NOTE("filter %zu", i);
        f.struct_size = sizeof f;
        EXPECT_U64(0, count_of(&f));
    }
}

SCENARIO(a_page_is_filled_behind_the_filter)
{
    dureq_job_filter f = dureq_job_filter_init();
    dureq_job_list *list;

    for (int i = 0; i < 300; i++)
        (void)rig_enqueue("t", i % 50 == 7 ? "needle" : "hay", NULL);
    f.text = "needle";
    f.limit = 6;
    list = page_of(&f);
    EXPECT_U64(6, list->n);
    EXPECT_TRUE(list->scanned >= 6);
    EXPECT_I64(6, list->total); /* of 300: these are there, nobody looked further */
    EXPECT_FALSE(list->total_exact);
    dureq_job_list_destroy(list);
    f.limit = 100;
    list = page_of(&f);
    EXPECT_I64(6, list->total);
    EXPECT_TRUE(list->total_exact);
    dureq_job_list_destroy(list);
}

/* Of many delayed jobs nobody looks how many are retrying: the number is still told, but not as exact. */
SCENARIO(a_total_of_scheduled_jobs_is_not_exact_when_there_are_many)
{
    enum { MANY = 1001 };
    static const dureq_job_state due[] = {DUREQ_JOB_SCHEDULED, DUREQ_JOB_RETRYING};
    dureq_enqueue_result *results = calloc(MANY, sizeof *results);
    dureq_job_spec *specs = calloc(MANY, sizeof *specs);
    dureq_job_options o = dureq_job_options_init();
    dureq_job_filter f = filter_of(&due[0]);
    dureq_job_list *list;

    o.delay_ms = 3600000;
    for (int i = 0; i < MANY; i++)
        specs[i] = (dureq_job_spec){.task_type = "t", .options = &o};
    RIG_OK(dureq_client_enqueue_many(rig.client, specs, MANY, results, &err));
    list = page_of(&f);
    EXPECT_I64(MANY, list->total);
    EXPECT_FALSE(list->total_exact);
    dureq_job_list_destroy(list);
    f.states = due;
    f.n_states = 2;
    list = page_of(&f);
    EXPECT_I64(MANY, list->total);
    EXPECT_TRUE(list->total_exact);
    dureq_job_list_destroy(list);
    free(specs);
    free(results);
}

SCENARIO(totals_are_exact_when_only_states_are_asked_for)
{
    static const dureq_job_state two[] = {DUREQ_JOB_PENDING, DUREQ_JOB_PAUSED};
    dureq_job_filter f = dureq_job_filter_init();
    dureq_job_id ids[12];
    dureq_job_list *list;

    fill(DUREQ_JOB_PENDING, ids, 12);
    fill(DUREQ_JOB_PAUSED, ids, 5);
    fill(DUREQ_JOB_SCHEDULED, ids, 3);
    list = page_of(&f);
    EXPECT_U64(10, list->n);
    EXPECT_I64(20, list->total);
    EXPECT_TRUE(list->total_exact);
    dureq_job_list_destroy(list);
    f.states = two;
    f.n_states = 2;
    list = page_of(&f);
    EXPECT_I64(17, list->total);
    dureq_job_list_destroy(list);
    EXPECT_U64(17, count_of(&f));
}

/* ---- order over all that is stored ---- */

static int64_t key_of(const dureq_job *j)
{
    return j->finished_at_ms ? j->finished_at_ms : j->created_at_ms;
}

/* A job of each kind of structure, one after the other, so that their times are mixed. */
static int make_mixed(dureq_job_id *ids)
{
    static const dureq_job_state states[] = {DUREQ_JOB_PENDING,   DUREQ_JOB_SCHEDULED, DUREQ_JOB_PAUSED,   DUREQ_JOB_DEAD,
                                             DUREQ_JOB_COMPLETED, DUREQ_JOB_CANCELLED, DUREQ_JOB_COMPLETED};
    dureq_job_options o = dureq_job_options_init();
    int n = 0;

    (void)rig_node("n", "fine", fine, NULL);
    for (int i = 0; i < 8; i++)
        for (size_t k = 0; k < DQ_ARRAY_LEN(states); k++) {
            bool runs = states[k] == DUREQ_JOB_DEAD || states[k] == DUREQ_JOB_COMPLETED;

            o.delay_ms = states[k] == DUREQ_JOB_SCHEDULED ? 3600000 : 0;
            ids[n] = rig_enqueue(runs ? "fine" : i % 2 ? "one" : "two", states[k] == DUREQ_JOB_DEAD ? "die" : "{}", &o);
            if (states[k] == DUREQ_JOB_PAUSED)
                RIG_OK(dureq_client_pause(rig.client, ids[n].text, &err));
            if (states[k] == DUREQ_JOB_CANCELLED)
                RIG_OK(dureq_client_cancel(rig.client, ids[n].text, NULL, &err));
            if (runs)
                EXPECT_I64(states[k], rig_wait(ids[n].text)->state);
            n++;
        }
    return n;
}

SCENARIO(the_newest_comes_first_whatever_its_state_type_and_shard)
{
    static const int limits[] = {1, 7, 1000};
    dureq_job_id ids[56];
    int n = make_mixed(ids);

    for (int k = 0; k < 6; k++) {
        dureq_job_filter f = dureq_job_filter_init();
        seen *s = calloc(1, sizeof *s);
        int64_t before = k % 2 ? 0 : INT64_MAX;

        f.limit = limits[k / 2];
        f.oldest_first = k % 2;
        read_all(&f, s);
        EXPECT_U64((size_t)n, s->n);
        expect_each_once(s, ids, n);
        for (size_t i = 0; i < s->n; i++) {
            int64_t key = key_of(rig_job(s->ids[i].text));

            EXPECT_NOTE("limit %d, %s first, job %zu", (int)f.limit, f.oldest_first ? "oldest" : "newest", i);
            EXPECT_TRUE(f.oldest_first ? key >= before : key <= before);
            before = key;
        }
        free(s);
    }
}

static atomic_bool let_go;

static int hold(dureq_run *task, void *userdata)
{
    (void)userdata;
    while (!atomic_load(&let_go) && !dureq_run_wait_cancelled(task, 20))
        ;
    return 0;
}

/* What runs and what waits is in the same streams, what was handed over in others. */
SCENARIO(running_waiting_and_handed_over_jobs_are_listed_once)
{
    static const dureq_job_state states[] = {DUREQ_JOB_PENDING, DUREQ_JOB_RUNNING};
    static const int limits[] = {1, 3, 100};
    dureq_node_options o = rig_node_options("n");
    dureq_job_id ids[18];
    dureq_node *n;

    atomic_store(&let_go, false);
    for (int i = 0; i < 18; i++) {
        ids[i] = rig_enqueue(i % 3 ? "hold" : "nobody", "{}", NULL);
        if (i % 2 == 0) {
            RIG_OK(dureq_client_pause(rig.client, ids[i].text, &err));
            RIG_OK(dureq_client_resume(rig.client, ids[i].text, &err));
        }
    }
    o.concurrency = 5;
    n = rig_node_create(&o);
    rig_handle(n, "hold", hold, NULL, NULL);
    rig_start(n);
    RIG_UNTIL(rig_counts().running >= 5);
    for (int k = 0; k < 6; k++) {
        dureq_job_filter f = dureq_job_filter_init();
        seen *s = calloc(1, sizeof *s);

        f.states = states;
        f.n_states = 2;
        f.limit = limits[k / 2];
        f.oldest_first = k % 2;
        read_all(&f, s);
        EXPECT_U64(18, s->n);
        expect_each_once(s, ids, 18);
        free(s);
    }
    EXPECT_TRUE(count_of(&(dureq_job_filter){.struct_size = sizeof(dureq_job_filter), .states = &states[1], .n_states = 1}) >= 5);
    atomic_store(&let_go, true);
}

/* ---- while jobs come and go ---- */

static void expect_stable(dureq_job_state state, bool oldest_first)
{
    dureq_job_filter f = filter_of(&state);
    dureq_job_id ids[40], more[5];
    seen *s = calloc(1, sizeof *s);

    fill(state, ids, 40);
    f.limit = 5;
    f.oldest_first = oldest_first;
    EXPECT_TRUE(next_page(&f, s));
    EXPECT_U64(5, s->n);
    for (int i = 0; i < 3; i++) /* what was listed goes away, and others come */
        RIG_OK(dureq_client_cancel(rig.client, s->ids[i].text, NULL, &err));
    fill(state, more, 5);
    read_all(&f, s);
    EXPECT_NOTE("%s, %s first", dureq_job_state_to_str(state), oldest_first ? "oldest" : "newest");
    for (int i = 0; i < 40; i++)
        EXPECT_U64(1, times_seen(s, ids[i].text));
    for (int i = 0; i < 5; i++)
        EXPECT_TRUE(times_seen(s, more[i].text) <= 1);
    free(s);
    f.cursor = NULL;
    f.limit = 1000;
    dureq_job_list *list = page_of(&f);
    for (size_t i = 0; i < list->n; i++)
        RIG_OK(dureq_client_cancel(rig.client, list->items[i].id.text, NULL, &err));
    dureq_job_list_destroy(list);
}

SCENARIO(pages_neither_repeat_nor_miss_jobs_that_stay)
{
    for (int oldest = 0; oldest < 2; oldest++) {
        expect_stable(DUREQ_JOB_PENDING, oldest);
        expect_stable(DUREQ_JOB_SCHEDULED, oldest);
        expect_stable(DUREQ_JOB_PAUSED, oldest);
    }
}

SCENARIO(pages_of_ended_jobs_neither_repeat_nor_miss_while_others_end)
{
    static const dureq_job_state states[] = {DUREQ_JOB_COMPLETED, DUREQ_JOB_DEAD};
    dureq_job_id ids[30], more[10];

    (void)rig_node("n", "fine", fine, NULL);
    for (int k = 0; k < 4; k++) {
        dureq_job_filter f = filter_of(&states[k / 2]);
        seen *s = calloc(1, sizeof *s);

        fill(states[k / 2], ids, 30);
        f.limit = 5;
        f.oldest_first = k % 2;
        EXPECT_TRUE(next_page(&f, s));
        fill(states[k / 2], more, 5);
        EXPECT_TRUE(next_page(&f, s));
        RIG_OK(dureq_client_delete(rig.client, s->ids[0].text, &err));
        RIG_OK(dureq_client_delete(rig.client, s->ids[1].text, &err));
        fill(states[k / 2], &more[5], 5);
        read_all(&f, s);
        EXPECT_NOTE("%s, %s first", dureq_job_state_to_str(states[k / 2]), k % 2 ? "oldest" : "newest");
        for (int i = 0; i < 30; i++)
            EXPECT_U64(1, times_seen(s, ids[i].text));
        for (int i = 0; i < 10; i++)
            EXPECT_TRUE(times_seen(s, more[i].text) <= 1);
        free(s);
    }
}

SCENARIO(a_job_that_ended_twice_is_listed_once)
{
    dureq_job_state completed = DUREQ_JOB_COMPLETED;
    dureq_job_filter f = filter_of(&completed);
    dureq_job_id id;

    (void)rig_node("n", "fine", fine, NULL);
    id = rig_enqueue("fine", "{}", NULL);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
    for (int i = 0; i < 3; i++) {
        RIG_OK(dureq_client_retry(rig.client, id.text, true, &err));
        EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
    }
    EXPECT_U64(1, count_of(&f));
    f.oldest_first = true;
    EXPECT_U64(1, count_of(&f));
}

/* Names are asked for shard by shard; what a page holds must outlive that. */
SCENARIO(a_page_tells_the_node_of_jobs_and_of_their_attempts)
{
    dureq_job_state dead = DUREQ_JOB_DEAD;
    dureq_job_filter f = filter_of(&dead);
    dureq_job_id ids[EACH];
    dureq_job_list *list;

    (void)mallopt(M_PERTURB, 0xa5); /* what is freed is overwritten at once */
    (void)rig_node("the-node", "fine", fine, NULL);
    fill(dead, ids, EACH);
    f.limit = EACH;
    list = page_of(&f);
    EXPECT_U64(EACH, list->n);
    for (size_t i = 0; i < list->n; i++) {
        EXPECT_NOTE("job %zu", i);
        EXPECT_STR_TEXT("the-node", list->items[i].node_id);
        EXPECT_U64(1, list->items[i].n_attempts);
        EXPECT_STR_TEXT("the-node", list->items[i].attempts[0].node_id);
    }
    (void)mallopt(M_PERTURB, 0);
    dureq_job_list_destroy(list);
}

/* ---- payloads ---- */

static dureq_job_id with_payload_of(size_t len)
{
    char *bytes = malloc(len + 1);
    dureq_job_id id;

    memset(bytes, 'x', len);
    memcpy(bytes + len - 6, "needle", 7);
    id = rig_enqueue("large", bytes, NULL);
    free(bytes);
    return id;
}

SCENARIO(large_payloads_are_left_out_unless_asked_for)
{
    static const size_t sizes[] = {4096, 4097, 40000, 1048576};
    dureq_job_filter f = dureq_job_filter_init();

    for (size_t s = 0; s < DQ_ARRAY_LEN(sizes); s++) {
        dureq_job_id id = with_payload_of(sizes[s]);

        for (int k = 0; k < 4; k++) {
            bool omitted = sizes[s] > 4096 && k % 2 == 0;
            dureq_job_list *list;

            EXPECT_NOTE("payload of %zu, round %d", sizes[s], k);
            f.with_payload = k % 2;
            f.text = k / 2 ? "NEEDLE" : NULL;
            list = page_of(&f);
            EXPECT_U64(1, list->n);
            EXPECT_TRUE(list->items[0].payload_omitted == omitted);
            EXPECT_U64(omitted ? 0 : sizes[s], list->items[0].payload.len);
            dureq_job_list_destroy(list);
        }
        RIG_OK(dureq_client_purge_queue(rig.client, "normal", NULL, &err));
        EXPECT_I64(-1, rig_state(id.text));
    }
}

/* ---- bad input ---- */

SCENARIO(bad_filters_are_refused)
{
    static const char *const cursors[] = {"x",
                                          "0",
                                          "0.0.0.",
                                          "0.0.0.5-1",
                                          "99.0.1.",
                                          "0.99.1.",
                                          "0.-1.1.",
                                          "-1.0.1.",
                                          "0.0.1.zz",
                                          "0.4.1.zz",
                                          "0.7.1.zz",
                                          "0.4.1.5:00",
                                          "0.0.0.1-2-3",
                                          "0.1.0.5:00",
                                          "0.0.0.1-2-3-0,0.9.0.1",
                                          "0.4.1.x:00000000000000000000000000",
                                          "0.0.1.0123456789012345678901234567890123456789012345678901234567890123"};
    dureq_job_filter f = dureq_job_filter_init();
    dureq_job_list *list = NULL;

    (void)rig_enqueue("t", "1", NULL);
    for (size_t i = 0; i < DQ_ARRAY_LEN(cursors); i++) {
        EXPECT_NOTE("cursor %s", cursors[i]);
        f.cursor = cursors[i];
        RIG_FAILS(DUREQ_EINVAL, "cursor", dureq_client_list_jobs(rig.client, &f, &list, &err));
    }
    f.cursor = NULL;
    f.limit = 1001;
    RIG_FAILS(DUREQ_EINVAL, "limit", dureq_client_list_jobs(rig.client, &f, &list, &err));
    f.limit = -1;
    RIG_FAILS(DUREQ_EINVAL, "limit", dureq_client_list_jobs(rig.client, &f, &list, &err));
    f.limit = 0;
    f.since_ms = -1;
    RIG_FAILS(DUREQ_EINVAL, "since_ms", dureq_client_list_jobs(rig.client, &f, &list, &err));
    EXPECT_PTR(NULL, list);
}

RIG_MAIN()
