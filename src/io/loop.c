/* SPDX-License-Identifier: Apache-2.0 */
#include "io/loop.h"

#include "base/clock.h"
#include "base/mutex.h"

#include <event2/event.h>

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* One turn is: messages, deferred work, wait, ready sockets and timers (see run_turn). Nothing of it keeps the loop from
   its sockets: each phase takes its list as it stands and leaves what is added meanwhile to the next turn, which then does
   not wait.

   The loop's thread owns everything but the mailbox, which `mu` guards. A poster writes to the eventfd only when the loop
   said, under `mu`, that it is about to wait with an empty mailbox: a busy loop is never woken, and a sleeping one once.
   The eventfd is edge-triggered, so it is never read.

   Timers are libevent's on the precise monotonic clock with a timerfd: without that flag libevent 2.1 measures on the
   coarse clock (4 ms) and rounds waits up to a millisecond. */

struct dq_loop {
    struct event_base *base;
    struct event *wake_event;
    int wake_fd;

    int64_t now_us; /* 0: to be asked for */
    unsigned held;  /* dq_loop_hold less dq_loop_release */
    dq_list deferred;

    dq_mutex mu; /* guards the next two */
    dq_list mailbox;
    bool is_waiting; /* the next post must write to wake_fd */

    atomic_bool is_stopping;
    atomic_bool is_running; /* `owner` holds */
    _Atomic pthread_t owner;

    pthread_t thread;
    bool has_thread;
};

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg; /* waking up is all: run_turn looks into the mailbox */
}

static struct event_base *create_base(void)
{
    struct event_config *cfg = event_config_new();
    struct event_base *base = NULL;

    if (!cfg)
        return NULL;
    if (event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV | EVENT_BASE_FLAG_PRECISE_TIMER) == 0)
        base = event_base_new_with_config(cfg);
    event_config_free(cfg);
    return base;
}

int dq_loop_create(dq_loop **ret, dureq_error *err)
{
    dq_loop *loop = dq_calloc(1, sizeof(*loop));

    if (!loop)
        return dq_fail_nomem(err);
    dq_list_init(&loop->deferred);
    dq_list_init(&loop->mailbox);
    dq_mutex_init(&loop->mu);
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->wake_fd < 0) {
        int sys_errno = errno;

        dq_loop_destroy(loop);
        return dq_fail_errno(err, DUREQ_EIO, sys_errno, "cannot make the loop's eventfd");
    }
    loop->base = create_base();
    loop->wake_event = loop->base ? event_new(loop->base, loop->wake_fd, EV_READ | EV_PERSIST | EV_ET, on_wake, NULL) : NULL;
    if (!loop->wake_event || event_add(loop->wake_event, NULL) < 0) {
        dq_loop_destroy(loop);
        return dq_fail(err, DUREQ_EIO, "cannot make an event loop (descriptors or memory are used up)");
    }

    *ret = loop;
    return 0;
}

/* ---- mailbox ---- */

static void wake(dq_loop *loop)
{
    const uint64_t one = 1;
    ssize_t n = write(loop->wake_fd, &one, sizeof(one));

    (void)n; /* fails only when the counter is full, and then the loop is awake */
}

void dq_loop_post(dq_loop *loop, dq_message *m)
{
    bool must_wake;

    dq_mutex_lock(&loop->mu);
    dq_list_push_back(&loop->mailbox, &m->link);
    must_wake = loop->is_waiting;
    loop->is_waiting = false;
    dq_mutex_unlock(&loop->mu);
    if (must_wake)
        wake(loop);
}

static void run_messages(dq_loop *loop)
{
    dq_list taken;

    dq_list_init(&taken);
    dq_mutex_lock(&loop->mu);
    dq_list_splice_back(&taken, &loop->mailbox);
    dq_mutex_unlock(&loop->mu);

    for (dq_list *link = dq_list_pop_front(&taken); link; link = dq_list_pop_front(&taken)) {
        dq_message *m = dq_container_of(link, dq_message, link);

        m->fn(m);
    }
}

