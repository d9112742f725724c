/* SPDX-License-Identifier: Apache-2.0 */
#include "exec_args.h"

#include "json/json.h"

#include <inttypes.h>
#include <stdio.h>

static const dureq_str hole = {"{payload}", 9};

/* ---- arguments ---- */

static bool is_json_type(const char *content_type)
{
    dureq_str t = dureq_str_from(content_type);

    return dq_str_eq_text(t, "application/json") || dq_str_ends_with(t, DQ_STR_LIT("+json"));
}

/* What goes into the hole: a JSON string's text, else the bytes as they are. */
static int payload_text(const dq_exec_facts *f, dq_buf *out, dureq_error *err)
{
    dq_json doc;
    int rc = is_json_type(f->content_type) ? dq_json_parse(f->payload, &doc, NULL) : DUREQ_EPARSE;

    if (rc == DUREQ_ENOMEM)
        return dq_fail_nomem(err);
    if (rc < 0) {
        dq_buf_append_str(out, f->payload);
        return out->failed ? dq_fail_nomem(err) : 0;
    }
    if (dq_json_type_of(&doc, 0) == DQ_JSON_STRING)
        rc = dq_json_string(&doc, 0, out);
    else
        rc = (dq_buf_append_str(out, f->payload), 0);
    dq_json_deinit(&doc);
    return rc < 0 || out->failed ? dq_fail_nomem(err) : 0;
}

static const char *find_hole(const char *word)
{
    return strstr(word, hole.ptr);
}

static int fill_word(dq_arena *arena, const char *word, dureq_str text, char **ret, dureq_error *err)
{
    DQ_BUF_AUTO out = {0};
    const char *at = find_hole(word);

    for (; at; at = find_hole(word)) {
        dq_buf_append(&out, word, (size_t)(at - word));
        dq_buf_append_str(&out, text);
        word = at + hole.len;
        if (out.len > DQ_EXEC_ARG_MAX)
            return dq_fail(err, DUREQ_ETOOLARGE,
                           "the payload is too large for an argument (%zu bytes, Linux takes %d): read it from standard input",
                           text.len, DQ_EXEC_ARG_MAX);
    }
    dq_buf_append_text(&out, word);
    if (out.failed)
        return dq_fail_nomem(err);
    *ret = dq_arena_dup(arena, dq_buf_str(&out));
    return *ret ? 0 : dq_fail_nomem(err);
}

static bool has_hole(const char *const *words, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (find_hole(words[i]))
            return true;
    return false;
}

/* An option of the program that whoever enqueued the job chose, unless no options are looked for any more. */
static bool is_smuggled_option(const char *word, const char *filled)
{
    return find_hole(word) == word && filled[0] == '-';
}

int dq_exec_build_argv(dq_arena *arena, const char *const *words, size_t n_words, const dq_exec_facts *facts, char ***ret,
                       dureq_error *err)
{
    char **argv = dq_arena_alloc(arena, (n_words + 1) * sizeof *argv);
    DQ_BUF_AUTO text = {0};
    bool may_dash = facts->allow_leading_dash;
    int rc = 0;

    if (!argv)
        return dq_fail_nomem(err);
    if (has_hole(words, n_words))
        rc = payload_text(facts, &text, err);
    if (rc < 0)
        return rc;
    if (text.len > 0 && memchr(text.ptr, '\0', text.len))
        return dq_fail(err, DUREQ_EINVAL, "the payload holds a NUL byte, which no argument can: read it from standard input");

    for (size_t i = 0; i < n_words && rc == 0; i++) {
        argv[i] = (char *)words[i]; /* execve does not write to it */
        if (i > 0 && find_hole(words[i]))
            rc = fill_word(arena, words[i], dq_buf_str(&text), &argv[i], err);
        if (rc == 0 && !may_dash && i > 0 && is_smuggled_option(words[i], argv[i]))
            return dq_fail(
                err, DUREQ_EINVAL,
                "the payload begins with '-', so the program would take it for an option: write -- before {payload}, or "
                "set allowLeadingDash");
        may_dash = may_dash || (i > 0 && strcmp(words[i], "--") == 0);
    }
    *ret = argv;
    return rc;
}

/* ---- the context, said once for both forms ---- */

typedef struct context_sink {
    void (*text)(struct context_sink *s, const char *name, dureq_str value);
    void (*number)(struct context_sink *s, const char *name, int64_t value);
    void (*headers)(struct context_sink *s, const dq_exec_facts *f);
} context_sink;

static void put_text(context_sink *s, const char *name, dureq_str value)
{
    if (value.len > 0)
        s->text(s, name, value);
}

static void put_time(context_sink *s, const char *name, int64_t at_ms)
{
    char text[DQ_RFC3339_TEXT_MAX];
    size_t n;

    if (at_ms == 0)
        return;
    n = dq_format_rfc3339_ms(at_ms, text);
    s->text(s, name, dureq_str_of(text, n));
}

