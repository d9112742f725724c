/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <inttypes.h>

static bool is_name(dureq_str s, bool with_colon)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';

        if (!ok && !(with_colon && c == ':'))
            return false;
    }
    return s.len > 0;
}

static int parse_bool(dureq_str s, int64_t *ret)
{
    if (dq_str_eq_text(s, "true") || dq_str_eq_text(s, "yes") || dq_str_eq_text(s, "on") || dq_str_eq_text(s, "1"))
        *ret = 1;
    else if (dq_str_eq_text(s, "false") || dq_str_eq_text(s, "no") || dq_str_eq_text(s, "off") || dq_str_eq_text(s, "0"))
        *ret = 0;
    else
        return DUREQ_EPARSE;
    return 0;
}

static int parse_choice(const dq_config_row *row, dureq_str s, int64_t *ret)
{
    for (const dq_config_choice *c = row->choices; c->text; c++) {
        if (dq_str_eq_text(s, c->text)) {
            *ret = c->value;
            return 0;
        }
    }
    return DUREQ_EPARSE;
}

static int parse_amount(dureq_str s, int (*with_unit)(dureq_str, int64_t *), int64_t *ret)
{
    if (dq_parse_i64(s, INT64_MIN, INT64_MAX, ret) == 0)
        return 0;
    return with_unit(s, ret);
}

/* The number a row takes; false when this is none of them. */
static bool value_number(const dq_config_row *row, dureq_str s, int64_t *ret)
{
    switch (row->type) {
    case DQ_CONFIG_INT: return dq_parse_i64(s, row->min, row->max, ret) == 0;
    case DQ_CONFIG_MS:
        return parse_amount(s, dq_parse_duration_ms, ret) == 0 &&
               ((*ret >= row->min && *ret <= row->max) || (row->or_forever && *ret == -1));
    case DQ_CONFIG_BYTES: return parse_amount(s, dq_parse_bytes, ret) == 0 && *ret >= row->min && *ret <= row->max;
    case DQ_CONFIG_BOOL: return parse_bool(s, ret) == 0;
    case DQ_CONFIG_CHOICE: return parse_choice(row, s, ret) == 0;
    case DQ_CONFIG_TEXT:
    case DQ_CONFIG_NAME:
    case DQ_CONFIG_LIST:
    case DQ_CONFIG_IGNORED:
    case DQ_CONFIG_REFUSED: break;
    }
    return false;
}

static bool is_text_ok(const dq_config_row *row, dureq_str s)
{
    if ((int64_t)s.len > row->max || memchr(s.ptr ? s.ptr : "", '\0', s.len))
        return false;
    /* The prefix becomes part of key names, where ':' separates. */
    return row->type != DQ_CONFIG_NAME || is_name(s, /*with_colon=*/row->max == DUREQ_NAME_MAX);
}

static int fail_value(const dq_config_row *row, dureq_str value, dureq_error *err)
{
    DQ_BUF_AUTO takes = {0};

    dq_config_describe(row, &takes);
    if (row->secret || value.len > 80)
        return dq_fail(err, DUREQ_EINVAL, "%s takes %s", row->name, takes.failed ? "something else" : takes.ptr);
    return dq_fail(err, DUREQ_EINVAL, "%s takes %s, not '" DQ_STR_FMT "'", row->name, takes.failed ? "something else" : takes.ptr,
                   DQ_STR_ARG(value));
}

static int set_text(dq_config *cfg, const dq_config_row *row, dureq_str value, dureq_error *err)
{
    char **slot = (char **)((char *)cfg + row->offset);

    *slot = NULL;
    if (value.len == 0 && row->type != DQ_CONFIG_LIST)
        return 0; /* empty means unset, so that an environment can take a value away */

    *slot = dq_arena_dup(&cfg->arena, value);
    return *slot ? 0 : dq_fail_nomem(err);
}

static int set_value(dq_config *cfg, const dq_config_row *row, dureq_str value, dureq_error *err)
{
    int64_t n = 0;

    if (row->type == DQ_CONFIG_TEXT || row->type == DQ_CONFIG_NAME || row->type == DQ_CONFIG_LIST) {
        if (value.len > 0 && !is_text_ok(row, value))
            return fail_value(row, value, err);
        if (row->check) {
            int rc = row->check(row, value, err);

            if (rc < 0)
                return rc;
        }
        return set_text(cfg, row, value, err);
    }
    if (!value_number(row, dq_str_trim(value), &n))
        return fail_value(row, value, err);

    if (row->type == DQ_CONFIG_BOOL)
        *(bool *)((char *)cfg + row->offset) = n != 0;
    else
        *(int64_t *)((char *)cfg + row->offset) = n;
    return 0;
}

int dq_config_set(dq_config *cfg, const dq_config_row *row, dureq_str value, dq_config_source from, dureq_error *err)
{
    size_t i = (size_t)(row - dq_config_rows);
    int rc;

    if (row->type == DQ_CONFIG_REFUSED)
        return dq_fail(err, DUREQ_EUNSUPPORTED, "%s is not supported by this version: %s", row->name, row->help);
    if (row->type == DQ_CONFIG_IGNORED) {
        dq_buf_append_fmt(&cfg->warnings, "%s has no effect: %s\n", row->name, row->help);
        return 0;
    }
    if (cfg->from[i] > from)
        return 0;

    rc = set_value(cfg, row, value, err);
    if (rc == 0)
        cfg->from[i] = (unsigned char)from;
    return rc;
}
