/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/mutex.h"
#include "io/loop.h"
#include "io/resolve.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static dq_loop *make_loop(void)
{
    dq_loop *loop;

    assert_int_equal(dq_loop_create(&loop, NULL), 0);
    return loop;
}

/* ---- messages ---- */

enum { POSTERS = 4, POSTS = 20000 };

typedef struct numbered {
    dq_message m;
    int poster, i;
} numbered;

typedef struct poster {
    dq_loop *loop;
    numbered *messages;
    pthread_t thread;
} poster;

static int next_of[POSTERS];
static int n_run;
static dq_loop *run_loop;

static void on_numbered(dq_message *m)
{
    numbered *x = dq_container_of(m, numbered, m);

    assert_true(dq_loop_is_here(run_loop));
    assert_int_equal(x->i, next_of[x->poster]);
    next_of[x->poster]++;
    n_run++;
    if (n_run == POSTERS * POSTS)
        dq_loop_stop(run_loop);
}

static void *post_all(void *arg)
{
    poster *p = arg;

    for (int i = 0; i < POSTS; i++)
        dq_loop_post(p->loop, &p->messages[i].m);
    return NULL;
}

static void messages_of_one_thread_run_once_and_in_order(void **state)
{
    poster posters[POSTERS];

    (void)state;
    run_loop = make_loop();
    n_run = 0;
    for (int k = 0; k < POSTERS; k++) {
        next_of[k] = 0;
        posters[k] = (poster){.loop = run_loop, .messages = calloc(POSTS, sizeof(numbered))};
        assert_non_null(posters[k].messages);
        for (int i = 0; i < POSTS; i++)
            posters[k].messages[i] = (numbered){.m.fn = on_numbered, .poster = k, .i = i};
        assert_int_equal(dq_thread_start(&posters[k].thread, "poster", 0, post_all, &posters[k], NULL), 0);
    }
    dq_loop_run(run_loop);
    assert_int_equal(n_run, POSTERS * POSTS);
    for (int k = 0; k < POSTERS; k++) {
        pthread_join(posters[k].thread, NULL);
        free(posters[k].messages);
    }
    dq_loop_destroy(run_loop);
}

typedef struct again {
    dq_message m;
    dq_loop *loop;
    int left;
} again;

static void on_again(dq_message *m)
{
    again *a = dq_container_of(m, again, m);

    if (a->left-- > 0)
        dq_loop_post(a->loop, m);
    else
        dq_loop_stop(a->loop);
}

static void a_message_may_be_posted_again_from_within(void **state)
{
    again a = {.m.fn = on_again, .left = 100};

    (void)state;
    a.loop = make_loop();
    dq_loop_post(a.loop, &a.m);
    dq_loop_run(a.loop);
    assert_int_equal(a.left, -1);
    dq_loop_destroy(a.loop);
}

static void on_freed(dq_message *m)
{
    free(m);
}

static void what_is_posted_before_the_end_runs_at_the_end(void **state)
{
    again a = {.m.fn = on_again, .left = 3};
    dq_message *freed = calloc(1, sizeof(*freed));

    (void)state;
    assert_non_null(freed);
    a.loop = make_loop();
    freed->fn = on_freed;
    dq_loop_post(a.loop, freed);
    dq_loop_post(a.loop, &a.m);
    dq_loop_destroy(a.loop); /* ASan sees whether both ran */
    assert_int_equal(a.left, -1);
}

/* A message to a sleeping loop, many times: a lost wake-up would hang the test. */
typedef struct echo {
    dq_message m;
    dq_mutex mu;
    dq_cond cond;
    int n;
} echo;

static void on_echo(dq_message *m)
{
    echo *e = dq_container_of(m, echo, m);

    dq_mutex_lock(&e->mu);
    e->n++;
    dq_cond_signal(&e->cond);
    dq_mutex_unlock(&e->mu);
}

static void a_sleeping_loop_wakes_for_each_message(void **state)
{
    echo e = {.m.fn = on_echo};
    dq_loop *loop = make_loop();

    (void)state;
    dq_mutex_init(&e.mu);
    dq_cond_init(&e.cond);
    assert_int_equal(dq_loop_start_thread(loop, "dq-loop", NULL), 0);
    for (int i = 1; i <= 5000; i++) {
        dq_loop_post(loop, &e.m);
        dq_mutex_lock(&e.mu);
        while (e.n < i)
            dq_cond_wait(&e.cond, &e.mu);
        dq_mutex_unlock(&e.mu);
    }
    assert_false(dq_loop_is_here(loop));
    dq_loop_stop_thread(loop);
    dq_loop_destroy(loop);
    dq_cond_deinit(&e.cond);
    dq_mutex_deinit(&e.mu);
}

static void a_stop_before_the_run_is_not_lost(void **state)
{
    dq_loop *loop = make_loop();

    (void)state;
    dq_loop_stop(loop);
    dq_loop_run(loop);
    for (int i = 0; i < 200; i++) {
        assert_int_equal(dq_loop_start_thread(loop, "dq-loop", NULL), 0);
        dq_loop_stop_thread(loop);
    }
    dq_loop_destroy(loop);
}

