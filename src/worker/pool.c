/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/pool.h"

#include <stdatomic.h>

#include "worker/overflow.h"

#define GUARD_BYTES    (64 * 1024) /* below each stack: a frame larger than this can step over it */
#define RUNNING_A_WAKE 4           /* handlers that run for each thread that may be on its way beside the first */
#define RUNNING_MANY   8           /* more than run at once when they are short */

struct dq_pool {
    dq_loop *loop;
    dq_pool_callbacks cb;
    size_t stack_bytes;
    sigset_t signals;

    dq_mutex mu; /* guards the rest except for `back` */
    dq_cond cond;
    dq_list queue;
    unsigned n_max, n_threads, n_idle;
    unsigned n_waking;     /* threads that were signalled or started and have not looked for a run yet; about */
    atomic_uint n_running; /* this one and the next: relaxed; written under mu, read for a guess */
    atomic_size_t n_waiting;
    int n_lost; /* threads held by handlers that were given up */
    bool stopping;

    dq_mutex back_mu; /* guards the next three */
    dq_list back;
    bool posted, closed;
    dq_message message;
};

static unsigned running(dq_pool *p)
{
    return atomic_load_explicit(&p->n_running, memory_order_relaxed);
}

static size_t waiting(dq_pool *p)
{
    return atomic_load_explicit(&p->n_waiting, memory_order_relaxed);
}

bool dq_pool_runs_off(dq_pool *p)
{
    return waiting(p) > 0 && running(p) < RUNNING_MANY;
}

static void run_back(dq_message *m)
{
    dq_pool *p = dq_container_of(m, dq_pool, message);
    dq_list batch;

    dq_list_init(&batch);
    dq_mutex_lock(&p->back_mu);
    if (!p->closed)
        dq_list_splice_back(&batch, &p->back);
    p->posted = false;
    dq_mutex_unlock(&p->back_mu);
    if (dq_list_empty(&batch))
        return;
    while (!dq_list_empty(&batch))
        p->cb.done(dq_list_pop_front(&batch), p->cb.userdata);
    p->cb.batch_done(p->cb.userdata);
}

/* What comes back when the pool is closed was given up long ago, and the loop may be gone. */
static void give_back(dq_pool *p, dq_list *link)
{
    bool post;

    dq_mutex_lock(&p->back_mu);
    post = !p->closed && !p->posted;
    if (!p->closed) {
        dq_list_push_back(&p->back, link);
        p->posted = true;
    }
    if (post)
        dq_loop_post(p->loop, &p->message);
    dq_mutex_unlock(&p->back_mu);
}

static void *thread_main(void *arg);

static int start_thread_locked(dq_pool *p, dureq_error *err) DQ_REQUIRES(p->mu)
{
    dq_thread_spec spec = {.name = "dq-pool",
                           .stack_bytes = p->stack_bytes,
                           .guard_bytes = GUARD_BYTES,
                           .signals = &p->signals,
                           .fn = thread_main,
                           .arg = p};
    pthread_t thread;
    int rc = dq_thread_start_as(&thread, &spec, err);

    if (rc < 0)
        return rc;
    pthread_detach(thread);
    p->n_threads++;
    p->n_waking++;
    return 0;
}

/* A thread that cannot be made is done without: those there are take the runs in turn. */
static bool wake_one_locked(dq_pool *p) DQ_REQUIRES(p->mu)
{
    if (p->n_idle <= p->n_waking)
        return (int)p->n_threads < (int)p->n_max + p->n_lost && start_thread_locked(p, NULL) == 0;
    dq_cond_signal(&p->cond);
    p->n_waking++;
    return true;
}

static void wake_locked(dq_pool *p) DQ_REQUIRES(p->mu)
{
    size_t n = DQ_MIN(1 + running(p) / RUNNING_A_WAKE, waiting(p));

    while (p->n_waking < n && wake_one_locked(p))
        ;
}

static dq_list *take_locked(dq_pool *p) DQ_REQUIRES(p->mu)
{
    while (dq_list_empty(&p->queue) && !p->stopping) {
        p->n_idle++;
        dq_cond_wait(&p->cond, &p->mu);
        p->n_idle--;
        p->n_waking -= p->n_waking > 0;
    }
    dq_list *link = dq_list_pop_front(&p->queue);

    if (link)
        atomic_fetch_sub_explicit(&p->n_waiting, 1, memory_order_relaxed);
    return link;
}

