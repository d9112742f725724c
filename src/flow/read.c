/* SPDX-License-Identifier: Apache-2.0 */
/* A definition's fields. One table for each kind of object says which there are; those of a job spec are read by the reader that reads
   them of jobs. Fields of later versions are known by name, so that who uses one is told that, not that it is misspelt. */

#include "flow/flow.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "model/job_json.h"

#define PLACE_MAX 160 /* of an object: "tasks[99999].preconditions[67108863]" and room */

typedef struct reader {
    const dq_json *doc;
    dq_flow *flow;
    dq_flow_faults *faults;
    size_t max_payload;
    bool failed; /* out of memory */
} reader;

/* The object that is read. */
typedef struct object {
    dq_json_ref value;
    char path[PLACE_MAX]; /* "" or "tasks[3]" */
    void *target;
    dq_spec_reading *spec; /* NULL: it has no fields of a job spec */
    bool has_later;        /* a field of a later version, so that one more fault would only repeat it */
} object;

typedef struct member {
    const char *name;
    void (*read)(reader *r, object *o, dq_json_ref key);
} member;

/* "path.field" with the field's name from the document, cut where it is long. */
static void fault(reader *r, const object *o, dq_json_ref key, const char *fmt, ...) DUREQ_PRINTF(4, 5);
static void fault(reader *r, const object *o, dq_json_ref key, const char *fmt, ...)
{
    char path[PLACE_MAX + 80], text[DUREQ_ERROR_MSG_MAX];
    dureq_str name = dq_json_raw(r->doc, key);
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (key == o->value) /* the object itself */
        (void)snprintf(path, sizeof path, "%s", o->path);
    else
        (void)snprintf(path, sizeof path, "%s%s%.*s", o->path, *o->path ? "." : "", (int)DQ_MIN(name.len - 2, (size_t)60),
                       name.ptr + 1);
    dq_flow_fault_add(r->faults, r->doc->nodes[key].start, path, "%s", text);
}

static void fault_type(reader *r, const object *o, dq_json_ref key, const char *takes)
{
    dq_json_type type = dq_json_type_of(r->doc, key + 1);
    dureq_str raw = dq_json_raw(r->doc, key + 1);

    if (type == DQ_JSON_STRING || type == DQ_JSON_NUMBER)
        fault(r, o, key, "takes %s, not %.*s%s", takes, (int)DQ_MIN(raw.len, (size_t)40), raw.ptr, raw.len > 40 ? "..." : "");
    else
        fault(r, o, key, "takes %s, not %s", takes,
              type == DQ_JSON_TRUE || type == DQ_JSON_FALSE ? "a boolean" : dq_json_type_name(type));
}

/* ---- values ---- */

/* A view into the document, or into the arena when it has escapes. */
static bool string_of(reader *r, dq_json_ref v, dureq_str *ret)
{
    DQ_BUF_AUTO plain = {0};
    dureq_str raw = dq_json_raw(r->doc, v);

    if (dq_json_type_of(r->doc, v) != DQ_JSON_STRING)
        return false;
    *ret = dureq_str_of(raw.ptr + 1, raw.len - 2);
    if (!memchr(ret->ptr, '\\', ret->len))
        return true;
    if (dq_json_string(r->doc, v, &plain) == 0)
        *ret = dq_arena_dup_str(&r->flow->arena, dq_buf_str(&plain));
    if (dq_buf_failed(&plain) || (!ret->ptr && plain.len))
        r->failed = true;
    return !r->failed;
}

static bool is_name(dureq_str name)
{
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.ptr[i] < ' ' || name.ptr[i] == 127)
            return false;
    return name.len > 0 && name.len <= DQ_FLOW_TASK_NAME_MAX && !dq_str_starts_with(name, DQ_STR_LIT("__"));
}

static void read_i32(reader *r, object *o, dq_json_ref key, int32_t *ret, const int32_t bounds[2])
{
    char takes[64];
    int64_t n;

    if (dq_json_i64(r->doc, key + 1, &n) == 0 && n >= bounds[0] && n <= bounds[1]) {
        *ret = (int32_t)n;
        return;
    }
    (void)snprintf(takes, sizeof takes, "a whole number from %" PRId32 " to %" PRId32, bounds[0], bounds[1]);
    fault_type(r, o, key, takes);
}

