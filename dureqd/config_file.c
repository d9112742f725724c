/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "config_yaml.h"
#include "handler_env.h"
#include "handler_spec.h"
#include "man.h"
#include "schedule_list.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- fields of queues and handlers: small tables like that of the settings ---- */

typedef enum field_type {
    FIELD_I32,
    FIELD_I64,
    FIELD_MS,
    FIELD_MS_OR_NONE, /* "none" is -1 */
    FIELD_BYTES,
    FIELD_F64,
    FIELD_BOOL,
    FIELD_NAME,
    FIELD_CUSTOM, /* its section reads it */
} field_type;

typedef struct field {
    const char *name;
    field_type type;
    size_t offset;
    int64_t min, max;
    const char *help; /* NULL: refused, in no manual */
} field;

typedef struct reading {
    dq_config *cfg;
    const char *name; /* of the file */
    dureq_error *err;
} reading;

#define HOUR_MS (3600 * 1000LL)
#define YEAR_MS (366 * 24 * HOUR_MS)

static const field retry_fields[] = {
    {"initialDelay", FIELD_MS_OR_NONE, offsetof(dureq_retry_policy, initial_delay_ms), 0, YEAR_MS, "Before the second attempt."},
    {"jitter", FIELD_F64, offsetof(dureq_retry_policy, jitter), 0, 1, "Part of a delay that is random."},
    {"maxAttempts", FIELD_I32, offsetof(dureq_retry_policy, max_attempts), 1, 1000000, "Attempts in all."},
    {"maxDelay", FIELD_MS_OR_NONE, offsetof(dureq_retry_policy, max_delay_ms), 0, YEAR_MS, "Longest delay."},
    {"multiplier", FIELD_F64, offsetof(dureq_retry_policy, multiplier), 1, 1000,
     "What a delay is multiplied by after each attempt."},
    {"nonRetryableErrors", FIELD_CUSTOM, 0, 0, 0, "Takes a list of texts; an error that contains one is final."},
    {"pauseAfterErrCount", FIELD_I32, offsetof(dureq_retry_policy, pause_after_err_count), 0, 1000000,
     "Errors in a row after which the job is paused; 0 is never."},
    {"pauseRetryDelay", FIELD_MS, offsetof(dureq_retry_policy, pause_retry_delay_ms), 0, YEAR_MS,
     "After which a job that was so paused goes on by itself."},
};

static const field queue_fields[] = {
    {"maxLen", FIELD_I64, offsetof(dureq_queue_options, max_len), 0, INT64_MAX, "Waiting jobs; more are refused."},
    {"priorities", FIELD_CUSTOM, 0, 0, 0, "Takes [lowest, highest] of the priorities 1 to 10 that go to this queue."},
    {"retention", FIELD_MS_OR_NONE, offsetof(dureq_queue_options, retention_ms), 0, 100 * YEAR_MS,
     "How long completed and cancelled jobs are kept."},
    {"retryPolicy", FIELD_CUSTOM, 0, 0, 0, "For jobs that bring none."},
    {"weight", FIELD_I32, offsetof(dureq_queue_options, weight), 1, 1000, "Share when all queues have work."},
};

