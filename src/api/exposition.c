/* SPDX-License-Identifier: Apache-2.0 */
#include "api/exposition.h"

#include <math.h>

static const char *const types[] = {[DQ_GAUGE] = "gauge", [DQ_COUNTER] = "counter", [DQ_HISTOGRAM] = "histogram"};

/* The units that names of ours end with. */
static const char *unit_of(const char *name)
{
    static const char *const units[] = {"seconds", "bytes"};
    const char *last = strrchr(name, '_');

    for (size_t i = 0; last && i < DQ_ARRAY_LEN(units); i++)
        if (strcmp(last + 1, units[i]) == 0)
            return units[i];
    return NULL;
}

void dq_exposition_begin(dq_exposition *x, dq_exposition_type type, const char *name, const char *help)
{
    const char *end = type == DQ_COUNTER && !x->open_metrics ? "_total" : "";

    x->name = name;
    x->type = type;
    dq_buf_append_fmt(x->out, "# HELP %s%s %s\n# TYPE %s%s %s\n", name, end, help, name, end, types[type]);
    if (x->open_metrics && unit_of(name))
        dq_buf_append_fmt(x->out, "# UNIT %s %s\n", name, unit_of(name));
}

static void put_name(dq_exposition *x, const char *end, const dq_buf *labels, const char *more)
{
    bool has_labels = labels && labels->len > 0;

    if (labels && dq_buf_failed(labels))
        x->out->failed = true;
    dq_buf_append_fmt(x->out, "%s%s", x->name, end);
    if (has_labels || *more)
        dq_buf_append_fmt(x->out, "{%s%s%s}", has_labels ? labels->ptr : "", has_labels && *more ? "," : "", more);
    dq_buf_append_char(x->out, ' ');
}

static void put_value(dq_exposition *x, double value)
{
    if (isnan(value))
        dq_buf_append_text(x->out, "NaN\n");
    else if (isinf(value))
        dq_buf_append_text(x->out, value > 0 ? "+Inf\n" : "-Inf\n");
    else
        dq_buf_append_fmt(x->out, "%.15g\n", value);
}

void dq_exposition_put(dq_exposition *x, const dq_buf *labels, double value)
{
    put_name(x, x->type == DQ_COUNTER ? "_total" : "", labels, "");
    put_value(x, value);
}

void dq_exposition_put_u64(dq_exposition *x, const dq_buf *labels, uint64_t value)
{
    put_name(x, x->type == DQ_COUNTER ? "_total" : "", labels, "");
    dq_buf_append_fmt(x->out, "%llu\n", (unsigned long long)value);
}

static void put_bucket(dq_exposition *x, const dq_buf *labels, const char *bound, uint64_t n)
{
    DQ_BUF_AUTO le = {0};

    dq_buf_append_fmt(&le, "le=\"%s\"", bound);
    put_name(x, "_bucket", labels, dq_buf_failed(&le) ? "" : le.ptr);
    dq_buf_append_fmt(x->out, "%llu\n", (unsigned long long)n);
    x->out->failed = x->out->failed || dq_buf_failed(&le);
}

void dq_exposition_put_histogram(dq_exposition *x, const dq_buf *labels, const dq_exposed_histogram *h)
{
    uint64_t n = 0;

    for (size_t i = 0; i < h->n; i++) {
        DQ_BUF_AUTO bound = {0};

        n += h->counts[i];
        /* a whole number needs its point: OpenMetrics compares bounds as text */
        dq_buf_append_fmt(&bound, h->bounds[i] == floor(h->bounds[i]) ? "%.1f" : "%.15g", h->bounds[i]);
        put_bucket(x, labels, dq_buf_failed(&bound) ? "" : bound.ptr, n);
        x->out->failed = x->out->failed || dq_buf_failed(&bound);
    }
    n += h->counts[h->n];
    put_bucket(x, labels, "+Inf", n);
    put_name(x, "_sum", labels, "");
    put_value(x, h->sum);
    put_name(x, "_count", labels, "");
    dq_buf_append_fmt(x->out, "%llu\n", (unsigned long long)n);
}

void dq_exposition_end(dq_exposition *x)
{
    if (x->open_metrics)
        dq_buf_append_text(x->out, "# EOF\n");
}

void dq_label_put(dq_buf *labels, const char *name, dureq_str value)
{
    dq_buf_append_fmt(labels, "%s%s=\"", labels->len ? "," : "", name);
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];

        if (c == '\n')
            dq_buf_append_text(labels, "\\n");
        else if (c == '"' || c == '\\')
            dq_buf_append_fmt(labels, "\\%c", c);
        else
            dq_buf_append_char(labels, c);
    }
    dq_buf_append_char(labels, '"');
}
