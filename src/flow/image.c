/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/image.h"

#include <openssl/evp.h>
#include <string.h>

#include "base/map.h"
#include "model/job.h"

typedef struct maker {
    const dq_flow *flow;
    dq_image_queue_fn queue_of;
    void *userdata;
    dq_image *image;
    dq_map lane_by_name; /* name -> its index + 1 */
    uint32_t *lane_of;   /* by task */
    uint32_t *scratch;   /* what is being sorted */
    bool *wanted;        /* by task: somebody gets its result */
    size_t lanes_cap;
    dureq_error *err;
} maker;

static void put_be(unsigned char *at, size_t n, uint64_t v)
{
    for (; n > 0; n--, v >>= 8)
        at[n - 1] = (unsigned char)v;
}

static uint64_t get_be(const char *at, size_t n)
{
    uint64_t v = 0;

    for (size_t i = 0; i < n; i++)
        v = v << 8 | (unsigned char)at[i];
    return v;
}

/* ---- what this version cannot do ---- */

static int check_task(const dq_flow_task *t, dureq_error *err)
{
    const char *what = NULL;

    if (t->n_inputs > DQ_IMAGE_INPUTS_MAX)
        what = "result_from of more than 100 tasks";
    else if (t->n_preconditions)
        what = "preconditions";
    if (!what)
        return 0;
    return dq_fail(err, DUREQ_EUNSUPPORTED, "task '" DQ_STR_FMT "': %s is not supported yet", DQ_STR_ARG(t->name), what);
}

static int check_supported(const dq_flow *flow, dureq_error *err)
{
    const char *what = NULL;

    for (int i = 0; i < DQ_FLOW_N_HOOKS; i++)
        if (flow->hooks[i].spec.task_type)
            what = "hooks";
    if (what)
        return dq_fail(err, DUREQ_EUNSUPPORTED, "%s of a workflow is not supported yet", what);
    for (uint32_t i = 0; i < flow->n_tasks; i++) {
        int rc = check_task(&flow->tasks[i], err);

        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- lanes ---- */

static int add_lane(maker *m, dureq_str name, uint32_t *ret)
{
    void *known = dq_map_get(&m->lane_by_name, name);

    if (known) {
        *ret = (uint32_t)((uintptr_t)known - 1);
        return 0;
    }
    if (m->image->n_lanes == m->lanes_cap) {
        size_t cap = m->lanes_cap ? m->lanes_cap * 2 : 8;
        dureq_str *more = dq_realloc(m->image->lanes, cap * sizeof *more);

        if (!more)
            return DUREQ_ENOMEM;
        m->image->lanes = more;
        m->lanes_cap = cap;
    }
    name = dq_arena_dup_str(&m->image->arena, name);
    if (!name.ptr || dq_map_put(&m->lane_by_name, name, (void *)((uintptr_t)m->image->n_lanes + 1)) < 0)
        return DUREQ_ENOMEM;
    *ret = m->image->n_lanes;
    m->image->lanes[m->image->n_lanes++] = name;
    return 0;
}

static int find_lane(maker *m, uint32_t task, dq_buf *name)
{
    const dq_flow_task *t = &m->flow->tasks[task];
    int priority = t->options.priority         ? t->options.priority
                   : m->flow->default_priority ? m->flow->default_priority
                                               : DQ_PRIORITY_DEFAULT;
    dureq_str queue = t->options.queue ? dureq_str_from(t->options.queue) : m->queue_of(m->userdata, priority);

    if (!queue.len)
        return dq_fail(m->err, DUREQ_ENOTFOUND, "task '" DQ_STR_FMT "': no queue takes priority %d", DQ_STR_ARG(t->name),
                       priority);
    dq_buf_clear(name);
    dq_buf_append_str(name, queue);
    dq_buf_append_char(name, '|');
    dq_buf_append_text(name, t->spec.task_type);
    dq_buf_append_char(name, '|');
    if (dq_buf_failed(name) || add_lane(m, dq_buf_str(name), &m->lane_of[task]) < 0)
        return dq_fail_nomem(m->err);
    return 0;
}

/* ---- order among tasks that become ready together ---- */

static int by_priority(const void *a, const void *b, void *userdata)
{
    const dq_flow *flow = userdata;
    const dq_flow_task *x = &flow->tasks[*(const uint32_t *)a], *y = &flow->tasks[*(const uint32_t *)b];

    if (x->priority != y->priority)
        return x->priority > y->priority ? -1 : 1;
    return dq_str_cmp(x->name, y->name);
}

static void sort_tasks(const maker *m, uint32_t *tasks, size_t n)
{
    if (n > 1)
        qsort_r(tasks, n, sizeof *tasks, by_priority, (void *)(uintptr_t)m->flow);
}

/* ---- parts ---- */

static void put_edge(unsigned char at[DQ_IMAGE_EDGE], const maker *m, uint32_t task)
{
    put_be(at, 3, task);
    put_be(at + 3, 3, m->flow->tasks[task].n_deps);
}

static void put_edges(maker *m, uint32_t task)
{
    const dq_flow_task *t = &m->flow->tasks[task];

    memcpy(m->scratch, m->flow->outs + t->outs_at, t->n_outs * sizeof *m->scratch);
    sort_tasks(m, m->scratch, t->n_outs);
    for (uint32_t i = 0; i < t->n_outs; i++) {
        unsigned char edge[DQ_IMAGE_EDGE];

        put_edge(edge, m, m->scratch[i]);
        dq_buf_append(&m->image->bytes, edge, sizeof edge);
    }
}

static uint32_t put_roots(maker *m)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < m->flow->n_tasks; i++)
        if (m->flow->tasks[i].n_deps == 0)
            m->scratch[n++] = i;
    sort_tasks(m, m->scratch, n);
    for (uint32_t i = 0; i < n; i++)
        dq_buf_append_u32be(&m->image->bytes, m->scratch[i]);
    return n;
}

