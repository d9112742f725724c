/* SPDX-License-Identifier: Apache-2.0 */
#include "client/walk.h"

#include "base/clock.h"

#define FRESH_US 1000000
#define COST     10
#define STALE_US 10000000 /* nothing is given for longer: a walk takes long also where the server was away */

static void walked_unref(dq_walked *w)
{
    if (!w || --w->refs > 0)
        return;
    dq_buf_deinit(&w->rows);
    dq_free(w);
}

static bool is_fresh(const dq_walked *w)
{
    return w && dq_mono_us() - w->done_us < DQ_MAX(FRESH_US, DQ_MIN(STALE_US, COST * w->took_us));
}

/* What others found, if it will do; else NULL, and this caller walks. A walk that is under way is waited for where it is known to be long. */
static dq_walked *take_kept(dureq_client *c, dq_walk_kind kind)
{
    dq_walks *all = &c->walks;
    dq_walked *w;

    dq_mutex_lock(&c->mu);
    while (all->shares && all->kept[kind] && !is_fresh(all->kept[kind]) && all->n_walking[kind] > 0)
        dq_cond_wait(&c->cond, &c->mu);
    w = all->shares && is_fresh(all->kept[kind]) ? all->kept[kind] : NULL;
    if (w)
        w->refs++;
    else
        all->n_walking[kind]++;
    dq_mutex_unlock(&c->mu);
    return w;
}

/* NULL: it failed. Then nothing is kept, so that those who waited do not fail one after the other. */
static void keep(dureq_client *c, dq_walk_kind kind, dq_walked *w)
{
    dq_walks *all = &c->walks;

    dq_mutex_lock(&c->mu);
    all->n_walking[kind]--;
    if (all->shares) {
        walked_unref(all->kept[kind]);
        all->kept[kind] = w && w->is_wide ? w : NULL;
        if (all->kept[kind])
            w->refs++;
    }
    dq_cond_broadcast(&c->cond);
    dq_mutex_unlock(&c->mu);
}

int dq_walk_read(dureq_client *c, dq_walk_kind kind, dq_walk_fn fn, dq_walked **ret, dureq_error *err)
{
    int rc = dq_client_may_wait(c, err);
    dq_walked *w = rc == 0 ? take_kept(c, kind) : NULL;
    int64_t began_us = dq_mono_us();

    if (rc < 0 || w) {
        *ret = w;
        return rc;
    }
    w = dq_calloc(1, sizeof *w);
    rc = w ? fn(c, w, err) : dq_fail_nomem(err);
    if (rc == 0)
        rc = dq_buf_finish(&w->rows, err);
    if (w) {
        w->refs = 1;
        w->done_us = dq_mono_us();
        w->took_us = w->done_us - began_us;
    }
    keep(c, kind, rc == 0 ? w : NULL);
    if (rc < 0)
        walked_unref(w);
    else
        *ret = w;
    return rc;
}

void dq_walk_release(dureq_client *c, dq_walked *w)
{
    dq_mutex_lock(&c->mu);
    walked_unref(w);
    dq_mutex_unlock(&c->mu);
}

void dq_client_share_walks(dureq_client *c)
{
    dq_mutex_lock(&c->mu);
    c->walks.shares = true;
    dq_mutex_unlock(&c->mu);
}

void dq_walks_deinit(dureq_client *c)
{
    for (size_t i = 0; i < DQ_N_WALKS; i++)
        walked_unref(c->walks.kept[i]);
}
