/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules come round: once each, whatever was missed, whoever leads, and by what is active. */
#include "test_schedules.h"

#include <dureq/schedule.h>

#include "client/events.h"

#include <pthread.h>
#include <string.h>

static test_board board;

static int hold(dureq_run *run, void *userdata)
{
    (void)test_board_run(run, userdata);
    while (!dureq_run_wait_cancelled(run, 10000))
        ;
    return 0;
}

static int die(dureq_run *run, void *userdata)
{
    (void)test_board_run(run, userdata);
    return dureq_run_fail(run, 0, "as it is told");
}

static void start(dureq_handler_fn fn)
{
    for (int i = 0; i < TEST_SEEN_MAX; i++)
        atomic_store(&board.items[i].done, false);
    atomic_store(&board.n, 0);
    (void)rig_node("n", "t", fn, &board);
}

/* Each occurrence of the schedule once, at every interval from the first one that was seen on. */
static void expect_each_once(const char *id, int64_t interval_ms)
{
    int64_t first = INT64_MAX, last = 0;
    int n = atomic_load(&board.n);

    for (int i = 0; i < n; i++)
        if (atomic_load(&board.items[i].done) && strcmp(board.items[i].schedule, id) == 0) {
            first = board.items[i].at_ms < first ? board.items[i].at_ms : first;
            last = board.items[i].at_ms > last ? board.items[i].at_ms : last;
        }
    for (int64_t at = first; at <= last; at += interval_ms) {
        EXPECT_NOTE("occurrence %lld", (long long)at);
        RIG_UNTIL(test_board_count(&board, id, at) > 0); /* handlers run beside each other: a later one may have begun before */
        EXPECT_I64(1, test_board_count(&board, id, at));
    }
}

/* One of its events is of that type, and has this in it. */
static void expect_event(const char *id, const char *type, const char *part)
{
    DQ_BUF_AUTO events = {0};
    DQ_BUF_AUTO found = {0};
    char begin[80];

    RIG_OK(dq_client_job_events(rig.client, id, /*hides_payload=*/false, &events, &err));
    (void)snprintf(begin, sizeof begin, "{\"type\":\"%s\"", type);
    for (const char *at = strstr(events.ptr, begin); at; at = strstr(at + 1, begin))
        dq_buf_append(&found, at, strcspn(at, "}") + 1);
    dq_buf_append_char(&found, '\0');
    EXPECT_HAS(part, found.ptr);
}

SCENARIO(each_occurrence_is_a_job_of_its_own_that_knows_its_schedule)
{
    dureq_schedule s = test_every(1000);
    dureq_job_id id;
    const dureq_job *job;

    start(test_board_run);
    id = test_schedule(&s, "t", NULL);
    RIG_UNTIL(test_board_count(&board, id.text, 0) >= 3);
    expect_each_once(id.text, 1000);
    job = rig_job(board.items[0].job);
    EXPECT_TEXT(id.text, job->schedule_id.text);
    EXPECT_I64(board.items[0].at_ms, job->scheduled_at_ms);
    RIG_UNTIL(test_schedule_get(id.text)->n_dispatched >= 3);
    EXPECT_TRUE(test_schedule_records(id.text, "fired", "") >= 3);
    EXPECT_TRUE(test_schedule_get(id.text)->next_at_ms > board.items[0].at_ms);
}

SCENARIO(what_is_no_later_than_a_minute_fires_each_and_of_older_ones_the_newest)
{
    dureq_schedule s = test_every(10000);
    const dureq_schedule_info *info;
    dureq_job_id id, skipping;

    id = test_schedule(&s, "t", NULL);
    s.misfire = DUREQ_MISFIRE_SKIP;
    skipping = test_schedule(&s, "t", NULL);
    test_schedule_wind_back(id.text, 3605);
    test_schedule_wind_back(skipping.text, 3605);
    start(test_board_run);
    RIG_UNTIL(test_schedule_get(id.text)->n_dispatched >= 7 && test_schedule_get(skipping.text)->n_dispatched >= 6);
    info = test_schedule_get(id.text);
    EXPECT_TRUE(info->n_dispatched == 7 || info->n_dispatched == 8);
    EXPECT_TRUE(info->n_dispatched + info->n_skipped >= 360 && info->n_dispatched + info->n_skipped <= 361);
    EXPECT_I64(1, test_schedule_records(id.text, "skipped", "missed"));
    info = test_schedule_get(skipping.text);
    EXPECT_TRUE(info->n_dispatched == 6 || info->n_dispatched == 7);
    RIG_UNTIL(atomic_load(&board.n) >= 13);
    expect_each_once(skipping.text, 10000);
}