static void read_bool(reader *r, object *o, dq_json_ref key, bool *ret)
{
    dq_json_type type = dq_json_type_of(r->doc, key + 1);

    if (type == DQ_JSON_TRUE || type == DQ_JSON_FALSE)
        *ret = type == DQ_JSON_TRUE;
    else
        fault_type(r, o, key, "true or false");
}

static void read_duration(reader *r, object *o, dq_json_ref key, int64_t *ret)
{
    dureq_str text;

    if (!string_of(r, key + 1, &text) || dq_parse_duration_ms(text, ret) < 0 || *ret < 0) {
        *ret = 0;
        fault_type(r, o, key, "a duration such as \"30s\"");
    }
}

/* Which of the words the string is; -1 after telling what it takes. */
static int read_word(reader *r, object *o, dq_json_ref key, const char *const *words, const char *takes)
{
    for (int i = 0; words[i]; i++)
        if (dq_json_type_of(r->doc, key + 1) == DQ_JSON_STRING && dq_json_string_eq(r->doc, key + 1, words[i]))
            return i;
    fault_type(r, o, key, takes);
    return -1;
}

/* null is the same as leaving a field out. */
static bool has(const reader *r, dq_json_ref within, const char *name)
{
    dq_json_ref v = dq_json_member(r->doc, within, name);

    return v != DQ_JSON_NONE && dq_json_type_of(r->doc, v) != DQ_JSON_NULL;
}

/* ---- members of an object ---- */

static const char *const later_fields[][2] = {
    {"batch", "batches as tasks"},
    {"child_workflow", "child workflows"},
    {"child_workflow_def", "child workflows"},
    {"compensate", "compensation"},
    {"condition_routes", "conditions"},
    {"max_iterations", "loops"},
    {"signal_timeout", "signals"},
    {"sleep", "timers"},
    {"wait_for_signal", "signals"},
};

static bool read_later(reader *r, object *o, dq_json_ref key)
{
    for (size_t i = 0; i < DQ_ARRAY_LEN(later_fields); i++)
        if (dq_json_string_eq(r->doc, key, later_fields[i][0])) {
            o->has_later = true;
            fault(r, o, key, "is not supported by this version: it belongs to %s", later_fields[i][1]);
            return true;
        }
    return false;
}

/* What a spec of a job has and a task has not. */
static bool read_refused(reader *r, object *o, dq_json_ref key)
{
    static const char *const refused[] = {"unique_key", "unique_for", "request_id", "schedule"};

    for (size_t i = 0; i < DQ_ARRAY_LEN(refused); i++)
        if (dq_json_string_eq(r->doc, key, refused[i])) {
            fault(r, o, key, "is an option of the workflow, not of its parts");
            return true;
        }
    return false;
}

static void read_spec_member(reader *r, object *o, dq_json_ref key)
{
    dureq_error err = {0};
    int rc = o->spec ? dq_spec_read_member(r->doc, key, &r->flow->arena, o->spec, &err) : DUREQ_ENOTFOUND;

    if (rc == DUREQ_ENOTFOUND)
        fault(r, o, key, "is no field that is known here");
    else if (rc == DUREQ_ENOMEM)
        r->failed = true;
    else if (rc < 0)
        fault(r, o, key, "%s", err.msg);
}

static bool comes_again(const reader *r, const object *o, dq_json_ref key)
{
    dureq_str name = dq_json_raw(r->doc, key);

    for (dq_json_ref k = dq_json_first(r->doc, o->value); k != key; k = dq_json_next(r->doc, o->value, k))
        if (dq_str_eq(dq_json_raw(r->doc, k), name))
            return true;
    return false;
}

#define MEMBERS_MAX 256 /* of one object: more than there are fields */

