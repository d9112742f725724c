/* SPDX-License-Identifier: Apache-2.0 */
#include "handler_env.h"

#include "config.h"
#include "exec_args.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- names ---- */

static bool is_name_char(char c, bool first)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || (!first && c >= '0' && c <= '9');
}

bool dq_env_is_name(dureq_str name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!is_name_char(name.ptr[i], i == 0))
            return false;
    return name.len > 0;
}

bool dq_env_is_own(dureq_str name)
{
    /* Those of the context, and those that later versions add to it. */
    static const char *const own[] = {"ATTEMPT",   "BATCH_ID",    "BATCH_ITEM", "CONTENT_TYPE", "CONTEXT",
                                      "DEADLINE",  "ENQUEUED_AT", "JOB_ID",     "MAX_ATTEMPTS", "NODE_ID",
                                      "PRIORITY",  "QUEUE",       "RUN_ID",     "SCHEDULED_AT", "SCHEDULE_ID",
                                      "TASK_TYPE", "TRACEPARENT", "UPSTREAM",   "WORKFLOW_ID",  "WORKFLOW_TASK"};
    dureq_str rest;

    if (!dq_str_starts_with(name, DQ_STR_LIT("DUREQ_")))
        return false;
    rest = dureq_str_of(name.ptr + 6, name.len - 6);
    for (size_t i = 0; i < DQ_ARRAY_LEN(own); i++)
        if (dq_str_eq_text(rest, own[i]))
            return true;
    return dq_str_starts_with(rest, DQ_STR_LIT("HEADER_"));
}

bool dq_env_is_pattern(dureq_str pattern)
{
    for (size_t i = 0; i < pattern.len; i++)
        if (pattern.ptr[i] != '*' && !is_name_char(pattern.ptr[i], i == 0))
            return false;
    return pattern.len > 0;
}