SCENARIO(what_the_window_holds_is_made_up_for_a_few_each_second)
{
    dureq_schedule s = test_every(10000);
    const dureq_schedule_info *info;
    dureq_job_id id;
    int64_t from_ms;

    s.catchup_window_ms = 300000;
    s.max_backfill_per_tick = 20;
    id = test_schedule(&s, "t", NULL);
    test_schedule_wind_back(id.text, 3605);
    from_ms = rig_mono_ms();
    start(test_board_run);
    RIG_UNTIL(test_schedule_get(id.text)->n_dispatched >= 30);
    EXPECT_TRUE(rig_mono_ms() - from_ms >= 900);
    info = test_schedule_get(id.text);
    EXPECT_TRUE(info->n_dispatched <= 32);
    EXPECT_TRUE(info->n_dispatched + info->n_skipped >= 360 && info->n_dispatched + info->n_skipped <= 361);
    RIG_UNTIL(test_board_count(&board, id.text, 0) >= 30);
    expect_each_once(id.text, 10000);
}

SCENARIO(a_pause_holds_what_comes_round_and_a_resume_makes_up_for_it)
{
    dureq_schedule s = test_every(1000);
    dureq_job_id id;
    int n;

    start(test_board_run);
    id = test_schedule(&s, "t", NULL);
    RIG_UNTIL(test_board_count(&board, id.text, 0) >= 1);
    RIG_OK(dureq_client_pause_schedule(rig.client, id.text, &err));
    EXPECT_TEXT("paused", test_schedule_get(id.text)->status);
    n = (int)test_schedule_get(id.text)->n_dispatched;
    RIG_UNTIL(rig_server_ms() >= test_schedule_get(id.text)->next_at_ms + 1500);
    EXPECT_I64(n, test_schedule_get(id.text)->n_dispatched);
    RIG_OK(dureq_client_resume_schedule(rig.client, id.text, &err));
    RIG_UNTIL(test_board_count(&board, id.text, 0) >= n + 2);
    expect_each_once(id.text, 1000);
}

SCENARIO(what_came_round_before_a_pause_is_made_up_for_though_the_times_change)
{
    dureq_schedule s = test_every(10000), other = test_every(3600000), every = test_every(1000);
    dureq_job_id id, beat;

    id = test_schedule(&s, "t", NULL);
    RIG_OK(dureq_client_pause_schedule(rig.client, id.text, &err));
    test_schedule_wind_back(id.text, 41);
    RIG_OK(dureq_client_edit_schedule(rig.client, id.text, &other, NULL, &err));
    beat = test_schedule(&every, "t", NULL);
    start(test_board_run);
    RIG_UNTIL(test_board_count(&board, beat.text, 0) >= 2);
    EXPECT_I64(0, test_schedule_get(id.text)->n_dispatched);
    RIG_OK(dureq_client_resume_schedule(rig.client, id.text, &err));
    RIG_UNTIL(test_board_count(&board, id.text, 0) >= 4);
    RIG_UNTIL(test_schedule_get(id.text)->next_at_ms > rig_server_ms() + 60000); /* the change is in its place */
    EXPECT_TRUE(test_schedule_get(id.text)->n_dispatched <= 5);
    EXPECT_I64(0, test_schedule_get(id.text)->n_skipped);
    expect_each_once(id.text, 10000);
}

