/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "ctl.h"

#define DURATION_MAX_MS (INT64_C(100) * 366 * 86400000)

static const ctl_option *find(const ctl_option *options, size_t n, dureq_str name)
{
    for (size_t i = 0; i < n; i++)
        if (dq_str_eq_text(name, options[i].name))
            return &options[i];
    return NULL;
}

static int unknown(const ctl_option *options, size_t n, dureq_str name)
{
    ctl_near near = {.word = name};
    DQ_BUF_AUTO hint = {0};

    for (size_t i = 0; i < n; i++)
        ctl_nearer(&near, dureq_str_from(options[i].name));
    for (size_t i = 0; ctl_global_options[i]; i++)
        ctl_nearer(&near, dureq_str_from(ctl_global_options[i]));
    ctl_did_you_mean(&near, "--", &hint);
    return ctl_usage("unknown option '--" DQ_STR_FMT "'%s", DQ_STR_ARG(name), hint.ptr ? hint.ptr : "");
}

const char *const ctl_global_options[] = {"server", "prefix", "output",  "color", "call-timeout", "context", "allow-eviction",
                                          "quiet",  "help",   "version", NULL};

static int take(const ctl_option *o, const char *value)
{
    if (!*value) /* a script's empty variable must not pass for "no such option" */
        return ctl_usage("option '--%s' needs a value that is not empty", o->name);
    if (o->each)
        return o->each(o->data, value);
    *o->value = value;
    return 0;
}

int ctl_options(int argc, char **argv, const ctl_option *options, size_t n, int *ret_n)
{
    int n_positional = 0;
    bool only_positional = false;

    *ret_n = 0;
    for (int i = 1; i < argc; i++) {
        dureq_str value = dureq_str_from(argv[i]), name;
        const ctl_option *o;
        int rc;

        if (only_positional || value.len < 2 || argv[i][0] != '-') {
            argv[++n_positional] = argv[i];
            continue;
        }
        if (strcmp(argv[i], "--") == 0) {
            only_positional = true;
            continue;
        }
        if (argv[i][1] != '-')
            return ctl_usage("unknown option '%s' (a value that begins with '-' stands after '--')", argv[i]);
        value = dureq_str_of(value.ptr + 2, value.len - 2);
        name = dq_str_cut(&value, '=');
        o = find(options, n, name);
        if (!o)
            return unknown(options, n, name);
        if (o->flag && value.ptr)
            return ctl_usage("option '--%s' takes no value", o->name);
        if (o->flag) {
            *o->flag = true;
            continue;
        }
        if (!value.ptr && i + 1 == argc)
            return ctl_usage("option '--%s' needs a value", o->name);
        rc = take(o, value.ptr ? value.ptr : argv[++i]);
        if (rc != 0)
            return rc;
    }
    *ret_n = n_positional;
    return 0;
}

int ctl_only_options(int argc, char **argv, const ctl_option *options, size_t n)
{
    int n_words, rc = ctl_options(argc, argv, options, n, &n_words);

    return rc == 0 && n_words ? ctl_usage("'%s' takes no '%s'", argv[0], argv[1]) : rc;
}

int ctl_i64(const char *option, const char *text, int64_t min, int64_t max, int64_t *ret)
{
    if (text && dq_parse_i64(dureq_str_from(text), min, max, ret) < 0)
        return ctl_usage("--%s takes a whole number from %lld to %lld, not '%s'", option, (long long)min, (long long)max, text);
    return 0;
}

int ctl_duration(const char *option, const char *text, int64_t *ret)
{
    if (text && (dq_parse_duration_ms(dureq_str_from(text), ret) < 0 || *ret < 0))
        return ctl_usage("--%s takes a duration such as 30s, 5m or 1h30m, not '%s'", option, text);
    if (text && *ret > DURATION_MAX_MS)
        return ctl_usage("--%s takes a duration of at most 100 years, not '%s'", option, text);
    return 0;
}
