/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "handler_spec.h"

/* ---- the environment ---- */

static const char *env_find(char *const *envp, const char *name)
{
    size_t n = strlen(name);

    for (; envp && *envp; envp++)
        if (strncmp(*envp, name, n) == 0 && (*envp)[n] == '=')
            return *envp + n + 1;
    return NULL;
}

int dq_config_load_env(dq_config *cfg, char *const *envp, dureq_error *err)
{
    for (size_t i = 0; i < dq_config_n_rows; i++) {
        char name[DQ_CONFIG_NAME_TEXT_MAX];
        dureq_error inner = {0};
        const char *value;
        int rc;

        dq_config_env_name(&dq_config_rows[i], name);
        value = env_find(envp, name);
        if (!value)
            continue;
        rc = dq_config_set(cfg, &dq_config_rows[i], dureq_str_from(value), DQ_FROM_ENV, &inner);
        if (rc < 0)
            return dq_fail(err, rc, "%s: %s", name, inner.msg);
    }
    return 0;
}

/* ---- flags ---- */

typedef struct args {
    dq_config *cfg;
    dq_config_cli *cli;
    char **argv;
    int argc, i;
    dureq_error *err;
} args;

static const dq_config_row *row_of_flag(dureq_str flag)
{
    if (dq_str_eq_text(flag, "--redis"))
        flag = DQ_STR_LIT("--redis-url");
    for (size_t i = 0; i < dq_config_n_rows; i++) {
        char name[DQ_CONFIG_NAME_TEXT_MAX];

        dq_config_flag_name(&dq_config_rows[i], name);
        if (dq_str_eq_text(flag, name))
            return &dq_config_rows[i];
    }
    return NULL;
}

/* The value after '=', else the next argument. */
static int take_value(args *a, dureq_str flag, char *behind_equal, char **ret)
{
    if (behind_equal) {
        *ret = behind_equal;
        return 0;
    }
    if (a->i + 1 >= a->argc)
        return dq_fail(a->err, DUREQ_EINVAL, "%.60s needs a value", dq_arena_dup(&a->cfg->arena, flag));
    *ret = a->argv[++a->i];
    return 0;
}

/* A switch alone means true. */
static bool is_bare_switch(const args *a, const dq_config_row *row, const char *behind_equal)
{
    const char *next = a->i + 1 < a->argc ? a->argv[a->i + 1] : "";

    return row->type == DQ_CONFIG_BOOL && !behind_equal && strcmp(next, "true") != 0 && strcmp(next, "false") != 0;
}

static int set_flag(args *a, dureq_str flag, const dq_config_row *row, char *behind_equal)
{
    dureq_error inner = {0};
    char *value = NULL;
    int rc;

    if (is_bare_switch(a, row, behind_equal))
        return dq_config_set(a->cfg, row, DQ_STR_LIT("true"), DQ_FROM_FLAG, a->err);
    rc = take_value(a, flag, behind_equal, &value);
    if (rc < 0)
        return rc;

    rc = dq_config_set(a->cfg, row, dureq_str_from(value), DQ_FROM_FLAG, &inner);
    if (row->secret)
        memset(value, 'x', strlen(value));
    return rc < 0 ? dq_fail(a->err, rc, DQ_STR_FMT ": %s", DQ_STR_ARG(flag), inner.msg) : 0;
}

static int add_handler(args *a, dureq_str flag, char *behind_equal)
{
    dq_handler_spec spec = {.origin = DQ_STR_LIT("--handler")};
    char *value = NULL;
    int rc = take_value(a, flag, behind_equal, &value);

    if (rc == 0)
        rc = dq_handler_spec_parse(&a->cfg->arena, dureq_str_from(value), &spec, a->err);
    return rc < 0 ? rc : dq_config_add_handler(a->cfg, &spec, a->err);
}

static int take_config_path(args *a, dureq_str flag, char *behind_equal)
{
    char *path = NULL;
    int rc = take_value(a, flag, behind_equal, &path);

    a->cli->config_path = path;
    return rc;
}