static void read_members(reader *r, object *o, const member *members)
{
    size_t n = 0;

    for (dq_json_ref k = dq_json_first(r->doc, o->value); k != DQ_JSON_NONE; k = dq_json_next(r->doc, o->value, k)) {
        const member *m = members;

        if (n++ == MEMBERS_MAX) {
            fault(r, o, k, "is one field too many: an object takes at most %d", MEMBERS_MAX);
            return;
        }
        if (comes_again(r, o, k)) {
            fault(r, o, k, "is given twice");
            continue;
        }
        while (m->name && !dq_json_string_eq(r->doc, k, m->name))
            m++;
        if (m->name && (dq_json_type_of(r->doc, k + 1) != DQ_JSON_NULL))
            m->read(r, o, k);
        else if (!m->name && !read_later(r, o, k) && !(o->spec && *o->path && read_refused(r, o, k)))
            read_spec_member(r, o, k);
    }
}

/* The job that a task or hook is. Without a task type it is left empty, which was told. */
static void end_spec(reader *r, object *o, dureq_job_spec *ret, dureq_job_options *ret_options)
{
    dureq_error err = {0};
    int rc;

    if (!o->spec->task_type && (o->has_later || has(r, o->value, "task_type")))
        return; /* told already */
    rc = dq_spec_read_end(r->doc, &r->flow->arena, o->spec, ret, ret_options, &err);
    if (rc == 0)
        rc = dq_job_spec_check(ret, r->max_payload, &err);
    if (rc == DUREQ_ENOMEM)
        r->failed = true;
    else if (rc < 0)
        fault(r, o, o->value, "%s", err.msg);
    if (rc < 0)
        ret->task_type = NULL;
}

/* ---- a task ---- */

static void task_name(reader *r, object *o, dq_json_ref key)
{
    dq_flow_task *t = o->target;

    if (!string_of(r, key + 1, &t->name) || !is_name(t->name)) {
        t->name = dureq_str_of(NULL, 0);
        fault_type(r, o, key, "a text of 1 to 128 bytes without control characters that does not begin with \"__\"");
    }
}

static void task_depends_on(reader *r, object *o, dq_json_ref key)
{
    dq_flow_task *t = o->target;

    if (dq_json_type_of(r->doc, key + 1) == DQ_JSON_ARRAY)
        t->depends_on = key + 1;
    else
        fault_type(r, o, key, "an array of names of tasks");
}

static void task_result_from(reader *r, object *o, dq_json_ref key)
{
    dq_flow_task *t = o->target;
    dq_json_type type = dq_json_type_of(r->doc, key + 1);

    if (type == DQ_JSON_STRING && dq_json_raw(r->doc, key + 1).len == 2)
        return; /* "": none, as the Go version of dureq writes it */
    if (type != DQ_JSON_STRING && type != DQ_JSON_ARRAY) {
        fault_type(r, o, key, "the name of a task in depends_on, or an array of them");
        return;
    }
    t->result_from = key + 1;
    t->inputs_are_map = type == DQ_JSON_ARRAY;
}

static void task_priority(reader *r, object *o, dq_json_ref key)
{
    static const int32_t bounds[2] = {-1000000, 1000000};

    read_i32(r, o, key, &((dq_flow_task *)o->target)->priority, bounds);
}

static void task_allow_failure(reader *r, object *o, dq_json_ref key)
{
    read_bool(r, o, key, &((dq_flow_task *)o->target)->allow_failure);
}

static void task_run_if(reader *r, object *o, dq_json_ref key)
{
    static const char *const words[] = {"all_success", "all_done", "any_failed", NULL};
    int i = read_word(r, o, key, words, "\"all_success\", \"all_done\" or \"any_failed\"");

    if (i >= 0)
        ((dq_flow_task *)o->target)->run_if = (dq_flow_run_if)i;
}

static void task_result_reuse(reader *r, object *o, dq_json_ref key)
{
    static const char *const words[] = {"", "always", "on_success", "never", NULL};
    int i = read_word(r, o, key, words, "\"always\" or \"never\"");

    ((dq_flow_task *)o->target)->never_reused = i == 3;
}

static void task_type(reader *r, object *o, dq_json_ref key)
{
    static const char *const words[] = {"", "static", "condition", "subflow", NULL};
    int i = read_word(r, o, key, words, "\"static\", or nothing");

    if (i < 2)
        return;
    o->has_later = true;
    fault(r, o, key, "\"%s\" is not supported by this version: it belongs to %s", words[i], i == 2 ? "conditions" : "sub-flows");
}

/* ---- preconditions ---- */

