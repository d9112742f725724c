/* SPDX-License-Identifier: Apache-2.0 */
/* What is known at the server of the words that are given: queues that exist, types that live nodes handle. Hints only: when the server
   does not tell, nothing is said. */
#include "ctl.h"

bool ctl_is_broken_json(dureq_str payload)
{
    dureq_str s = dq_str_trim(payload);

    return s.len > 0 && (s.ptr[0] == '{' || s.ptr[0] == '[') && !dq_json_valid(payload);
}

void ctl_near_queue(ctl *c, const char *name, dq_buf *out)
{
    ctl_near near = {.word = dureq_str_from(name)};
    dureq_queue_list *list;

    if (dureq_client_list_queues(c->client, &list, NULL) < 0)
        return;
    for (size_t i = 0; i < list->n; i++)
        ctl_nearer(&near, list->items[i].name);
    ctl_did_you_mean(&near, "", out);
    dureq_queue_list_destroy(list);
}

/* The nearest of the types that live nodes handle. */
static void near_type(const dureq_node_list *list, ctl_near *near)
{
    for (size_t i = 0; i < list->n; i++) {
        dureq_str rest = list->items[i].task_types;

        while (rest.len) {
            dureq_str pattern = dq_str_trim(dq_str_cut(&rest, ','));

            if (pattern.len && pattern.ptr[pattern.len - 1] != '*')
                ctl_nearer(near, pattern);
        }
    }
}

void ctl_warn_unhandled(ctl *c, const char *type, dq_buf *out)
{
    ctl_near near = {.word = dureq_str_from(type)};
    dureq_node_list *list;

    if (dureq_client_list_nodes(c->client, &list, NULL) < 0)
        return;
    if (!dq_api_is_handled(list, near.word)) {
        near_type(list, &near);
        dq_buf_append_fmt(out, "no live node handles '%s'", type);
        ctl_did_you_mean(&near, "", out);
        if (!near.best.len)
            dq_buf_append_text(out, ": the job waits until one does");
    }
    dureq_node_list_destroy(list);
    if (out->len && !c->quiet)
        (void)ctl_fail(0, "warning: %s", out->ptr);
}
