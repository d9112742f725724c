/* SPDX-License-Identifier: Apache-2.0 */
/* The thread sends the loop messages, and each is answered before the next: what is put belongs to one of them at a time. */
#include "client/event_follow.h"

#include "client/client_internal.h"

#define TAKE_BYTES 65536

typedef struct follower {
    const dq_event_follow *f;
    dureq_error *err;
    dq_event_hub *hub;
    dq_event_sub *sub;
    dq_message open, take, close;

    dq_mutex mu; /* guards the rest */
    dq_cond cond;
    int rc;
    bool is_answered, has_more;
} follower;

static void answer(follower *w, bool has_more)
{
    dq_mutex_lock(&w->mu);
    w->is_answered = true;
    w->has_more = has_more;
    dq_cond_signal(&w->cond);
    dq_mutex_unlock(&w->mu);
}

static void on_more(void *userdata)
{
    answer(userdata, /*has_more=*/true);
}

static void on_open(dq_message *m)
{
    follower *w = dq_container_of(m, follower, open);
    dq_event_sub_options o = w->f->options;

    o.on_more = on_more;
    o.userdata = w;
    w->rc = dq_event_sub_open(w->hub, &o, &w->sub, w->err);
    if (w->rc < 0)
        answer(w, /*has_more=*/false);
}

static void on_take(dq_message *m)
{
    follower *w = dq_container_of(m, follower, take);

    answer(w, dq_event_sub_take(w->sub, TAKE_BYTES, w->f->put, w->f->put_userdata));
}

static void on_close(dq_message *m)
{
    follower *w = dq_container_of(m, follower, close);

    dq_event_sub_close(w->sub);
    dq_event_hub_destroy(w->hub);
    answer(w, /*has_more=*/false);
}

static bool wait_for(follower *w)
{
    dq_mutex_lock(&w->mu);
    while (!w->is_answered)
        dq_cond_wait(&w->cond, &w->mu);
    w->is_answered = false;
    bool has_more = w->has_more;
    dq_mutex_unlock(&w->mu);
    return has_more;
}

static int run(follower *w, dq_loop *loop)
{
    int rc;

    dq_loop_post(loop, &w->open);
    (void)wait_for(w);
    rc = w->rc;
    while (rc == 0) {
        bool has_more;

        dq_loop_post(loop, &w->take);
        has_more = wait_for(w);
        rc = w->f->flush_fn(w->f->flush_userdata, w->err);
        if (rc == 0 && !has_more)
            (void)wait_for(w); /* for on_more */
    }
    dq_loop_post(loop, &w->close);
    (void)wait_for(w);
    return rc;
}

int dq_client_follow_events(dureq_client *c, const dq_event_follow *f, dureq_error *err)
{
    follower w = {.f = f, .err = err, .open.fn = on_open, .take.fn = on_take, .close.fn = on_close};
    int rc;

    w.hub = dq_event_hub_create(c);
    if (!w.hub)
        return dq_fail_nomem(err);
    dq_mutex_init(&w.mu);
    dq_cond_init(&w.cond);
    rc = run(&w, c->loop);
    dq_cond_deinit(&w.cond);
    dq_mutex_deinit(&w.mu);
    return rc;
}
