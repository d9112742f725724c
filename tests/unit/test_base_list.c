/* SPDX-License-Identifier: Apache-2.0 */
#include "base/list.h"

#include "expect.h"

typedef struct item {
    char name;
    dq_list link;
} item;

/* The names in order, and the same backwards: both directions must be whole. */
static void expect_names(const char *names, const dq_list *head)
{
    char forward[32] = "", backward[32] = "";
    size_t n = 0, len = strlen(names);

    for (const dq_list *p = head->next; p != head; p = p->next)
        forward[n++] = dq_container_of(p, const item, link)->name;
    EXPECT_TEXT(names, forward);
    n = 0;
    for (const dq_list *p = head->prev; p != head; p = p->prev)
        backward[n++] = dq_container_of(p, const item, link)->name;
    for (size_t i = 0; i < len; i++)
        EXPECT_I64(names[len - 1 - i], backward[i]);
}

TEST(a_new_list_is_empty)
{
    dq_list head;

    dq_list_init(&head);
    EXPECT_TRUE(dq_list_empty(&head));
    EXPECT_PTR(NULL, dq_list_pop_front(&head));
    expect_names("", &head);
}

TEST(items_stand_where_they_were_pushed)
{
    item a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c'};
    dq_list head;

    dq_list_init(&head);
    dq_list_push_back(&head, &b.link);
    dq_list_push_back(&head, &c.link);
    dq_list_push_front(&head, &a.link);
    expect_names("abc", &head);
    EXPECT_FALSE(dq_list_empty(&head));
}

TEST(an_item_knows_whether_it_is_in_a_list)
{
    item a = {.name = 'a'};
    dq_list head;

    dq_list_init(&head);
    EXPECT_FALSE(dq_list_linked(&a.link));
    dq_list_push_back(&head, &a.link);
    EXPECT_TRUE(dq_list_linked(&a.link));
    dq_list_remove(&a.link);
    EXPECT_FALSE(dq_list_linked(&a.link));
    EXPECT_TRUE(dq_list_empty(&head));
    dq_list_remove(&a.link); /* in no list: fine */
}

TEST(removing_closes_the_gap)
{
    item items[3] = {{.name = 'a'}, {.name = 'b'}, {.name = 'c'}};
    static const char *const left[] = {"bc", "ac", "ab"};

    for (size_t gone = 0; gone < 3; gone++) {
        dq_list head;

        dq_list_init(&head);
        for (size_t i = 0; i < 3; i++)
            dq_list_push_back(&head, &items[i].link);
        dq_list_remove(&items[gone].link);
        expect_names(left[gone], &head);
    }
}

TEST(popping_takes_from_the_front_until_none_is_left)
{
    item a = {.name = 'a'}, b = {.name = 'b'};
    dq_list head;

    dq_list_init(&head);
    dq_list_push_back(&head, &a.link);
    dq_list_push_back(&head, &b.link);
    EXPECT_PTR(&a.link, dq_list_pop_front(&head));
    EXPECT_FALSE(dq_list_linked(&a.link));
    EXPECT_PTR(&b.link, dq_list_pop_front(&head));
    EXPECT_PTR(NULL, dq_list_pop_front(&head));
}

TEST(splicing_moves_all_behind_and_empties_the_other)
{
    item items[4] = {{.name = 'a'}, {.name = 'b'}, {.name = 'c'}, {.name = 'd'}};
    dq_list head, other;

    dq_list_init(&head);
    dq_list_init(&other);
    dq_list_splice_back(&head, &other);
    expect_names("", &head);

    dq_list_push_back(&other, &items[0].link);
    dq_list_push_back(&other, &items[1].link);
    dq_list_splice_back(&head, &other);
    expect_names("ab", &head);
    EXPECT_TRUE(dq_list_empty(&other));

    dq_list_push_back(&other, &items[2].link);
    dq_list_push_back(&other, &items[3].link);
    dq_list_splice_back(&head, &other);
    expect_names("abcd", &head);
    dq_list_splice_back(&head, &other);
    expect_names("abcd", &head);
}

TEST(the_current_item_may_be_removed_while_walking)
{
    item items[5] = {{.name = 'a'}, {.name = 'b'}, {.name = 'c'}, {.name = 'd'}, {.name = 'e'}};
    char seen[8] = "";
    size_t n = 0;
    dq_list head;

    dq_list_init(&head);
    for (size_t i = 0; i < 5; i++)
        dq_list_push_back(&head, &items[i].link);
    DQ_LIST_FOREACH (item, it, &head, link) {
        seen[n++] = it->name;
        if (it->name != 'c')
            dq_list_remove(&it->link);
    }
    EXPECT_TEXT("abcde", seen);
    expect_names("c", &head);
}

TEST(walking_an_empty_list_does_nothing)
{
    dq_list head;
    int n = 0;

    dq_list_init(&head);
    DQ_LIST_FOREACH (item, it, &head, link)
        n++;
    EXPECT_I64(0, n);
}

TEST_MAIN()
