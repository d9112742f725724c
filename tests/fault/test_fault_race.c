/* SPDX-License-Identifier: Apache-2.0 */
/* Orders that meet what they are about in the middle of something: cancel and complete, retry and cancel, delete and complete, pause and fetch, the
   release of a key and who wants it, from many threads. What each caller was told and what nodes did must add up, job by job, and the doctor finds nothing. */
#include "base/clock.h"
#include "base/map.h"
#include "base/mutex.h"
#include "base/random.h"
#include "fault_wait.h"
#include "fault_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RACERS     4
#define JOBS       15 /* hundreds */
#define JOBS_LESS  3
#define NEAR       24 /* racers look at the jobs made last, which are about to run */
#define DONE_LIMIT 30000

typedef struct race race;
typedef void (*race_fn)(race *r, dureq_client *c, dq_rng *rng, int job);

struct race {
    fault_world *world;
    race_fn fn;
    int far;      /* how far back racers look */
    atomic_int n; /* jobs enqueued */
    atomic_bool stop;
    atomic_int *cancelled, *retried, *deleted; /* orders that were carried out, by job */
};

typedef struct racer {
    race *race;
    pthread_t thread;
    int no;
} racer;

static void *run_racer(void *userdata)
{
    racer *a = userdata;
    race *r = a->race;
    dureq_client *c = fault_world_client(r->world);
    dq_rng rng;

    dq_rng_seed(&rng, (uint64_t)a->no);
    while (!atomic_load(&r->stop)) {
        int n = atomic_load(&r->n), span = n < r->far ? n : r->far;

        if (n > 0)
            r->fn(r, c, &rng, n - 1 - (int)dq_rng_below(&rng, (uint64_t)span));
    }
    dureq_client_destroy(c);
    return NULL;
}

static const char *id_of(race *r, int job)
{
    return fault_ledger_entry(r->world->ledger, job)->id.text;
}

/* Carried out, or refused because of where the job is; nothing else. */
static void count_order(atomic_int *count, int rc, const char *what, const dureq_error *err)
{
    if (rc == 0)
        atomic_fetch_add(count, 1);
    else if (rc != DUREQ_ECONFLICT && rc != DUREQ_ENOTFOUND)
        fault_die("%s: %s: %s", what, dureq_errcode_name(rc), err->msg);
}

static void cancel(race *r, dureq_client *c, int job)
{
    dureq_error err = {0};
    int rc = dureq_client_cancel(c, id_of(r, job), "race", &err);

    count_order(&r->cancelled[job], rc, "cancel", &err);
}

static void retry(race *r, dureq_client *c, int job)
{
    dureq_error err = {0};
    int rc = dureq_client_retry(c, id_of(r, job), /*force=*/false, &err);

    count_order(&r->retried[job], rc, "retry", &err);
}

static void drop_job(race *r, dureq_client *c, int job)
{
    dureq_error err = {0};
    int rc = dureq_client_delete(c, id_of(r, job), &err);

    count_order(&r->deleted[job], rc, "delete", &err);
}

/* Enqueues while the racers run; behind it all is done, stopped and clean. */
static race *run_race(int shards, race_fn fn, int far, char kind, int n_ms)
{
    fault_world_options o = {.shards = shards};
    race *r = dq_calloc(1, sizeof *r);
    int n = 100 * fault_rounds(JOBS, JOBS_LESS);
    racer racers[RACERS];

    r->fn = fn;
    r->far = far;
    r->cancelled = dq_calloc((size_t)n, sizeof *r->cancelled);
    r->retried = dq_calloc((size_t)n, sizeof *r->retried);
    r->deleted = dq_calloc((size_t)n, sizeof *r->deleted);
    r->world = fault_world_open(&o);
    fault_world_spawn(r->world, 0);
    fault_world_spawn(r->world, 1);
    for (int i = 0; i < RACERS; i++) {
        racers[i] = (racer){.race = r, .no = i};
        if (dq_thread_start(&racers[i].thread, "racer", 0, run_racer, &racers[i], NULL) < 0)
            fault_die("a racer's thread did not start");
    }
    for (int i = 0; i < n; i++) {
        int rc = fault_ledger_enqueue_kind(r->world->ledger, r->world->client, kind, i % 3 ? n_ms : 0);

        if (rc < 0)
            fault_die("enqueue: %s", dureq_errcode_name(rc));
        atomic_store(&r->n, i + 1);
    }
    atomic_store(&r->stop, true);
    for (int i = 0; i < RACERS; i++)
        (void)pthread_join(racers[i].thread, NULL);
    fault_world_wait_done(r->world, DONE_LIMIT);
    fault_world_assert_clean(r->world);
    fault_node_stop(&r->world->nodes[0]);
    fault_node_stop(&r->world->nodes[1]);
    fault_world_assert_clean(r->world);
    return r;
}

