/* SPDX-License-Identifier: Apache-2.0 */
#include "base/heap.h"

void dq_heap_deinit(dq_heap *h)
{
    dq_free(h->nodes);
    *h = (dq_heap){0};
}

static void put(dq_heap *h, size_t pos, dq_heap_node *node)
{
    h->nodes[pos - 1] = node;
    node->pos = pos;
}

static void sift_up(dq_heap *h, size_t pos, dq_heap_node *node)
{
    while (pos > 1 && h->nodes[pos / 2 - 1]->key > node->key) {
        put(h, pos, h->nodes[pos / 2 - 1]);
        pos /= 2;
    }
    put(h, pos, node);
}

static void sift_down(dq_heap *h, size_t pos, dq_heap_node *node)
{
    for (size_t child = pos * 2; child <= h->n; child = pos * 2) {
        if (child < h->n && h->nodes[child]->key < h->nodes[child - 1]->key)
            child++;
        if (h->nodes[child - 1]->key >= node->key)
            break;
        put(h, pos, h->nodes[child - 1]);
        pos = child;
    }
    put(h, pos, node);
}

int dq_heap_reserve(dq_heap *h, size_t n)
{
    if (n <= h->cap)
        return 0;
    size_t cap = DQ_MAX(DQ_MAX(n, h->cap * 2), 16);
    dq_heap_node **nodes = dq_realloc(h->nodes, cap * sizeof *nodes);

    if (!nodes)
        return DUREQ_ENOMEM;
    h->nodes = nodes;
    h->cap = cap;
    return 0;
}

int dq_heap_push(dq_heap *h, dq_heap_node *node)
{
    if (dq_heap_reserve(h, h->n + 1) < 0)
        return DUREQ_ENOMEM;
    h->n++;
    sift_up(h, h->n, node);
    return 0;
}

void dq_heap_remove(dq_heap *h, dq_heap_node *node)
{
    size_t pos = node->pos;
    dq_heap_node *last;

    if (pos == 0)
        return;

    last = h->nodes[h->n - 1];
    h->n--;
    node->pos = 0;
    if (last != node) {
        put(h, pos, last);
        dq_heap_update(h, last, last->key);
    }
}

void dq_heap_update(dq_heap *h, dq_heap_node *node, int64_t key)
{
    size_t pos = node->pos;

    node->key = key;
    if (pos > 1 && h->nodes[pos / 2 - 1]->key > key)
        sift_up(h, pos, node);
    else
        sift_down(h, pos, node);
}

dq_heap_node *dq_heap_top(const dq_heap *h)
{
    return h->n ? h->nodes[0] : NULL;
}
