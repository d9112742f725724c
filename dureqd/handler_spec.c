/* SPDX-License-Identifier: Apache-2.0 */
#include "handler_spec.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- words ---- */

typedef enum quote {
    QUOTE_NONE,
    QUOTE_SINGLE,
    QUOTE_DOUBLE,
} quote;

typedef struct splitter {
    dq_buf word;
    quote in;
    bool has_word; /* '' is a word, too */
    const char **words;
    size_t n;
    dq_arena *arena;
} splitter;

static int word_end(splitter *s, dureq_error *err)
{
    if (!s->has_word)
        return 0;
    if (s->n == DQ_CONFIG_WORDS_MAX)
        return dq_fail(err, DUREQ_ETOOLARGE, "a command has at most %d words", DQ_CONFIG_WORDS_MAX);
    if (s->word.failed)
        return dq_fail_nomem(err);

    s->words[s->n] = dq_arena_dup(s->arena, dq_buf_str(&s->word));
    if (!s->words[s->n])
        return dq_fail_nomem(err);

    s->n++;
    s->has_word = false;
    dq_buf_clear(&s->word);
    return 0;
}

static void word_add(splitter *s, char c)
{
    s->has_word = true;
    dq_buf_append_char(&s->word, c);
}

/* Within double quotes a backslash is itself unless before one of these, as in POSIX 2.2.3. */
static bool is_escaped_in_double(char c)
{
    return c == '"' || c == '\\' || c == '$' || c == '`';
}

/* One character at text[i], or two with a backslash; returns how many were used, 0 when the text ends too early. */
static size_t split_step(splitter *s, dureq_str text, size_t i)
{
    char c = text.ptr[i];

    if (s->in == QUOTE_SINGLE) {
        if (c == '\'')
            s->in = QUOTE_NONE;
        else
            word_add(s, c);
        return 1;
    }
    if (c == '\\') {
        if (i + 1 == text.len)
            return 0;
        if (s->in == QUOTE_DOUBLE && !is_escaped_in_double(text.ptr[i + 1]))
            word_add(s, '\\');
        word_add(s, text.ptr[i + 1]);
        return 2;
    }
    if (c == '"' || (c == '\'' && s->in == QUOTE_NONE)) {
        s->has_word = true;
        s->in = c == '\'' ? QUOTE_SINGLE : s->in == QUOTE_DOUBLE ? QUOTE_NONE : QUOTE_DOUBLE;
        return 1;
    }
    word_add(s, c);
    return 1;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static int split_all(splitter *s, dureq_str text, dureq_error *err)
{
    size_t i = 0;

    while (i < text.len) {
        size_t used = 1;
        int rc = 0;

        if (text.ptr[i] == '\0')
            return dq_fail(err, DUREQ_EPARSE, "a NUL byte in the command");
        if (s->in == QUOTE_NONE && is_blank(text.ptr[i]))
            rc = word_end(s, err);
        else
            used = split_step(s, text, i);
        if (rc < 0)
            return rc;
        if (used == 0)
            return dq_fail(err, DUREQ_EPARSE, "a backslash at the end of the command");
        i += used;
    }
    if (s->in != QUOTE_NONE)
        return dq_fail(err, DUREQ_EPARSE, "a %s quote is never closed", s->in == QUOTE_SINGLE ? "single" : "double");
    return word_end(s, err);
}

int dq_words_split(dq_arena *arena, dureq_str text, const char ***ret, size_t *ret_n, dureq_error *err)
{
    size_t most = DQ_MIN(text.len / 2 + 1, (size_t)DQ_CONFIG_WORDS_MAX);
    splitter s = {.arena = arena};
    int rc;

    s.words = dq_arena_alloc(arena, (most + 1) * sizeof *s.words);
    if (!s.words)
        return dq_fail_nomem(err);

    rc = split_all(&s, text, err);
    dq_buf_deinit(&s.word);
    if (rc < 0)
        return rc;

    *ret = s.words;
    *ret_n = s.n;
    return 0;
}

/* ---- kinds ---- */

static bool is_type_ok(const char *type)
{
    size_t n = strlen(type);

    if (n == 0 || n > DUREQ_NAME_MAX)
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = type[i];
        bool name = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
                    c == ':' || c == '-';

        if (!name && !(c == '*' && i == n - 1))
            return false;
    }
    return true;
}

