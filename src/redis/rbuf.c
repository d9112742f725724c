/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/rbuf.h"

enum {
    FIRST_CAP = 64 * 1024,
    IDLE_CAP_MAX = 1024 * 1024, /* a larger buffer is given back once it is read empty */
    READ_MIN = 16 * 1024,       /* less room than this is not worth a read */
};

dq_rbuf *dq_rbuf_create(size_t cap)
{
    dq_rbuf *b = dq_malloc(sizeof(*b) + cap);

    if (!b)
        return NULL;
    atomic_init(&b->refs, 1);
    b->cap = cap;
    return b;
}

void dq_rbuf_ref(dq_rbuf *b)
{
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
}

void dq_rbuf_unref(dq_rbuf *b)
{
    /* Release: what this holder read happened before the memory is reused; acquire: by whoever reuses it. */
    if (b && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
        dq_free(b);
}

bool dq_rbuf_is_shared(const dq_rbuf *b)
{
    return atomic_load_explicit(&b->refs, memory_order_acquire) > 1;
}

void dq_inbox_clear(dq_inbox *in)
{
    dq_rbuf_unref(in->buf);
    *in = (dq_inbox){.want = in->want};
}

/* A fresh buffer with the unread bytes; holders of the old one keep it. */
static bool replace_buffer(dq_inbox *in, size_t cap)
{
    size_t unread = in->end - in->start;
    dq_rbuf *fresh = dq_rbuf_create(cap);

    if (!fresh)
        return false;
    if (unread)
        memcpy(fresh->data, in->buf->data + in->start, unread);
    dq_rbuf_unref(in->buf);
    *in = (dq_inbox){.buf = fresh, .end = unread, .want = in->want};
    return true;
}

/* Nobody else holds it: the unread bytes may move within it. */
static void compact(dq_inbox *in)
{
    size_t unread = in->end - in->start;

    if (in->start == 0)
        return;
    if (unread)
        memmove(in->buf->data, in->buf->data + in->start, unread);
    in->start = 0;
    in->end = unread;
}

size_t dq_inbox_reserve(dq_inbox *in)
{
    size_t unread = in->end - in->start;
    bool is_shared = in->buf && dq_rbuf_is_shared(in->buf);
    size_t cap = DQ_MAX(in->want, (size_t)FIRST_CAP);

    if (in->buf && !is_shared && unread == 0) {
        in->start = in->end = 0;
        if (in->buf->cap > IDLE_CAP_MAX || in->buf->cap < in->want)
            dq_inbox_clear(in);
    }
    if (in->buf && in->buf->cap - in->end >= READ_MIN)
        return in->buf->cap - in->end;

    /* Moving pays only when the unread bytes are the smaller part; then each byte moves less often than it is read. */
    if (in->buf && !is_shared && unread <= in->buf->cap / 2) {
        compact(in);
        return in->buf->cap - in->end;
    }
    while (cap < unread * 2 + READ_MIN)
        cap *= 2;
    if (!replace_buffer(in, cap))
        return 0;
    return in->buf->cap - in->end;
}

void dq_inbox_added(dq_inbox *in, size_t len)
{
    in->end += len;
    if (in->end == in->buf->cap && in->want < IDLE_CAP_MAX)
        in->want = DQ_MAX(in->want, (size_t)FIRST_CAP) * 2;
}