static uint8_t flags_of(const maker *m, uint32_t task, uint32_t envelope_flags)
{
    const dq_flow_task *t = &m->flow->tasks[task];
    uint8_t f = 0;

    f |= m->wanted[task] ? DQ_IMAGE_WANTED : 0;
    f |= t->n_inputs ? DQ_IMAGE_PIPED : 0;

    f |= t->allow_failure ? DQ_IMAGE_ALLOW_FAILURE : 0;
    f |= t->run_if == DQ_FLOW_ALL_DONE ? DQ_IMAGE_ALL_DONE : 0;
    f |= t->run_if == DQ_FLOW_ANY_FAILED ? DQ_IMAGE_ANY_FAILED : 0;
    f |= envelope_flags & DQ_J_BLOB ? DQ_IMAGE_BLOB : 0;
    f |= envelope_flags & DQ_J_S2S ? DQ_IMAGE_S2S : 0;
    return f;
}

/* The name as JSON. */
static void put_quoted(dq_buf *out, dureq_str name)
{
    dq_json_writer w = dq_json_writer_of(out);

    dq_json_put_str(&w, name);
}

/* What the payload of a task with inputs is made of: 1 when it gets an object of results (u8), n of inputs I3, for each its task I3, its name as JSON with
   its length before it I2; then what follows the results. */
static void put_template(maker *m, const dq_flow_task *t, dq_buf *out)
{
    unsigned char number[3];
    DQ_BUF_AUTO name = {0};

    dq_buf_append_char(out, t->inputs_are_map ? 1 : 0);
    put_be(number, 3, t->n_inputs);
    dq_buf_append(out, number, 3);
    for (uint32_t i = 0; i < t->n_inputs; i++) {
        uint32_t from = m->flow->inputs[t->inputs_at + i];

        dq_buf_clear(&name);
        put_quoted(&name, m->flow->tasks[from].name);
        put_be(number, 3, from);
        dq_buf_append(out, number, 3);
        put_be(number, 2, name.len);
        dq_buf_append(out, number, 2);
        dq_buf_append_buf(out, &name);
    }
    if (!t->spec.payload.len) {
        dq_buf_append_text(out, ",\"original\":null}");
    } else if (dq_json_valid(t->spec.payload)) {
        dq_buf_append_text(out, ",\"original\":");
        dq_buf_append_str(out, t->spec.payload);
        dq_buf_append_char(out, '}');
    } else {
        dq_buf_append_text(out, ",\"original_base64\":\"");
        dq_base64_encode(out, t->spec.payload);
        dq_buf_append_text(out, "\"}");
    }
}