static void *thread_main(void *arg)
{
    dq_pool *p = arg;
    void *watch = dq_overflow_watch();
    dq_list *link;

    dq_mutex_lock(&p->mu);
    p->n_waking -= p->n_waking > 0;
    for (link = take_locked(p); link; link = take_locked(p)) {
        atomic_fetch_add_explicit(&p->n_running, 1, memory_order_relaxed);
        wake_locked(p);
        dq_mutex_unlock(&p->mu);
        p->cb.run(link, p->cb.userdata);
        give_back(p, link);
        dq_mutex_lock(&p->mu);
        atomic_fetch_sub_explicit(&p->n_running, 1, memory_order_relaxed);
    }
    p->n_threads--;
    dq_cond_broadcast(&p->cond);
    dq_mutex_unlock(&p->mu);
    dq_overflow_unwatch(watch); /* after the pool may be gone: touches this thread only */
    return NULL;
}

int dq_pool_create(dq_loop *loop, const dq_pool_options *o, const dq_pool_callbacks *cb, dq_pool **ret, dureq_error *err)
{
    dq_pool *p = dq_calloc(1, sizeof *p);

    if (!p)
        return dq_fail_nomem(err);
    p->loop = loop;
    p->cb = *cb;
    p->n_max = o->n_max;
    p->stack_bytes = o->stack_bytes ? o->stack_bytes : DQ_POOL_STACK_BYTES;
    (void)sigfillset(&p->signals);
    if (o->signals)
        p->signals = *o->signals;
    p->message.fn = run_back;
    dq_list_init(&p->queue);
    dq_list_init(&p->back);
    dq_mutex_init(&p->mu);
    dq_cond_init(&p->cond);
    dq_mutex_init(&p->back_mu);
    dq_mutex_lock(&p->mu);
    int rc = start_thread_locked(p, err); /* so that there is one, however few threads the system gives later */
    dq_mutex_unlock(&p->mu);
    if (rc < 0) {
        dq_pool_destroy(p);
        return rc;
    }
    *ret = p;
    return 0;
}

void dq_pool_close(dq_pool *p)
{
    dq_mutex_lock(&p->back_mu);
    p->closed = true;
    dq_mutex_unlock(&p->back_mu);
}

void dq_pool_destroy(dq_pool *p)
{
    if (!p)
        return;
    dq_pool_close(p);
    dq_mutex_lock(&p->mu);
    p->stopping = true;
    dq_list_init(&p->queue); /* nobody begins one any more */
    dq_cond_broadcast(&p->cond);
    while ((int)p->n_threads > p->n_lost)
        dq_cond_wait(&p->cond, &p->mu);
    bool leave = p->n_threads > 0; /* a handler that never returns still uses the pool */
    dq_mutex_unlock(&p->mu);
    dq_mutex_lock(&p->back_mu);
    leave = leave || p->posted; /* the loop still has its message */
    dq_mutex_unlock(&p->back_mu);
    if (leave)
        return;
    dq_mutex_deinit(&p->back_mu);
    dq_cond_deinit(&p->cond);
    dq_mutex_deinit(&p->mu);
    dq_free(p);
}

void dq_pool_push(dq_pool *p, dq_list *batch)
{
    size_t n = 0;

    for (dq_list *at = batch->next; at != batch; at = at->next)
        n++;
    if (n == 0)
        return;
    dq_mutex_lock(&p->mu);
    atomic_fetch_add_explicit(&p->n_waiting, n, memory_order_relaxed);
    dq_list_splice_back(&p->queue, batch);
    wake_locked(p);
    dq_mutex_unlock(&p->mu);
}

void dq_pool_lost_thread(dq_pool *p, int n)
{
    dq_mutex_lock(&p->mu);
    p->n_lost += n;
    wake_locked(p);
    dq_mutex_unlock(&p->mu);
}

bool dq_pool_take_out(dq_pool *p, dq_list *link)
{
    bool found = false;

    dq_mutex_lock(&p->mu);
    for (dq_list *at = p->queue.next; at != &p->queue && !found; at = at->next)
        found = at == link;
    if (found) {
        dq_list_remove(link);
        atomic_fetch_sub_explicit(&p->n_waiting, 1, memory_order_relaxed);
    }
    dq_mutex_unlock(&p->mu);
    return found;
}
