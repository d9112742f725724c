/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Intrusive doubly linked list with a head node. A zeroed node is "in no list". Not thread-safe. */

#include "base/base.h"

typedef struct dq_list {
    struct dq_list *prev, *next;
} dq_list;

static inline void dq_list_init(dq_list *head)
{
    head->prev = head->next = head;
}
static inline bool dq_list_empty(const dq_list *head)
{
    return head->next == head;
}
static inline bool dq_list_linked(const dq_list *node)
{
    return node->next != NULL;
}
void dq_list_push_back(dq_list *head, dq_list *node);
void dq_list_push_front(dq_list *head, dq_list *node);
void dq_list_remove(dq_list *node);                      /* fine when in no list; node is zeroed */
dq_list *dq_list_pop_front(dq_list *head);               /* NULL when empty */
void dq_list_splice_back(dq_list *head, dq_list *other); /* moves all of other; other is empty */

/* The link of an item by its offset alone: at the end of a walk `var` stands where an item around the head would begin, and
   must not be looked into. */
#define DQ_LIST_LINK(var, member) ((dq_list *)((char *)(var) + offsetof(__typeof__(*(var)), member)))

#define DQ_LIST_FOREACH(type, var, head, member)                                \
    for (type *var = dq_container_of((head)->next, type, member),               \
              *var##_next_ = dq_container_of((head)->next->next, type, member); \
         DQ_LIST_LINK(var, member) != (head);                                   \
         var = var##_next_, var##_next_ = dq_container_of(DQ_LIST_LINK(var, member)->next, type, member))
