/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "redis/url.h"

#include <stdio.h>

int dq_config_init(dq_config *cfg, dureq_error *err)
{
    int rc = 0;

    *cfg = (dq_config){0};
    cfg->from = dq_arena_alloc(&cfg->arena, dq_config_n_rows);
    if (!cfg->from)
        return dq_fail_nomem(err);

    for (size_t i = 0; i < dq_config_n_rows && rc == 0; i++)
        if (dq_config_rows[i].def)
            rc = dq_config_set(cfg, &dq_config_rows[i], dureq_str_from(dq_config_rows[i].def), DQ_FROM_DEFAULT, err);
    if (rc < 0)
        dq_config_deinit(cfg);
    return rc;
}

void dq_config_deinit(dq_config *cfg)
{
    dq_free(cfg->handlers);
    dq_free(cfg->queues);
    dq_buf_deinit(&cfg->warnings);
    dq_arena_deinit(&cfg->arena);
    *cfg = (dq_config){0};
}

/* ---- handlers and queues ---- */

/* Room for one more item of `size` bytes in a doubling array. */
static int grow(void **items, size_t n, size_t *cap, size_t size)
{
    size_t want = *cap ? *cap * 2 : 8;
    void *bigger;

    if (n < *cap)
        return 0;
    bigger = dq_realloc(*items, want * size);
    if (!bigger)
        return DUREQ_ENOMEM;

    *items = bigger;
    *cap = want;
    return 0;
}

int dq_config_add_handler(dq_config *cfg, const dq_handler_spec *spec, dureq_error *err)
{
    void *items = cfg->handlers;

    for (size_t i = 0; i < cfg->n_handlers; i++)
        if (strcmp(cfg->handlers[i].type, spec->type) == 0)
            return dq_fail(err, DUREQ_EDUPLICATE, "a handler for '%s' was already given at " DQ_STR_FMT, spec->type,
                           DQ_STR_ARG(cfg->handlers[i].origin));
    if (cfg->n_handlers == DQ_CONFIG_HANDLERS_MAX)
        return dq_fail(err, DUREQ_ETOOLARGE, "more than %d handlers", DQ_CONFIG_HANDLERS_MAX);
    if (grow(&items, cfg->n_handlers, &cfg->handlers_cap, sizeof *spec) < 0)
        return dq_fail_nomem(err);

    cfg->handlers = items;
    cfg->handlers[cfg->n_handlers++] = *spec;
    return 0;
}

static bool is_queue_name(const char *name)
{
    size_t n = strlen(name);

    return n > 0 && n <= DUREQ_NAME_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-") == n;
}

int dq_config_add_queue(dq_config *cfg, const dq_queue_spec *spec, dureq_error *err)
{
    void *items = cfg->queues;

    if (!is_queue_name(spec->name))
        return dq_fail(err, DUREQ_EINVAL, "'%.60s' is no name of a queue: 1 to %d of [A-Za-z0-9_.:-]", spec->name,
                       DUREQ_NAME_MAX);
    if (cfg->n_queues == DQ_CONFIG_QUEUES_MAX)
        return dq_fail(err, DUREQ_ETOOLARGE, "more than %d queues", DQ_CONFIG_QUEUES_MAX);
    if (grow(&items, cfg->n_queues, &cfg->queues_cap, sizeof *spec) < 0)
        return dq_fail_nomem(err);

    cfg->queues = items;
    cfg->queues[cfg->n_queues++] = *spec;
    return 0;
}

/* ---- lists ---- */

bool dq_config_list_has(const char *list, const char *word)
{
    dureq_str rest = dureq_str_from(list);

    while (rest.ptr)
        if (dq_str_eq_text(dq_str_trim(dq_str_cut(&rest, ',')), word))
            return true;
    return false;
}

bool dq_config_has_mode(const dq_config *cfg, const char *mode)
{
    return dq_config_list_has(cfg->mode, "full") || dq_config_list_has(cfg->mode, mode);
}

/* ---- the server's URL ---- */

static void append_encoded(dq_buf *out, const char *text, const char *also_plain)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || strchr("-_.~", *p);

        if (plain || strchr(also_plain, *p))
            dq_buf_append_char(out, (char)*p);
        else
            dq_buf_append_fmt(out, "%%%02X", *p);
    }
}

static void append_query(dq_buf *out, char *between, const char *name, const char *value)
{
    if (!value)
        return;
    dq_buf_append_char(out, *between);
    *between = '&';
    dq_buf_append_fmt(out, "%s=", name);
    append_encoded(out, value, "/");
}

static void append_credentials(dq_buf *out, const char *user, const char *password)
{
    if (!user && !password)
        return;
    append_encoded(out, user ? user : "", "");
    if (password) {
        dq_buf_append_char(out, ':');
        append_encoded(out, password, "");
    }
    dq_buf_append_char(out, '@');
}

static void append_url(dq_buf *out, const dq_redis_url *u, const char *user, const char *password, int64_t db)
{
    char between = '?', db_text[24];

    (void)snprintf(db_text, sizeof db_text, "%lld", (long long)db);
    dq_buf_append_text(out, u->kind == DQ_REDIS_UNIX ? "unix://" : u->kind == DQ_REDIS_TLS ? "rediss://" : "redis://");
    append_credentials(out, user, password);
    if (u->kind == DQ_REDIS_UNIX) {
        append_encoded(out, u->host, "/");
        append_query(out, &between, "db", db_text);
        return;
    }
    dq_buf_append_fmt(out, strchr(u->host, ':') ? "[%s]:%d/%s" : "%s:%d/%s", u->host, u->port, db_text);
    append_query(out, &between, "ca", u->tls_ca);
    append_query(out, &between, "cert", u->tls_cert);
    append_query(out, &between, "key", u->tls_key);
    append_query(out, &between, "servername", u->tls_servername);
    append_query(out, &between, "insecure", u->tls_insecure ? "1" : NULL);
}

int dq_config_redis_url(const dq_config *cfg, char **ret, dureq_error *err)
{
    dq_redis_url u = {0};
    DQ_BUF_AUTO out = {0};
    int rc;

    if (!cfg->redis_url) {
        *ret = NULL;
        return 0;
    }
    rc = dq_redis_url_parse(dureq_str_from(cfg->redis_url), &u, err);
    if (rc < 0)
        return rc;

    append_url(&out, &u, cfg->redis_username ? cfg->redis_username : u.user,
               cfg->redis_password ? cfg->redis_password : u.password, cfg->redis_db >= 0 ? cfg->redis_db : u.db);
    dq_redis_url_deinit(&u);
    if (out.failed)
        return dq_fail_nomem(err);
    *ret = dq_buf_take(&out);
    return 0;
}
