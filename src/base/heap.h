/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Intrusive binary min-heap ordered by an int64 key (times). Zeroed memory is an empty heap. */

#include "base/base.h"

typedef struct dq_heap_node {
    int64_t key;
    size_t pos; /* 1-based; 0: in no heap */
} dq_heap_node;

typedef struct dq_heap {
    dq_heap_node **nodes;
    size_t n, cap;
} dq_heap;

void dq_heap_deinit(dq_heap *h);
int dq_heap_reserve(dq_heap *h, size_t n);           /* so many fit: pushing them does not fail. 0 or DUREQ_ENOMEM */
int dq_heap_push(dq_heap *h, dq_heap_node *node);    /* 0 or DUREQ_ENOMEM; node->key set before */
void dq_heap_remove(dq_heap *h, dq_heap_node *node); /* fine when in no heap */
void dq_heap_update(dq_heap *h, dq_heap_node *node, int64_t key);
dq_heap_node *dq_heap_top(const dq_heap *h); /* NULL when empty */