/* What a task's job says of it, beside workflow and incarnation: task I3, flags, how many edges (255: too many to go along) and these. */
static size_t put_about(unsigned char *out, maker *m, uint32_t task, uint8_t flags)
{
    const dq_flow_task *t = &m->flow->tasks[task];
    size_t at = 5;

    put_be(out, 3, task);
    out[3] = flags;
    out[4] = (unsigned char)(t->n_outs <= DQ_IMAGE_EDGES_INLINE ? t->n_outs : 255);
    if (out[4] == 255)
        return at;
    memcpy(m->scratch, m->flow->outs + t->outs_at, t->n_outs * sizeof *m->scratch);
    sort_tasks(m, m->scratch, t->n_outs);
    for (uint32_t i = 0; i < t->n_outs; i++, at += DQ_IMAGE_EDGE)
        put_edge(out + at, m, m->scratch[i]);
    return at;
}

/* When it may start, where that is not at once. */
static uint8_t put_when(dq_buf *out, const dureq_job_options *o)
{
    unsigned char when[7] = {o->run_at_ms > 0};

    if (o->delay_ms <= 0 && o->run_at_ms <= 0)
        return 0;
    put_be(when + 1, 6, (uint64_t)(o->run_at_ms > 0 ? o->run_at_ms : o->delay_ms));
    dq_buf_append(out, when, sizeof when);
    return DQ_IMAGE_LATER;
}

/* When it may start, about's length, what is before the part of a task in its envelope as I4, about, that, and what is after it. */
static int put_record(maker *m, uint32_t task, dq_buf *envelope, dq_image_task *ret)
{
    unsigned char about[5 + DQ_IMAGE_EDGES_INLINE * DQ_IMAGE_EDGE];
    const dq_flow_task *t = &m->flow->tasks[task];
    dureq_job_spec spec = t->spec;
    dq_buf *out = &m->image->bytes;

    dureq_job_options options = t->options;

    spec.options = &options;
    if (t->n_inputs) {
        spec.payload = (dureq_str){0};
        options.content_type = "application/json";
    }
    dq_buf_clear(envelope);
    size_t more_at = dq_envelope_pack_task(envelope, &spec);
    if (dq_buf_failed(envelope))
        return DUREQ_ENOMEM;
    ret->flags = flags_of(m, task, dq_envelope_flags(dq_buf_str(envelope)));
    ret->other_flags = (uint8_t)(put_when(out, &t->options) | (t->never_reused ? DQ_IMAGE_NEVER_REUSED : 0));
    m->image->is_controlled = m->image->is_controlled || ret->other_flags;
    size_t n = put_about(about, m, task, ret->flags);
    dq_buf_append_char(out, (char)n);
    dq_buf_append_u32be(out, (uint32_t)more_at);
    dq_buf_append(out, about, n);
    dq_buf_append_buf(out, envelope);
    if (t->n_inputs)
        put_template(m, t, out);
    if (ret->flags & DQ_IMAGE_BLOB)
        m->image->large[m->image->n_large++] = task;
    return 0;
}

static void put_name(dq_buf *out, dureq_str name)
{
    dq_buf_append_char(out, (char)name.len);
    dq_buf_append_str(out, name);
}

static void set_task(maker *m, uint32_t task, const dq_image_task *t)
{
    unsigned char *at = (unsigned char *)m->image->bytes.ptr + DQ_IMAGE_HEAD + (size_t)task * DQ_IMAGE_TASK;

    put_be(at, 4, t->record_at);
    put_be(at + 4, 4, t->record_len);
    put_be(at + 8, 4, t->name_at);
    put_be(at + 12, 4, t->outs_at);
    put_be(at + 16, 4, t->n_outs);
    put_be(at + 20, 4, t->n_deps);
    put_be(at + 24, 4, t->lane);
    at[28] = t->flags;
    at[29] = t->other_flags;
}