/* ---- deferred work ---- */

void dq_loop_defer(dq_loop *loop, dq_deferred *d)
{
    if (!dq_list_linked(&d->link))
        dq_list_push_back(&loop->deferred, &d->link);
}

void dq_loop_undefer(dq_deferred *d)
{
    dq_list_remove(&d->link);
}

/* Each runs once; one that is deferred meanwhile comes with the next turn. */
static void run_deferred(dq_loop *loop)
{
    dq_list taken;

    dq_list_init(&taken);
    dq_list_splice_back(&taken, &loop->deferred);
    for (dq_list *link = dq_list_pop_front(&taken); link; link = dq_list_pop_front(&taken)) {
        dq_deferred *d = dq_container_of(link, dq_deferred, link);

        d->fn(d);
    }
}

/* ---- turning ---- */

/* Whether the next wait may block: nothing posted, deferred or stopping. From here on a post wakes the loop. */
static bool prepare_wait(dq_loop *loop)
{
    bool idle;

    dq_mutex_lock(&loop->mu);
    idle = dq_list_empty(&loop->mailbox) && dq_list_empty(&loop->deferred) && !atomic_load(&loop->is_stopping);
    loop->is_waiting = idle;
    dq_mutex_unlock(&loop->mu);
    return idle;
}

static void end_wait(dq_loop *loop)
{
    dq_mutex_lock(&loop->mu);
    loop->is_waiting = false;
    dq_mutex_unlock(&loop->mu);
    loop->now_us = 0;
}

static void run_turn(dq_loop *loop, bool block)
{
    bool may_wait;

    run_messages(loop);
    run_deferred(loop);
    may_wait = prepare_wait(loop) && block;
    /* Callbacks run in here, after the wait: they must not see the time before it. */
    loop->now_us = 0;
    (void)event_base_loop(loop->base, EVLOOP_ONCE | (may_wait ? 0 : EVLOOP_NONBLOCK));
    end_wait(loop);
}

static void enter(dq_loop *loop)
{
    assert(!atomic_load(&loop->is_running)); /* one thread at a time, and not from a callback */
    atomic_store(&loop->owner, pthread_self());
    atomic_store(&loop->is_running, true);
}

static void leave(dq_loop *loop)
{
    atomic_store(&loop->is_running, false);
}

int dq_loop_run(dq_loop *loop)
{
    enter(loop);
    while (!atomic_load(&loop->is_stopping))
        run_turn(loop, /*block=*/true);
    atomic_store(&loop->is_stopping, false);
    leave(loop);
    return 0;
}

void dq_loop_run_once(dq_loop *loop, bool block)
{
    enter(loop);
    run_turn(loop, block);
    leave(loop);
}

void dq_loop_stop(dq_loop *loop)
{
    bool must_wake;

    dq_mutex_lock(&loop->mu);
    atomic_store(&loop->is_stopping, true);
    must_wake = loop->is_waiting;
    loop->is_waiting = false;
    dq_mutex_unlock(&loop->mu);
    if (must_wake)
        wake(loop);
}

static void *loop_thread_main(void *arg)
{
    (void)dq_loop_run(arg);
    return NULL;
}

int dq_loop_start_thread(dq_loop *loop, const char *name, dureq_error *err)
{
    int rc;

    assert(!loop->has_thread);
    rc = dq_thread_start(&loop->thread, name, 0, loop_thread_main, loop, err);
    if (rc < 0)
        return rc;

    loop->has_thread = true;
    return 0;
}

void dq_loop_stop_thread(dq_loop *loop)
{
    if (!loop->has_thread)
        return;
    dq_loop_stop(loop);
    pthread_join(loop->thread, NULL);
    loop->has_thread = false;
}

