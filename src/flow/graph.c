/* SPDX-License-Identifier: Apache-2.0 */
/* What the tasks of a definition mean together: names, dependencies, whose results go where, cycles, and an order to run in. Costs grow
   with tasks and edges and nothing else; nothing recurses, so a chain of 100,000 is no deeper than any other. */

#include "flow/flow.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/map.h"

typedef struct linker {
    const dq_json *doc;
    dq_flow *flow;
    dq_flow_faults *faults;
    dq_map by_name;   /* name -> task */
    uint32_t *seen;   /* by task: the last task (+ 1) whose list named it, */
    uint32_t *dep_of; /* and the last whose dependencies were marked here */
    dq_buf plain;     /* a name with escapes */
    bool failed;
} linker;

#define NAME_SHOWN 60

static const char *path_of(const linker *l, const dq_flow_task *t, const char *field, size_t i, char out[96])
{
    (void)snprintf(out, 96, "tasks[%" PRIu32 "].%s[%zu]", (uint32_t)(t - l->flow->tasks), field, i);
    return out;
}

static dureq_str name_at(linker *l, dq_json_ref v)
{
    dureq_str raw = dq_json_raw(l->doc, v);

    raw = dureq_str_of(raw.ptr + 1, raw.len - 2);
    if (!memchr(raw.ptr, '\\', raw.len))
        return raw;
    dq_buf_clear(&l->plain);
    if (dq_json_string(l->doc, v, &l->plain) < 0)
        l->failed = true;
    return dq_buf_str(&l->plain);
}

static void learn_names(linker *l)
{
    for (uint32_t i = 0; i < l->flow->n_tasks && !l->failed; i++) {
        dq_flow_task *t = &l->flow->tasks[i];
        const dq_flow_task *other = t->name.len ? dq_map_get(&l->by_name, t->name) : NULL;

        if (other) {
            char path[32];

            (void)snprintf(path, sizeof path, "tasks[%" PRIu32 "].name", i);
            dq_flow_fault_add(l->faults, l->doc->nodes[t->value].start, path,
                              "'" DQ_STR_FMT "' is the name of tasks[%" PRIu32 "] already",
                              (int)DQ_MIN(t->name.len, (size_t)NAME_SHOWN), t->name.ptr, (uint32_t)(other - l->flow->tasks));
        } else if (t->name.len && dq_map_put(&l->by_name, t->name, t) < 0) {
            l->failed = true;
        }
    }
}

/* ---- lists of names ---- */

/* The task that v names. DQ_FLOW_NO_TASK after telling what is wrong with it. */
static uint32_t task_at(linker *l, const dq_flow_task *t, dq_json_ref v, const char *path)
{
    uint32_t at = l->doc->nodes[v].start;
    const dq_flow_task *found;
    dureq_str name;

    if (dq_json_type_of(l->doc, v) != DQ_JSON_STRING) {
        dq_flow_fault_add(l->faults, at, path, "is the name of a task, not %s", dq_json_type_name(dq_json_type_of(l->doc, v)));
        return DQ_FLOW_NO_TASK;
    }
    name = name_at(l, v);
    found = dq_map_get(&l->by_name, name);
    if (found && found != t)
        return (uint32_t)(found - l->flow->tasks);
    if (found)
        dq_flow_fault_add(l->faults, at, path, "is the task itself");
    else
        dq_flow_fault_add(l->faults, at, path, "'" DQ_STR_FMT "' is no task of this workflow",
                          (int)DQ_MIN(name.len, (size_t)NAME_SHOWN), name.ptr);
    return DQ_FLOW_NO_TASK;
}

/* The same for a list that may name each task once. */
static uint32_t task_once(linker *l, const dq_flow_task *t, dq_json_ref v, const char *path)
{
    uint32_t me = (uint32_t)(t - l->flow->tasks), other = task_at(l, t, v, path);

    if (other == DQ_FLOW_NO_TASK || l->seen[other] != me + 1) {
        if (other != DQ_FLOW_NO_TASK)
            l->seen[other] = me + 1;
        return other;
    }
    dq_flow_fault_add(l->faults, l->doc->nodes[v].start, path, "names a task a second time");
    return DQ_FLOW_NO_TASK;
}

static uint32_t count_names(const linker *l)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < l->flow->n_tasks; i++)
        if (l->flow->tasks[i].depends_on != DQ_JSON_NONE)
            n += l->doc->nodes[l->flow->tasks[i].depends_on].n;
    return (uint32_t)DQ_MIN(n, (uint64_t)UINT32_MAX);
}