static void set_head(maker *m, const dq_image_head *h)
{
    const uint32_t parts[] = {h->n_tasks,  h->n_roots,  h->n_edges,    h->n_lanes,  h->roots_at,
                              h->edges_at, h->names_at, h->records_at, h->lanes_at, h->len};
    unsigned char *at = (unsigned char *)m->image->bytes.ptr;

    at[0] = DQ_IMAGE_VERSION;
    for (size_t i = 0; i < DQ_ARRAY_LEN(parts); i++)
        put_be(at + 4 + 4 * i, 4, parts[i]);
}

static void skip(dq_buf *out, size_t n)
{
    char *at = dq_buf_reserve(out, n);

    if (!at)
        return;
    memset(at, 0, n);
    out->len += n;
}

static int put_tasks(maker *m, dq_image_task *tasks)
{
    DQ_BUF_AUTO envelope = {0};
    dq_buf *out = &m->image->bytes;

    for (uint32_t i = 0; i < m->flow->n_tasks; i++) {
        tasks[i].record_at = (uint32_t)out->len;
        if (put_record(m, i, &envelope, &tasks[i]) < 0)
            return DUREQ_ENOMEM;
        tasks[i].record_len = (uint32_t)(out->len - tasks[i].record_at);
    }
    return 0;
}

static int put_all(maker *m, dq_image_task *tasks)
{
    const dq_flow *flow = m->flow;
    dq_buf *out = &m->image->bytes;
    dq_image_head h = {.n_tasks = flow->n_tasks, .n_edges = flow->n_edges, .n_lanes = m->image->n_lanes};
    uint32_t edges = 0;

    skip(out, DQ_IMAGE_HEAD + (size_t)flow->n_tasks * DQ_IMAGE_TASK);
    h.roots_at = (uint32_t)out->len;
    h.n_roots = put_roots(m);
    h.edges_at = (uint32_t)out->len;
    for (uint32_t i = 0; i < flow->n_tasks; i++) {
        tasks[i] = (dq_image_task){
            .outs_at = edges, .n_outs = flow->tasks[i].n_outs, .n_deps = flow->tasks[i].n_deps, .lane = m->lane_of[i]};
        edges += flow->tasks[i].n_outs;
        put_edges(m, i);
    }
    h.names_at = (uint32_t)out->len;
    for (uint32_t i = 0; i < flow->n_tasks; i++) {
        tasks[i].name_at = (uint32_t)out->len;
        put_name(out, flow->tasks[i].name);
    }
    h.lanes_at = (uint32_t)out->len;
    for (uint32_t i = 0; i < m->image->n_lanes; i++)
        dq_buf_append_lstr(out, m->image->lanes[i]);
    h.records_at = (uint32_t)out->len;
    if (put_tasks(m, tasks) < 0 || dq_buf_failed(out))
        return dq_fail_nomem(m->err);
    if (out->len > UINT32_MAX / 2)
        return dq_fail(m->err, DUREQ_ETOOLARGE, "the workflow is too large");
    h.len = (uint32_t)out->len;
    for (uint32_t i = 0; i < flow->n_tasks; i++)
        set_task(m, i, &tasks[i]);
    set_head(m, &h);
    return 0;
}

/* Payloads that are keys of their own belong to it, too. */
static int hash_all(maker *m)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned n = 0;
    bool is_fine = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
                   EVP_DigestUpdate(ctx, m->image->bytes.ptr, m->image->bytes.len) == 1;

    for (uint32_t i = 0; i < m->image->n_large && is_fine; i++) {
        dureq_str payload = m->flow->tasks[m->image->large[i]].spec.payload;

        is_fine = EVP_DigestUpdate(ctx, payload.ptr, payload.len) == 1;
    }
    is_fine = is_fine && EVP_DigestFinal_ex(ctx, digest, &n) == 1;
    EVP_MD_CTX_free(ctx);
    if (!is_fine)
        return dq_fail_nomem(m->err);
    memcpy(m->image->hash, digest, DQ_IMAGE_HASH);
    return 0;
}

