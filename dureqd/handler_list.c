/* SPDX-License-Identifier: Apache-2.0 */
#include "handler_list.h"

#include "builtins.h"
#include "model/job.h"

bool dq_handler_list_next(const dq_config *cfg, size_t *at, dq_handler_spec *ret)
{
    size_t builtin_at = *at - DQ_MIN(*at, cfg->n_handlers);
    const char *name;

    if (*at < cfg->n_handlers) {
        *ret = cfg->handlers[(*at)++];
        return true;
    }
    name = dq_builtin_listed(cfg, &builtin_at);
    if (!name)
        return false;
    *ret = (dq_handler_spec){.type = name, .kind = DQ_HANDLER_BUILTIN, .builtin = name};
    *at = cfg->n_handlers + builtin_at;
    return true;
}

int64_t dq_handler_concurrency(const dq_config *cfg, const dq_handler_spec *spec)
{
    int32_t own = spec->kind == DQ_HANDLER_EXEC ? dq_exec_concurrency(spec)
                  : spec->concurrency           ? spec->concurrency
                                                : dq_builtin_concurrency(spec->builtin);

    return DQ_MIN(own, cfg->concurrency);
}

int dq_handler_list_add(const dq_config *cfg, dq_exec_host *exec, dureq_node *node, int *ret_n, dureq_error *err)
{
    dq_handler_spec spec;
    int n = 0, rc = 0;

    for (size_t at = 0; rc == 0 && dq_handler_list_next(cfg, &at, &spec); n++)
        rc = spec.kind == DQ_HANDLER_EXEC ? dq_exec_host_add(exec, node, &spec, err) : dq_builtin_add(node, &spec, err);
    *ret_n = n;
    return rc;
}

/* ---- what is new ---- */

static void put_text(dq_buf *out, const char *text)
{
    dq_buf_append_lstr(out, text ? dureq_str_from(text) : (dureq_str){0});
    dq_buf_append_char(out, text ? '1' : '0');
}

static void put_texts(dq_buf *out, const char *const *texts, size_t n)
{
    dq_buf_append_varint(out, n);
    for (size_t i = 0; i < n; i++)
        put_text(out, texts[i]);
}

static void put_number(dq_buf *out, int64_t n)
{
    dq_buf_append_u64be(out, (uint64_t)n);
}

static void put_limits(dq_buf *out, const dq_exec_limits *l)
{
    put_text(out, l->user);
    put_number(out, l->cpu_seconds);
    put_number(out, l->memory_bytes);
    put_number(out, l->open_files);
    put_number(out, l->output_bytes);
}

/* All that is said of it but where: two that are the same say the same. */
static void put_spec(dq_buf *out, const dq_handler_spec *s)
{
    put_number(out, s->kind);
    put_texts(out, s->words, s->n_words);
    put_number(out, s->allow_leading_dash);
    put_text(out, s->cwd);
    put_number(out, s->nice);
    put_number(out, s->max_processes);
    put_texts(out, s->env.vars, s->env.n);
    put_texts(out, s->file_env.vars, s->file_env.n);
    put_texts(out, s->pass_env, s->n_pass_env);
    put_text(out, s->builtin);
    put_number(out, s->concurrency);
    put_number(out, s->timeout_ms);
    put_number(out, s->grace_ms);
    put_number(out, s->retry_policy != NULL);
    if (s->retry_policy)
        dq_retry_pack(out, s->retry_policy);
    put_limits(out, &s->limits);
}

static bool find(const dq_config *cfg, const char *type, dq_handler_spec *ret)
{
    for (size_t at = 0; dq_handler_list_next(cfg, &at, ret);)
        if (strcmp(ret->type, type) == 0)
            return true;
    return false;
}

int dq_handler_compare(const dq_config *now, const dq_config *next, const char *type)
{
    DQ_BUF_AUTO old_text = {0};
    DQ_BUF_AUTO new_text = {0};
    dq_handler_spec old, new;

    if (!find(next, type, &new))
        return DQ_HANDLER_REMOVED;
    if (!find(now, type, &old))
        return DQ_HANDLER_ADDED;
    put_spec(&old_text, &old);
    put_spec(&new_text, &new);
    if (dq_buf_failed(&old_text) || dq_buf_failed(&new_text))
        return DUREQ_ENOMEM;
    return dq_str_eq(dq_buf_str(&old_text), dq_buf_str(&new_text)) ? DQ_HANDLER_SAME : DQ_HANDLER_CHANGED;
}

void dq_handler_say(const dq_log *log, const dq_config *cfg, const dq_handler_spec *spec, dq_handler_change change)
{
    static const char *const words[] = {
        [DQ_HANDLER_SAME] = "",
        [DQ_HANDLER_ADDED] = " change=added",
        [DQ_HANDLER_CHANGED] = " change=changed",
        [DQ_HANDLER_REMOVED] = " change=removed",
    };
    bool is_exec = spec->kind == DQ_HANDLER_EXEC;

    DQ_LOG(log, DUREQ_LOG_INFO, "daemon.handler", "type=%s kind=%s concurrency=%lld what=\"%s\"%s", spec->type,
           is_exec ? "exec" : "builtin", (long long)dq_handler_concurrency(cfg, spec), is_exec ? spec->words[0] : spec->builtin,
           words[change]);
}
