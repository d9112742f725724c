/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mutex.h"

#include "base/clock.h"
#include "base/str.h"

#include "expect.h"

#include <signal.h>

/* What the threads of one test share. A limit on every wait turns a lost wake-up into a failure. */
typedef struct shared {
    dq_mutex mu;
    dq_cond cond;
    int n, waiting, woken;
    bool go;
    sigset_t mask;
    char name[32];
} shared;

enum { LIMIT_US = 10 * 1000000, THREADS = 4, ROUNDS = 20000 };

static void shared_init(shared *s)
{
    *s = (shared){0};
    dq_mutex_init(&s->mu);
    dq_cond_init(&s->cond);
}

static void shared_deinit(shared *s)
{
    dq_cond_deinit(&s->cond);
    dq_mutex_deinit(&s->mu);
}

static void start(pthread_t *thread, void *(*fn)(void *), shared *s)
{
    EXPECT_RC(0, dq_thread_start(thread, "test", 0, fn, s, NULL));
}

static void *count(void *arg)
{
    shared *s = arg;

    for (int i = 0; i < ROUNDS; i++) {
        dq_mutex_lock(&s->mu);
        s->n++;
        dq_mutex_unlock(&s->mu);
    }
    return NULL;
}

TEST(one_thread_at_a_time_holds_a_mutex)
{
    pthread_t threads[THREADS];
    shared s;

    shared_init(&s);
    for (int i = 0; i < THREADS; i++)
        start(&threads[i], count, &s);
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    EXPECT_I64(THREADS * ROUNDS, s.n);
    shared_deinit(&s);
}

static void *wait_for_go(void *arg)
{
    shared *s = arg;
    bool in_time = true;

    dq_mutex_lock(&s->mu);
    s->waiting++;
    dq_cond_broadcast(&s->cond);
    while (!s->go && in_time)
        in_time = dq_cond_wait_until(&s->cond, &s->mu, dq_mono_us() + LIMIT_US);
    s->woken += s->go;
    dq_mutex_unlock(&s->mu);
    return NULL;
}

TEST(a_broadcast_wakes_all_who_wait)
{
    pthread_t threads[THREADS];
    bool in_time = true;
    shared s;

    shared_init(&s);
    for (int i = 0; i < THREADS; i++)
        start(&threads[i], wait_for_go, &s);
    dq_mutex_lock(&s.mu);
    while (s.waiting < THREADS && in_time)
        in_time = dq_cond_wait_until(&s.cond, &s.mu, dq_mono_us() + LIMIT_US);
    s.go = true;
    dq_cond_broadcast(&s.cond);
    dq_mutex_unlock(&s.mu);
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    EXPECT_I64(THREADS, s.woken);
    shared_deinit(&s);
}

static void *answer_turns(void *arg)
{
    shared *s = arg;

    dq_mutex_lock(&s->mu);
    while (s->n < 2000) {
        while (s->n % 2 == 0)
            dq_cond_wait(&s->cond, &s->mu);
        s->n++;
        dq_cond_signal(&s->cond);
    }
    dq_mutex_unlock(&s->mu);
    return NULL;
}

TEST(signals_hand_the_turn_to_and_fro)
{
    pthread_t thread;
    bool in_time = true;
    shared s;

    shared_init(&s);
    start(&thread, answer_turns, &s);
    dq_mutex_lock(&s.mu);
    while (s.n < 2000 && in_time) {
        s.n++;
        dq_cond_signal(&s.cond);
        while (s.n % 2 == 1 && in_time)
            in_time = dq_cond_wait_until(&s.cond, &s.mu, dq_mono_us() + LIMIT_US);
    }
    dq_mutex_unlock(&s.mu);
    EXPECT_TRUE(in_time);
    (void)pthread_join(thread, NULL);
    EXPECT_I64(2000, s.n);
    shared_deinit(&s);
}

TEST(a_wait_ends_at_its_deadline_and_not_before)
{
    int64_t begun, deadline;
    bool woken = true;
    shared s;

    shared_init(&s);
    dq_mutex_lock(&s.mu);
    begun = dq_mono_us();
    deadline = begun + 20000;
    while (woken && dq_mono_us() < deadline + LIMIT_US) /* it may wake without reason */
        woken = dq_cond_wait_until(&s.cond, &s.mu, deadline);
    EXPECT_FALSE(woken);
    EXPECT_TRUE(dq_mono_us() >= deadline);
    EXPECT_FALSE(dq_cond_wait_until(&s.cond, &s.mu, begun)); /* over before it began */
    EXPECT_FALSE(dq_cond_wait_until(&s.cond, &s.mu, 0));
    dq_mutex_unlock(&s.mu);
    shared_deinit(&s);
}

TEST(a_deadline_far_away_or_negative_waits_until_woken)
{
    static const int64_t deadlines[] = {INT64_MAX, -1, INT64_MIN};

    for (size_t i = 0; i < DQ_ARRAY_LEN(deadlines); i++) {
        pthread_t thread;
        bool woken = true;
        shared s;

        EXPECT_NOTE("deadline %lld", (long long)deadlines[i]);
        shared_init(&s);
        s.n = 1; /* the other's turn at once: it makes 2 of it and signals, until 2000 */
        dq_mutex_lock(&s.mu);
        start(&thread, answer_turns, &s);
        while (s.n == 1 && woken)
            woken = dq_cond_wait_until(&s.cond, &s.mu, deadlines[i]);
        s.n = 1999; /* its last turn */
        dq_cond_signal(&s.cond);
        dq_mutex_unlock(&s.mu);
        (void)pthread_join(thread, NULL);
        EXPECT_TRUE(woken);
        EXPECT_I64(2000, s.n);
        shared_deinit(&s);
    }
}

static void *look_at_oneself(void *arg)
{
    shared *s = arg;

    (void)pthread_sigmask(SIG_SETMASK, NULL, &s->mask);
    return NULL;
}

TEST(a_new_thread_takes_no_signals_and_ours_are_as_before)
{
    sigset_t before, after;
    pthread_t thread;
    shared s;

    shared_init(&s);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &before);
    start(&thread, look_at_oneself, &s);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &after);
    (void)pthread_join(thread, NULL);
    EXPECT_I64(1, sigismember(&s.mask, SIGTERM));
    EXPECT_I64(1, sigismember(&s.mask, SIGCHLD));
    for (int sig = 1; sig < 32; sig++)
        EXPECT_I64(sigismember(&before, sig), sigismember(&after, sig));
    shared_deinit(&s);
}

TEST(a_thread_has_its_name)
{
    pthread_t thread;
    char name[32] = "";
    shared s;

    shared_init(&s);
    EXPECT_RC(0, dq_thread_start(&thread, "dq-loop", 256 * 1024, wait_for_go, &s, NULL));
    (void)pthread_getname_np(thread, name, sizeof(name));
    EXPECT_TEXT("dq-loop", name);
    dq_mutex_lock(&s.mu);
    s.go = true;
    dq_cond_broadcast(&s.cond);
    dq_mutex_unlock(&s.mu);
    (void)pthread_join(thread, NULL);
    shared_deinit(&s);
}

TEST(a_thread_that_cannot_start_says_which)
{
    dureq_error err = {0};
    pthread_t thread;
    shared s;

    shared_init(&s);
    EXPECT_RC(DUREQ_EIO, dq_thread_start(&thread, "too-big", (size_t)1 << 50, look_at_oneself, &s, &err));
    EXPECT_HAS("too-big", err.msg);
    EXPECT_TRUE(err.sys_errno != 0);
    shared_deinit(&s);
}

TEST_MAIN()