static int make(maker *m)
{
    DQ_BUF_AUTO name = {0};
    size_t n = m->flow->n_tasks;
    dq_image_task *tasks = dq_calloc(n + 1, sizeof *tasks);
    int rc = 0;

    m->lane_of = dq_calloc(n + 1, sizeof *m->lane_of);
    m->scratch = dq_calloc(n + 1, sizeof *m->scratch);
    m->wanted = dq_calloc(n + 1, sizeof *m->wanted);
    m->image->large = dq_calloc(n + 1, sizeof *m->image->large);
    if (!tasks || !m->wanted || !m->lane_of || !m->scratch || !m->image->large)
        rc = dq_fail_nomem(m->err);
    for (uint32_t i = 0; i < n && rc == 0; i++)
        rc = find_lane(m, i, &name);
    for (uint32_t i = 0; i < n && rc == 0; i++)
        for (uint32_t k = 0; k < m->flow->tasks[i].n_inputs; k++)
            m->wanted[m->flow->inputs[m->flow->tasks[i].inputs_at + k]] = true;
    if (rc == 0)
        rc = put_all(m, tasks);
    if (rc == 0)
        rc = hash_all(m);
    dq_free(tasks);
    return rc;
}

int dq_image_make(const dq_flow *flow, dq_image_queue_fn queue_of, void *userdata, dq_image *ret, dureq_error *err)
{
    dq_image image = {0};
    maker m = {.flow = flow, .queue_of = queue_of, .userdata = userdata, .image = &image, .err = err};
    int rc;

    rc = check_supported(flow, err);
    if (rc == 0)
        rc = make(&m);
    dq_map_deinit(&m.lane_by_name);
    dq_free(m.lane_of);
    dq_free(m.scratch);
    dq_free(m.wanted);
    if (rc < 0)
        dq_image_deinit(&image);
    else
        *ret = image;
    return rc;
}

void dq_image_deinit(dq_image *image)
{
    dq_buf_deinit(&image->bytes);
    dq_free(image->lanes);
    dq_free(image->large);
    dq_arena_deinit(&image->arena);
    *image = (dq_image){0};
}

/* ---- read back ---- */

int dq_image_head_read(dureq_str bytes, dq_image_head *ret)
{
    uint32_t v[10];

    if (bytes.len < DQ_IMAGE_HEAD)
        return DUREQ_EPROTO;
    if (bytes.ptr[0] != DQ_IMAGE_VERSION)
        return DUREQ_ESCHEMA;
    for (size_t i = 0; i < DQ_ARRAY_LEN(v); i++)
        v[i] = (uint32_t)get_be(bytes.ptr + 4 + 4 * i, 4);
    *ret = (dq_image_head){.n_tasks = v[0],
                           .n_roots = v[1],
                           .n_edges = v[2],
                           .n_lanes = v[3],
                           .roots_at = v[4],
                           .edges_at = v[5],
                           .names_at = v[6],
                           .records_at = v[7],
                           .lanes_at = v[8],
                           .len = v[9]};
    return ret->n_tasks > DQ_FLOW_TASKS_MAX || ret->n_edges > DQ_FLOW_EDGES_MAX ? DUREQ_EPROTO : 0;
}

bool dq_image_task_read(dureq_str table, uint32_t i, dq_image_task *ret)
{
    const char *at = table.ptr + (size_t)i * DQ_IMAGE_TASK;

    if (table.len < ((size_t)i + 1) * DQ_IMAGE_TASK)
        return false;
    *ret = (dq_image_task){
        .record_at = (uint32_t)get_be(at, 4),
        .record_len = (uint32_t)get_be(at + 4, 4),
        .name_at = (uint32_t)get_be(at + 8, 4),
        .outs_at = (uint32_t)get_be(at + 12, 4),
        .n_outs = (uint32_t)get_be(at + 16, 4),
        .n_deps = (uint32_t)get_be(at + 20, 4),
        .lane = (uint32_t)get_be(at + 24, 4),
        .flags = (uint8_t)at[28],
        .other_flags = (uint8_t)at[29],
    };
    return true;
}
