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
    dq_json_ref at = DQ_JSON_NONE;
    DQ_BUF_AUTO words = {0}; /* they must stay as long as the nearest is kept */
    DQ_BUF_AUTO word = {0};
    ctl_answer a;

    if (!ctl_look(c, "/api/queues", &a))
        return;
    while (ctl_next_text(&a.doc, 0, &at, "name", &word))
        dq_buf_append_fmt(&words, DQ_STR_FMT ",", DQ_STR_ARG(dq_buf_str(&word)));
    for (dureq_str rest = dq_buf_str(&words); rest.len;)
        ctl_nearer(&near, dq_str_cut(&rest, ','));
    ctl_did_you_mean(&near, "", out);
    ctl_answer_deinit(&a);
}

/* All patterns that live nodes handle, with commas. */
static void read_patterns(const dq_json *doc, dq_buf *out)
{
    for (dq_json_ref node = dq_json_first(doc, 0); node != DQ_JSON_NONE; node = dq_json_next(doc, 0, node)) {
        dq_json_ref types = dq_json_member(doc, node, "task_types"), at = DQ_JSON_NONE;
        DQ_BUF_AUTO word = {0};

        while (types != DQ_JSON_NONE && ctl_next_text(doc, types, &at, NULL, &word))
            dq_buf_append_fmt(out, DQ_STR_FMT ",", DQ_STR_ARG(dq_buf_str(&word)));
    }
}

static bool is_handled(dureq_str patterns, ctl_near *near)
{
    while (patterns.len) {
        dureq_str pattern = dq_str_cut(&patterns, ',');

        if (dq_api_pattern_fits(pattern, near->word))
            return true;
        if (pattern.len && pattern.ptr[pattern.len - 1] != '*')
            ctl_nearer(near, pattern);
    }
    return false;
}

void ctl_warn_unhandled(ctl *c, const char *type, dq_buf *out)
{
    ctl_near near = {.word = dureq_str_from(type)};
    DQ_BUF_AUTO patterns = {0};
    ctl_answer a;

    if (!ctl_look(c, "/api/nodes", &a))
        return;
    read_patterns(&a.doc, &patterns);
    if (!is_handled(dq_buf_str(&patterns), &near)) {
        dq_buf_append_fmt(out, "no live node handles '%s'", type);
        ctl_did_you_mean(&near, "", out);
        if (!near.best.len)
            dq_buf_append_text(out, ": the job waits until one does");
    }
    ctl_answer_deinit(&a);
    if (out->len && !c->quiet)
        (void)ctl_fail(0, "warning: %s", out->ptr);
}