SCENARIO(while_one_is_active_the_policy_says_what_becomes_of_the_next)
{
    static const struct {
        dureq_overlap policy;
        int active, buffered, skipped_over;
    } rows[] = {
        {DUREQ_OVERLAP_SKIP, 1, 0, 5},
        {DUREQ_OVERLAP_BUFFER_ONE, 1, 1, 4},
        {DUREQ_OVERLAP_BUFFER_ALL, 1, 5, 0},
    };
    dureq_schedule s = test_every(10000);

    start(hold);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const dureq_schedule_info *info;
        dureq_job_id id, first = {0}, none = {0};

        EXPECT_NOTE("%s", dureq_overlap_to_str(rows[i].policy));
        s.overlap_policy = rows[i].policy;
        id = test_schedule(&s, "t", NULL);
        RIG_OK(dureq_client_trigger_schedule(rig.client, id.text, NULL, &first, &err));
        EXPECT_TRUE(first.text[0]);
        for (int k = 0; k < 5; k++)
            RIG_OK(dureq_client_trigger_schedule(rig.client, id.text, NULL, &none, &err));
        EXPECT_TEXT("", none.text);
        info = test_schedule_get(id.text);
        EXPECT_I64(rows[i].active, info->n_active);
        EXPECT_I64(rows[i].buffered, info->n_buffered);
        EXPECT_I64(rows[i].skipped_over, info->n_skipped);
        for (int k = 0; k < rows[i].buffered; k++) { /* each end lets the next one start */
            const dureq_schedule_record *newest = &test_schedule_get(id.text)->records[0];
            dureq_job_id active = k ? newest->job_id : first;

            RIG_OK(dureq_client_cancel(rig.client, active.text, NULL, &err));
            EXPECT_I64(1, test_schedule_get(id.text)->n_active);
            EXPECT_I64(rows[i].buffered - k - 1, test_schedule_get(id.text)->n_buffered);
            EXPECT_TEXT("buffer", test_schedule_get(id.text)->records[0].reason);
        }
        RIG_OK(dureq_client_delete_schedule(rig.client, id.text, &err));
    }
}

SCENARIO(one_that_is_dead_pauses_a_schedule_that_asks_for_it)
{
    dureq_schedule s = test_every(1000);
    dureq_job_id asks, does_not;

    start(die);
    does_not = test_schedule(&s, "t", NULL);
    s.pause_on_failure = true;
    asks = test_schedule(&s, "t", NULL);
    RIG_UNTIL(strcmp(test_schedule_get(asks.text)->status, "paused") == 0);
    EXPECT_TEXT("failure", test_schedule_get(asks.text)->reason);
    RIG_UNTIL(test_board_count(&board, does_not.text, 0) >= 3);
    EXPECT_TEXT("active", test_schedule_get(does_not.text)->status);
    EXPECT_I64(1, test_board_count(&board, asks.text, 0));
    expect_event(asks.text, "schedule.paused", "\"reason\":\"failure\"");
    RIG_OK(dureq_client_resume_schedule(rig.client, asks.text, &err));
    RIG_UNTIL(test_board_count(&board, asks.text, 0) >= 2);
}

SCENARIO(it_ends_after_so_many_and_lets_its_keys_go)
{
    dureq_job_options o = dureq_job_options_init();
    dureq_schedule s = test_every(1000);
    dureq_job_spec spec = {.task_type = "t", .payload = dureq_str_from("1"), .options = &o};
    dureq_put_result what;
    dureq_job_id id, other;

    o.unique_key = dureq_str_from("mine");
    s.max_occurrences = 2;
    start(test_board_run);
    RIG_OK(dureq_client_put_schedule(rig.client, dureq_str_from("mine"), &s, &spec, &id, NULL, &err));
    RIG_FAILS(DUREQ_EDUPLICATE, "held", dureq_client_enqueue(rig.client, &spec, &other, &err));
    EXPECT_TEXT(id.text, other.text);
    RIG_UNTIL(strcmp(test_schedule_get(id.text)->status, "completed") == 0);
    EXPECT_I64(2, test_schedule_get(id.text)->n_dispatched);
    EXPECT_I64(0, test_schedule_get(id.text)->next_at_ms);
    expect_event(id.text, "schedule.completed", id.text);
    RIG_FAILS(DUREQ_ECONFLICT, "completed", dureq_client_edit_schedule(rig.client, id.text, &s, NULL, &err));
    RIG_OK(dureq_client_put_schedule(rig.client, dureq_str_from("mine"), &s, &spec, &other, &what, &err));
    EXPECT_I64(DUREQ_PUT_CREATED, what);
    EXPECT_TRUE(strcmp(id.text, other.text) != 0);
}