static bool link_dependencies(linker *l)
{
    dq_flow *flow = l->flow;
    uint32_t n = count_names(l);
    char path[96];

    if (n > DQ_FLOW_EDGES_MAX) {
        dq_flow_fault_add(l->faults, 0, "tasks", "have %" PRIu32 " dependencies: at most %d are taken", n, DQ_FLOW_EDGES_MAX);
        return false;
    }
    flow->deps = dq_arena_alloc(&flow->arena, (n + 1) * sizeof *flow->deps);
    if (!flow->deps) {
        l->failed = true;
        return false;
    }
    for (uint32_t i = 0; i < flow->n_tasks; i++) {
        dq_flow_task *t = &flow->tasks[i];
        size_t at = 0;

        t->deps_at = flow->n_edges;
        if (t->depends_on == DQ_JSON_NONE)
            continue;
        for (dq_json_ref v = dq_json_first(l->doc, t->depends_on); v != DQ_JSON_NONE;
             v = dq_json_next(l->doc, t->depends_on, v)) {
            uint32_t dep = task_once(l, t, v, path_of(l, t, "depends_on", at++, path));

            if (dep != DQ_FLOW_NO_TASK)
                flow->deps[flow->n_edges++] = dep;
        }
        t->n_deps = flow->n_edges - t->deps_at;
    }
    return true;
}

/* ---- whose results a task reads ---- */

static void mark_dependencies(linker *l, const dq_flow_task *t)
{
    for (uint32_t i = 0; i < t->n_deps; i++)
        l->dep_of[l->flow->deps[t->deps_at + i]] = (uint32_t)(t - l->flow->tasks) + 1;
}

/* `other` must be a dependency: its end has to be known when this one starts. */
static uint32_t must_be_upstream(linker *l, const dq_flow_task *t, uint32_t other, dq_json_ref v, const char *path)
{
    if (other == DQ_FLOW_NO_TASK || l->dep_of[other] == (uint32_t)(t - l->flow->tasks) + 1)
        return other;
    dq_flow_fault_add(l->faults, l->doc->nodes[v].start, path, "is not in depends_on of this task");
    return DQ_FLOW_NO_TASK;
}

static void add_input(linker *l, dq_flow_task *t, dq_json_ref v, const char *path)
{
    uint32_t other = must_be_upstream(l, t, task_once(l, t, v, path), v, path);

    if (other != DQ_FLOW_NO_TASK)
        l->flow->inputs[t->inputs_at + t->n_inputs++] = other;
}

static void link_inputs_of(linker *l, dq_flow_task *t)
{
    char path[96];
    size_t at = 0;

    if (!t->inputs_are_map) {
        (void)snprintf(path, sizeof path, "tasks[%" PRIu32 "].result_from", (uint32_t)(t - l->flow->tasks));
        add_input(l, t, t->result_from, path);
        return;
    }
    for (dq_json_ref v = dq_json_first(l->doc, t->result_from); v != DQ_JSON_NONE; v = dq_json_next(l->doc, t->result_from, v))
        add_input(l, t, v, path_of(l, t, "result_from", at++, path));
}

static void link_preconditions_of(linker *l, dq_flow_task *t)
{
    char path[96];

    for (size_t k = 0; k < t->n_preconditions; k++) {
        dq_flow_precondition *p = &t->preconditions[k];

        if (p->name == DQ_JSON_NONE)
            continue;
        (void)path_of(l, t, "preconditions", k, path);
        p->task = must_be_upstream(l, t, task_at(l, t, p->name, path), p->name, path);
    }
}

/* Inputs are dependencies, each named once, so that there are never more of them than edges. */
static void link_upstreams(linker *l)
{
    dq_flow *flow = l->flow;
    uint32_t n = 0;

    flow->inputs = dq_arena_alloc(&flow->arena, (flow->n_edges + (size_t)1) * sizeof *flow->inputs);
    if (!flow->inputs) {
        l->failed = true;
        return;
    }
    memset(l->seen, 0, flow->n_tasks * sizeof *l->seen);
    for (uint32_t i = 0; i < flow->n_tasks; i++) {
        dq_flow_task *t = &flow->tasks[i];

        t->inputs_at = n;
        if (t->result_from == DQ_JSON_NONE && !t->n_preconditions)
            continue;
        mark_dependencies(l, t);
        if (t->result_from != DQ_JSON_NONE)
            link_inputs_of(l, t);
        link_preconditions_of(l, t);
        n += t->n_inputs;
    }
}

static void check_run_if(linker *l)
{
    char path[48];

    for (uint32_t i = 0; i < l->flow->n_tasks; i++) {
        const dq_flow_task *t = &l->flow->tasks[i];

        if (t->run_if != DQ_FLOW_ANY_FAILED || (t->depends_on != DQ_JSON_NONE && l->doc->nodes[t->depends_on].n))
            continue;
        (void)snprintf(path, sizeof path, "tasks[%" PRIu32 "].run_if", i);
        dq_flow_fault_add(l->faults, l->doc->nodes[t->value].start, path,
                          "\"any_failed\" needs depends_on: without it the task never runs");
    }
}

/* ---- order ---- */

/* deps turned round: for each task those that depend on it, in the order of the definition. */
static bool turn_round(linker *l)
{
    dq_flow *flow = l->flow;
    uint32_t at = 0;

    flow->outs = dq_arena_alloc(&flow->arena, (flow->n_edges + (size_t)1) * sizeof *flow->outs);
    if (!flow->outs) {
        l->failed = true;
        return false;
    }
    for (uint32_t e = 0; e < flow->n_edges; e++)
        flow->tasks[flow->deps[e]].n_outs++;
    for (uint32_t i = 0; i < flow->n_tasks; i++) {
        flow->tasks[i].outs_at = at;
        at += flow->tasks[i].n_outs;
        flow->tasks[i].n_outs = 0;
    }
    for (uint32_t i = 0; i < flow->n_tasks; i++)
        for (uint32_t e = 0; e < flow->tasks[i].n_deps; e++) {
            dq_flow_task *upstream = &flow->tasks[flow->deps[flow->tasks[i].deps_at + e]];

            flow->outs[upstream->outs_at + upstream->n_outs++] = i;
        }
    return true;
}

