/* SPDX-License-Identifier: Apache-2.0 */
/* Settings whose text has a form of its own. They are looked at when they are set, so that whoever set them can say where. */
#include "config.h"

#include "handler_spec.h"
#include "redis/url.h"

static bool is_mode(dureq_str word)
{
    return dq_str_eq_text(word, "full") || dq_str_eq_text(word, "monitor") || dq_str_eq_text(word, "queue") ||
           dq_str_eq_text(word, "scheduler") || dq_str_eq_text(word, "workflow");
}

static int check_words(const dq_config_row *row, dureq_str rest, bool (*is_known)(dureq_str), dureq_error *err)
{
    while (rest.len) {
        dureq_str word = dq_str_trim(dq_str_cut(&rest, ','));

        if (dq_str_eq_text(word, "http_webhook"))
            return dq_fail(err, DUREQ_EUNSUPPORTED, "%s: http_webhook is not supported by this version", row->name);
        if (word.len > 0 && !is_known(word))
            return dq_fail(err, DUREQ_EINVAL, "%s: there is no '%.*s'", row->name, (int)DQ_MIN(word.len, (size_t)60), word.ptr);
    }
    return 0;
}

int dq_config_check_builtins(const dq_config_row *row, dureq_str value, dureq_error *err)
{
    return check_words(row, value, dq_builtin_is_known, err);
}

int dq_config_check_mode(const dq_config_row *row, dureq_str value, dureq_error *err)
{
    if (dq_str_trim(value).len == 0)
        return dq_fail(err, DUREQ_EINVAL, "%s is empty: the node would do nothing", row->name);
    return check_words(row, value, is_mode, err);
}

/* Empty is unset. */
int dq_config_check_url(const dq_config_row *row, dureq_str value, dureq_error *err)
{
    dq_redis_url url = {0};
    dureq_error inner = {0};
    int rc;

    if (value.len == 0)
        return 0;
    rc = dq_redis_url_parse(value, &url, &inner);
    if (rc < 0)
        return dq_fail(err, rc, "%s: %s", row->name, inner.msg);
    dq_redis_url_deinit(&url);
    return 0;
}