SCENARIO(a_full_queue_holds_one_up_and_no_other)
{
    dureq_queue_options q = dureq_queue_options_init();
    dureq_job_options o = dureq_job_options_init();
    dureq_schedule s = test_every(1000);
    dureq_job_id held, free_one;

    q.max_len = 1;
    RIG_OK(dureq_client_set_queue(rig.client, "narrow", &q, false, NULL, &err));
    o.queue = "narrow";
    (void)rig_enqueue("other", "1", &o);
    held = test_schedule(&s, "t", &o);
    free_one = test_schedule(&s, "t", NULL);
    start(test_board_run);
    RIG_UNTIL(test_board_count(&board, free_one.text, 0) >= 3);
    EXPECT_I64(1, test_schedule_records(held.text, "held", "queue_full"));
    expect_event(held.text, "schedule.held", "\"reason\":\"queue_full\"");
    EXPECT_TEXT("queue", test_schedule_get(held.text)->reason);
    EXPECT_I64(0, test_board_count(&board, held.text, 0));
    RIG_OK(dureq_client_purge_queue(rig.client, "narrow", NULL, &err));
    q.max_len = 100;
    RIG_OK(dureq_client_set_queue(rig.client, "narrow", &q, false, NULL, &err));
    RIG_UNTIL(test_board_count(&board, held.text, 0) >= 3);
    expect_each_once(held.text, 1000);
    RIG_UNTIL(test_schedule_get(held.text)->reason[0] == '\0');
}

static atomic_int running_now, running_most, may_end;

/* Does not heed that it is cancelled. */
static int stubborn(dureq_run *run, void *userdata)
{
    int now = atomic_fetch_add(&running_now, 1) + 1;

    (void)test_board_run(run, userdata);
    if (now > atomic_load(&running_most))
        atomic_store(&running_most, now);
    while (!atomic_load(&may_end))
        rig_pause();
    atomic_fetch_sub(&running_now, 1);
    return 0;
}

SCENARIO(the_newest_replaces_and_two_never_run)
{
    dureq_schedule s = test_every(3600000);
    dureq_job_id id, first = {0}, next = {0};
    const dureq_schedule_info *info;

    atomic_store(&running_now, 0);
    atomic_store(&running_most, 0);
    atomic_store(&may_end, 0);
    start(stubborn);
    s.overlap_policy = DUREQ_OVERLAP_REPLACE;
    id = test_schedule(&s, "t", NULL);
    RIG_OK(dureq_client_trigger_schedule(rig.client, id.text, NULL, &first, &err));
    RIG_UNTIL(atomic_load(&running_now) == 1);
    for (int i = 0; i < 3; i++) {
        RIG_OK(dureq_client_trigger_schedule(rig.client, id.text, NULL, &next, &err));
        EXPECT_TEXT("", next.text);
    }
    EXPECT_I64(DUREQ_JOB_CANCELLED, rig_state(first.text));
    info = test_schedule_get(id.text);
    EXPECT_I64(1, info->n_active);
    EXPECT_I64(1, info->n_buffered);
    EXPECT_I64(2, test_schedule_records(id.text, "skipped", "replaced"));
    EXPECT_I64(1, test_board_count(&board, id.text, 0));
    atomic_store(&may_end, 1);
    RIG_UNTIL(test_board_count(&board, id.text, 0) == 2);
    RIG_UNTIL(test_schedule_get(id.text)->n_active == 0);
    EXPECT_I64(0, test_schedule_get(id.text)->n_buffered);
    EXPECT_I64(1, atomic_load(&running_most));
}

SCENARIO(a_waiting_one_is_replaced_at_once)
{
    dureq_schedule s = test_every(3600000);
    dureq_job_id id, first = {0}, next = {0};

    s.overlap_policy = DUREQ_OVERLAP_REPLACE;
    id = test_schedule(&s, "t", NULL);
    RIG_OK(dureq_client_trigger_schedule(rig.client, id.text, NULL, &first, &err));
    RIG_OK(dureq_client_trigger_schedule(rig.client, id.text, NULL, &next, &err));
    EXPECT_I64(DUREQ_JOB_CANCELLED, rig_state(first.text));
    EXPECT_I64(DUREQ_JOB_PENDING, rig_state(next.text));
    EXPECT_I64(1, test_schedule_get(id.text)->n_active);
}

