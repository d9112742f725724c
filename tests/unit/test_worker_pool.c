/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "worker/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { THREADS = 4, MANY = 2000 };

typedef struct task {
    dq_list link;
    int n_runs, n_done; /* each by the thread that has the task */
    bool waits;         /* until `gate` opens */
} task;

typedef struct rig {
    dq_loop *loop;
    dq_pool *pool;
    task tasks[MANY];
    int n_back, n_wanted; /* loop thread */
    dq_mutex mu;
    dq_cond cond;
    bool is_open;         /* the gate */
    int n_inside, n_most; /* tasks that wait at it */
} rig;

static void run(dq_list *link, void *userdata)
{
    task *t = dq_container_of(link, task, link);
    rig *r = userdata;

    t->n_runs++;
    if (!t->waits)
        return;
    dq_mutex_lock(&r->mu);
    r->n_inside++;
    r->n_most = DQ_MAX(r->n_most, r->n_inside);
    dq_cond_broadcast(&r->cond);
    while (!r->is_open)
        dq_cond_wait(&r->cond, &r->mu);
    r->n_inside--;
    dq_mutex_unlock(&r->mu);
}

static void done(dq_list *link, void *userdata)
{
    rig *r = userdata;

    dq_container_of(link, task, link)->n_done++;
    if (++r->n_back == r->n_wanted)
        dq_loop_stop(r->loop);
}

static void batch_done(void *userdata)
{
    (void)userdata;
}

static rig *make_rig(void)
{
    rig *r = calloc(1, sizeof *r);
    dq_pool_callbacks cb = {.run = run, .done = done, .batch_done = batch_done, .userdata = r};

    assert_non_null(r);
    dq_mutex_init(&r->mu);
    dq_cond_init(&r->cond);
    assert_int_equal(dq_loop_create(&r->loop, NULL), 0);
    assert_int_equal(dq_pool_create(r->loop, &(dq_pool_options){.n_max = THREADS}, &cb, &r->pool, NULL), 0);
    return r;
}

static void free_rig(rig *r)
{
    dq_pool_close(r->pool);
    dq_loop_destroy(r->loop);
    dq_pool_destroy(r->pool);
    dq_cond_deinit(&r->cond);
    dq_mutex_deinit(&r->mu);
    free(r);
}

static void push(rig *r, int from, int to, bool waits)
{
    dq_list batch;

    dq_list_init(&batch);
    for (int i = from; i < to; i++) {
        r->tasks[i].waits = waits;
        dq_list_push_back(&batch, &r->tasks[i].link);
    }
    dq_pool_push(r->pool, &batch);
}

static void run_until_back(rig *r, int n)
{
    r->n_wanted = n;
    if (r->n_back < n)
        dq_loop_run(r->loop);
    assert_int_equal(r->n_back, n);
}

static void wait_for_inside(rig *r, int n)
{
    dq_mutex_lock(&r->mu);
    while (r->n_inside < n)
        assert_true(dq_cond_wait_until(&r->cond, &r->mu, dq_mono_us() + 20 * 1000000));
    dq_mutex_unlock(&r->mu);
}

static void open_gate(rig *r)
{
    dq_mutex_lock(&r->mu);
    r->is_open = true;
    dq_cond_broadcast(&r->cond);
    dq_mutex_unlock(&r->mu);
}

static void each_task_runs_once_and_comes_back(void **state)
{
    rig *r = make_rig();

    (void)state;
    for (int i = 0; i < MANY; i += MANY / 10)
        push(r, i, i + MANY / 10, false);
    run_until_back(r, MANY);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(r->tasks[i].n_runs, 1);
        assert_int_equal(r->tasks[i].n_done, 1);
    }
    free_rig(r);
}

static void blocking_tasks_have_all_threads_and_no_more(void **state)
{
    rig *r = make_rig();

    (void)state;
    push(r, 0, 10, true);
    wait_for_inside(r, THREADS);
    open_gate(r);
    run_until_back(r, 10);
    assert_int_equal(r->n_most, THREADS);
    free_rig(r);
}

static void a_thread_that_is_lost_is_made_up_for(void **state)
{
    rig *r = make_rig();

    (void)state;
    push(r, 0, THREADS, true);
    wait_for_inside(r, THREADS);
    push(r, THREADS, THREADS + 1, true);
    dq_pool_lost_thread(r->pool, 1);
    wait_for_inside(r, THREADS + 1);
    dq_pool_lost_thread(r->pool, -1);
    open_gate(r);
    run_until_back(r, THREADS + 1);
    free_rig(r);
}

static void what_no_thread_has_can_be_taken_out(void **state)
{
    rig *r = make_rig();

    (void)state;
    push(r, 0, THREADS + 2, true);
    wait_for_inside(r, THREADS);
    assert_false(dq_pool_take_out(r->pool, &r->tasks[0].link));
    assert_true(dq_pool_take_out(r->pool, &r->tasks[THREADS].link));
    assert_false(dq_pool_take_out(r->pool, &r->tasks[THREADS].link));
    open_gate(r);
    run_until_back(r, THREADS + 1);
    assert_int_equal(r->tasks[THREADS].n_runs, 0);
    assert_int_equal(r->tasks[THREADS + 1].n_runs, 1);
    free_rig(r);
}

/* No exit code of the child's asserts: they end it with another. */
static void run_where_no_thread_can_be_made(void)
{
    rig *r;

    if (geteuid() == 0 && setuid(65534) < 0) /* root may have as many as it likes */
        _exit(1);
    r = make_rig();
    if (setrlimit(RLIMIT_NPROC, &(struct rlimit){0, 0}) < 0)
        _exit(2);
    push(r, 0, 20, false);
    run_until_back(r, 20);
    for (int i = 0; i < 20; i++)
        if (r->tasks[i].n_runs != 1)
            _exit(3);
    _exit(0);
}

static void one_thread_runs_all_when_the_system_gives_no_more(void **state)
{
    pid_t pid = fork();
    int status;

    (void)state;
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)alarm(20);
        run_where_no_thread_can_be_made();
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void a_pool_without_a_thread_is_none(void **state)
{
    pid_t pid = fork();
    int status;

    (void)state;
    assert_true(pid >= 0);
    if (pid == 0) {
        dq_pool_callbacks cb = {.run = run, .done = done, .batch_done = batch_done};
        dureq_error err = {0};
        dq_pool *p = NULL;
        dq_loop *loop;

        if (dq_loop_create(&loop, NULL) < 0 || (geteuid() == 0 && setuid(65534) < 0) ||
            setrlimit(RLIMIT_NPROC, &(struct rlimit){0, 0}) < 0)
            _exit(1);
        _exit(dq_pool_create(loop, &(dq_pool_options){.n_max = THREADS}, &cb, &p, &err) == DUREQ_EIO && !p && err.msg[0] ? 0 : 2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread_runs_all_when_the_system_gives_no_more),
        cmocka_unit_test(a_pool_without_a_thread_is_none),
        cmocka_unit_test(each_task_runs_once_and_comes_back),
        cmocka_unit_test(blocking_tasks_have_all_threads_and_no_more),
        cmocka_unit_test(a_thread_that_is_lost_is_made_up_for),
        cmocka_unit_test(what_no_thread_has_can_be_taken_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