/* ---- timers ---- */

typedef struct alarm_clock {
    dq_timer t;
    dq_loop *loop;
    int64_t due_us, late_us;
    int n;
    bool stops;
} alarm_clock;

static void on_alarm(dq_timer *t)
{
    alarm_clock *a = dq_container_of(t, alarm_clock, t);

    assert_false(dq_timer_is_set(t));
    a->late_us = dq_mono_us() - a->due_us;
    a->n++;
    if (a->stops)
        dq_loop_stop(a->loop);
}

static void set_alarm(alarm_clock *a, int64_t delay_us)
{
    a->due_us = dq_mono_us() + delay_us;
    dq_timer_set(&a->t, delay_us);
}

static void timers_come_in_order_and_never_early(void **state)
{
    alarm_clock a[20] = {0};
    dq_loop *loop = make_loop();

    (void)state;
    for (int i = 0; i < 20; i++) {
        a[i].loop = loop;
        a[i].stops = i == 0;
        assert_int_equal(dq_timer_init(&a[i].t, loop, on_alarm), 0);
        set_alarm(&a[i], (20 - i) * 500);
    }
    dq_loop_run(loop);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(a[i].n, 1);
        assert_true(a[i].late_us >= -50); /* libevent's clock and ours are read a moment apart */
        dq_timer_deinit(&a[i].t);
    }
    dq_loop_destroy(loop);
}

static int compare_i64(const void *x, const void *y)
{
    int64_t a = *(const int64_t *)x, b = *(const int64_t *)y;

    return (a > b) - (a < b);
}

static void a_timer_is_finer_than_a_millisecond(void **state)
{
    int64_t late_us[101];
    dq_loop *loop = make_loop();
    alarm_clock a = {.loop = loop, .stops = true};

    (void)state;
    assert_int_equal(dq_timer_init(&a.t, loop, on_alarm), 0);
    for (int i = 0; i < 101; i++) {
        set_alarm(&a, 300);
        dq_loop_run(loop);
        late_us[i] = a.late_us;
    }
    qsort(late_us, 101, sizeof(late_us[0]), compare_i64);
    /* Millisecond waits would be 700 us late at least; the smallest fifth bears a busy machine. */
    assert_true(late_us[20] < 600);
    dq_timer_deinit(&a.t);
    dq_loop_destroy(loop);
}

static void a_timer_can_be_moved_cleared_and_set_again(void **state)
{
    dq_loop *loop = make_loop();
    alarm_clock a = {.loop = loop}, end = {.loop = loop, .stops = true};

    (void)state;
    assert_int_equal(dq_timer_init(&a.t, loop, on_alarm), 0);
    assert_int_equal(dq_timer_init(&end.t, loop, on_alarm), 0);
    assert_false(dq_timer_is_set(&a.t));
    dq_timer_set(&a.t, 1000);
    assert_true(dq_timer_is_set(&a.t));
    dq_timer_clear(&a.t);
    assert_false(dq_timer_is_set(&a.t));
    set_alarm(&end, 3000);
    dq_loop_run(loop);
    assert_int_equal(a.n, 0);

    dq_timer_set(&a.t, INT64_MAX); /* far away, not an overflow */
    dq_timer_set(&a.t, -5);        /* at once */
    set_alarm(&end, 1000);
    dq_loop_run(loop);
    assert_int_equal(a.n, 1);
    dq_timer_deinit(&a.t);
    dq_timer_deinit(&a.t);
    dq_timer_deinit(&end.t);
    dq_loop_destroy(loop);
}

typedef struct owner {
    dq_timer t;
    dq_loop *loop;
} owner;

static void on_owner(dq_timer *t)
{
    owner *o = dq_container_of(t, owner, t);

    dq_loop_stop(o->loop);
    dq_timer_deinit(t);
    free(o);
}

static void a_timer_may_free_its_owner(void **state)
{
    owner *o = calloc(1, sizeof(*o));
    dq_loop *loop = make_loop();

    (void)state;
    assert_non_null(o);
    o->loop = loop;
    assert_int_equal(dq_timer_init(&o->t, loop, on_owner), 0);
    dq_timer_set(&o->t, 0);
    dq_loop_run(loop);
    dq_loop_destroy(loop);
}

/* ---- deferred ---- */

typedef struct batch {
    dq_deferred d;
    dq_loop *loop;
    int runs, defers_itself;
} batch;

static void on_batch(dq_deferred *d)
{
    batch *b = dq_container_of(d, batch, d);

    b->runs++;
    if (b->defers_itself-- > 0)
        dq_loop_defer(b->loop, d);
}

