/* SPDX-License-Identifier: Apache-2.0 */
#include "base/heap.h"
#include "base/random.h"

#include "expect.h"

static void check_order(const dq_heap *h)
{
    for (size_t pos = 1; pos <= h->n; pos++) {
        EXPECT_U64(pos, h->nodes[pos - 1]->pos);
        if (pos > 1)
            EXPECT_TRUE(h->nodes[pos / 2 - 1]->key <= h->nodes[pos - 1]->key);
    }
}

TEST(an_empty_heap_has_no_top)
{
    dq_heap h = {0};
    dq_heap_node stranger = {.key = 1};

    EXPECT_PTR(NULL, dq_heap_top(&h));
    dq_heap_remove(&h, &stranger);
    EXPECT_U64(0, h.n);
    dq_heap_deinit(&h);
}

TEST(the_top_is_always_the_smallest)
{
    enum { N = 500 };
    dq_heap h = {0};
    dq_heap_node nodes[N] = {0};
    int64_t last = INT64_MIN;
    dq_rng rng;

    dq_rng_seed(&rng, 7);
    for (size_t i = 0; i < N; i++) {
        nodes[i].key = (int64_t)dq_rng_next(&rng) >> 40; /* some alike, some negative */
        EXPECT_RC(0, dq_heap_push(&h, &nodes[i]));
        check_order(&h);
    }
    for (size_t i = 0; i < N; i++) {
        dq_heap_node *top = dq_heap_top(&h);

        EXPECT_TRUE(top->key >= last);
        last = top->key;
        dq_heap_remove(&h, top);
        EXPECT_U64(0, top->pos);
        check_order(&h);
    }
    EXPECT_PTR(NULL, dq_heap_top(&h));
    dq_heap_deinit(&h);
}

TEST(keys_at_both_ends_of_the_range_keep_their_order)
{
    dq_heap h = {0};
    dq_heap_node low = {.key = INT64_MIN}, zero = {.key = 0}, high = {.key = INT64_MAX};

    EXPECT_RC(0, dq_heap_push(&h, &high));
    EXPECT_RC(0, dq_heap_push(&h, &zero));
    EXPECT_RC(0, dq_heap_push(&h, &low));
    EXPECT_PTR(&low, dq_heap_top(&h));
    dq_heap_remove(&h, &low);
    EXPECT_PTR(&zero, dq_heap_top(&h));
    dq_heap_deinit(&h);
}

TEST(any_node_can_be_moved_or_taken_out)
{
    enum { N = 64 };
    dq_heap h = {0};
    dq_heap_node nodes[N] = {0};
    dq_rng rng;

    dq_rng_seed(&rng, 3);
    for (int round = 0; round < 20000; round++) {
        dq_heap_node *node = &nodes[dq_rng_below(&rng, N)];
        int64_t key = (int64_t)dq_rng_below(&rng, 100) - 50;

        EXPECT_NOTE("round %d", round);
        if (node->pos == 0) {
            node->key = key;
            EXPECT_RC(0, dq_heap_push(&h, node));
        } else if (dq_rng_below(&rng, 2)) {
            dq_heap_update(&h, node, key);
            EXPECT_I64(key, node->key);
        } else {
            dq_heap_remove(&h, node);
            EXPECT_U64(0, node->pos);
        }
        check_order(&h);
    }
    dq_heap_deinit(&h);
}

TEST(a_node_taken_out_twice_is_gone_once)
{
    dq_heap h = {0};
    dq_heap_node a = {.key = 1}, b = {.key = 2};

    EXPECT_RC(0, dq_heap_push(&h, &a));
    EXPECT_RC(0, dq_heap_push(&h, &b));
    dq_heap_remove(&h, &a);
    dq_heap_remove(&h, &a);
    EXPECT_U64(1, h.n);
    EXPECT_PTR(&b, dq_heap_top(&h));
    dq_heap_deinit(&h);
}

TEST(without_memory_a_push_leaves_heap_and_node_alone)
{
    enum { N = 40 };
    dq_heap h = {0};
    dq_heap_node nodes[N] = {0};
    int refused = 0;

    for (size_t i = 0; i < N; i++) {
        nodes[i].key = (int64_t)(N - i);
        dq_alloc_fail_at(1);
        if (dq_heap_push(&h, &nodes[i]) == DUREQ_ENOMEM) {
            dq_alloc_fail_at(0);
            refused++;
            EXPECT_U64(i, h.n);
            EXPECT_U64(0, nodes[i].pos);
            EXPECT_RC(0, dq_heap_push(&h, &nodes[i]));
        }
        dq_alloc_fail_at(0);
        check_order(&h);
    }
    EXPECT_TRUE(refused >= 2);
    dq_heap_deinit(&h);
}

TEST_MAIN()