void dq_loop_destroy(dq_loop *loop)
{
    if (!loop)
        return;
    assert(!loop->has_thread);
    /* A message may post another: until none is left. Nobody else may post any more. */
    while (!dq_list_empty(&loop->mailbox))
        run_messages(loop);
    while (loop->held > 0)
        dq_loop_run_once(loop, /*block=*/true);
    if (loop->wake_event)
        event_free(loop->wake_event);
    if (loop->base)
        event_base_free(loop->base);
    if (loop->wake_fd >= 0)
        close(loop->wake_fd);
    dq_mutex_deinit(&loop->mu);
    dq_free(loop);
}

bool dq_loop_is_here(const dq_loop *loop)
{
    return !atomic_load(&loop->is_running) || pthread_equal(atomic_load(&loop->owner), pthread_self());
}

bool dq_loop_is_turning_here(const dq_loop *loop)
{
    return atomic_load(&loop->is_running) && pthread_equal(atomic_load(&loop->owner), pthread_self());
}

void dq_loop_assert_here(const dq_loop *loop)
{
    assert(dq_loop_is_here(loop));
    (void)loop;
}

int64_t dq_loop_now_us(dq_loop *loop)
{
    if (!loop->now_us)
        loop->now_us = dq_mono_us();
    return loop->now_us;
}

struct event_base *dq_loop_base(dq_loop *loop)
{
    return loop->base;
}

void dq_loop_hold(dq_loop *loop)
{
    loop->held++;
}

void dq_loop_release(dq_loop *loop)
{
    assert(loop->held > 0);
    loop->held--;
    if (loop->held == 0)
        wake(loop); /* dq_loop_destroy may be in the turn that was to wait for this */
}

/* ---- timers ---- */

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    dq_timer *t = arg;

    (void)fd;
    (void)what;
    t->fn(t);
}

int dq_timer_init(dq_timer *t, dq_loop *loop, void (*fn)(dq_timer *t))
{
    struct event *ev = evtimer_new(loop->base, on_timer, t);

    if (!ev)
        return DUREQ_ENOMEM;

    *t = (dq_timer){.loop = loop, .ev = ev, .fn = fn};
    return 0;
}

void dq_timer_set(dq_timer *t, int64_t delay_us)
{
    int64_t us = DQ_MAX(delay_us, 0);
    /* libevent wants less than about 30 years; a year is as good as for ever. */
    int64_t seconds = DQ_MIN(us / 1000000, (int64_t)366 * 86400);
    struct timeval tv = {.tv_sec = (time_t)seconds, .tv_usec = (suseconds_t)(us % 1000000)};
    int rc = evtimer_add((struct event *)t->ev, &tv);

    /* Out of memory: better at once than never. */
    if (rc < 0)
        event_active((struct event *)t->ev, EV_TIMEOUT, 0);
}

void dq_timer_clear(dq_timer *t)
{
    if (t->ev)
        (void)evtimer_del((struct event *)t->ev);
}

bool dq_timer_is_set(const dq_timer *t)
{
    return t->ev && evtimer_pending((struct event *)t->ev, NULL);
}

void dq_timer_deinit(dq_timer *t)
{
    if (t->ev)
        event_free(t->ev);
    *t = (dq_timer){0};
}

/* ---- descriptors ---- */

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    dq_readable *w = arg;

    (void)what;
    w->fn(w, fd);
}

int dq_readable_init(dq_readable *w, dq_loop *loop, int fd, void (*fn)(dq_readable *w, int fd))
{
    struct event *ev = event_new(loop->base, fd, EV_READ | EV_PERSIST, on_readable, w);

    if (!ev)
        return DUREQ_ENOMEM;
    if (event_add(ev, NULL) < 0) {
        event_free(ev);
        return DUREQ_ENOMEM;
    }
    *w = (dq_readable){.ev = ev, .fn = fn};
    return 0;
}

void dq_readable_deinit(dq_readable *w)
{
    if (w->ev)
        event_free(w->ev);
    *w = (dq_readable){0};
}
