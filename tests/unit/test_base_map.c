/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"
#include "base/random.h"

#include "expect.h"

#include <stdlib.h>

/* The key lies inside the value, as everywhere in the library. */
typedef struct item {
    char name[16];
    size_t len;
    bool is_in;
    int visits;
} item;

static dureq_str key_of(const item *it)
{
    return dureq_str_of(it->name, it->len);
}

static item *make_items(size_t n)
{
    item *items = calloc(n, sizeof(*items));

    assert_non_null(items);
    for (size_t i = 0; i < n; i++)
        items[i].len = (size_t)snprintf(items[i].name, sizeof(items[i].name), "k%zu", i);
    return items;
}

TEST(an_empty_map_has_nothing_and_owns_nothing)
{
    dq_map m = {0};
    size_t i = 0;

    EXPECT_PTR(NULL, dq_map_get(&m, DQ_STR_LIT("a")));
    EXPECT_PTR(NULL, dq_map_remove(&m, DQ_STR_LIT("a")));
    EXPECT_PTR(NULL, dq_map_next(&m, &i));
    EXPECT_PTR(NULL, m.slots);
    dq_map_deinit(&m);
}

TEST(keys_are_bytes_and_may_be_empty)
{
    dq_map m = {0};
    int a, b, c;

    EXPECT_RC(0, dq_map_put(&m, DQ_STR_LIT("x\0y"), &a));
    EXPECT_RC(0, dq_map_put(&m, DQ_STR_LIT("x\0z"), &b));
    EXPECT_RC(0, dq_map_put(&m, (dureq_str){0}, &c));
    EXPECT_PTR(&a, dq_map_get(&m, DQ_STR_LIT("x\0y")));
    EXPECT_PTR(&b, dq_map_get(&m, DQ_STR_LIT("x\0z")));
    EXPECT_PTR(&c, dq_map_get(&m, DQ_STR_LIT("")));
    EXPECT_PTR(NULL, dq_map_get(&m, DQ_STR_LIT("x")));
    dq_map_deinit(&m);
}

TEST(putting_again_replaces_value_and_borrowed_key)
{
    dq_map m = {0};
    char first[] = "key", second[] = "key";
    int a, b;

    EXPECT_RC(0, dq_map_put(&m, dureq_str_from(first), &a));
    EXPECT_RC(0, dq_map_put(&m, dureq_str_from(second), &b));
    EXPECT_U64(1, m.n);
    memset(first, 'x', 3); /* whoever owned the first key may be gone */
    EXPECT_PTR(&b, dq_map_get(&m, DQ_STR_LIT("key")));
    EXPECT_PTR(&b, dq_map_remove(&m, DQ_STR_LIT("key")));
    EXPECT_U64(0, m.n);
    dq_map_deinit(&m);
}

TEST(walking_meets_every_value_once)
{
    enum { N = 1000 };
    item *items = make_items(N), *it;
    dq_map m = {0};
    size_t i = 0;

    for (size_t k = 0; k < N; k++)
        EXPECT_RC(0, dq_map_put(&m, key_of(&items[k]), &items[k]));
    for (it = dq_map_next(&m, &i); it; it = dq_map_next(&m, &i))
        it->visits++;
    for (size_t k = 0; k < N; k++)
        EXPECT_I64(1, items[k].visits);
    dq_map_deinit(&m);
    free(items);
}

static void check_all(const dq_map *m, const item *items, size_t n)
{
    size_t n_in = 0;

    for (size_t k = 0; k < n; k++) {
        EXPECT_PTR(items[k].is_in ? &items[k] : NULL, dq_map_get(m, key_of(&items[k])));
        n_in += items[k].is_in;
    }
    EXPECT_U64(n_in, m->n);
}

/* Removing moves followers back: what is lost by a wrong move shows up only with many neighbours. */
TEST(a_map_under_random_changes_agrees_with_a_plain_list)
{
    enum { N = 300 };
    item *items = make_items(N);
    dq_map m = {0};
    dq_rng rng;

    dq_rng_seed(&rng, 1);
    for (int round = 0; round < 20000; round++) {
        item *it = &items[dq_rng_below(&rng, N)];

        EXPECT_NOTE("round %d, key %s", round, it->name);
        if (dq_rng_below(&rng, 2)) {
            EXPECT_RC(0, dq_map_put(&m, key_of(it), it));
            it->is_in = true;
        } else {
            EXPECT_PTR(it->is_in ? it : NULL, dq_map_remove(&m, key_of(it)));
            it->is_in = false;
        }
        if (round % 50 == 0)
            check_all(&m, items, N);
    }
    check_all(&m, items, N);
    dq_map_deinit(&m);
    free(items);
}

TEST(a_full_slot_array_is_never_reached)
{
    enum { N = 5000 };
    item *items = make_items(N);
    dq_map m = {0};

    for (size_t k = 0; k < N; k++) {
        EXPECT_RC(0, dq_map_put(&m, key_of(&items[k]), &items[k]));
        EXPECT_TRUE(m.n * 4 <= m.cap * 3); /* else a look-up of an unknown key would run for ever or long */
        items[k].is_in = true;
    }
    check_all(&m, items, N);
    dq_map_deinit(&m);
    free(items);
}

TEST(without_memory_a_map_stays_as_it_was)
{
    enum { N = 200 };
    item *items = make_items(N);
    dq_map m = {0};
    int refused = 0;

    for (size_t k = 0; k < N; k++) {
        dq_alloc_fail_at(1);
        if (dq_map_put(&m, key_of(&items[k]), &items[k]) == DUREQ_ENOMEM) {
            dq_alloc_fail_at(0);
            refused++;
            check_all(&m, items, N);
            EXPECT_RC(0, dq_map_put(&m, key_of(&items[k]), &items[k]));
        }
        dq_alloc_fail_at(0);
        items[k].is_in = true;
    }
    EXPECT_TRUE(refused >= 4);
    check_all(&m, items, N);
    dq_map_deinit(&m);
    free(items);
}

TEST_MAIN()
