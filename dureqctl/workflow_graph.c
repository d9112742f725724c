/* SPDX-License-Identifier: Apache-2.0 */
/* workflow graph: tasks one below the other, each after those it depends on, with rails for edges that are under way. A rail leads to one task; who
   has an edge to it joins it. */
#include <stdlib.h>

#include "base/arena.h"
#include "workflow.h"

#define RAILS_MAX 40 /* of a terminal's width; wider graphs are shown without */
#define NO_TASK   UINT32_MAX

typedef struct node {
    dureq_str name, status;
    uint32_t *to;
    uint32_t n_to, n_from, left;
    bool is_done; /* drawn */
} node;

typedef struct drawing {
    const ctl *c;
    dq_arena arena;
    node *nodes;
    uint32_t n;
    uint32_t rails[RAILS_MAX]; /* which task each leads to */
    size_t n_rails;            /* up to the last in use */
    bool is_too_wide;
} drawing;

/* ---- rails ---- */

static size_t rail_to(const drawing *d, uint32_t task)
{
    size_t i = 0;

    while (i < d->n_rails && d->rails[i] != task)
        i++;
    return i < d->n_rails ? i : SIZE_MAX;
}

static size_t free_rail(drawing *d)
{
    size_t i = 0;

    while (i < d->n_rails && d->rails[i] != NO_TASK)
        i++;
    if (i == RAILS_MAX) {
        d->is_too_wide = true;
        return SIZE_MAX;
    }
    if (i == d->n_rails)
        d->n_rails++;
    return i;
}

static void shrink(drawing *d)
{
    while (d->n_rails && d->rails[d->n_rails - 1] == NO_TASK)
        d->n_rails--;
}

/* Of what can be drawn, the one whose rail is leftmost, so that rails end soon; else the first. */
static uint32_t next_task(const drawing *d)
{
    uint32_t first = NO_TASK;

    for (size_t i = 0; i < d->n_rails; i++)
        if (d->rails[i] != NO_TASK && d->nodes[d->rails[i]].left == 0)
            return d->rails[i];
    for (uint32_t i = 0; i < d->n && first == NO_TASK; i++)
        if (!d->nodes[i].is_done && d->nodes[i].left == 0)
            first = i;
    return first;
}

/* ---- lines ---- */

static const char *mark_of(dureq_str status)
{
    static const char *const marks[][2] = {
        {"completed", "✔"}, {"failed", "✘"},  {"cancelled", "✘"}, {"skipped", "⊘"},
        {"unreached", "⊘"}, {"running", "▶"}, {"retrying", "↻"},  {"waiting", "○"},
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(marks); i++)
        if (dq_str_eq_text(status, marks[i][0]))
            return marks[i][1];
    return "●"; /* its job waits */
}

static void put_task_line(const drawing *d, const node *t, size_t rail)
{
    DQ_BUF_AUTO line = {0};

    for (size_t i = 0; i < d->n_rails || i <= rail; i++)
        dq_buf_append_text(&line, i == rail ? mark_of(t->status) : i < d->n_rails && d->rails[i] != NO_TASK ? "│" : " ");
    dq_buf_append_text(&line, "  ");
    ctl_graph_task(d->c, t->name, t->status, &line);
    if (!dq_buf_failed(&line))
        (void)printf("%s\n", line.ptr);
}

/* What a crossing looks like, by where it goes: up 1, down 2, left 4, right 8. */
static const char *crossing(unsigned ways)
{
    static const char *const looks[16] = {" ", "│", "│", "│", "─", "╯", "╮", "┤", "─", "╰", "╭", "├", "─", "┴", "┬", "┼"};

    return looks[ways & 15];
}

/* From a task's rail to those of its edges. before: which rails were in use above. */
static void put_joint(const drawing *d, size_t from, const bool *before, const bool *joined, size_t n)
{
    DQ_BUF_AUTO line = {0};
    size_t low = from, high = from;

    for (size_t i = 0; i < n; i++)
        if (joined[i]) {
            low = DQ_MIN(low, i);
            high = DQ_MAX(high, i);
        }
    if (low == high)
        return;
    for (size_t i = 0; i < n; i++) {
        unsigned ways = 0;
        bool is_on = i == from || joined[i];

        ways |= before[i] || i == from ? 1 : 0;
        ways |= i < d->n_rails && d->rails[i] != NO_TASK ? 2 : 0;
        ways |= i > low && i <= high && (is_on || !(ways & 3)) ? 4 : 0;
        ways |= i >= low && i < high && (is_on || !(ways & 3)) ? 8 : 0;
        dq_buf_append_text(&line, i > low && i < high && !is_on && (ways & 3) ? "┼" : crossing(ways));
    }
    if (!dq_buf_failed(&line))
        (void)printf("%s\n", line.ptr);
}