bool dq_builtin_is_known(dureq_str name)
{
    return dq_str_eq_text(name, "echo") || dq_str_eq_text(name, "fail-always") || dq_str_eq_text(name, "noop") ||
           dq_str_eq_text(name, "sleep");
}

static bool is_later_kind(dureq_str kind)
{
    return dq_str_eq_text(kind, "process") || dq_str_eq_text(kind, "webhook") || dq_str_eq_text(kind, "plugin");
}

int dq_handler_spec_set_kind(dq_arena *arena, dureq_str kind, dureq_str rest, dq_handler_spec *ret, dureq_error *err)
{
    if (dq_str_eq_text(kind, "exec")) {
        ret->kind = DQ_HANDLER_EXEC;
        return dq_words_split(arena, rest, &ret->words, &ret->n_words, err);
    }
    if (dq_str_eq_text(kind, "builtin")) {
        ret->kind = DQ_HANDLER_BUILTIN;
        ret->builtin = dq_arena_dup(arena, dq_str_trim(rest));
        return ret->builtin ? 0 : dq_fail_nomem(err);
    }
    if (is_later_kind(kind))
        return dq_fail(err, DUREQ_EUNSUPPORTED, "handlers of kind '" DQ_STR_FMT "' are not supported by this version",
                       DQ_STR_ARG(kind));
    return dq_fail(err, DUREQ_EINVAL, "unknown handler kind '%.40s'; known are exec and builtin",
                   kind.len ? dq_arena_dup(arena, kind) : "");
}

int dq_handler_spec_parse(dq_arena *arena, dureq_str text, dq_handler_spec *ret, dureq_error *err)
{
    dureq_str rest = text, kind, type = dq_str_cut(&rest, '=');
    int rc;

    if (!rest.ptr)
        return dq_fail(err, DUREQ_EINVAL,
                       "a handler is TYPE=KIND:SPEC, such as 'file.sha256=exec:/usr/bin/sha256sum -- {payload}'");
    type = dq_str_trim(type);
    ret->type = dq_arena_dup(arena, type);
    if (!ret->type)
        return dq_fail_nomem(err);

    kind = dq_str_cut(&rest, ':');
    if (!rest.ptr)
        return dq_fail(err, DUREQ_EINVAL, "handler '%.60s' lacks its kind: it is TYPE=KIND:SPEC, such as 'echo=builtin:echo'",
                       ret->type);

    rc = dq_handler_spec_set_kind(arena, dq_str_trim(kind), rest, ret, err);
    if (rc < 0)
        return rc;

    return dq_handler_spec_check(ret, err);
}

static int words_check(const dq_handler_spec *spec, dureq_error *err)
{
    if (spec->n_words == 0 || !*spec->words[0])
        return dq_fail(err, DUREQ_EINVAL, "handler '%s' names no program", spec->type);
    if (spec->words[0][0] == '{')
        return dq_fail(err, DUREQ_EINVAL, "handler '%s': the program cannot come from the payload", spec->type);
    for (size_t i = 1; i < spec->n_words; i++) {
        const char *w = spec->words[i];

        if (strstr(w, "{payload:"))
            return dq_fail(err, DUREQ_EUNSUPPORTED, "handler '%s': '%.60s' is not supported by this version; {payload} is",
                           spec->type, w);
    }
    return 0;
}

static int exec_check(const dq_handler_spec *spec, dureq_error *err)
{
    if (spec->cwd && spec->cwd[0] != '/')
        return dq_fail(err, DUREQ_EINVAL, "handler '%s': cwd '%.100s' is not an absolute path", spec->type, spec->cwd);
    return words_check(spec, err);
}