static void end_race(race *r)
{
    fault_world_close(r->world);
    dq_free(r->cancelled);
    dq_free(r->retried);
    dq_free(r->deleted);
    dq_free(r);
}

/* 0 when it is not there. */
static int state_of(race *r, int job)
{
    dureq_job_list *list = NULL;
    dureq_error err = {0};
    int rc = dureq_client_get_job(r->world->client, id_of(r, job), &list, &err);
    int state = rc == 0 ? (int)list->items[0].state : 0;

    if (rc < 0 && rc != DUREQ_ENOTFOUND)
        fault_die("get: %s", err.msg);
    dureq_job_list_destroy(list);
    return state;
}

/* How often a node's word of this kind about each job was accepted. */
static int *count_marks(race *r, fault_mark mark)
{
    fault_lines lines = fault_lines_read(r->world->log_path);
    int *counts = dq_calloc((size_t)r->n, sizeof *counts);
    dq_map by_id = {0};

    for (int i = 0; i < r->n; i++)
        if (dq_map_put(&by_id, dureq_str_from(id_of(r, i)), &counts[i]) < 0)
            fault_die("out of memory");
    for (size_t i = 0; i < lines.n; i++) {
        int *count = lines.items[i].mark == mark ? dq_map_get(&by_id, dureq_str_from(lines.items[i].job_id)) : NULL;

        if (count)
            ++*count;
    }
    dq_map_deinit(&by_id);
    fault_lines_deinit(&lines);
    return counts;
}

static dureq_counts count_all(race *r)
{
    dureq_counts n = {0};
    dureq_error err = {0};

    if (dureq_client_count(r->world->client, &n, &err) < 0)
        fault_die("count: %s", err.msg);
    return n;
}

/* ---- cancel against complete ---- */

static void race_cancel(race *r, dureq_client *c, dq_rng *rng, int job)
{
    (void)rng;
    cancel(r, c, job);
}

static void cancel_against_complete(int shards, const char *what)
{
    race *r = run_race(shards, race_cancel, NEAR, 'w', 3);
    int *completed = count_marks(r, FAULT_MARK_COMPLETED);
    dureq_counts n = count_all(r);
    int n_cancelled = 0;

    for (int i = 0; i < r->n; i++) {
        int wanted = r->cancelled[i] ? DUREQ_JOB_CANCELLED : DUREQ_JOB_COMPLETED, state = state_of(r, i);

        n_cancelled += r->cancelled[i];
        if (r->cancelled[i] + completed[i] != 1 || state != wanted)
            fault_die("job %s: cancelled %d times, completed %d times, is %s", id_of(r, i), r->cancelled[i], completed[i],
                      dureq_job_state_to_str((dureq_job_state)state));
    }
    printf("%s: %d jobs, %d of them cancelled\n", what, r->n, n_cancelled);
    assert_int_equal(n.cancelled, n_cancelled);
    assert_int_equal(n.completed, r->n - n_cancelled);
    assert_true(n_cancelled > 0);
    dq_free(completed);
    end_race(r);
}

static void test_cancel_against_complete(void **state)
{
    (void)state;
    cancel_against_complete(1, "cancel, complete, 1 shard");
    cancel_against_complete(4, "cancel, complete, 4 shards");
}

/* ---- retry against cancel ---- */

static void race_retry(race *r, dureq_client *c, dq_rng *rng, int job)
{
    if (dq_rng_below(rng, 2))
        cancel(r, c, job);
    else
        retry(r, c, job);
}

/* Each retry begins a life, each end was told once. */
static void retry_against_cancel(int shards, const char *what)
{
    race *r = run_race(shards, race_retry, NEAR, 'd', 0);
    int *dead = count_marks(r, FAULT_MARK_DEAD);
    dureq_counts n = count_all(r);
    int n_retried = 0, n_cancelled = 0;

    for (int i = 0; i < r->n; i++) {
        int state = state_of(r, i);

        n_retried += r->retried[i];
        n_cancelled += r->cancelled[i];
        if (dead[i] + r->cancelled[i] != 1 + r->retried[i] || (state != DUREQ_JOB_DEAD && state != DUREQ_JOB_CANCELLED))
            fault_die("job %s: retried %d times, dead %d times, cancelled %d times, is %s", id_of(r, i), r->retried[i], dead[i],
                      r->cancelled[i], dureq_job_state_to_str((dureq_job_state)state));
    }
    printf("%s: %d jobs, %d retries, %d cancels\n", what, r->n, n_retried, n_cancelled);
    assert_int_equal(n.dead + n.cancelled, r->n);
    dq_free(dead);
    end_race(r);
}

