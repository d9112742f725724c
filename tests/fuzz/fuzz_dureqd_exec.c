/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <signal.h>
#include <stdlib.h>

#include "exec_args.h"
#include "exec_outcome.h"
#include "json/json.h"
#include "line_cut.h"

/* Both ways between a program and its run: what it is given for a payload, and what it says on descriptor 3, on standard output and on standard error. */

static void read_line(dureq_str text, dq_exec_said *said)
{
    dq_exec_line line = {0};
    dureq_error err = {0};
    int rc = dq_exec_line_read(text, said, &line, &err);

    assert(rc == 0 || (err.code == rc && err.msg[0]));
    if (rc < 0)
        return;
    assert(line.progress.len == 0 ||
           (line.progress.ptr >= text.ptr && line.progress.ptr + line.progress.len <= text.ptr + text.len));
    assert(line.progress.len == 0 || dq_json_valid(line.progress));
    assert(line.log.len == 0 || line.log.ptr[line.log.len - 1] == '\n');
    dq_exec_line_deinit(&line);
}

static void judge(dureq_str text, const dq_exec_said *said)
{
    const dq_exec_end ends[] = {
        {.status = 0, .said = said, .stderr_tail = text},
        {.status = 1, .said = said, .stderr_tail = text},
        {.status = SIGKILL, .by_signal = true, .said = said, .stderr_tail = text},
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(ends); i++) {
        dq_exec_verdict v;

        dq_exec_judge(&ends[i], &v);
        assert(memchr(v.msg, '\0', sizeof v.msg) && !strchr(v.msg, '\n'));
        assert(v.outcome != DUREQ_OUTCOME_DONE || !v.msg[0]);
        assert(v.after_ms >= 0);
    }
}

static void read_lines(dureq_str text)
{
    dq_exec_said said = {0};

    for (dureq_str rest = text; rest.len > 0;)
        read_line(dq_str_cut(&rest, '\n'), &said);
    assert(!said.has_payload || dq_json_valid(dq_buf_str(&said.payload)));
    judge(text, &said);
    dq_exec_said_deinit(&said);
}

/* ---- lines, however they come ---- */

enum { NOMEM_MAX = 40, NOMEM_BYTES_MAX = 1024 };

typedef struct expected {
    dureq_str rest; /* what was not seen yet */
    size_t max;
    bool nomem; /* a line may be lost */
} expected;

static void check_line(expected *x, dq_line_end end, dureq_str got)
{
    dureq_str want;

    if (end == DQ_LINE_NONE)
        return;
    assert(x->rest.len > 0);
    want = dq_str_cut(&x->rest, '\n');
    assert(end != DQ_LINE_WHOLE || dq_str_eq(want, got));
    assert(end != DQ_LINE_LOST || x->nomem);
    assert(want.len > x->max ? end != DQ_LINE_WHOLE : end != DQ_LINE_LONG);
}

static void cut_lines(dureq_str text, size_t piece, size_t max, bool nomem)
{
    dq_line_cut cut = {.max = max};
    expected x = {.rest = text, .max = max, .nomem = nomem};
    dureq_str line = {0};
    dq_line_end end;

    for (size_t at = 0; at < text.len; at += DQ_MIN(piece, text.len - at)) {
        size_t n = DQ_MIN(piece, text.len - at);
        char *exact = malloc(n); /* a sanitizer sees what is read behind it, and a view into it that is kept */
        dureq_str bytes = dureq_str_of(exact, n);

        if (!exact)
            abort();
        memcpy(exact, text.ptr + at, n);
        while (bytes.len > 0) {
            end = dq_line_cut_take(&cut, &bytes, &line);
            check_line(&x, end, line);
        }
        free(exact);
    }
    end = dq_line_cut_last(&cut, &line);
    check_line(&x, end, line);
    assert(x.rest.len == 0 && dq_line_cut_last(&cut, &line) == DQ_LINE_NONE);
    dq_line_cut_deinit(&cut);
}

/* Each line is told once, whole, or why it is not. */
static void cut_each_way(dureq_str text)
{
    static const size_t pieces[] = {1, 7, 64 * 1024}, max[] = {3, 40, 2 * 1024 * 1024};

    for (size_t p = 0; p < DQ_ARRAY_LEN(pieces); p++)
        for (size_t m = 0; m < DQ_ARRAY_LEN(max); m++) {
            long n = 0;

            cut_lines(text, pieces[p], max[m], /*nomem=*/false);
            do {
                dq_alloc_fail_at(++n);
                cut_lines(text, pieces[p], max[m], /*nomem=*/true);
            } while (dq_alloc_count() >= n && n < (text.len > NOMEM_BYTES_MAX ? 1 : NOMEM_MAX));
            dq_alloc_fail_at(0);
        }
}

/* ---- a result, arguments ---- */

static void make_result(dureq_str text)
{
    DQ_BUF_AUTO out = {0};
    const char *type;

    dq_buf_append_str(&out, text);
    type = dq_exec_result(&out);
    assert(out.len <= text.len);
    if (strcmp(type, "application/json") == 0)
        assert(dq_json_valid(dq_buf_str(&out)));
    if (strcmp(type, "application/octet-stream") != 0)
        assert(dq_utf8_valid(dq_buf_str(&out)));
}

static void make_args(dureq_str payload, const char *content_type)
{
    static const char *const words[] = {"/bin/echo", "<{payload}{payload}>", "plain"};
    static const char *const base[] = {"PATH=/bin", NULL};
    const dureq_header headers[] = {{"x-trace", payload}, {"X_Trace", DQ_STR_LIT("second")}};
    const dq_exec_facts facts = {.job_id = "id",
                                 .task_type = "t",
                                 .content_type = content_type,
                                 .headers = headers,
                                 .n_headers = 2,
                                 .payload = payload,
                                 .attempt = 1};
    DQ_BUF_AUTO context = {0};
    dq_arena arena = {0};
    dureq_error err = {0};
    char **argv = NULL, **envp = NULL;
    int rc = dq_exec_build_argv(&arena, words, DQ_ARRAY_LEN(words), &facts, &argv, &err);

    assert(rc == 0 || rc == DUREQ_EINVAL || rc == DUREQ_ETOOLARGE);
    if (rc == 0)
        assert(!argv[3] && argv[0] == words[0] && argv[1][0] == '<' && argv[1][strlen(argv[1]) - 1] == '>');
    rc = dq_exec_build_env(&arena, base, &facts, NULL, &envp, &err);
    assert(rc == 0);
    for (; *envp; envp++)
        assert(strchr(*envp, '='));
    dq_exec_build_context(&facts, &context);
    assert(dq_json_valid(dq_buf_str(&context)));
    dq_arena_deinit(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dureq_str text = dureq_str_of((const char *)data, size);

    read_lines(text);
    cut_each_way(text);
    make_result(text);
    make_args(text, "application/json");
    make_args(text, "text/plain");
    return 0;
}
