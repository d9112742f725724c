/* SPDX-License-Identifier: Apache-2.0 */
#include "slow.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "store/script.h"
#include "store/scripts.h"

/* Scripts that a client sends as text are told by their kind alone. */
static const char *script_name(dureq_str sha)
{
    for (size_t i = 0; i < DQ_SCRIPT_COUNT; i++)
        if (dq_str_eq_text(sha, dq_scripts[i].sha1))
            return dq_scripts[i].name;
    return "sent as text";
}

static void take_slow_entry(dq_reply entry, slow_scripts *s)
{
    dq_reply words = dq_reply_at(entry, 3);
    dureq_str name = dq_reply_str(dq_reply_at(words, 0)), sha = dq_reply_str(dq_reply_at(words, 1));
    int64_t us = dq_reply_int(dq_reply_at(entry, 2));

    if (name.len < 4 || strncasecmp(name.ptr, "eval", 4) != 0)
        return;
    s->n_over += us > 5000;
    if (us <= s->longest_us) {
        s->second_us = DQ_MAX(s->second_us, us);
        return;
    }
    s->second_us = s->longest_us;
    s->longest_us = us;
    snprintf(s->script, sizeof(s->script), "%s", script_name(sha));
}

int slow_read(rig *r, slow_scripts *ret, dureq_error *err)
{
    dq_reply reply, entry;
    int rc = wire_words(&r->w, "SLOWLOG GET -1", &reply, err);

    if (rc < 0)
        return rc;
    entry = dq_reply_first(reply);
    for (size_t i = 0; i < dq_reply_len(reply); i++, entry = dq_reply_next(entry))
        take_slow_entry(entry, ret);
    return 0;
}

int slow_watch(rig *r, dureq_error *err)
{
    int rc = wire_words(&r->w, "CONFIG SET slowlog-log-slower-than 300 slowlog-max-len 20000", NULL, err);

    return rc < 0 ? rc : wire_words(&r->w, "SLOWLOG RESET", NULL, err);
}