static void precondition_type(reader *r, object *o, dq_json_ref key)
{
    static const char *const words[] = {"upstream_output", NULL};

    (void)read_word(r, o, key, words, "\"upstream_output\"");
}

static void precondition_task(reader *r, object *o, dq_json_ref key)
{
    (void)r;
    ((dq_flow_precondition *)o->target)->name = key + 1;
}

/* Names with dots between them, indexes in brackets: "a.b[0]", with or without "$." before it. */
static bool is_path(dureq_str path)
{
    bool wants_name = true;

    for (size_t i = 0; i < path.len; i++) {
        char c = path.ptr[i];

        if (c == '[') {
            size_t from = ++i;

            while (i < path.len && path.ptr[i] >= '0' && path.ptr[i] <= '9')
                i++;
            if (i == from || i - from > 9 || i == path.len || path.ptr[i] != ']')
                return false;
            wants_name = false;
        } else if (c == '.') {
            if (wants_name)
                return false;
            wants_name = true;
        } else if ((unsigned char)c < ' ' || c == ']') {
            return false;
        } else {
            wants_name = false;
        }
    }
    return !wants_name;
}

static void precondition_path(reader *r, object *o, dq_json_ref key)
{
    dq_flow_precondition *p = o->target;
    dureq_str path;

    if (string_of(r, key + 1, &path)) {
        if (dq_str_starts_with(path, DQ_STR_LIT("$.")))
            path = dureq_str_of(path.ptr + 2, path.len - 2);
        else if (dq_str_starts_with(path, DQ_STR_LIT("$[")))
            path = dureq_str_of(path.ptr + 1, path.len - 1);
        if (is_path(path)) {
            p->path = path;
            return;
        }
    }
    fault_type(r, o, key, "a path such as \"status\" or \"$.items[0].state\"");
}

static void precondition_expected(reader *r, object *o, dq_json_ref key)
{
    dq_json_type type = dq_json_type_of(r->doc, key + 1);

    if (type == DQ_JSON_OBJECT || type == DQ_JSON_ARRAY)
        fault_type(r, o, key, "a string, a number, true or false");
    else
        ((dq_flow_precondition *)o->target)->expected = dq_json_raw(r->doc, key + 1);
}

static void read_precondition(reader *r, const object *task, dq_json_ref v, dq_flow_precondition *p)
{
    static const member members[] = {
        {"expected", precondition_expected},
        {"path", precondition_path},
        {"task", precondition_task},
        {"type", precondition_type},
        {NULL, NULL},
    };
    dq_flow_task *t = task->target;
    object o = {.value = v, .target = p};

    (void)snprintf(o.path, sizeof o.path, "%.60s.preconditions[%zu]", task->path, (size_t)(p - t->preconditions));
    p->name = DQ_JSON_NONE;
    p->task = DQ_FLOW_NO_TASK;
    if (dq_json_type_of(r->doc, v) != DQ_JSON_OBJECT) {
        fault(r, &o, v, "is an object, not %s", dq_json_type_name(dq_json_type_of(r->doc, v)));
        return;
    }
    read_members(r, &o, members);
    if (p->name == DQ_JSON_NONE)
        fault(r, &o, v, "field 'task' is missing");
    if (!has(r, v, "path"))
        fault(r, &o, v, "field 'path' is missing");
    if (!p->expected.len)
        p->expected = DQ_STR_LIT("null");
}

static void task_preconditions(reader *r, object *o, dq_json_ref key)
{
    dq_flow_task *t = o->target;
    dq_json_ref list = key + 1;
    size_t n = r->doc->nodes[list].n;

    if (dq_json_type_of(r->doc, list) != DQ_JSON_ARRAY) {
        fault_type(r, o, key, "an array of objects");
        return;
    }
    if (n == 0)
        return;
    t->preconditions = dq_arena_alloc(&r->flow->arena, n * sizeof *t->preconditions);
    if (!t->preconditions) {
        r->failed = true;
        return;
    }
    for (dq_json_ref v = dq_json_first(r->doc, list); v != DQ_JSON_NONE; v = dq_json_next(r->doc, list, v))
        read_precondition(r, o, v, &t->preconditions[t->n_preconditions++]);
}

