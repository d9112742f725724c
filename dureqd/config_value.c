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

/* ---- printing the table ---- */

void dq_config_print_help(const char *program, dq_buf *out)
{
    dq_buf_append_fmt(
        out,
        "Usage: %s [--config FILE] [--NAME VALUE]... [--handler 'TYPE=KIND:SPEC']...\n\n"
        "Runs jobs of a durable queue on Redis. Without --redis it starts a private redis-server.\n\n"
        "Examples:\n"
        "  %s --handler 'file.sha256=exec:/usr/bin/sha256sum -- {payload}'\n"
        "  %s --redis redis://localhost:6379 --prefix shop --concurrency 50 --handler 'mail.*=exec:/opt/shop/send-mail'\n"
        "  %s --config /etc/dureq/dureqd.yaml --check\n\n"
        "  --config FILE           settings in YAML; also DUREQ_CONFIG_PATH\n"
        "  --handler TYPE=KIND:SPEC\n"
        "                          run jobs of TYPE (a pattern ends in '*') with a program (exec:COMMAND, {payload} is the\n"
        "                          payload as one argument) or a built-in (builtin:NAME); may be repeated\n"
        "  --check                 read and check the settings, then end\n"
        "  --sample-config         print a file with every setting, commented out\n"
        "  --help, --version\n\nSettings:\n",
        program, program, program, program);
    for (size_t i = 0; i < dq_config_n_rows; i++) {
        const dq_config_row *row = &dq_config_rows[i];
        char flag[DQ_CONFIG_NAME_TEXT_MAX];

        if (row->type == DQ_CONFIG_REFUSED || row->type == DQ_CONFIG_IGNORED)
            continue;
        dq_config_flag_name(row, flag);
        dq_buf_append_fmt(out, "  %-23s %s\n", flag, row->help);
        dq_buf_append_fmt(out, "  %-23s Takes ", "");
        dq_config_describe(row, out);
        dq_buf_append_fmt(out, ".%s%s%s\n", row->def ? " Default: " : "", row->def ? row->def : "", row->def ? "." : "");
    }
    dq_buf_append_text(
        out, "\n--redis is short for --redis-url. Each setting is also a key of the file (dureqd.leaseMs) and a variable\n"
             "of the environment (DUREQ_LEASE_MS): a flag beats the environment, which beats the file.\n"
             "Exit codes: 0 stopped cleanly, 1 failed, 2 wrong usage or settings, 6 server away.\n");
}

/* The part of a name before the '.' and after it. */
static dureq_str section_of(const dq_config_row *row, const char **ret_key)
{
    const char *dot = strchr(row->name, '.');

    *ret_key = dot + 1;
    return dureq_str_of(row->name, (size_t)(dot - row->name));
}

static void print_sample_row(const dq_config_row *row, dq_buf *out)
{
    const char *key;

    (void)section_of(row, &key);
    dq_buf_append_fmt(out, "  # %s Takes ", row->help);
    dq_config_describe(row, out);
    dq_buf_append_fmt(out, ".\n  # %s: %s\n", key, row->def ? row->def : "");
}

void dq_config_print_sample(dq_buf *out)
{
    dureq_str section = {NULL, 0};

    dq_buf_append_text(
        out,
        "# Settings of dureqd. Each line that is commented out says the default; `dureqd --config FILE --check` checks the file.\n");
    for (size_t i = 0; i < dq_config_n_rows; i++) {
        const dq_config_row *row = &dq_config_rows[i];
        const char *key;
        dureq_str own = section_of(row, &key);

        if (row->type == DQ_CONFIG_REFUSED || row->type == DQ_CONFIG_IGNORED)
            continue;
        if (!dq_str_eq(own, section))
            dq_buf_append_fmt(out, "\n" DQ_STR_FMT ":\n", DQ_STR_ARG(own));
        section = own;
        print_sample_row(row, out);
    }
    dq_buf_append_text(out, "\n# Queues that are created when they are missing.\n"
                            "#queues:\n"
                            "#  bulk: {weight: 1, maxLen: 1000000, retention: 1d}\n"
                            "\n# What runs jobs: a program per job, or a built-in.\n"
                            "#handlers:\n"
                            "#  - type: file.sha256\n"
                            "#    exec: /usr/bin/sha256sum -- {payload}\n"
                            "#    concurrency: 4\n"
                            "#    timeout: 1m\n");
}

void dq_config_print_markdown(dq_buf *out)
{
    dq_buf_append_text(out, "| setting | environment | flag | takes | default | |\n| --- | --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < dq_config_n_rows; i++) {
        const dq_config_row *row = &dq_config_rows[i];
        char flag[DQ_CONFIG_NAME_TEXT_MAX], env[DQ_CONFIG_NAME_TEXT_MAX];

        if (row->type == DQ_CONFIG_REFUSED || row->type == DQ_CONFIG_IGNORED) {
            dq_buf_append_fmt(out, "| `%s` | | | %s | | %s |\n", row->name,
                              row->type == DQ_CONFIG_REFUSED ? "refused" : "ignored", row->help);
            continue;
        }
        dq_config_flag_name(row, flag);
        dq_config_env_name(row, env);
        dq_buf_append_fmt(out, "| `%s` | `%s` | `%s` | ", row->name, env, flag);
        dq_config_describe(row, out);
        dq_buf_append_fmt(out, " | %s%s%s | %s |\n", row->def ? "`" : "", row->def ? row->def : "", row->def ? "`" : "",
                          row->help);
    }
}