/* On a mismatch the last '*' takes one character more: no pattern costs more than the product of the lengths. */
static bool matches(const char *pattern, dureq_str name)
{
    const char *star = NULL;
    size_t i = 0, at_star = 0;

    while (i < name.len) {
        if (*pattern == '*') {
            star = ++pattern;
            at_star = i;
        } else if (*pattern == name.ptr[i]) {
            pattern++;
            i++;
        } else if (star) {
            pattern = star;
            i = ++at_star;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

bool dq_env_passes(const char *pattern, dureq_str name)
{
    static const char *const private_names[] = {"DUREQ_", "LISTEN_", "NOTIFY_SOCKET", "WATCHDOG_"};

    if (dq_env_is_own(name) || !matches(pattern, name))
        return false;
    for (size_t i = 0; i < DQ_ARRAY_LEN(private_names); i++)
        if (dq_str_starts_with(name, dureq_str_from(private_names[i])))
            return dq_str_starts_with(dureq_str_from(pattern), dureq_str_from(private_names[i]));
    return true;
}

/* ---- lists ---- */

static const char **find(const dq_env_list *list, dureq_str name)
{
    for (size_t i = 0; i < list->n; i++)
        if (strncmp(list->vars[i], name.ptr, name.len) == 0 && list->vars[i][name.len] == '=')
            return &list->vars[i];
    return NULL;
}

/* The arena keeps the smaller arrays until its end: all together they are as large as the last one. */
static int grow(dq_arena *arena, dq_env_list *list, dureq_error *err)
{
    size_t cap = list->cap ? list->cap * 2 : 16;
    const char **bigger;

    if (list->n < list->cap)
        return 0;
    if (list->n == DQ_ENV_VARS_MAX)
        return dq_fail(err, DUREQ_ETOOLARGE, "more than %d variables", DQ_ENV_VARS_MAX);
    bigger = dq_arena_alloc(arena, (cap + 1) * sizeof *bigger); /* and NULL at its end */
    if (!bigger)
        return dq_fail_nomem(err);
    if (list->n > 0)
        memcpy(bigger, list->vars, list->n * sizeof *bigger);
    list->vars = bigger;
    list->cap = cap;
    return 0;
}

int dq_env_put(dq_arena *arena, dq_env_list *list, dureq_str name, dureq_str value, dureq_error *err)
{
    size_t bytes = name.len + value.len + 2;
    const char **old = find(list, name);
    char *var;
    int rc = old ? 0 : grow(arena, list, err);

    if (rc < 0)
        return rc;
    if (bytes > DQ_EXEC_ARG_MAX)
        return dq_fail(err, DUREQ_ETOOLARGE, "a variable has at most %d bytes", DQ_EXEC_ARG_MAX);
    if (list->bytes + bytes > DQ_ENV_BYTES_MAX)
        return dq_fail(err, DUREQ_ETOOLARGE, "more than %d bytes of variables", DQ_ENV_BYTES_MAX);
    var = dq_arena_alloc(arena, bytes);
    if (!var)
        return dq_fail_nomem(err);
    memcpy(var, name.ptr, name.len);
    var[name.len] = '=';
    if (value.len > 0)
        memcpy(var + name.len + 1, value.ptr, value.len); /* the arena's memory is zeroed: NUL-ended */
    list->bytes += bytes - (old ? strlen(*old) + 1 : 0);
    if (old)
        *old = var;
    else
        list->vars[list->n++] = var;
    return 0;
}

/* ---- a file of variables ---- */

/* Messages tell the line and never its text: where a line is no variable, it may be the rest of a value. */
#define OWN_SAID_MAX 10 /* by name; of more than these, how many */

typedef struct parsing {
    const char *path;
    dureq_str text;
    size_t at;
    int line, n_own;
    dq_buf value;
    dureq_error *err;
} parsing;

static int fail_line(const parsing *p, int line, const char *what)
{
    return dq_fail(p->err, DUREQ_EPARSE, "%.200s:%d: %s", p->path, line, what);
}

static int peek(const parsing *p)
{
    return p->at < p->text.len ? (unsigned char)p->text.ptr[p->at] : -1;
}

static bool is_blank(int c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static void skip_blanks(parsing *p)
{
    while (is_blank(peek(p)))
        p->at++;
}

static void skip_line(parsing *p)
{
    while (p->at < p->text.len && p->text.ptr[p->at] != '\n')
        p->at++;
}

/* Single quotes: as it stands. Double quotes: a backslash before ", \, $ and ` is dropped, \n is a new line. Either may have several lines. */
static int read_quoted(parsing *p)
{
    int quote = peek(p), begun = p->line, c;

    for (p->at++; (c = peek(p)) != quote; p->at++) {
        if (c < 0)
            return fail_line(p, begun, "a quote is never closed");
        p->line += c == '\n';
        if (c == '\\' && quote == '"' && p->at + 1 < p->text.len && strchr("\"\\$`n", p->text.ptr[p->at + 1])) {
            p->at++;
            c = peek(p) == 'n' ? '\n' : peek(p);
        }
        dq_buf_append_char(&p->value, (char)c);
    }
    p->at++;
    skip_blanks(p);
    if (peek(p) == '#')
        skip_line(p);
    return peek(p) == '\n' || peek(p) < 0 ? 0 : fail_line(p, p->line, "there is more after the closing quote");
}

static int read_value(parsing *p)
{
    size_t from;

    dq_buf_clear(&p->value);
    skip_blanks(p);
    if (peek(p) == '"' || peek(p) == '\'')
        return read_quoted(p);
    from = p->at;
    skip_line(p);
    dq_buf_append_str(&p->value, dq_str_trim(dureq_str_of(p->text.ptr + from, p->at - from)));
    return 0;
}

static dureq_str read_name(parsing *p)
{
    size_t from = p->at;

    while (p->at < p->text.len && is_name_char(p->text.ptr[p->at], p->at == from))
        p->at++;
    return dureq_str_of(p->text.ptr + from, p->at - from);
}

static int read_variable(parsing *p, dq_arena *arena, dq_env_list *ret, dq_buf *warnings)
{
    dureq_str name = read_name(p);
    dureq_error inner = {0};
    int line = p->line, rc;

    if (dq_str_eq_text(name, "export") && is_blank(peek(p))) {
        skip_blanks(p);
        name = read_name(p);
    }
    if (name.len == 0 || peek(p) != '=')
        return fail_line(p, line, "not NAME=value, with a name of [A-Za-z0-9_]");
    p->at++;
    rc = read_value(p);
    if (rc < 0)
        return rc;
    if (dq_buf_failed(&p->value))
        return dq_fail_nomem(p->err);
    if (dq_env_is_own(name)) {
        if (++p->n_own <= OWN_SAID_MAX)
            dq_buf_append_fmt(warnings, "%.200s:%d: " DQ_STR_FMT " has no effect: dureqd sets it itself\n", p->path, line,
                              DQ_STR_ARG(name));
        return 0;
    }
    rc = dq_env_put(arena, ret, name, dq_buf_str(&p->value), &inner);
    return rc < 0 ? dq_fail(p->err, rc, "%.200s:%d: %s", p->path, line, inner.msg) : 0;
}

static int read_variables(parsing *p, dq_arena *arena, dq_env_list *ret, dq_buf *warnings)
{
    int rc = 0;

    while (p->at < p->text.len && rc == 0) {
        int c = peek(p);

        if (c == '\n') {
            p->line++;
            p->at++;
        } else if (is_blank(c)) {
            p->at++;
        } else if (c == '#') {
            skip_line(p);
        } else {
            rc = read_variable(p, arena, ret, warnings);
        }
    }
    return rc;
}

int dq_env_parse(dq_arena *arena, const char *path, dureq_str text, dq_env_list *ret, dq_buf *warnings, dureq_error *err)
{
    parsing p = {.path = path, .text = text, .line = 1, .err = err};
    int rc;

    if (text.len > 0 && memchr(text.ptr, '\0', text.len))
        return dq_fail(err, DUREQ_EPARSE, "%.200s: a NUL byte", path);
    if (dq_str_starts_with(text, DQ_STR_LIT("\xEF\xBB\xBF")))
        p.at = 3;
    rc = read_variables(&p, arena, ret, warnings);
    if (p.n_own > OWN_SAID_MAX)
        dq_buf_append_fmt(warnings, "%.200s: %d more have no effect: dureqd sets them itself\n", path, p.n_own - OWN_SAID_MAX);
    dq_buf_deinit(&p.value);
    return rc;
}

int dq_env_read_file(dq_arena *arena, const char *path, dq_env_list *ret, dq_buf *warnings, dureq_error *err)
{
    DQ_BUF_AUTO text = {0};
    struct stat st = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), sys_errno; /* nothing waits for a pipe's writer */

    if (fd < 0)
        return dq_fail_errno(err, errno == ENOENT ? DUREQ_ENOTFOUND : DUREQ_EPERM, errno, "cannot open '%.150s': %s", path,
                             strerror(errno));
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        (void)close(fd);
        return dq_fail(err, DUREQ_EINVAL, "'%.150s' is not a regular file", path);
    }
    sys_errno = dq_config_read_fd(fd, DQ_ENV_BYTES_MAX, &text);
    (void)close(fd); /* read only */
    if (!sys_errno && text.len > DQ_ENV_BYTES_MAX)
        return dq_fail(err, DUREQ_ETOOLARGE, "'%.150s' has more than %d bytes", path, DQ_ENV_BYTES_MAX);
    if (sys_errno)
        return dq_fail_errno(err, DUREQ_EIO, sys_errno, "cannot read '%.150s': %s", path, strerror(sys_errno));
    if (geteuid() == 0 && (st.st_uid != 0 || (st.st_mode & 022) != 0))
        dq_buf_append_fmt(
            warnings,
            "%.200s: others than root can write it (owner %u, mode %04o), and programs that root starts are given what it says\n",
            path, (unsigned)st.st_uid, (unsigned)(st.st_mode & 07777));
    return dq_env_parse(arena, path, dq_buf_str(&text), ret, warnings, err);
}

/* ---- all of it ---- */

/* What a program sees of the daemon's own environment unless more is passed on; nothing else of it, which may hold secrets. */
static const char *const passed_on[] = {"PATH", "LANG", "LC_ALL", "TZ", "TMPDIR"};

static bool is_passed_on(const dq_handler_spec *spec, dureq_str name)
{
    for (size_t i = 0; i < DQ_ARRAY_LEN(passed_on); i++)
        if (dq_str_eq_text(name, passed_on[i]))
            return true;
    for (size_t i = 0; i < spec->n_pass_env; i++)
        if (dq_env_passes(spec->pass_env[i], name))
            return true;
    return false;
}

/* What Linux hands over is any text: functions of a shell, for one, are left out. */
static int pass_on(dq_arena *arena, dq_env_list *list, const dq_handler_spec *spec, char *const *envp, dureq_error *err)
{
    int rc = 0;

    for (; envp && *envp && rc == 0; envp++) {
        dureq_str rest = dureq_str_from(*envp), name = dq_str_cut(&rest, '=');

        if (rest.ptr && dq_env_is_name(name) && is_passed_on(spec, name))
            rc = dq_env_put(arena, list, name, rest, err);
    }
    return rc;
}

static int put_text(dq_arena *arena, dq_env_list *list, const char *name, const char *value, dureq_error *err)
{
    return value ? dq_env_put(arena, list, dureq_str_from(name), dureq_str_from(value), err) : 0;
}

static int put_list(dq_arena *arena, dq_env_list *list, const dq_env_list *from, dureq_error *err)
{
    int rc = 0;

    for (size_t i = 0; i < from->n && rc == 0; i++) {
        dureq_str rest = dureq_str_from(from->vars[i]), name = dq_str_cut(&rest, '=');

        rc = dq_env_put(arena, list, name, rest, err);
    }
    return rc;
}

int dq_env_assemble(dq_arena *arena, const dq_handler_spec *spec, char *const *envp, const char *user, const char *home,
                    const char *const **ret, dureq_error *err)
{
    dq_env_list list = {0};
    int rc = grow(arena, &list, err);

    if (rc == 0)
        rc = pass_on(arena, &list, spec, envp, err);
    if (rc == 0)
        rc = put_text(arena, &list, "HOME", home, err);
    if (rc == 0)
        rc = put_text(arena, &list, "USER", user, err);
    if (rc == 0)
        rc = put_text(arena, &list, "LOGNAME", user, err);
    if (rc == 0)
        rc = put_list(arena, &list, &spec->file_env, err);
    if (rc == 0)
        rc = put_list(arena, &list, &spec->env, err);
    if (rc == 0)
        *ret = list.vars;
    return rc;
}