static void put_context(context_sink *s, const dq_exec_facts *f)
{
    put_text(s, "job_id", dureq_str_from(f->job_id));
    put_text(s, "run_id", dureq_str_from(f->run_id));
    put_text(s, "task_type", dureq_str_from(f->task_type));
    put_text(s, "queue", dureq_str_from(f->queue));
    if (f->priority > 0)
        s->number(s, "priority", f->priority);
    s->number(s, "attempt", f->attempt);
    s->number(s, "max_attempts", f->max_attempts);
    put_text(s, "node_id", dureq_str_from(f->node_id));
    put_time(s, "deadline", f->deadline_at_ms);
    put_time(s, "enqueued_at", f->enqueued_at_ms);
    put_text(s, "schedule_id", dureq_str_from(f->schedule_id));
    put_time(s, "scheduled_at", f->scheduled_at_ms);
    put_text(s, "workflow_id", dureq_str_from(f->workflow_id));
    put_text(s, "traceparent", f->traceparent);
    put_text(s, "content_type", dureq_str_from(f->content_type));
    s->headers(s, f);
}

/* ---- as environment ---- */

typedef struct env_sink {
    context_sink sink;
    dq_arena *arena;
    char **vars;
    size_t n;
    bool failed;
} env_sink;

static char env_letter(char c)
{
    if (c >= 'a' && c <= 'z')
        return (char)(c - 'a' + 'A');
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ? c : '_';
}

/* PREFIX + NAME in upper case + '=' + value. */
static void env_add(env_sink *e, const char *prefix, const char *name, dureq_str value)
{
    size_t n = strlen(prefix), n_name = strlen(name);
    char *var = dq_arena_alloc(e->arena, n + n_name + value.len + 2);

    if (!var) {
        e->failed = true;
        return;
    }
    memcpy(var, prefix, n);
    for (size_t i = 0; i < n_name; i++)
        var[n++] = env_letter(name[i]);
    var[n++] = '=';
    if (value.len > 0)
        memcpy(var + n, value.ptr, value.len); /* the arena's memory is zeroed: NUL-ended */
    e->vars[e->n++] = var;
}

static void env_text(context_sink *s, const char *name, dureq_str value)
{
    env_add(dq_container_of(s, env_sink, sink), "DUREQ_", name, value);
}

static void env_number(context_sink *s, const char *name, int64_t value)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%" PRId64, value);

    env_text(s, name, dureq_str_of(text, (size_t)n));
}

static bool env_has(const env_sink *e, size_t first, const char *var)
{
    size_t n = strcspn(var, "=") + 1;

    for (size_t i = first; i + 1 < e->n; i++)
        if (strncmp(e->vars[i], var, n) == 0)
            return true;
    return false;
}

static void env_headers(context_sink *s, const dq_exec_facts *f)
{
    env_sink *e = dq_container_of(s, env_sink, sink);
    size_t first = e->n;

    for (size_t i = 0; i < f->n_headers && !e->failed; i++) {
        dureq_str value = f->headers[i].value;

        if (value.len > 0 && memchr(value.ptr, '\0', value.len))
            continue;
        env_add(e, "DUREQ_HEADER_", f->headers[i].name, value);
        if (!e->failed && env_has(e, first, e->vars[e->n - 1]))
            e->vars[--e->n] = NULL;
    }
}

/* Names put_context can say, and DUREQ_CONTEXT. */
#define CONTEXT_NAMES_MAX 24

int dq_exec_build_env(dq_arena *arena, const char *const *base, const dq_exec_facts *facts, const char *context_path, char ***ret,
                      dureq_error *err)
{
    env_sink e = {.sink = {env_text, env_number, env_headers}, .arena = arena};
    size_t n_base = 0;

    while (base[n_base])
        n_base++;
    e.vars = dq_arena_alloc(arena, (n_base + CONTEXT_NAMES_MAX + facts->n_headers + 1) * sizeof *e.vars);
    if (!e.vars)
        return dq_fail_nomem(err);

    if (context_path) /* what tells whose a process is comes first, whatever follows of any size */
        env_text(&e.sink, "context", dureq_str_from(context_path));
    put_context(&e.sink, facts);
    if (e.failed)
        return dq_fail_nomem(err);
    for (size_t i = 0; i < n_base; i++)
        e.vars[e.n++] = (char *)base[i]; /* execve does not write to it */
    *ret = e.vars;
    return 0;
}

/* ---- as JSON ---- */

typedef struct json_sink {
    context_sink sink;
    dq_json_writer w;
} json_sink;

static void json_text(context_sink *s, const char *name, dureq_str value)
{
    json_sink *j = dq_container_of(s, json_sink, sink);

    dq_json_set_str(&j->w, name, value);
}

static void json_number(context_sink *s, const char *name, int64_t value)
{
    json_sink *j = dq_container_of(s, json_sink, sink);

    dq_json_set_i64(&j->w, name, value);
}

static void json_headers(context_sink *s, const dq_exec_facts *f)
{
    json_sink *j = dq_container_of(s, json_sink, sink);

    dq_json_key(&j->w, "headers");
    dq_json_begin_object(&j->w);
    for (size_t i = 0; i < f->n_headers; i++) {
        dq_json_set_str(&j->w, f->headers[i].name, f->headers[i].value);
    }
    dq_json_end_object(&j->w);
}

void dq_exec_build_context(const dq_exec_facts *facts, dq_buf *out)
{
    json_sink j = {.sink = {json_text, json_number, json_headers}, .w = dq_json_writer_of(out)};

    dq_json_begin_object(&j.w);
    put_context(&j.sink, facts);
    dq_json_end_object(&j.w);
}