static void test_retry_against_cancel(void **state)
{
    (void)state;
    retry_against_cancel(1, "retry, cancel, 1 shard");
    retry_against_cancel(4, "retry, cancel, 4 shards");
}

/* ---- delete against complete ---- */

static void race_delete(race *r, dureq_client *c, dq_rng *rng, int job)
{
    if (dq_rng_below(rng, 4) == 0)
        cancel(r, c, job);
    else
        drop_job(r, c, job);
}

static void delete_against_complete(int shards, const char *what)
{
    race *r = run_race(shards, race_delete, NEAR, 'w', 2);
    int *completed = count_marks(r, FAULT_MARK_COMPLETED);
    dureq_counts n = count_all(r);
    int n_deleted = 0;

    for (int i = 0; i < r->n; i++) {
        int state = state_of(r, i);

        n_deleted += r->deleted[i];
        if (r->deleted[i] > 1 || (r->deleted[i] == 1) != (state == 0) || completed[i] + r->cancelled[i] != 1)
            fault_die("job %s: deleted %d times, completed %d times, cancelled %d times, is %s", id_of(r, i), r->deleted[i],
                      completed[i], r->cancelled[i], state ? dureq_job_state_to_str((dureq_job_state)state) : "gone");
    }
    printf("%s: %d jobs, %d deleted\n", what, r->n, n_deleted);
    assert_int_equal(n.completed + n.cancelled, r->n - n_deleted);
    dq_free(completed);
    end_race(r);
}

static void test_delete_against_complete(void **state)
{
    (void)state;
    delete_against_complete(1, "delete, complete, 1 shard");
    delete_against_complete(4, "delete, complete, 4 shards");
}

/* ---- pause of a queue against fetch ---- */

#define PAUSES      6
#define PAUSES_LESS 2
#define PAUSE_MS    400
#define HAND_OVER   150 /* from a fetch before the pause to the first line of its handler */

typedef struct pause_time {
    int64_t from_us, to_us;
    int64_t held_up_ms; /* of the machine: handlers may begin so much later */
} pause_time;

static bool never(void *userdata)
{
    (void)userdata;
    return false;
}

static void set_paused(fault_world *w, bool paused)
{
    dureq_queue_list *list = NULL;
    dureq_error err = {0};

    if (dureq_client_list_queues(w->client, &list, &err) < 0)
        fault_die("queues: %s", err.msg);
    for (size_t i = 0; i < list->n; i++) {
        int rc = paused ? dureq_client_pause_queue(w->client, list->items[i].name.ptr, &err)
                        : dureq_client_resume_queue(w->client, list->items[i].name.ptr, &err);

        if (rc < 0)
            fault_die("pause: %s", err.msg);
    }
    dureq_queue_list_destroy(list);
}

static void assert_none_started(fault_world *w, const pause_time *pauses, int n)
{
    fault_lines lines = fault_lines_read(w->log_path);

    for (size_t i = 0; i < lines.n; i++)
        for (int k = 0; k < n; k++)
            if (lines.items[i].mark == FAULT_MARK_START &&
                lines.items[i].at_us > pauses[k].from_us + (HAND_OVER + pauses[k].held_up_ms) * 1000 &&
                lines.items[i].at_us < pauses[k].to_us)
                fault_die("job %s started %lld ms after its queue was paused", lines.items[i].job_id,
                          (long long)(lines.items[i].at_us - pauses[k].from_us) / 1000);
    fault_lines_deinit(&lines);
}

static void pause_against_fetch(int shards, const char *what)
{
    fault_world_options o = {.shards = shards};
    fault_world *w = fault_world_open(&o);
    int rounds = fault_rounds(PAUSES, PAUSES_LESS);
    pause_time *pauses = dq_calloc((size_t)rounds, sizeof *pauses);

    fault_world_spawn(w, 0);
    fault_world_spawn(w, 1);
    fault_world_produce(w, 2, /*pause_ms=*/3);
    for (int i = 0; i < rounds; i++) {
        fault_world_wait_load(w, 40, DONE_LIMIT);
        set_paused(w, true);
        pauses[i].from_us = dq_mono_us();
        pauses[i].held_up_ms = fault_held_up_ms();
        (void)fault_wait(PAUSE_MS, never, NULL); /* looks now and then, and so sees whether it is held up */
        pauses[i].held_up_ms = fault_held_up_ms() - pauses[i].held_up_ms;
        pauses[i].to_us = dq_mono_us();
        set_paused(w, false);
    }
    w->times = rounds;
    (void)fault_world_finish(w, what);
    assert_none_started(w, pauses, rounds);
    dq_free(pauses);
    fault_world_close(w);
}

