/* SPDX-License-Identifier: Apache-2.0 */
/* schedule apply: the schedules of a file, as `schedules` of dureqd.yaml declares them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "schedule.h"
#include "schedule_list.h"

static const dureq_str no_body = {NULL, 0};

static int read_text(const char *path, dq_buf *out)
{
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    int rc = 0;

    while (f && out->len <= DQ_CONFIG_FILE_MAX) {
        char *at = dq_buf_reserve(out, 16384);
        size_t n = at ? fread(at, 1, 16384, f) : 0;

        out->len += n;
        if (n == 0)
            break;
    }
    if (!f || ferror(f))
        rc = ctl_fail(CTL_USAGE, "%s: %s", path, strerror(errno));
    if (f && f != stdin)
        (void)fclose(f);
    return rc == 0 && dq_buf_failed(out) ? ctl_fail(CTL_FAILED, "out of memory") : rc;
}

typedef struct applied {
    int n[3]; /* created, changed, same */
    int pruned;
} applied;

static int put_one(ctl *c, const dq_schedule_spec *s, applied *sum)
{
    static const char *const words[] = {"created", "changed", "same"};
    DQ_BUF_AUTO query = {0};
    DQ_BUF_AUTO word = {0};
    ctl_answer a;
    int rc;

    ctl_query(&query, "key", s->key);
    rc = ctl_call(c, "PUT", "/api/schedules", query.ptr, s->body, &a);
    if (rc != 0)
        return ctl_fail(rc, "at " DQ_STR_FMT ", key '%s'", DQ_STR_ARG(s->origin), s->key);
    (void)dq_json_string(&a.doc, dq_json_member(&a.doc, 0, "status"), &word);
    for (int i = 0; i < 3; i++)
        sum->n[i] += dq_str_eq_text(dq_buf_str(&word), words[i]);
    ctl_answer_deinit(&a);
    return 0;
}

static bool is_named(const dq_schedule_spec *items, size_t n, dureq_str key)
{
    for (size_t i = 0; i < n; i++)
        if (dq_str_eq_text(key, items[i].key))
            return true;
    return false;
}

static int delete_one(ctl *c, const char *id, applied *sum)
{
    DQ_BUF_AUTO path = {0};
    ctl_answer a;
    int rc;

    ctl_path(&path, "/api/schedules/%s", id);
    rc = ctl_call(c, "DELETE", path.ptr, NULL, no_body, &a);
    if (rc != 0)
        return rc;
    sum->pruned++;
    ctl_answer_deinit(&a);
    return 0;
}

/* Of a page those with a key that the file does not name; where the next page begins. */
static int prune_page(ctl *c, const ctl_answer *page, const dq_schedule_spec *items, size_t n, dq_buf *cursor, applied *sum)
{
    dq_json_ref list = dq_json_member(&page->doc, 0, "data"), next = dq_json_member(&page->doc, 0, "next_cursor");
    int rc = 0;

    for (dq_json_ref v = dq_json_first(&page->doc, list); rc == 0 && v != DQ_JSON_NONE; v = dq_json_next(&page->doc, list, v)) {
        dq_json_ref key = dq_json_member(&page->doc, v, "key");
        DQ_BUF_AUTO text = {0};
        DQ_BUF_AUTO id = {0};

        if (key == DQ_JSON_NONE || dq_json_string(&page->doc, key, &text) < 0 || is_named(items, n, dq_buf_str(&text)))
            continue;
        (void)dq_json_string(&page->doc, dq_json_member(&page->doc, v, "id"), &id);
        rc = delete_one(c, id.ptr ? id.ptr : "", sum);
    }
    dq_buf_clear(cursor);
    if (next != DQ_JSON_NONE)
        (void)dq_json_string(&page->doc, next, cursor);
    return rc;
}

static int prune(ctl *c, const dq_schedule_spec *items, size_t n, applied *sum)
{
    DQ_BUF_AUTO cursor = {0};
    int rc = 0;

    do {
        DQ_BUF_AUTO query = {0};
        ctl_answer page;

        ctl_query(&query, "limit", "1000");
        if (cursor.len)
            ctl_query(&query, "cursor", cursor.ptr);
        rc = ctl_call(c, "GET", "/api/schedules", query.ptr, no_body, &page);
        if (rc != 0)
            return rc;
        rc = prune_page(c, &page, items, n, &cursor, sum);
        ctl_answer_deinit(&page);
    } while (rc == 0 && cursor.len);
    return rc;
}

static void print_sum(const ctl *c, const applied *s)
{
    if (c->format == CTL_TABLE)
        printf("%d created, %d changed, %d as they were, %d deleted\n", s->n[0], s->n[1], s->n[2], s->pruned);
    else if (c->format == CTL_CSV)
        printf("created,changed,same,deleted\r\n%d,%d,%d,%d\r\n", s->n[0], s->n[1], s->n[2], s->pruned);
    else
        printf("{\"created\":%d,\"changed\":%d,\"same\":%d,\"deleted\":%d}\n", s->n[0], s->n[1], s->n[2], s->pruned);
}

int ctl_schedule_apply(ctl *c, int argc, char **argv)
{
    const char *path = "";
    bool prunes = false;
    const ctl_option options[] = {{.name = "file", .value = &path}, {.name = "prune", .flag = &prunes}};
    DQ_CLEANUP(dq_arena_deinit) dq_arena arena = {0};
    DQ_BUF_AUTO text = {0};
    dq_schedule_spec *items = NULL;
    dureq_error err = {0};
    applied sum = {0};
    size_t n = 0;
    int n_args, rc;

    ctl_lengthen(argc, argv, 'f', "--file");
    rc = ctl_options(argc, argv, options, DQ_ARRAY_LEN(options), &n_args);
    if (rc == 0 && (n_args || !path[0]))
        rc = ctl_usage("schedule apply takes -f FILE, and --prune");
    if (rc == 0)
        rc = read_text(path, &text);
    if (rc == 0 && dq_schedule_list_parse(&arena, path, dq_buf_str(&text), &items, &n, &err) < 0)
        rc = ctl_usage("%s", err.msg);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = put_one(c, &items[i], &sum);
    if (rc == 0 && prunes)
        rc = prune(c, items, n, &sum);
    if (rc == 0)
        print_sum(c, &sum);
    return rc;
}