static const field handler_fields[] = {
    {"allowLeadingDash", FIELD_BOOL, offsetof(dq_handler_spec, allow_leading_dash), 0, 0,
     "A payload that begins with '-' may become an argument without '--' before it."},
    {"builtin", FIELD_CUSTOM, 0, 0, 0, "Takes the name of the built-in handler that runs the jobs."},
    {"concurrency", FIELD_I32, offsetof(dq_handler_spec, concurrency), 1, 65536,
     "Jobs of this handler at a time on this node; of programs the number of processors."},
    {"cwd", FIELD_NAME, offsetof(dq_handler_spec, cwd), 1, 4000,
     "Working directory of programs, an absolute path; the daemon's."},
    {"env", FIELD_CUSTOM, 0, 0, 0,
     "Takes a mapping of variables that programs get in their environment; beats envFile and passEnv."},
    {"envFile", FIELD_CUSTOM, 0, 0, 0,
     "Takes the absolute path of a file with a NAME=value a line, which programs get, too; beats passEnv."},
    {"exec", FIELD_CUSTOM, 0, 0, 0,
     "Takes the command that is started for each job, as a text or a list of words; {payload} is the payload."},
    {"grace", FIELD_MS, offsetof(dq_handler_spec, grace_ms), 1, HOUR_MS, "Between SIGTERM and SIGKILL."},
    {"limits", FIELD_CUSTOM, 0, 0, 0, "Of programs: see below."},
    {"maxProcesses", FIELD_I32, offsetof(dq_handler_spec, max_processes), 1, 1 << 22,
     "Processes and threads of a run at a time."},
    {"nice", FIELD_I32, offsetof(dq_handler_spec, nice), -20, 19, "Niceness of programs; the daemon's when 0."},
    {"passEnv", FIELD_CUSTOM, 0, 0, 0,
     "Takes a list of names, in which '*' stands for anything: variables of the daemon's own environment that programs get."},
    {"plugin", FIELD_CUSTOM, 0, 0, 0, NULL},
    {"process", FIELD_CUSTOM, 0, 0, 0, NULL},
    {"retryPolicy", FIELD_CUSTOM, 0, 0, 0, "For jobs that bring none."},
    {"timeout", FIELD_MS, offsetof(dq_handler_spec, timeout_ms), 1, YEAR_MS, "Of a run."},
    {"type", FIELD_CUSTOM, 0, 0, 0, "Takes a task type, or a pattern that ends in '*'."},
    {"version", FIELD_CUSTOM, 0, 0, 0, NULL},
    {"webhook", FIELD_CUSTOM, 0, 0, 0, NULL},
};

static const field limit_fields[] = {
    {"cpuSeconds", FIELD_I64, offsetof(dq_exec_limits, cpu_seconds), 1, 1000000000, "CPU time of each process."},
    {"memory", FIELD_BYTES, offsetof(dq_exec_limits, memory_bytes), 1 << 20, INT64_MAX,
     "Memory of a run where the daemon has a control group, else of the data of each process."},
    {"openFiles", FIELD_I64, offsetof(dq_exec_limits, open_files), 4, 1 << 20, "Open files of each process."},
    {"outputBytes", FIELD_BYTES, offsetof(dq_exec_limits, output_bytes), 1, INT64_MAX,
     "Standard output, standard error and descriptor 3 together."},
    {"user", FIELD_NAME, offsetof(dq_exec_limits, user), 1, 256, "Runs the program as somebody else, which only root can."},
};

/* ---- messages ---- */

/* "what" takes one text from the file, cut so that the message keeps its end. */
static int fail_key(const reading *r, const dq_yaml_node *n, const char *section, const char *what)
{
    return dq_fail(r->err, DUREQ_EINVAL, "%s:%d:%d: %s%s%.*s: %s", r->name, n->key_line, n->key_column, section,
                   *section ? "." : "", dq_yaml_key_shown(n->key.ptr), n->key.ptr, what);
}

/* Put the place in front of what a value's own check said. */
static int fail_value(const reading *r, const dq_yaml_node *n, int code, const dureq_error *inner)
{
    return dq_fail(r->err, code, "%s:%d:%d: %s", r->name, n->line, n->column, inner->msg);
}

static int want(const reading *r, const dq_yaml_node *n, dq_yaml_kind kind, const char *what)
{
    const char *key = n->key.ptr ? n->key.ptr : "this";

    if (n->kind == kind)
        return 0;
    return dq_fail(r->err, DUREQ_EINVAL, "%s:%d:%d: %.*s takes %s, not %s", r->name, n->line, n->column, dq_yaml_key_shown(key),
                   key, what, dq_yaml_kind_text(n));
}

static dureq_str origin_of(const reading *r, int line, int column)
{
    DQ_BUF_AUTO b = {0};

    dq_buf_append_fmt(&b, "%s:%d:%d", r->name, line, column);
    return dq_arena_dup_str(&r->cfg->arena, dq_buf_str(&b));
}

