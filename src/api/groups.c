/* SPDX-License-Identifier: Apache-2.0 */
/* Dead jobs by what they have in common: their type, or the first line of their error with its numbers left out, so that "timeout after
   31 s" and "timeout after 30 s" are one. */
#include "api/groups.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/scope.h"
#include "base/map.h"
#include "model/job_json.h"

#define PAGE 1000

typedef struct group {
    dureq_str key;
    int64_t n, newest_ms;
    dureq_job_id example; /* the newest */
    dureq_str task_type;  /* its */
} group;

typedef struct grouping {
    dq_api_ctx *c;
    bool by_type;
    dq_map groups; /* in the arena */
    size_t n;
    dq_buf key;
} grouping;

static void put_error_key(dureq_str error, dq_buf *out)
{
    dureq_str rest = error, line = dq_str_trim(dq_str_cut(&rest, '\n'));
    bool in_number = false;

    for (size_t i = 0; i < line.len; i++) {
        bool is_digit = line.ptr[i] >= '0' && line.ptr[i] <= '9';

        if (!is_digit)
            dq_buf_append(out, line.ptr + i, 1);
        else if (!in_number)
            dq_buf_append_text(out, "N");
        in_number = is_digit;
    }
}

static void name_group(dureq_str key, char ret[DQ_API_GROUP_TEXT])
{
    (void)snprintf(ret, DQ_API_GROUP_TEXT, "%016llx", (unsigned long long)dq_hash_bytes(key.ptr, key.len));
}

int dq_api_group_of(const dureq_job *job, dq_buf *key, char ret[DQ_API_GROUP_TEXT], dureq_error *err)
{
    dq_buf_clear(key);
    put_error_key(job->last_error.len ? job->last_error : job->reason, key);
    if (dq_buf_finish(key, err) < 0)
        return DUREQ_ENOMEM;
    name_group(dq_buf_str(key), ret);
    return 0;
}

bool dq_api_is_group(const char *text)
{
    return strlen(text) == DQ_API_GROUP_TEXT - 1 && strspn(text, "0123456789abcdef") == DQ_API_GROUP_TEXT - 1;
}

static group *group_of(grouping *g, const dureq_job *job, dureq_error *err)
{
    group *found;

    dq_buf_clear(&g->key);
    if (g->by_type)
        dq_buf_append_str(&g->key, job->task_type);
    else
        put_error_key(job->last_error.len ? job->last_error : job->reason, &g->key);
    if (dq_buf_finish(&g->key, err) < 0)
        return NULL;
    found = dq_map_get(&g->groups, dq_buf_str(&g->key));
    if (found)
        return found;
    found = dq_arena_alloc(&g->c->arena, sizeof *found);
    if (found) {
        *found = (group){.newest_ms = -1};
        found->key = dq_arena_dup_str(&g->c->arena, dq_buf_str(&g->key));
    }
    if (!found || (g->key.len && !found->key.ptr) || dq_map_put(&g->groups, found->key, found) < 0) {
        (void)dq_fail_nomem(err);
        return NULL;
    }
    g->n++;
    return found;
}

static int add_page(grouping *g, const dureq_job_list *list, dureq_error *err)
{
    for (size_t i = 0; i < list->n; i++) {
        const dureq_job *job = &list->items[i];
        group *of = group_of(g, job, err);

        if (!of)
            return DUREQ_ENOMEM;
        of->n++;
        if (job->finished_at_ms <= of->newest_ms)
            continue;
        of->newest_ms = job->finished_at_ms;
        of->example = job->id;
        if (!dq_str_eq(of->task_type, job->task_type))
            of->task_type = dq_arena_dup_str(&g->c->arena, job->task_type);
    }
    return 0;
}

static int add_all(grouping *g, dureq_job_filter *f, dureq_error *err)
{
    DQ_BUF_AUTO cursor = {0};
    int rc = 0;

    f->limit = PAGE;
    f->cursor = NULL;
    do {
        dureq_job_list *list;

        rc = dq_api_list_jobs(g->c, f, &list, err);
        if (rc < 0)
            return rc;
        rc = add_page(g, list, err);
        dq_buf_clear(&cursor);
        dq_buf_append_str(&cursor, list->next_cursor);
        dureq_job_list_destroy(list);
        if (rc == 0)
            rc = dq_buf_finish(&cursor, err);
        f->cursor = cursor.ptr;
    } while (rc == 0 && cursor.len);
    return rc;
}

static int most_first(const void *a, const void *b)
{
    const group *x = *(group *const *)a, *y = *(group *const *)b;

    if (x->n != y->n)
        return x->n > y->n ? -1 : 1;
    return x->newest_ms > y->newest_ms ? -1 : x->newest_ms < y->newest_ms;
}

static int write_groups(grouping *g, dureq_error *err)
{
    dq_json_writer *w = &g->c->w;
    group **sorted = dq_arena_alloc(&g->c->arena, (g->n + 1) * sizeof *sorted), *at;
    size_t i = 0, n = 0;

    if (!sorted)
        return dq_fail_nomem(err);
    for (at = dq_map_next(&g->groups, &i); at; at = dq_map_next(&g->groups, &i))
        sorted[n++] = at;
    qsort(sorted, n, sizeof *sorted, most_first);
    dq_json_begin_array(w);
    for (i = 0; i < n; i++) {
        dq_json_begin_object(w);
        dq_json_key(w, "count");
        dq_json_put_i64(w, sorted[i]->n);
        dq_json_key(w, g->by_type ? "task_type" : "error");
        dq_json_put_str(w, sorted[i]->key);
        dq_json_key(w, "newest");
        dq_json_put_rfc3339(w, sorted[i]->newest_ms);
        dq_json_key(w, "job_id");
        dq_json_put_text(w, sorted[i]->example.text);
        if (!g->by_type) {
            char name[DQ_API_GROUP_TEXT];

            name_group(sorted[i]->key, name);
            dq_json_key(w, "task_type");
            dq_json_put_str(w, sorted[i]->task_type);
            dq_json_set_text(w, "group", name);
        }
        dq_json_end_object(w);
    }
    dq_json_end_array(w);
    return 0;
}

static int get_groups(dq_api_ctx *c, dureq_error *err)
{
    static const dureq_job_state dead[] = {DUREQ_JOB_DEAD};
    dureq_job_filter f = dureq_job_filter_init();
    dureq_job_state states[DQ_API_STATES_MAX];
    const char *by = dq_api_query(c, "by");
    grouping g = {.c = c, .by_type = by && strcmp(by, "type") == 0};
    int64_t offset;
    int rc = dq_api_read_filter(c, &f, states, &offset, err);

    if (rc == 0 && by && !g.by_type && strcmp(by, "error") != 0)
        rc = dq_fail(err, DUREQ_EINVAL, "parameter 'by' takes error or type, not '%.64s'", by);
    f.states = dead;
    f.n_states = 1;
    if (rc == 0)
        rc = add_all(&g, &f, err);
    if (rc == 0 && g.n == 0)
        rc = dq_api_check_queue(c, &f, err);
    if (rc == 0)
        rc = write_groups(&g, err);
    dq_map_deinit(&g.groups);
    dq_buf_deinit(&g.key);
    return rc;
}

const dq_api_route dq_api_group_routes[] = {
    {"GET", "/api/dlq/groups", get_groups, DQ_API_FILTERS " by", .scope = DQ_API_SCOPE_OWN, .shows_payload = true,
     .cost = DQ_API_SCANS, .answer = "DeadGroups",
     .text = "Dead jobs by their error without its numbers, or by type; the largest group first."},
    {NULL, NULL, NULL, NULL},
};