static void deferred_work_runs_once_however_often_it_was_asked_for(void **state)
{
    dq_loop *loop = make_loop();
    batch b = {.d.fn = on_batch, .loop = loop}, dropped = {.d.fn = on_batch, .loop = loop};

    (void)state;
    dq_loop_defer(loop, &b.d);
    dq_loop_defer(loop, &b.d);
    dq_loop_defer(loop, &dropped.d);
    dq_loop_undefer(&dropped.d);
    dq_loop_undefer(&dropped.d);
    dq_loop_run_once(loop, false);
    dq_loop_run_once(loop, false);
    assert_int_equal(b.runs, 1);
    assert_int_equal(dropped.runs, 0);
    dq_loop_destroy(loop);
}

static void work_that_defers_itself_does_not_starve_the_loop(void **state)
{
    dq_loop *loop = make_loop();
    batch b = {.d.fn = on_batch, .loop = loop, .defers_itself = 1 << 30};
    alarm_clock a = {.loop = loop, .stops = true};

    (void)state;
    assert_int_equal(dq_timer_init(&a.t, loop, on_alarm), 0);
    set_alarm(&a, 2000);
    dq_loop_defer(loop, &b.d);
    dq_loop_run(loop); /* ends by the timer */
    assert_true(b.runs > 1);
    dq_loop_undefer(&b.d);
    dq_timer_deinit(&a.t);
    dq_loop_destroy(loop);
}

/* ---- names ---- */

typedef struct answer {
    dq_loop *loop;
    int calls;
    size_t n;
    int port, code;
} answer;

static void on_addresses(void *userdata, const dq_address *addresses, size_t n, const dureq_error *err)
{
    answer *a = userdata;

    a->calls++;
    a->n = n;
    a->code = err ? err->code : 0;
    if (n && addresses[0].sa.ss_family == AF_INET)
        a->port = ntohs(((const struct sockaddr_in *)&addresses[0].sa)->sin_port);
    dq_loop_stop(a->loop);
}

typedef struct pipe_reader {
    dq_readable readable;
    dq_loop *loop;
    char got;
} pipe_reader;

static void read_one(dq_readable *w, int fd)
{
    pipe_reader *r = dq_container_of(w, pipe_reader, readable);

    assert_int_equal(read(fd, &r->got, 1), 1);
    dq_loop_stop(r->loop);
}

static void a_descriptor_is_told_of_each_time_it_can_be_read(void **state)
{
    pipe_reader r = {.loop = make_loop()};
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(dq_readable_init(&r.readable, r.loop, ends[0], read_one), 0);
    for (const char *c = "abc"; *c; c++) {
        assert_int_equal(write(ends[1], c, 1), 1);
        dq_loop_run(r.loop);
        assert_int_equal(r.got, *c);
    }
    dq_readable_deinit(&r.readable);
    dq_readable_deinit(&r.readable);
    dq_loop_destroy(r.loop);
    close(ends[0]);
    close(ends[1]);
}

static void numbers_need_no_name_server(void **state)
{
    dq_loop *loop = make_loop();
    answer a = {.loop = loop};
    dq_resolve *q = NULL;

    (void)state;
    assert_int_equal(dq_resolve_start(loop, "127.0.0.1", 4242, on_addresses, &a, &q, NULL), 0);
    dq_loop_run(loop);
    assert_int_equal(a.calls, 1);
    assert_true(a.n >= 1);
    assert_int_equal(a.port, 4242);
    dq_loop_destroy(loop);
}

static void a_cancelled_look_up_stays_silent_and_leaves_nothing(void **state)
{
    dq_loop *loop = make_loop();
    answer a = {.loop = loop};
    dq_resolve *q = NULL;

    (void)state;
    assert_int_equal(dq_resolve_start(loop, "name.invalid", 1, on_addresses, &a, &q, NULL), 0);
    if (a.calls == 0)
        dq_resolve_cancel(q);
    dq_resolve_cancel(NULL);
    dq_loop_destroy(loop);
    assert_true(a.calls == 0 || a.code == DUREQ_EUNAVAILABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_of_one_thread_run_once_and_in_order),
        cmocka_unit_test(a_message_may_be_posted_again_from_within),
        cmocka_unit_test(what_is_posted_before_the_end_runs_at_the_end),
        cmocka_unit_test(a_sleeping_loop_wakes_for_each_message),
        cmocka_unit_test(a_stop_before_the_run_is_not_lost),
        cmocka_unit_test(timers_come_in_order_and_never_early),
        cmocka_unit_test(a_timer_is_finer_than_a_millisecond),
        cmocka_unit_test(a_timer_can_be_moved_cleared_and_set_again),
        cmocka_unit_test(a_timer_may_free_its_owner),
        cmocka_unit_test(deferred_work_runs_once_however_often_it_was_asked_for),
        cmocka_unit_test(work_that_defers_itself_does_not_starve_the_loop),
        cmocka_unit_test(a_descriptor_is_told_of_each_time_it_can_be_read),
        cmocka_unit_test(numbers_need_no_name_server),
        cmocka_unit_test(a_cancelled_look_up_stays_silent_and_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
