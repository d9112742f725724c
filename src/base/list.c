/* SPDX-License-Identifier: Apache-2.0 */
#include "base/list.h"

static void link_between(dq_list *node, dq_list *prev, dq_list *next)
{
    node->prev = prev;
    node->next = next;
    prev->next = node;
    next->prev = node;
}

void dq_list_push_back(dq_list *head, dq_list *node)
{
    link_between(node, head->prev, head);
}

void dq_list_push_front(dq_list *head, dq_list *node)
{
    link_between(node, head, head->next);
}

void dq_list_remove(dq_list *node)
{
    if (!node->next)
        return;
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->prev = node->next = NULL;
}

dq_list *dq_list_pop_front(dq_list *head)
{
    dq_list *node = head->next;

    if (node == head)
        return NULL;
    dq_list_remove(node);
    return node;
}

void dq_list_splice_back(dq_list *head, dq_list *other)
{
    if (dq_list_empty(other))
        return;
    other->next->prev = head->prev;
    head->prev->next = other->next;
    other->prev->next = head;
    head->prev = other->prev;
    dq_list_init(other);
}
