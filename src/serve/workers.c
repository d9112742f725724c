/* SPDX-License-Identifier: Apache-2.0 */
/* A few threads for requests that block. They are made when they are needed, and kept. Those that scan have at most DQ_SERVE_SCANS_MAX of them, so
   that the short ones always find one. */
#include "serve/serve_internal.h"

#define STACK_BYTES (512 * 1024)

struct dq_workers {
    unsigned n_max;
    pthread_t *threads;

    dq_mutex mu; /* guards the rest */
    dq_cond cond;
    dq_list quick, scans;
    size_t n_quick, n_scans;
    unsigned n_threads, n_idle, n_scanning;
    bool is_closing;
};

static dq_work *take_scan_locked(dq_workers *w)
{
    if (dq_list_empty(&w->scans) || w->n_scanning == DQ_SERVE_SCANS_MAX || (w->n_scanning + 1 == w->n_max && w->n_max > 1))
        return NULL;
    w->n_scans--;
    w->n_scanning++;
    return dq_container_of(dq_list_pop_front(&w->scans), dq_work, link);
}

/* Short ones first, but one that scans is always under way while there are some. */
static dq_work *take_locked(dq_workers *w)
{
    dq_work *work = w->n_scanning == 0 ? take_scan_locked(w) : NULL;

    if (work)
        return work;
    if (dq_list_empty(&w->quick))
        return take_scan_locked(w);
    w->n_quick--;
    return dq_container_of(dq_list_pop_front(&w->quick), dq_work, link);
}

static void *run(void *arg)
{
    dq_workers *w = arg;

    dq_mutex_lock(&w->mu);
    for (;;) {
        dq_work *work = take_locked(w);
        bool scans;

        if (!work && w->is_closing)
            break;
        if (!work) {
            w->n_idle++;
            dq_cond_wait(&w->cond, &w->mu);
            w->n_idle--;
            continue;
        }
        scans = work->scans;
        dq_mutex_unlock(&w->mu);
        work->run(work);
        dq_mutex_lock(&w->mu);
        w->n_scanning -= scans;
    }
    dq_mutex_unlock(&w->mu);
    return NULL;
}

dq_workers *dq_workers_create(unsigned n_max)
{
    dq_workers *w = dq_calloc(1, sizeof *w);
    pthread_t *threads = dq_calloc(n_max, sizeof *threads);

    if (!w || !threads) {
        dq_free(w);
        dq_free(threads);
        return NULL;
    }
    w->n_max = n_max;
    w->threads = threads;
    dq_mutex_init(&w->mu);
    dq_cond_init(&w->cond);
    dq_list_init(&w->quick);
    dq_list_init(&w->scans);
    return w;
}

/* Whether somebody will look at what was pushed. */
static bool is_served_locked(dq_workers *w)
{
    size_t waiting = w->n_quick + w->n_scans;

    if (w->n_idle >= waiting || w->n_threads == w->n_max)
        return w->n_threads > 0;
    if (dq_thread_start(&w->threads[w->n_threads], "dq-serve", STACK_BYTES, run, w, NULL) == 0)
        w->n_threads++;
    return w->n_threads > 0;
}

bool dq_workers_push(dq_workers *w, dq_work *work)
{
    dq_list *list = work->scans ? &w->scans : &w->quick;
    size_t *n = work->scans ? &w->n_scans : &w->n_quick;
    bool taken;

    dq_mutex_lock(&w->mu);
    taken = *n < DQ_SERVE_QUEUE_MAX;
    if (taken) {
        dq_list_push_back(list, &work->link);
        (*n)++;
        taken = is_served_locked(w);
        if (!taken) {
            dq_list_remove(&work->link);
            (*n)--;
        }
    }
    if (taken && w->n_idle)
        dq_cond_signal(&w->cond);
    dq_mutex_unlock(&w->mu);
    return taken;
}

void dq_workers_destroy(dq_workers *w)
{
    if (!w)
        return;
    dq_mutex_lock(&w->mu);
    w->is_closing = true;
    dq_cond_broadcast(&w->cond);
    unsigned n = w->n_threads;
    dq_mutex_unlock(&w->mu);
    for (unsigned i = 0; i < n; i++)
        (void)pthread_join(w->threads[i], NULL);
    dq_cond_deinit(&w->cond);
    dq_mutex_deinit(&w->mu);
    dq_free(w->threads);
    dq_free(w);
}