static int builtin_check(const dq_handler_spec *spec, dureq_error *err)
{
    const dq_exec_limits *l = &spec->limits;

    if (strcmp(spec->builtin, "http_webhook") == 0)
        return dq_fail(err, DUREQ_EUNSUPPORTED, "handler '%s': the built-in http_webhook is not supported by this version",
                       spec->type);
    if (!dq_builtin_is_known(dureq_str_from(spec->builtin)))
        return dq_fail(err, DUREQ_EINVAL,
                       "handler '%s': there is no built-in '%.40s'; known are echo, fail-always, noop and sleep", spec->type,
                       spec->builtin);
    if (spec->cwd || spec->nice || spec->max_processes || spec->env.n || spec->file_env.n || spec->n_pass_env)
        return dq_fail(
            err, DUREQ_EINVAL,
            "handler '%s': cwd, env, envFile, maxProcesses, nice and passEnv are for programs, built-ins run in the daemon itself",
            spec->type);
    if (l->user || l->cpu_seconds || l->memory_bytes || l->open_files || l->output_bytes)
        return dq_fail(err, DUREQ_EINVAL, "handler '%s': limits are for programs, built-ins run in the daemon itself",
                       spec->type);
    return 0;
}

int dq_handler_spec_check(const dq_handler_spec *spec, dureq_error *err)
{
    if (!is_type_ok(spec->type))
        return dq_fail(err, DUREQ_EINVAL, "'%.60s' is no task type: 1 to %d of [A-Za-z0-9_.:-], a pattern ends in '*'",
                       spec->type, DUREQ_NAME_MAX);
    return spec->kind == DQ_HANDLER_EXEC ? exec_check(spec, err) : builtin_check(spec, err);
}

/* ---- programs ---- */

static int program_check(const char *path, dureq_error *err)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return dq_fail_errno(err, errno == EACCES ? DUREQ_EPERM : DUREQ_ENOTFOUND, errno,
                             "'%.150s' does not exist or cannot be reached", path);
    if (!S_ISREG(st.st_mode))
        return dq_fail(err, DUREQ_EPERM, "'%.150s' is not a regular file", path);
    if (access(path, X_OK) < 0)
        return dq_fail_errno(err, DUREQ_EPERM, errno, "'%.150s' is not executable", path);
    return 0;
}

static int program_set(dq_arena *arena, dureq_str path, const char **ret, dureq_error *err)
{
    *ret = dq_arena_dup(arena, path);
    return *ret ? 0 : dq_fail_nomem(err);
}

static int program_absolute(dq_arena *arena, const char *word, const char **ret, dureq_error *err)
{
    DQ_BUF_AUTO path = {0};
    char *cwd;

    if (word[0] == '/')
        return program_set(arena, dureq_str_from(word), ret, err);
    cwd = getcwd(NULL, 0);
    if (!cwd)
        return dq_fail_errno(err, DUREQ_EIO, errno, "cannot tell the current directory");
    dq_buf_append_fmt(&path, "%s/%s", cwd, word);
    free(cwd);
    if (path.failed)
        return dq_fail_nomem(err);
    return program_set(arena, dq_buf_str(&path), ret, err);
}

int dq_program_find(dq_arena *arena, const char *word, const char *path_env, const char **ret, dureq_error *err)
{
    dureq_str rest = dureq_str_from(path_env && *path_env ? path_env : "/usr/local/bin:/usr/bin:/bin");
    dureq_error first = {0};
    DQ_BUF_AUTO path = {0};
    int rc;

    if (strchr(word, '/')) {
        rc = program_check(word, err);
        return rc < 0 ? rc : program_absolute(arena, word, ret, err);
    }
    while (rest.ptr) {
        dureq_str dir = dq_str_cut(&rest, ':');
        dureq_error e = {0};

        dq_buf_clear(&path);
        dq_buf_append_fmt(&path, DQ_STR_FMT "/%s", DQ_STR_ARG(dir), word);
        if (path.failed)
            return dq_fail_nomem(err);
        if (dir.len == 0 || dir.ptr[0] != '/')
            continue; /* relative directories in PATH are an old trap */
        rc = program_check(path.ptr, &e);
        if (rc == 0)
            return program_set(arena, dq_buf_str(&path), ret, err);
        if (rc == DUREQ_EPERM && first.code == 0)
            first = e;
    }
    if (first.code)
        return dq_fail(err, first.code, "%s", first.msg);
    return dq_fail(err, DUREQ_ENOTFOUND, "'%.100s' is in no directory of PATH", word);
}