/* ---- values of fields ---- */

static const field *field_find(const field *fields, size_t n, dureq_str key)
{
    for (size_t i = 0; i < n; i++)
        if (dq_config_key_eq(key, fields[i].name))
            return &fields[i];
    return NULL;
}

static bool is_none(dureq_str s)
{
    return dq_str_eq_text(s, "none") || dq_str_eq_text(s, "-1");
}

static bool field_number(const field *f, dureq_str s, int64_t *ret)
{
    int rc;

    if (f->type == FIELD_MS_OR_NONE && is_none(s)) {
        *ret = -1;
        return true;
    }
    rc = dq_parse_i64(s, INT64_MIN, INT64_MAX, ret);
    if (rc < 0 && f->type == FIELD_BYTES)
        rc = dq_parse_bytes(s, ret);
    /* A bare number of milliseconds is easily taken for seconds: only 0 needs no unit. */
    if (f->type == FIELD_MS || f->type == FIELD_MS_OR_NONE)
        rc = dq_parse_duration_ms(s, ret);
    return rc == 0 && *ret >= f->min && *ret <= f->max;
}

static void describe(const field *f, dq_buf *out)
{
    char lo[DQ_DURATION_TEXT_MAX], hi[DQ_DURATION_TEXT_MAX];

    switch (f->type) {
    case FIELD_MS:
    case FIELD_MS_OR_NONE:
        dq_format_duration_ms(f->min, lo);
        dq_format_duration_ms(f->max, hi);
        dq_buf_append_fmt(out, "a duration such as 30s, from %s to %s%s", lo, hi, f->type == FIELD_MS ? "" : ", or none");
        break;
    case FIELD_BYTES: dq_buf_append_fmt(out, "bytes, or a size such as 64KiB, at least %lld", (long long)f->min); break;
    case FIELD_NAME: dq_buf_append_text(out, "a name"); break;
    case FIELD_BOOL: dq_buf_append_text(out, "true or false"); break;
    case FIELD_I32:
    case FIELD_I64:
    case FIELD_F64:
        dq_buf_append_fmt(out, "a%s number from %lld to %lld", f->type == FIELD_F64 ? "" : " whole", (long long)f->min,
                          (long long)f->max);
        break;
    case FIELD_CUSTOM: break; /* its help says it */
    }
}

static int fail_field(const reading *r, const dq_yaml_node *n, const field *f)
{
    DQ_BUF_AUTO what = {0};

    describe(f, &what);
    if (dq_buf_failed(&what))
        return dq_fail_nomem(r->err);
    return dq_fail(r->err, DUREQ_EINVAL, "%s:%d:%d: %s takes %s, not '%.60s'", r->name, n->line, n->column, f->name, what.ptr,
                   n->text.ptr ? n->text.ptr : "");
}

/* Zero is the default in the library's structs, so an explicit zero delay or jitter is their -1. */
static int set_f64(const reading *r, const dq_yaml_node *n, const field *f, void *target)
{
    double v;

    if (dq_parse_f64(n->text, &v) < 0 || !(v >= (double)f->min && v <= (double)f->max))
        return fail_field(r, n, f);
    *(double *)((char *)target + f->offset) = v == 0 ? -1 : v;
    return 0;
}

static int set_field(const reading *r, const dq_yaml_node *n, const field *f, void *target)
{
    void *at = (char *)target + f->offset;
    int64_t v = 0;

    if (n->kind != DQ_YAML_SCALAR || n->is_null)
        return want(r, n, DQ_YAML_SCALAR, "a value") < 0 ? DUREQ_EINVAL : fail_field(r, n, f);
    if (f->type == FIELD_F64)
        return set_f64(r, n, f, target);
    if (f->type == FIELD_BOOL) {
        *(bool *)at = dq_str_eq_text(n->text, "true");
        return *(bool *)at || dq_str_eq_text(n->text, "false") ? 0 : fail_field(r, n, f);
    }
    if (f->type == FIELD_NAME) {
        if ((int64_t)n->text.len > f->max)
            return fail_field(r, n, f);
        *(const char **)at = n->text.ptr;
        return 0;
    }
    if (!field_number(f, n->text, &v))
        return fail_field(r, n, f);
    if (f->type == FIELD_MS_OR_NONE && v == 0)
        v = -1;
    if (f->type == FIELD_I32)
        *(int32_t *)at = (int32_t)v;
    else
        *(int64_t *)at = v;
    return 0;
}

