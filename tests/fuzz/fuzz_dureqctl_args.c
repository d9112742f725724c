/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../dureqctl/args.c"      /* NOLINT(bugprone-suspicious-include) */
#include "../../dureqctl/cmd_queue.c" /* NOLINT(bugprone-suspicious-include) */
#include "../../dureqctl/words.c"     /* NOLINT(bugprone-suspicious-include) */

/* A command's words, one a line: what is positional keeps its order, and no option has an empty value. When the first is one of queue's or node's, that
   command runs, too, and what it would ask is a request that can be read, its numbers within their limits. */

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

/* ---- what the commands of queues ask ---- */

static int n_asked;

void ctl_path(dq_buf *out, const char *fmt, const char *arg)
{
    assert(strncmp(fmt, "/api/", 5) == 0 && strstr(fmt, "%s"));
    dq_buf_append_text(out, fmt);
    dq_buf_append_text(out, arg);
}

static int64_t number_of(const dq_json *doc, dq_json_ref v)
{
    int64_t n = -1;

    assert(v != DQ_JSON_NONE && dq_json_i64(doc, v, &n) == 0);
    return n;
}

static void check_settings(dureq_str body)
{
    dq_json_ref weight, max_len, range, at;
    dq_json doc = {0};

    assert(dq_json_parse(body, &doc, NULL) == 0 && dq_json_type_of(&doc, 0) == DQ_JSON_OBJECT);
    weight = dq_json_member(&doc, 0, "weight");
    max_len = dq_json_member(&doc, 0, "max_len");
    range = dq_json_member(&doc, 0, "priorities");
    assert(weight == DQ_JSON_NONE || (number_of(&doc, weight) >= 1 && number_of(&doc, weight) <= 1000));
    assert(max_len == DQ_JSON_NONE || number_of(&doc, max_len) >= 0);
    if (range != DQ_JSON_NONE) {
        size_t n = 0;

        for (at = dq_json_first(&doc, range); at != DQ_JSON_NONE; at = dq_json_next(&doc, range, at), n++)
            assert(number_of(&doc, at) >= 1 && number_of(&doc, at) <= 10);
        assert(n == 2);
    }
    dq_json_deinit(&doc);
}

void ctl_query(dq_buf *out, const char *name, const char *value)
{
    assert(!value || *value);
    if (value)
        dq_buf_append_fmt(out, "%s%s=%s", out->len ? "&" : "", name, value);
}

/* What is looked up before something is done to jobs is always of one queue. */
int ctl_act_ask(ctl *c, const ctl_act *act, const char *query)
{
    (void)c;
    assert(act->verb && query && dq_str_starts_with(dureq_str_from(query), DQ_STR_LIT("queue=")));
    return n_asked++ % 3 ? CTL_DONE : CTL_FAILED;
}

int ctl_act_filter(ctl *c, const ctl_act *act, const char *query)
{
    assert(act->dry_run);
    return ctl_act_ask(c, act, query);
}

int ctl_call(ctl *c, const char *method, const char *path, const char *query, dureq_str body, ctl_answer *ret)
{
    (void)c;
    assert(path && (!query || dq_str_starts_with(dureq_str_from(query), DQ_STR_LIT("type=")) || strcmp(query, "force=1") == 0));
    assert((strcmp(method, "PUT") == 0) == (body.len > 0));
    if (body.len > 0)
        check_settings(body);
    if (n_asked++ % 2)
        return CTL_NOT_FOUND;
    *ret = (ctl_answer){0};
    return dq_json_parse(DQ_STR_LIT("{\"affected\":1}"), &ret->doc, NULL) == 0 ? CTL_DONE : CTL_FAILED;
}

void ctl_answer_deinit(ctl_answer *a)
{
    dq_json_deinit(&a->doc);
}

int ctl_show_list(ctl *c, const char *path, const char *query, const char *member, const ctl_column *columns)
{
    (void)c;
    assert(path[0] == '/' && !query && !member && columns[0].title);
    return n_asked++ % 2 ? CTL_NOT_FOUND : CTL_DONE;
}

void ctl_print_object(const ctl *c, const ctl_answer *a, dq_json_ref object)
{
    (void)c;
    assert(a->doc.n_nodes > 0 && object == 0);
}

void ctl_print_done(const ctl *c, const ctl_answer *a, const char *fmt, ...)
{
    (void)c;
    assert(a->doc.n_nodes > 0 && fmt[0]);
}

/* A command that asks nothing has said why. */
static void run_command(const ctl_command *table, int argc, char **argv)
{
    for (; table->name; table++) {
        ctl c = {0};
        int rc;

        if (strcmp(strchr(table->name, ' ') + 1, argv[0]) != 0)
            continue;
        n_asked = n_faults = 0;
        rc = table->fn(&c, argc, argv);
        assert(n_asked > 0 || (rc == CTL_USAGE && n_faults > 0));
        assert(rc != CTL_DONE || n_faults == 0);
    }
}

/* ---- words ---- */

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
    char *text = dq_memdup(data, size), *argv[WORDS_MAX + 1] = {NULL}, *before[WORDS_MAX + 1], *again[WORDS_MAX + 1];
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
    for (size_t i = 0; i < 2; i++) {
        memcpy(again, argv, sizeof again);
        run_command(i ? ctl_node_commands : ctl_queue_commands, argc, again);
    }
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