static int read_flag(args *a)
{
    char *arg = a->argv[a->i], *equal = strchr(arg, '=');
    dureq_str flag = equal ? dureq_str_of(arg, (size_t)(equal - arg)) : dureq_str_from(arg);
    const dq_config_row *row = row_of_flag(flag);
    char *value = equal ? equal + 1 : NULL;

    if (row)
        return set_flag(a, flag, row, value);
    if (dq_str_eq_text(flag, "--handler"))
        return add_handler(a, flag, value);
    if (dq_str_eq_text(flag, "--config"))
        return take_config_path(a, flag, value);
    if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)
        a->cli->help = true;
    else if (strcmp(arg, "--version") == 0)
        a->cli->version = true;
    else if (strcmp(arg, "--sample-config") == 0)
        a->cli->sample = true;
    else if (strcmp(arg, "--man") == 0)
        a->cli->man = true;
    else if (strcmp(arg, "--man-file") == 0)
        a->cli->man_file = true;
    else if (strcmp(arg, "--check") == 0)
        a->cli->check = true;
    else
        return dq_fail(a->err, DUREQ_EINVAL, "unknown argument '%.80s'", arg);
    return 0;
}

int dq_config_load_args(dq_config *cfg, int argc, char **argv, dq_config_cli *ret, dureq_error *err)
{
    args a = {.cfg = cfg, .cli = ret, .argv = argv, .argc = argc, .err = err};
    int rc = 0;

    *ret = (dq_config_cli){0};
    for (a.i = 0; a.i < argc && rc == 0; a.i++)
        rc = read_flag(&a);
    return rc;
}

/* ---- what can be judged only when all is known ---- */

static int check_all(dq_config *cfg, dureq_error *err)
{
    char *url = NULL;
    int rc = dq_config_redis_url(cfg, &url, err);

    if (rc < 0)
        return rc;

    if (!url && (cfg->redis_password || cfg->redis_username))
        dq_buf_append_text(&cfg->warnings, "redis.username and redis.password have no effect without redis.url\n");
    dq_free(url);
    return cfg->warnings.failed ? dq_fail_nomem(err) : 0;
}

/* Before secrets in it are overwritten. NULL-ended. */
static char **copy_args(dq_config *cfg, int argc, char *const *argv)
{
    char **copy = dq_arena_alloc(&cfg->arena, ((size_t)argc + 1) * sizeof *copy);

    for (int i = 0; copy && i < argc; i++) {
        copy[i] = dq_arena_dup(&cfg->arena, dureq_str_from(argv[i]));
        if (!copy[i])
            return NULL;
    }
    return copy;
}

int dq_config_load_again(dq_config *cfg, const dq_config *first, char *const *envp, dureq_error *err)
{
    int rc = dq_config_init(cfg, err);
    dq_config_cli cli;
    char **argv;

    if (rc < 0)
        return rc;
    cfg->is_again = true;
    argv = copy_args(cfg, first->n_args, first->args);
    rc = argv ? dq_config_load(cfg, first->n_args, argv, envp, &cli, err) : dq_fail_nomem(err);
    if (rc < 0)
        dq_config_deinit(cfg);
    return rc;
}

int dq_config_load(dq_config *cfg, int argc, char **argv, char *const *envp, dq_config_cli *ret, dureq_error *err)
{
    const char *path;
    int rc;

    cfg->args = copy_args(cfg, argc, argv);
    cfg->n_args = argc;
    rc = cfg->args ? dq_config_load_args(cfg, argc, argv, ret, err) : dq_fail_nomem(err);

    if (rc < 0 || ret->help || ret->version || ret->sample || ret->man || ret->man_file)
        return rc;
    path = ret->config_path ? ret->config_path : env_find(envp, "DUREQ_CONFIG_PATH");
    if (path && *path)
        rc = dq_config_load_file(cfg, path, err);
    if (rc == 0)
        rc = dq_config_load_env(cfg, envp, err);
    return rc < 0 ? rc : check_all(cfg, err);
}
