/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../dureqctl/args.c" /* NOLINT(bugprone-suspicious-include) */

/* A command's words, one a line: what is positional keeps its order, and no option has an empty value. */

enum { WORDS_MAX = 64 };

static int n_faults;

int ctl_usage(const char *fmt, ...)
{
    char text[256];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    assert(text[0]);
    n_faults++;
    return CTL_USAGE;
}

static int count(void *data, const char *value)
{
    assert(value && *value);
    ++*(int *)data;
    return 0;
}

static int cut_words(char *text, char **argv)
{
    int n = 0;
    char *end;

    for (char *at = text; at && n < WORDS_MAX; at = end) {
        end = strchr(at, '\n');
        if (end)
            *end++ = '\0';
        argv[n++] = at;
    }
    return n;
}

static void read_values(const char *text)
{
    int64_t v = 5;

    if (ctl_i64("n", text, -3, 1000, &v) == 0)
        assert(v >= -3 && v <= 1000);
    v = 0;
    if (ctl_duration("d", text, &v) == 0)
        assert(v >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = dq_memdup(data, size), *argv[WORDS_MAX + 1] = {NULL}, *before[WORDS_MAX + 1];
    const char *queue = NULL;
    bool quiet = false;
    int n_headers = 0, n = 0, at = 1, argc, rc;
    const ctl_option options[] = {
        {.name = "queue", .value = &queue},
        {.name = "quiet", .flag = &quiet},
        {.name = "header", .each = count, .data = &n_headers},
    };

    if (!text)
        abort();
    argc = cut_words(text, argv);
    memcpy(before, argv, sizeof before);
    n_faults = 0;
    rc = ctl_options(argc, argv, options, DQ_ARRAY_LEN(options), &n);
    assert((rc == 0) == (n_faults == 0));
    if (rc == 0) {
        assert(n >= 0 && n < argc && (!queue || *queue));
        for (int i = 1; i <= n; i++, at++) {
            while (before[at] != argv[i])
                at++;
            assert(at < argc);
        }
    }
    read_values(queue ? queue : text);
    dq_free(text);
    return 0;
}