/* More than one step cancels: the leader goes on with it until the newest starts. */
SCENARIO(the_newest_replaces_however_many)
{
    dureq_schedule s = test_every(3600000);
    dureq_overlap all = DUREQ_OVERLAP_ALLOW_ALL;
    int64_t n = 0, now_ms = rig_server_ms();
    dureq_job_id id;

    s.overlap_policy = DUREQ_OVERLAP_REPLACE;
    id = test_schedule(&s, "nobody", NULL);
    test_schedule_wind_back(id.text, 200 * 3600 + 100);
    RIG_OK(dureq_client_backfill_schedule(rig.client, id.text, now_ms - 200 * 3600000LL, now_ms, &all, &n, &err));
    EXPECT_I64(200, n);
    EXPECT_I64(200, test_schedule_get(id.text)->n_active);
    start(test_board_run);
    RIG_UNTIL(test_schedule_get(id.text)->n_dispatched > 0);
    EXPECT_I64(1, test_schedule_get(id.text)->n_dispatched);
    EXPECT_I64(1, test_schedule_get(id.text)->n_active);
    EXPECT_I64(200, rig_counts().cancelled);
    EXPECT_I64(1, rig_counts().pending);
}

SCENARIO(a_purge_spares_what_it_released)
{
    dureq_schedule s = test_every(3600000);
    dureq_job_options o = dureq_job_options_init();
    dureq_job_id id, first = {0}, none = {0};
    int64_t n = 0;

    s.overlap_policy = DUREQ_OVERLAP_BUFFER_ALL;
    o.queue = "low";
    id = test_schedule(&s, "t", &o);
    RIG_OK(dureq_client_trigger_schedule(rig.client, id.text, NULL, &first, &err));
    for (int i = 0; i < 3; i++)
        RIG_OK(dureq_client_trigger_schedule(rig.client, id.text, NULL, &none, &err));
    EXPECT_I64(3, test_schedule_get(id.text)->n_buffered);
    RIG_OK(dureq_client_purge_queue(rig.client, "low", &n, &err));
    EXPECT_I64(1, n);
    EXPECT_I64(2, test_schedule_get(id.text)->n_buffered);
    EXPECT_I64(1, test_schedule_get(id.text)->n_active);
    EXPECT_I64(1, rig_counts().pending);
}

SCENARIO(one_that_is_retried_by_hand_is_active_again_and_refused_while_another_is)
{
    dureq_schedule s = test_every(3600000);
    dureq_job_id id, first = {0}, next = {0};

    s.overlap_policy = DUREQ_OVERLAP_SKIP;
    id = test_schedule(&s, "t", NULL);
    RIG_OK(dureq_client_trigger_schedule(rig.client, id.text, NULL, &first, &err));
    RIG_OK(dureq_client_cancel(rig.client, first.text, NULL, &err));
    RIG_OK(dureq_client_trigger_schedule(rig.client, id.text, NULL, &next, &err));
    EXPECT_TRUE(next.text[0]);
    RIG_FAILS(DUREQ_ECONFLICT, "", dureq_client_retry(rig.client, first.text, false, &err));
    RIG_OK(dureq_client_cancel(rig.client, next.text, NULL, &err));
    RIG_OK(dureq_client_retry(rig.client, first.text, false, &err));
    EXPECT_I64(1, test_schedule_get(id.text)->n_active);
    RIG_OK(dureq_client_trigger_schedule(rig.client, id.text, NULL, &next, &err));
    EXPECT_I64(1, test_schedule_records(id.text, "skipped", "overlap"));
}

SCENARIO(a_large_payload_goes_with_each_occurrence)
{
    static char large[100000];
    dureq_schedule s = test_every(3600000);
    dureq_job_spec spec = {.task_type = "t", .payload = dureq_str_of(large, sizeof large)};
    dureq_job_id id, job = {0};
    dureq_job_list *list = NULL;

    memset(large, 'x', sizeof large);
    RIG_OK(dureq_client_put_schedule(rig.client, dureq_str_from("k"), &s, &spec, &id, NULL, &err));
    for (int i = 0; i < 2; i++) {
        RIG_OK(dureq_client_trigger_schedule(rig.client, id.text, NULL, &job, &err));
        RIG_OK(dureq_client_get_job(rig.client, job.text, &list, &err));
        EXPECT_I64((int64_t)sizeof large, (int64_t)list->items[0].payload.len);
        EXPECT_I64('x' + i, list->items[0].payload.ptr[99999]);
        dureq_job_list_destroy(list);
        large[99999]++; /* a change that waits, with a payload of its own */
        RIG_OK(dureq_client_put_schedule(rig.client, dureq_str_from("k"), &s, &spec, &id, NULL, &err));
    }
    start(test_board_run);
    RIG_UNTIL(test_board_count(&board, id.text, 0) == 2);
    RIG_OK(dureq_client_trigger_schedule(rig.client, id.text, NULL, &job, &err));
    RIG_UNTIL(test_board_count(&board, id.text, 0) == 3);
}