static void test_pause_against_fetch(void **state)
{
    (void)state;
    pause_against_fetch(1, "pause, fetch, 1 shard");
    pause_against_fetch(4, "pause, fetch, 4 shards");
}

/* ---- one key for all: its release against who wants it ---- */

#define KEY_RUN_MS 3

typedef struct key_race {
    fault_world *world;
    atomic_int n_accepted, n_refused;
    int wanted;
} key_race;

static int enqueue_with_key(dureq_client *c, dureq_error *err)
{
    dureq_job_options o = dureq_job_options_init();
    char payload[32];
    dureq_job_spec spec = {.task_type = fault_type_of('w'), .options = &o};

    (void)snprintf(payload, sizeof payload, "w 0 %d", KEY_RUN_MS);
    spec.payload = dureq_str_from(payload);
    o.unique_key = dureq_str_from("the only one");
    return dureq_client_enqueue(c, &spec, NULL, err);
}

static void *want_key(void *userdata)
{
    key_race *r = userdata;
    dureq_client *c = fault_world_client(r->world);
    dureq_error err = {0};

    while (atomic_load(&r->n_accepted) < r->wanted) {
        int rc = enqueue_with_key(c, &err);

        if (rc < 0 && rc != DUREQ_EDUPLICATE)
            fault_die("enqueue: %s: %s", dureq_errcode_name(rc), err.msg);
        atomic_fetch_add(rc == 0 ? &r->n_accepted : &r->n_refused, 1);
    }
    dureq_client_destroy(c);
    return NULL;
}

/* Who holds the key has ended before the next one is accepted: no two handlers begin within the time that one takes. */
static int count_apart(const char *log_path)
{
    fault_lines lines = fault_lines_read(log_path);
    int64_t last_us = 0;
    int n = 0;

    for (size_t i = 0; i < lines.n; i++) {
        if (lines.items[i].mark != FAULT_MARK_START)
            continue;
        if (n++ > 0 && lines.items[i].at_us - last_us < KEY_RUN_MS * 1000)
            fault_die("two jobs with the same key were alive at a time: %s", lines.items[i].job_id);
        last_us = lines.items[i].at_us;
    }
    fault_lines_deinit(&lines);
    return n;
}

static void one_key(int shards, const char *what)
{
    fault_world_options o = {.shards = shards};
    key_race r = {.world = fault_world_open(&o), .wanted = 100 * fault_rounds(JOBS, JOBS_LESS)};
    pthread_t threads[RACERS];
    dureq_counts n = {0};
    dureq_error err = {0};

    fault_world_spawn(r.world, 0);
    fault_world_spawn(r.world, 1);
    for (int i = 0; i < RACERS; i++)
        if (dq_thread_start(&threads[i], "racer", 0, want_key, &r, NULL) < 0)
            fault_die("a racer's thread did not start");
    for (int i = 0; i < RACERS; i++)
        (void)pthread_join(threads[i], NULL);
    fault_world_wait_done(r.world, DONE_LIMIT);
    fault_world_assert_clean(r.world);
    assert_int_equal(dureq_client_count(r.world->client, &n, &err), 0);
    printf("%s: %d jobs one after the other, %d calls told whose the key is\n", what, r.n_accepted, r.n_refused);
    assert_int_equal(n.completed, r.n_accepted);
    assert_int_equal(count_apart(r.world->log_path), r.n_accepted);
    assert_int_equal(enqueue_with_key(r.world->client, &err), 0); /* it was let go */
    fault_world_close(r.world);
}

static void test_release_against_enqueue(void **state)
{
    (void)state;
    one_key(1, "one key, 1 shard");
    one_key(4, "one key, 4 shards");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cancel_against_complete), cmocka_unit_test(test_retry_against_cancel),
        cmocka_unit_test(test_delete_against_complete), cmocka_unit_test(test_pause_against_fetch),
        cmocka_unit_test(test_release_against_enqueue),
    };

    fault_node_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