/* Kahn's algorithm (Topological sorting of large networks, CACM 5(11), 1962). `left` counts the dependencies of each task that have no
   place in the order yet; what is left with some is on a cycle or below one. */
static uint32_t put_in_order(dq_flow *flow, uint32_t *left)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < flow->n_tasks; i++) {
        left[i] = flow->tasks[i].n_deps;
        if (left[i] == 0)
            flow->order[n++] = i;
    }
    for (uint32_t at = 0; at < n; at++) {
        const dq_flow_task *t = &flow->tasks[flow->order[at]];

        flow->n_layers = DQ_MAX(flow->n_layers, t->layer + 1);
        for (uint32_t e = 0; e < t->n_outs; e++) {
            uint32_t out = flow->outs[t->outs_at + e];

            flow->tasks[out].layer = DQ_MAX(flow->tasks[out].layer, t->layer + 1);
            if (--left[out] == 0)
                flow->order[n++] = out;
        }
    }
    return n;
}

static uint32_t unordered_dependency(const dq_flow *flow, const uint32_t *left, uint32_t task)
{
    const dq_flow_task *t = &flow->tasks[task];

    for (uint32_t e = 0; e < t->n_deps; e++)
        if (left[flow->deps[t->deps_at + e]])
            return flow->deps[t->deps_at + e];
    return DQ_FLOW_NO_TASK; /* not of a task that is left */
}

/* From a task on a cycle, round it: "a needs b needs a". */
static void tell_cycle(linker *l, const uint32_t *left, uint32_t first)
{
    uint32_t task = first, n = 0;
    DQ_BUF_AUTO text = {0};
    char path[48];

    do {
        dureq_str name = l->flow->tasks[task].name;

        if (text.len < 160)
            dq_buf_append_fmt(&text, "'" DQ_STR_FMT "' needs ", (int)DQ_MIN(name.len, (size_t)NAME_SHOWN), name.ptr);
        n++;
        task = unordered_dependency(l->flow, left, task);
    } while (task != first);
    if (dq_buf_failed(&text)) {
        l->failed = true;
        return;
    }
    (void)snprintf(path, sizeof path, "tasks[%" PRIu32 "].depends_on", first);
    dq_flow_fault_add(l->faults, l->doc->nodes[l->flow->tasks[first].value].start, path,
                      "is a cycle of %" PRIu32 ": %s%s'" DQ_STR_FMT "'", n, text.ptr, text.len < 160 ? "" : "... ",
                      (int)DQ_MIN(l->flow->tasks[first].name.len, (size_t)NAME_SHOWN), l->flow->tasks[first].name.ptr);
}

/* Going from a task that is left to its first dependency that is left ends on a cycle; each start walks only where no other has been. */
static void tell_cycles(linker *l, const uint32_t *left)
{
    memset(l->seen, 0, l->flow->n_tasks * sizeof *l->seen);
    for (uint32_t i = 0; i < l->flow->n_tasks; i++) {
        uint32_t at = i;

        while (left[at] && !l->seen[at]) {
            l->seen[at] = i + 1;
            at = unordered_dependency(l->flow, left, at);
        }
        if (l->seen[at] == i + 1) /* this walk came back to itself */
            tell_cycle(l, left, at);
    }
}

static void link_order(linker *l)
{
    dq_flow *flow = l->flow;
    uint32_t *left = dq_arena_alloc(&flow->arena, flow->n_tasks * sizeof *left);

    flow->order = dq_arena_alloc(&flow->arena, flow->n_tasks * sizeof *flow->order);
    if (!left || !flow->order || !turn_round(l)) {
        l->failed = true;
        return;
    }
    if (put_in_order(flow, left) < flow->n_tasks)
        tell_cycles(l, left);
}

int dq_flow_link(const dq_json *doc, dq_flow *flow, dq_flow_faults *faults)
{
    linker l = {.doc = doc, .flow = flow, .faults = faults};

    if (flow->n_tasks == 0)
        return 0;
    l.seen = dq_calloc(flow->n_tasks, sizeof *l.seen);
    l.dep_of = dq_calloc(flow->n_tasks, sizeof *l.dep_of);
    l.failed = !l.seen || !l.dep_of;
    if (!l.failed)
        learn_names(&l);
    if (!l.failed && link_dependencies(&l)) {
        link_upstreams(&l);
        check_run_if(&l);
        if (!l.failed)
            link_order(&l);
    }
    dq_map_deinit(&l.by_name);
    dq_buf_deinit(&l.plain);
    dq_free(l.seen);
    dq_free(l.dep_of);
    return l.failed || faults->failed ? DUREQ_ENOMEM : 0;
}