typedef int (*custom_fn)(const reading *r, const dq_yaml_node *n, const field *f, void *target);

/* Every key of a mapping through a table; what the table calls CUSTOM goes to `custom`. */
static int read_fields(const reading *r, const dq_yaml_node *map, const char *section, const field *fields, size_t n_fields,
                       custom_fn custom, void *target)
{
    uint64_t seen = 0; /* a bit a field: camelCase and snake_case are the same key */
    int rc = want(r, map, DQ_YAML_MAPPING, "a mapping");

    if (rc < 0)
        return rc;
    for (const dq_yaml_node *c = map->first; c; c = c->next) {
        const field *f = field_find(fields, n_fields, c->key);
        uint64_t bit = f ? 1ull << (f - fields) : 0;

        if (!f)
            return fail_key(r, c, section, "there is no such key");
        if (seen & bit)
            return fail_key(r, c, section, "said twice");
        seen |= bit;
        rc = f->type == FIELD_CUSTOM ? custom(r, c, f, target) : set_field(r, c, f, target);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- retry policies ---- */

#define ERRORS_MAX 16

static int read_retry_custom(const reading *r, const dq_yaml_node *n, const field *f, void *target)
{
    dureq_retry_policy *p = target;
    const char **texts;
    int rc = want(r, n, DQ_YAML_SEQUENCE, "a list of texts");

    (void)f; /* nonRetryableErrors is the only one */
    if (rc < 0)
        return rc;
    if (n->n > ERRORS_MAX)
        return fail_key(r, n, "retryPolicy", "at most 16 texts");
    texts = dq_arena_alloc(&r->cfg->arena, (n->n + 1) * sizeof *texts);
    if (!texts)
        return dq_fail_nomem(r->err);

    for (const dq_yaml_node *c = n->first; c; c = c->next) {
        if (c->kind != DQ_YAML_SCALAR || c->text.len == 0)
            return fail_key(r, n, "retryPolicy", "a list of texts, none of them empty");
        texts[p->n_non_retryable_errors++] = c->text.ptr;
    }
    p->non_retryable_errors = texts;
    return 0;
}

static int read_retry(const reading *r, const dq_yaml_node *n, dureq_retry_policy **ret)
{
    dureq_retry_policy *p = dq_arena_alloc(&r->cfg->arena, sizeof *p);

    if (!p)
        return dq_fail_nomem(r->err);

    *p = dureq_retry_policy_init();
    *ret = p;
    return read_fields(r, n, "retryPolicy", retry_fields, DQ_ARRAY_LEN(retry_fields), read_retry_custom, p);
}

/* ---- queues ---- */

static int read_priorities(const reading *r, const dq_yaml_node *n, dureq_queue_options *o)
{
    int64_t lo = 0, hi = 0;

    if (n->kind == DQ_YAML_SEQUENCE && n->n == 2 && dq_parse_i64(n->first->text, 1, 10, &lo) == 0 &&
        dq_parse_i64(n->last->text, 1, 10, &hi) == 0 && lo <= hi) {
        o->priority_min = (int32_t)lo;
        o->priority_max = (int32_t)hi;
        return 0;
    }
    return dq_fail(r->err, DUREQ_EINVAL, "%s:%d:%d: priorities takes [lowest, highest], each from 1 to 10", r->name, n->line,
                   n->column);
}

static int read_queue_custom(const reading *r, const dq_yaml_node *n, const field *f, void *target)
{
    dureq_queue_options *o = target;
    dureq_retry_policy *p = NULL;
    int rc;

    if (strcmp(f->name, "priorities") == 0)
        return read_priorities(r, n, o);
    rc = read_retry(r, n, &p);
    o->retry_policy = p;
    return rc;
}

static int read_queues(const reading *r, const dq_yaml_node *map)
{
    int rc = want(r, map, DQ_YAML_MAPPING, "a mapping of queue names");

    for (const dq_yaml_node *c = rc == 0 ? map->first : NULL; c && rc == 0; c = c->next) {
        dq_queue_spec q = {
            .name = c->key.ptr, .origin = origin_of(r, c->key_line, c->key_column), .options = dureq_queue_options_init()};
        dureq_error inner = {0};

        if (!(c->kind == DQ_YAML_SCALAR && c->is_null)) /* a name alone: all defaults */
            rc = read_fields(r, c, "queues", queue_fields, DQ_ARRAY_LEN(queue_fields), read_queue_custom, &q.options);
        if (rc < 0)
            return rc;
        rc = dq_config_add_queue(r->cfg, &q, &inner);
        if (rc < 0)
            return dq_fail(r->err, rc, "%s:%d:%d: %s", r->name, c->key_line, c->key_column, inner.msg);
    }
    return rc;
}

/* ---- handlers ---- */

static int read_command_list(const reading *r, const dq_yaml_node *n, dq_handler_spec *spec)
{
    if (n->n > DQ_CONFIG_WORDS_MAX)
        return fail_key(r, n, "handlers", "too many words");
    spec->words = dq_arena_alloc(&r->cfg->arena, (n->n + 1) * sizeof *spec->words);
    if (!spec->words)
        return dq_fail_nomem(r->err);

    for (const dq_yaml_node *c = n->first; c; c = c->next) {
        int rc = want(r, c, DQ_YAML_SCALAR, "single values");

        if (rc < 0)
            return rc;
        spec->words[spec->n_words++] = c->text.ptr;
    }
    return 0;
}

static int read_kind(const reading *r, const dq_yaml_node *n, const char *kind, dq_handler_spec *spec)
{
    dureq_error inner = {0};
    int rc;

    if (spec->kind)
        return fail_key(r, n, "handlers", "a handler is of one kind");
    if (n->kind == DQ_YAML_SEQUENCE && strcmp(kind, "exec") == 0) {
        spec->kind = DQ_HANDLER_EXEC;
        return read_command_list(r, n, spec);
    }
    if (strcmp(kind, "exec") == 0 || strcmp(kind, "builtin") == 0)
        rc = want(r, n, DQ_YAML_SCALAR, *kind == 'e' ? "a command or a list of words" : "a name");
    else
        rc = 0; /* refused below whatever it holds */
    if (rc < 0)
        return rc;

    rc = dq_handler_spec_set_kind(&r->cfg->arena, dureq_str_from(kind), n->text, spec, &inner);
    return rc < 0 ? fail_value(r, n, rc, &inner) : 0;
}

/* Values are secrets: no message has one. */
static int read_env_var(const reading *r, const dq_yaml_node *n, dq_handler_spec *spec)
{
    dureq_error inner = {0};
    int rc;

    if (!dq_env_is_name(n->key)) /* not shown either: it may be NAME=value */
        return dq_fail(r->err, DUREQ_EINVAL, "%s:%d:%d: env takes names of [A-Za-z_][A-Za-z0-9_]*", r->name, n->key_line,
                       n->key_column);
    if (n->kind != DQ_YAML_SCALAR || n->is_null)
        return fail_key(r, n, "env", "takes a text; an empty one is ''");
    if (dq_env_is_own(n->key)) {
        dq_buf_append_fmt(&r->cfg->warnings, "%s:%d:%d: env.%s has no effect: dureqd sets it itself\n", r->name, n->key_line,
                          n->key_column, n->key.ptr);
        return 0;
    }
    rc = dq_env_put(&r->cfg->arena, &spec->env, n->key, n->text, &inner);
    return rc < 0 ? fail_value(r, n, rc, &inner) : 0;
}

static int read_env(const reading *r, const dq_yaml_node *map, dq_handler_spec *spec)
{
    int rc = want(r, map, DQ_YAML_MAPPING, "a mapping of variables");

    for (const dq_yaml_node *c = rc == 0 ? map->first : NULL; c && rc == 0; c = c->next)
        rc = read_env_var(r, c, spec);
    return rc;
}

static int read_env_file(const reading *r, const dq_yaml_node *n, dq_handler_spec *spec)
{
    dureq_error inner = {0};
    int rc = want(r, n, DQ_YAML_SCALAR, "an absolute path");

    if (rc < 0)
        return rc;
    if (n->text.len == 0 || n->text.ptr[0] != '/')
        return fail_key(r, n, "handlers", "takes an absolute path");
    rc = dq_env_read_file(&r->cfg->arena, n->text.ptr, &spec->file_env, &r->cfg->warnings, &inner);
    return rc < 0 ? dq_fail(r->err, rc, "%s:%d:%d: envFile: %s", r->name, n->line, n->column, inner.msg) : 0;
}

static int read_pass_env(const reading *r, const dq_yaml_node *n, dq_handler_spec *spec)
{
    int rc = want(r, n, DQ_YAML_SEQUENCE, "a list of names");

    if (rc < 0)
        return rc;
    spec->pass_env = dq_arena_alloc(&r->cfg->arena, (n->n + 1) * sizeof *spec->pass_env);
    if (!spec->pass_env)
        return dq_fail_nomem(r->err);
    for (const dq_yaml_node *c = n->first; c; c = c->next) {
        if (c->kind != DQ_YAML_SCALAR || !dq_env_is_pattern(c->text))
            return dq_fail(r->err, DUREQ_EINVAL, "%s:%d:%d: passEnv takes names of [A-Za-z0-9_], with '*' for anything", r->name,
                           c->line, c->column);
        if (dq_env_is_own(c->text))
            dq_buf_append_fmt(&r->cfg->warnings, "%s:%d:%d: passEnv: %s has no effect: dureqd sets it itself\n", r->name, c->line,
                              c->column, c->text.ptr);
        spec->pass_env[spec->n_pass_env++] = c->text.ptr;
    }
    return 0;
}

static int read_handler_custom(const reading *r, const dq_yaml_node *n, const field *f, void *target)
{
    dq_handler_spec *spec = target;

    if (strcmp(f->name, "type") == 0) {
        spec->type = n->text.ptr;
        return want(r, n, DQ_YAML_SCALAR, "a task type");
    }
    if (strcmp(f->name, "env") == 0)
        return read_env(r, n, spec);
    if (strcmp(f->name, "envFile") == 0)
        return read_env_file(r, n, spec);
    if (strcmp(f->name, "passEnv") == 0)
        return read_pass_env(r, n, spec);
    if (strcmp(f->name, "limits") == 0)
        return read_fields(r, n, "limits", limit_fields, DQ_ARRAY_LEN(limit_fields), NULL, &spec->limits);
    if (strcmp(f->name, "retryPolicy") == 0)
        return read_retry(r, n, &spec->retry_policy);
    if (strcmp(f->name, "version") == 0)
        return fail_key(r, n, "handlers", "handler versions are not supported by this version");
    return read_kind(r, n, f->name, spec);
}

static int read_handler(const reading *r, const dq_yaml_node *n)
{
    dq_handler_spec spec = {.origin = origin_of(r, n->line, n->column)};
    dureq_error inner = {0};
    int rc;

    rc = read_fields(r, n, "handlers", handler_fields, DQ_ARRAY_LEN(handler_fields), read_handler_custom, &spec);
    if (rc < 0)
        return rc;
    if (!spec.type)
        return dq_fail(r->err, DUREQ_EINVAL, "%s:%d:%d: a handler needs its type", r->name, n->line, n->column);
    if (!spec.kind)
        return dq_fail(r->err, DUREQ_EINVAL, "%s:%d:%d: a handler needs one of exec and builtin", r->name, n->line, n->column);

    rc = dq_handler_spec_check(&spec, &inner);
    if (rc == 0)
        rc = dq_config_add_handler(r->cfg, &spec, &inner);
    return rc < 0 ? fail_value(r, n, rc, &inner) : 0;
}

static int read_handlers(const reading *r, const dq_yaml_node *seq)
{
    int rc = want(r, seq, DQ_YAML_SEQUENCE, "a list of handlers");

    for (const dq_yaml_node *c = rc == 0 ? seq->first : NULL; c && rc == 0; c = c->next)
        rc = read_handler(r, c);
    return rc;
}

/* ---- settings: the sections whose keys are in the table ---- */

/* A sequence of single values as the comma list that the other places say. */
static int join_list(const reading *r, const dq_yaml_node *n, dq_buf *out)
{
    for (const dq_yaml_node *c = n->first; c; c = c->next) {
        int rc = want(r, c, DQ_YAML_SCALAR, "single values");

        if (rc < 0)
            return rc;
        dq_buf_append_fmt(out, "%s%s", c == n->first ? "" : ",", c->text.ptr);
    }
    return out->failed ? dq_fail_nomem(r->err) : 0;
}

static int read_setting(const reading *r, const dq_yaml_node *n, const dq_config_row *row)
{
    DQ_BUF_AUTO list = {0};
    dureq_error inner = {0};
    dureq_str value = n->text;
    int rc;

    if (n->kind == DQ_YAML_SEQUENCE && row->type == DQ_CONFIG_LIST) {
        rc = join_list(r, n, &list);
        if (rc < 0)
            return rc;
        value = dq_buf_str(&list);
    } else if (row->type != DQ_CONFIG_REFUSED && row->type != DQ_CONFIG_IGNORED) {
        rc = want(r, n, DQ_YAML_SCALAR, "a single value");
        if (rc < 0)
            return rc;
        if (n->is_null && row->type != DQ_CONFIG_LIST)
            return 0; /* a key without value keeps the default */
    }
    rc = dq_config_set(r->cfg, row, value, DQ_FROM_FILE, &inner);
    return rc < 0 ? fail_value(r, n, rc, &inner) : 0;
}

static int read_section(const reading *r, const dq_yaml_node *map)
{
    uint64_t seen = 0;
    int rc;

    if (map->kind == DQ_YAML_SCALAR && map->is_null)
        return 0;
    rc = want(r, map, DQ_YAML_MAPPING, "a mapping");
    for (const dq_yaml_node *c = rc == 0 ? map->first : NULL; c && rc == 0; c = c->next) {
        const dq_config_row *row = dq_config_row_find(map->key.ptr, c->key);
        uint64_t bit = row ? 1ull << (row - dq_config_rows) : 0;

        if (!row)
            return fail_key(r, c, map->key.ptr, "there is no such key");
        if (seen & bit)
            return fail_key(r, c, map->key.ptr, "said twice");
        seen |= bit;
        rc = read_setting(r, c, row);
    }
    return rc;
}

static int read_top(const reading *r, const dq_yaml_node *n)
{
    if (dq_str_eq_text(n->key, "handlers"))
        return n->is_null ? 0 : read_handlers(r, n);
    if (dq_str_eq_text(n->key, "queues"))
        return n->is_null ? 0 : read_queues(r, n);
    if (dq_str_eq_text(n->key, "schedules"))
        return dq_schedule_list_read(&r->cfg->arena, r->name, n, &r->cfg->schedules, &r->cfg->n_schedules, r->err);
    if (dq_str_eq_text(n->key, "dureqd") || dq_str_eq_text(n->key, "log") || dq_str_eq_text(n->key, "redis"))
        return read_section(r, n);
    return fail_key(r, n, "", "there is no such key; known are dureqd, handlers, log, queues, redis and schedules");
}

int dq_config_load_text(dq_config *cfg, const char *name, dureq_str text, dureq_error *err)
{
    reading r = {.cfg = cfg, .name = name, .err = err};
    dq_yaml_node *root = NULL;
    int rc = dq_yaml_parse(&cfg->arena, name, text, &root, err);

    if (rc == 0 && root->kind == DQ_YAML_SCALAR && root->is_null)
        return 0;
    if (rc == 0)
        rc = want(&r, root, DQ_YAML_MAPPING, "a mapping");
    for (const dq_yaml_node *c = rc == 0 ? root->first : NULL; c && rc == 0; c = c->next)
        rc = read_top(&r, c);
    return rc;
}

int dq_config_read_fd(int fd, size_t max, dq_buf *out)
{
    for (;;) {
        char *room = dq_buf_reserve(out, 16384);
        ssize_t n = room ? read(fd, room, 16384) : -1;

        if (!room)
            return ENOMEM;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        out->len += (size_t)n;
        if (n == 0 || out->len > max)
            return 0;
    }
}

/* Whoever can write the file of a root's daemon has programs started as root. */
static void warn_if_others_write(dq_config *cfg, const char *path, const struct stat *st)
{
    bool has_exec = false;

    for (size_t i = 0; i < cfg->n_handlers; i++)
        has_exec = has_exec || cfg->handlers[i].kind == DQ_HANDLER_EXEC;
    if (!has_exec || geteuid() != 0 || !S_ISREG(st->st_mode) || (st->st_uid == 0 && (st->st_mode & 022) == 0))
        return;
    dq_buf_append_fmt(&cfg->warnings, "%s: others than root can write it (owner %u, mode %04o), and it starts programs as root\n",
                      path, (unsigned)st->st_uid, (unsigned)(st->st_mode & 07777));
}

int dq_config_load_file(dq_config *cfg, const char *path, dureq_error *err)
{
    DQ_BUF_AUTO text = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | (cfg->is_again ? O_NONBLOCK : 0));
    struct stat st = {0};
    int sys_errno, rc;

    if (fd < 0)
        return dq_fail_errno(err, errno == ENOENT ? DUREQ_ENOTFOUND : DUREQ_EIO, errno,
                             "cannot open the configuration '%.120s': %s", path, strerror(errno));
    (void)fstat(fd, &st);
    if (cfg->is_again && !S_ISREG(st.st_mode)) {
        (void)close(fd);
        return dq_fail(err, DUREQ_EINVAL, "the configuration '%.120s' is no regular file, it cannot be read again", path);
    }
    sys_errno = dq_config_read_fd(fd, DQ_CONFIG_FILE_MAX, &text);
    (void)close(fd); /* read only */
    if (sys_errno)
        return dq_fail_errno(err, DUREQ_EIO, sys_errno, "cannot read the configuration '%.120s': %s", path, strerror(sys_errno));
    rc = dq_config_load_text(cfg, path, dq_buf_str(&text), err);
    if (rc == 0)
        warn_if_others_write(cfg, path, &st);
    return rc;
}

/* ---- the manual ---- */

static void print_fields(const char *title, const field *fields, size_t n, dq_buf *out)
{
    dq_man_section(out, title);
    for (size_t i = 0; i < n; i++) {
        DQ_BUF_AUTO text = {0};

        if (!fields[i].help)
            continue;
        dq_buf_append_text(&text, fields[i].help);
        if (fields[i].type != FIELD_CUSTOM) {
            dq_buf_append_text(&text, " Takes ");
            describe(&fields[i], &text);
            dq_buf_append_text(&text, ".");
        }
        out->failed = out->failed || dq_buf_failed(&text);
        if (!out->failed)
            dq_man_item(out, fields[i].name, text.ptr);
    }
}

void dq_config_print_man_lists(dq_buf *out)
{
    print_fields("KEYS OF A QUEUE", queue_fields, DQ_ARRAY_LEN(queue_fields), out);
    print_fields("KEYS OF A HANDLER", handler_fields, DQ_ARRAY_LEN(handler_fields), out);
    print_fields("KEYS OF limits", limit_fields, DQ_ARRAY_LEN(limit_fields), out);
    print_fields("KEYS OF retryPolicy", retry_fields, DQ_ARRAY_LEN(retry_fields), out);
}