static void read_task(reader *r, dq_json_ref v, dq_flow_task *t)
{
    static const member members[] = {
        {"allow_failure", task_allow_failure},
        {"depends_on", task_depends_on},
        {"name", task_name},
        {"preconditions", task_preconditions},
        {"priority", task_priority},
        {"result_from", task_result_from},
        {"result_reuse", task_result_reuse},
        {"run_if", task_run_if},
        {"type", task_type},
        {NULL, NULL},
    };
    dq_spec_reading spec = dq_spec_reading_of();
    object o = {.value = v, .target = t, .spec = &spec};

    t->value = v;
    t->depends_on = t->result_from = DQ_JSON_NONE;
    (void)snprintf(o.path, sizeof o.path, "tasks[%" PRIu32 "]", (uint32_t)(t - r->flow->tasks));
    if (dq_json_type_of(r->doc, v) != DQ_JSON_OBJECT) {
        fault(r, &o, v, "a task is an object, not %s", dq_json_type_name(dq_json_type_of(r->doc, v)));
        return;
    }
    read_members(r, &o, members);
    if (!has(r, v, "name"))
        fault(r, &o, v, "field 'name' is missing");
    end_spec(r, &o, &t->spec, &t->options);
}

/* ---- hooks ---- */

static void hook_timeout(reader *r, object *o, dq_json_ref key)
{
    read_duration(r, o, key, o->target);
}

static void read_hook(reader *r, dq_json_ref key, dq_flow_hook which)
{
    static const member members[] = {{"timeout", hook_timeout}, {NULL, NULL}};
    dq_spec_reading spec = dq_spec_reading_of();
    object o = {.value = key + 1, .spec = &spec, .target = &r->flow->hooks[which].timeout_ms};
    dureq_str name = dq_json_raw(r->doc, key);

    (void)snprintf(o.path, sizeof o.path, "hooks.%.*s", (int)(name.len - 2), name.ptr + 1);
    if (dq_json_type_of(r->doc, o.value) != DQ_JSON_OBJECT) {
        fault(r, &o, o.value, "a hook is an object, not %s", dq_json_type_name(dq_json_type_of(r->doc, o.value)));
        return;
    }
    read_members(r, &o, members);
    end_spec(r, &o, &r->flow->hooks[which].spec, &r->flow->hooks[which].options);
}

static void hook_on_init(reader *r, object *o, dq_json_ref key)
{
    (void)o;
    read_hook(r, key, DQ_FLOW_ON_INIT);
}

static void hook_on_success(reader *r, object *o, dq_json_ref key)
{
    (void)o;
    read_hook(r, key, DQ_FLOW_ON_SUCCESS);
}

static void hook_on_failure(reader *r, object *o, dq_json_ref key)
{
    (void)o;
    read_hook(r, key, DQ_FLOW_ON_FAILURE);
}

static void hook_on_exit(reader *r, object *o, dq_json_ref key)
{
    (void)o;
    read_hook(r, key, DQ_FLOW_ON_EXIT);
}

static void flow_hooks(reader *r, object *o, dq_json_ref key)
{
    static const member members[] = {
        {"on_exit", hook_on_exit},
        {"on_failure", hook_on_failure},
        {"on_init", hook_on_init},
        {"on_success", hook_on_success},
        {NULL, NULL},
    };
    object hooks = {.value = key + 1, .path = "hooks"};

    if (dq_json_type_of(r->doc, key + 1) == DQ_JSON_OBJECT)
        read_members(r, &hooks, members);
    else
        fault_type(r, o, key, "an object");
}

/* ---- the definition ---- */

static void flow_name(reader *r, object *o, dq_json_ref key)
{
    if (!string_of(r, key + 1, &r->flow->name) || !is_name(r->flow->name)) {
        fault_type(r, o, key, "a text of 1 to 128 bytes without control characters that does not begin with \"__\"");
    }
}

static void flow_execution_timeout(reader *r, object *o, dq_json_ref key)
{
    read_duration(r, o, key, &r->flow->execution_timeout_ms);
}

static void flow_default_priority(reader *r, object *o, dq_json_ref key)
{
    static const int32_t bounds[2] = {1, 10};

    read_i32(r, o, key, &r->flow->default_priority, bounds);
}