/* Its rail goes on to the first of its edges that has none yet. */
static void open_rails(drawing *d, const node *t, size_t rail)
{
    bool before[RAILS_MAX] = {false}, joined[RAILS_MAX] = {false};
    size_t n;

    for (size_t i = 0; i < d->n_rails; i++)
        before[i] = d->rails[i] != NO_TASK;
    d->rails[rail] = NO_TASK;
    for (uint32_t k = 0; k < t->n_to && !d->is_too_wide; k++) {
        size_t to = rail_to(d, t->to[k]);

        if (to == SIZE_MAX && d->rails[rail] == NO_TASK)
            to = rail;
        else if (to == SIZE_MAX)
            to = free_rail(d);
        if (to == SIZE_MAX)
            return;
        d->rails[to] = t->to[k];
        joined[to] = true;
        d->nodes[t->to[k]].left--;
    }
    n = DQ_MAX(d->n_rails, rail + 1);
    if (t->n_to)
        put_joint(d, rail, before, joined, n);
    shrink(d);
}

static void draw(drawing *d)
{
    for (uint32_t task = next_task(d); task != NO_TASK && !d->is_too_wide; task = next_task(d)) {
        size_t rail = rail_to(d, task);

        if (rail == SIZE_MAX)
            rail = free_rail(d);
        if (rail == SIZE_MAX)
            return;
        d->rails[rail] = task;
        d->nodes[task].is_done = true;
        put_task_line(d, &d->nodes[task], rail);
        open_rails(d, &d->nodes[task], rail);
    }
}

/* ---- from the answer ---- */

static dureq_str text_of(drawing *d, const dq_json *doc, dq_json_ref object, const char *name)
{
    DQ_BUF_AUTO text = {0};
    dq_json_ref v = dq_json_member(doc, object, name);

    if (v == DQ_JSON_NONE || dq_json_string(doc, v, &text) < 0)
        return (dureq_str){0};
    return dq_arena_dup_str(&d->arena, dq_buf_str(&text));
}

static bool read_nodes(drawing *d, const dq_json *doc)
{
    dq_json_ref list = dq_json_member(doc, 0, "nodes");
    uint32_t i = 0;

    if (list == DQ_JSON_NONE || dq_json_type_of(doc, list) != DQ_JSON_ARRAY)
        return false;
    d->n = doc->nodes[list].n;
    d->nodes = dq_arena_alloc(&d->arena, (d->n + (size_t)1) * sizeof *d->nodes);
    if (!d->nodes)
        return false;
    for (dq_json_ref v = dq_json_first(doc, list); v != DQ_JSON_NONE; v = dq_json_next(doc, list, v), i++) {
        d->nodes[i].name = text_of(d, doc, v, "name");
        d->nodes[i].status = text_of(d, doc, v, "status");
    }
    return true;
}

static bool read_edge(const drawing *d, const dq_json *doc, dq_json_ref v, uint32_t *ret_from, uint32_t *ret_to)
{
    dq_json_ref a = dq_json_first(doc, v), b = a == DQ_JSON_NONE ? a : dq_json_next(doc, v, a);
    int64_t from, to;

    if (b == DQ_JSON_NONE || dq_json_i64(doc, a, &from) < 0 || dq_json_i64(doc, b, &to) < 0)
        return false;
    if (from < 0 || to < 0 || from >= d->n || to >= d->n)
        return false;
    *ret_from = (uint32_t)from;
    *ret_to = (uint32_t)to;
    return true;
}

static bool read_edges(drawing *d, const dq_json *doc)
{
    dq_json_ref list = dq_json_member(doc, 0, "edges");
    uint32_t from, to, *room;

    if (list == DQ_JSON_NONE)
        return false;
    room = dq_arena_alloc(&d->arena, (doc->nodes[list].n + (size_t)1) * sizeof *room);
    if (!room)
        return false;
    for (dq_json_ref v = dq_json_first(doc, list); v != DQ_JSON_NONE; v = dq_json_next(doc, list, v))
        if (read_edge(d, doc, v, &from, &to))
            d->nodes[from].n_from++; /* how many leave it, for a moment */
    for (uint32_t i = 0; i < d->n; i++) {
        d->nodes[i].to = room;
        room += d->nodes[i].n_from;
        d->nodes[i].n_from = 0;
    }
    for (dq_json_ref v = dq_json_first(doc, list); v != DQ_JSON_NONE; v = dq_json_next(doc, list, v)) {
        if (!read_edge(d, doc, v, &from, &to))
            continue;
        d->nodes[from].to[d->nodes[from].n_to++] = to;
        d->nodes[to].left++;
    }
    return true;
}

int ctl_draw_graph(const ctl *c, const dq_json *doc)
{
    drawing d = {.c = c};
    int rc = CTL_DONE;

    if (!read_nodes(&d, doc) || !read_edges(&d, doc))
        rc = ctl_fail(CTL_FAILED, "the answer has no graph in it");
    else
        draw(&d);
    if (d.is_too_wide)
        rc = ctl_fail(CTL_FAILED, "the graph is too wide to be drawn further; -o json has all of it");
    dq_arena_deinit(&d.arena);
    return rc;
}