static void *put_again(void *userdata)
{
    dureq_client *c = rig_client(NULL, rig.shards);
    dureq_schedule s = test_every(1000);
    dureq_job_spec spec = {.task_type = "t", .payload = dureq_str_from("1")};
    dureq_job_id *ret = userdata;
    dureq_error err;

    for (int i = 0; i < 5; i++)
        if (dureq_client_put_schedule(c, dureq_str_from("k"), &s, &spec, ret, NULL, &err) < 0)
            ret->text[0] = '\0';
    dureq_client_destroy(c);
    return NULL;
}

#define PUTS 50

SCENARIO(fifty_equal_puts_at_once_are_one_schedule)
{
    dureq_schedule_list *list = NULL;
    dureq_job_id ids[PUTS] = {{{0}}};
    pthread_t threads[PUTS];

    start(test_board_run);
    for (int i = 0; i < PUTS; i++)
        EXPECT_I64(0, pthread_create(&threads[i], NULL, put_again, &ids[i]));
    for (int i = 0; i < PUTS; i++)
        EXPECT_I64(0, pthread_join(threads[i], NULL));
    for (int i = 0; i < PUTS; i++)
        EXPECT_TEXT(ids[0].text, ids[i].text);
    RIG_OK(dureq_client_list_schedules(rig.client, 0, NULL, &list, &err));
    EXPECT_I64(1, list->total);
    dureq_schedule_list_destroy(list);
    RIG_UNTIL(test_board_count(&board, ids[0].text, 0) >= 2);
    expect_each_once(ids[0].text, 1000);
}

SCENARIO(the_first_schedule_is_refused_while_a_node_is_too_old)
{
    static const char lua[] = "for _, s in ipairs(redis.call('ZRANGE', ARGV[1] .. 'lease', 0, -1)) do "
                              "redis.call('HSET', ARGV[1] .. 's:' .. s, 'ver', 2) end return 1";
    dureq_job_spec spec = {.task_type = "t", .payload = dureq_str_from("1")};
    dureq_schedule s = test_every(1000);
    dureq_job_id id = {0};

    (void)rig_node("elder", "t", test_board_run, &board);
    for (int i = 0; i < rig.shards; i++) {
        char base[80];

        (void)snprintf(base, sizeof base, "{%s:%d}:", rig.prefix, i);
        free(test_redis_command(rig.server, "EVAL", lua, "0", base, NULL));
    }
    RIG_FAILS(DUREQ_ECONFLICT, "elder", dureq_client_create_schedule(rig.client, &s, &spec, &id, &err));
    EXPECT_TEXT("", id.text);
}

SCENARIO(edits_lose_no_slot_and_double_none)
{
    dureq_job_spec spec = {.task_type = "t", .payload = dureq_str_from("0")};
    dureq_schedule s = test_every(1000);
    dureq_job_id id, same;
    char payload[24];
    int64_t from_ms;
    int i;

    start(test_board_run);
    RIG_OK(dureq_client_put_schedule(rig.client, dureq_str_from("k"), &s, &spec, &id, NULL, &err));
    from_ms = rig_mono_ms();
    for (i = 0; test_board_count(&board, id.text, 0) < 4; i++) {
        (void)snprintf(payload, sizeof payload, "%d", i);
        spec.payload = dureq_str_from(payload);
        RIG_OK(dureq_client_put_schedule(rig.client, dureq_str_from("k"), &s, &spec, &same, NULL, &err));
        EXPECT_TEXT(id.text, same.text);
    }
    print_message("%d edits, %lld a second\n", i, i * 1000LL / (long long)(rig_mono_ms() - from_ms + 1));
    expect_each_once(id.text, 1000);
    RIG_UNTIL(dureq_client_delete_schedule(rig.client, id.text, NULL) == 0);
}

RIG_MAIN()