static void flow_max_running(reader *r, object *o, dq_json_ref key)
{
    static const int32_t bounds[2] = {1, DQ_FLOW_TASKS_MAX};

    read_i32(r, o, key, &r->flow->max_running, bounds);
}

static void flow_on_failure(reader *r, object *o, dq_json_ref key)
{
    static const char *const words[] = {"finish", "cancel", NULL};
    int i = read_word(r, o, key, words, "\"finish\" or \"cancel\"");

    r->flow->cancels_on_failure = i == 1;
}

static void flow_input(reader *r, object *o, dq_json_ref key)
{
    dureq_str raw = dq_json_raw(r->doc, key + 1);

    r->flow->input = key + 1;
    if (raw.len > r->max_payload)
        fault(r, o, key, "is %zu bytes long: at most %zu are taken", raw.len, r->max_payload);
}

static void flow_retry_policy(reader *r, object *o, dq_json_ref key)
{
    dureq_retry_policy policy;
    dureq_error err = {0};
    int rc = dq_retry_policy_from_json(r->doc, key + 1, &r->flow->arena, &policy, &err);

    if (rc == DUREQ_ENOMEM)
        r->failed = true;
    else if (rc < 0)
        fault(r, o, key, "%s", err.msg);
    else
        r->flow->max_attempts = policy.max_attempts;
}

static void flow_tasks(reader *r, object *o, dq_json_ref key)
{
    dq_json_ref list = key + 1;
    uint32_t n = r->doc->nodes[list].n;

    if (dq_json_type_of(r->doc, list) != DQ_JSON_ARRAY) {
        fault_type(r, o, key, "an array of tasks");
        return;
    }
    if (n == 0 || n > DQ_FLOW_TASKS_MAX) {
        fault(r, o, key, "takes 1 to %d tasks, not %" PRIu32, DQ_FLOW_TASKS_MAX, n);
        return;
    }
    r->flow->tasks = dq_arena_alloc(&r->flow->arena, n * sizeof *r->flow->tasks);
    if (!r->flow->tasks) {
        r->failed = true;
        return;
    }
    for (dq_json_ref v = dq_json_first(r->doc, list); v != DQ_JSON_NONE && !r->failed; v = dq_json_next(r->doc, list, v))
        read_task(r, v, &r->flow->tasks[r->flow->n_tasks++]);
}

/* Those fields of a job spec that a workflow has too. */
static void flow_option(reader *r, object *o, dq_json_ref key)
{
    dureq_error err = {0};
    int rc = dq_spec_read_member(r->doc, key, &r->flow->arena, o->target, &err);

    if (rc == DUREQ_ENOMEM)
        r->failed = true;
    else if (rc < 0)
        fault(r, o, key, "%s", err.msg);
}

int dq_flow_read(const dq_json *doc, dq_json_ref v, size_t max_payload, dq_flow *ret, dq_flow_faults *faults)
{
    static const member members[] = {
        {"default_priority", flow_default_priority},
        {"execution_timeout", flow_execution_timeout},
        {"hooks", flow_hooks},
        {"input", flow_input},
        {"max_running", flow_max_running},
        {"name", flow_name},
        {"on_failure", flow_on_failure},
        {"request_id", flow_option},
        {"retention", flow_option},
        {"retry_policy", flow_retry_policy},
        {"tags", flow_option},
        {"tasks", flow_tasks},
        {"unique_key", flow_option},
        {NULL, NULL},
    };
    dq_spec_reading options = dq_spec_reading_of();
    reader r = {.doc = doc, .flow = ret, .faults = faults, .max_payload = max_payload};
    object o = {.value = v, .target = &options};

    ret->input = DQ_JSON_NONE;
    if (dq_json_type_of(doc, v) != DQ_JSON_OBJECT) {
        fault(&r, &o, v, "a workflow is an object, not %s", dq_json_type_name(dq_json_type_of(doc, v)));
        return 0;
    }
    read_members(&r, &o, members);
    ret->options = options.options;
    if (!has(&r, v, "name"))
        fault(&r, &o, v, "field 'name' is missing");
    if (!has(&r, v, "tasks"))
        fault(&r, &o, v, "field 'tasks' is missing");
    return r.failed || faults->failed ? DUREQ_ENOMEM : 0;
}
