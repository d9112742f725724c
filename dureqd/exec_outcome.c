/* SPDX-License-Identifier: Apache-2.0 */
#include "exec_outcome.h"

#include "json/json.h"

#include <signal.h>
#include <stdio.h>

enum { EXIT_RETRY = 75, EXIT_SKIP = 79, EXIT_FAIL_FIRST = 64, EXIT_FAIL_LAST = 78 };

void dq_exec_said_deinit(dq_exec_said *s)
{
    dq_buf_deinit(&s->error);
    dq_buf_deinit(&s->payload);
    dq_buf_deinit(&s->fault);
    *s = (dq_exec_said){0};
}

void dq_exec_said_lost(dq_exec_said *s)
{
    dq_exec_said_deinit(s);
    s->has_outcome = s->no_memory = true;
    s->outcome = DUREQ_OUTCOME_RETRY;
}

void dq_exec_line_deinit(dq_exec_line *l)
{
    dq_buf_deinit(&l->log);
    *l = (dq_exec_line){0};
}

/* ---- lines ---- */

static void read_word(const dq_json *doc, dq_json_ref v, dq_exec_said *said)
{
    DQ_BUF_AUTO word = {0};
    int rc = dq_json_string(doc, v, &word);

    said->outcome = DUREQ_OUTCOME_RETRY;
    said->no_memory = said->no_memory || rc == DUREQ_ENOMEM;
    if (rc == 0 && dureq_outcome_parse(dq_buf_str(&word), &said->outcome) == 0 && said->outcome <= DUREQ_OUTCOME_REPEAT)
        return;
    said->outcome = DUREQ_OUTCOME_RETRY;
    dq_buf_append_fmt(&said->fault,
                      "unknown outcome %.60s on descriptor 3; known are done, retry, fail, rate_limited, skip, pause, repeat",
                      word.len ? word.ptr : "(not a text)");
}

static void read_after(const dq_json *doc, dq_json_ref v, dq_exec_said *said)
{
    DQ_BUF_AUTO text = {0};
    int rc = dq_json_string(doc, v, &text);

    said->no_memory = said->no_memory || rc == DUREQ_ENOMEM;
    if (rc == 0 && dq_parse_duration_ms(dq_buf_str(&text), &said->after_ms) == 0 && said->after_ms >= 0)
        return;
    said->after_ms = 0;
    said->outcome = DUREQ_OUTCOME_RETRY;
    if (said->fault.len == 0)
        dq_buf_append_text(&said->fault, "'after' on descriptor 3 is no duration such as \"30s\"");
}

static void read_limit(const dq_json *doc, dq_json_ref v, dq_exec_said *said)
{
    int64_t n;

    if (dq_parse_i64(dq_json_raw(doc, v), 1, UINT8_MAX, &n) == 0) {
        said->limit = (int32_t)n;
        return;
    }
    said->outcome = DUREQ_OUTCOME_RETRY;
    if (said->fault.len == 0)
        dq_buf_append_text(&said->fault, "'limit' on descriptor 3 takes 1 to 255");
}

static void read_outcome(const dq_json *doc, dq_json_ref word, dq_exec_said *said)
{
    dq_json_ref after = dq_json_member(doc, 0, "after");
    dq_json_ref error = dq_json_member(doc, 0, "error");
    dq_json_ref payload = dq_json_member(doc, 0, "payload");
    dq_json_ref limit = dq_json_member(doc, 0, "limit");

    dq_exec_said_deinit(said);
    said->has_outcome = true;
    read_word(doc, word, said);
    if (after != DQ_JSON_NONE)
        read_after(doc, after, said);
    if (limit != DQ_JSON_NONE)
        read_limit(doc, limit, said);
    if (error != DQ_JSON_NONE && dq_json_string(doc, error, &said->error) < 0)
        dq_buf_append_str(&said->error, dq_json_raw(doc, error)); /* no text: its JSON tells as much */
    if (payload != DQ_JSON_NONE) {
        said->has_payload = true;
        dq_buf_append_str(&said->payload, dq_json_raw(doc, payload));
    }
}

static void read_log(const dq_json *doc, dq_json_ref v, dq_exec_line *line)
{
    if (dq_json_string(doc, v, &line->log) < 0)
        dq_buf_append_str(&line->log, dq_json_raw(doc, v));
    dq_buf_append_char(&line->log, '\n');
}

static bool lacks_memory(const dq_exec_said *said)
{
    return said->no_memory || said->error.failed || said->payload.failed || said->fault.failed;
}

static int read_line(dureq_str text, dq_exec_said *said, dq_exec_line *ret, dureq_error *err)
{
    dq_json doc;
    dq_json_ref v;
    int rc = dq_json_parse(text, &doc, err);

    if (rc < 0)
        return rc;
    *ret = (dq_exec_line){0};
    if (dq_json_type_of(&doc, 0) != DQ_JSON_OBJECT) {
        dq_json_deinit(&doc);
        return dq_fail(err, DUREQ_EPARSE, "not a JSON object");
    }
    v = dq_json_member(&doc, 0, "outcome");
    if (v != DQ_JSON_NONE)
        read_outcome(&doc, v, said);
    v = dq_json_member(&doc, 0, "progress");
    if (v != DQ_JSON_NONE)
        ret->progress = dq_json_raw(&doc, v);
    v = dq_json_member(&doc, 0, "log");
    if (v != DQ_JSON_NONE)
        read_log(&doc, v, ret);
    v = dq_json_member(&doc, 0, "heartbeat");
    ret->heartbeat = v != DQ_JSON_NONE && dq_json_type_of(&doc, v) == DQ_JSON_TRUE;
    dq_json_deinit(&doc);
    return 0;
}

int dq_exec_line_read(dureq_str text, dq_exec_said *said, dq_exec_line *ret, dureq_error *err)
{
    bool was_lost = said->no_memory;
    int rc;

    if (was_lost)
        dq_exec_said_deinit(said); /* an outcome in this line counts, else it is lost as before */
    rc = read_line(text, said, ret, err);
    if (rc == 0 && (lacks_memory(said) || ret->log.failed)) {
        dq_exec_line_deinit(ret);
        rc = dq_fail_nomem(err);
    }
    if (rc == DUREQ_ENOMEM || (was_lost && !said->has_outcome))
        dq_exec_said_lost(said);
    return rc;
}

/* ---- the verdict ---- */

/* The last line of standard error that is not blank: the likeliest reason. */
static dureq_str last_line(dureq_str text)
{
    size_t start;

    text = dq_str_trim(text);
    for (start = text.len; start > 0 && text.ptr[start - 1] != '\n'; start--)
        ;
    return dureq_str_of(text.ptr + start, text.len - start);
}

static void append_reason(dq_exec_verdict *v, dureq_str line)
{
    size_t n = strlen(v->msg), room = sizeof v->msg - n;

    if (line.len > 0)
        (void)snprintf(v->msg + n, room, ": %.*s", (int)DQ_MIN(line.len, room), line.ptr);
}

/* One line of whole characters, whatever the program wrote and wherever it was cut. */
static void tidy(dq_exec_verdict *v)
{
    size_t n = strlen(v->msg);

    for (char *p = v->msg; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = ' ';
    if (n < sizeof v->msg - 1)
        return;
    for (int i = 0; i < 3 && !dq_utf8_valid(dureq_str_of(v->msg, n)); i++) /* cut within a character of at most 4 bytes */
        v->msg[--n] = '\0';
}

static void judge_signal(const dq_exec_end *end, dq_exec_verdict *ret)
{
    const char *name = sigabbrev_np(end->status);

    ret->outcome = DUREQ_OUTCOME_RETRY;
    ret->code = 128 + end->status;
    if (end->limit)
        (void)snprintf(ret->msg, sizeof ret->msg, "killed: %s", end->limit);
    else if (end->status == SIGXCPU && end->cpu_limit_seconds)
        (void)snprintf(ret->msg, sizeof ret->msg, "killed: more than %lld s of CPU time", (long long)end->cpu_limit_seconds);
    else
        (void)snprintf(ret->msg, sizeof ret->msg, "died by signal %d (SIG%s)", end->status, name ? name : "?");
    if (!end->limit)
        append_reason(ret, last_line(end->stderr_tail));
}

static void judge_exit(const dq_exec_end *end, dq_exec_verdict *ret)
{
    ret->code = end->status;
    if (end->status == 0)
        return;
    if (end->status == EXIT_SKIP)
        ret->outcome = DUREQ_OUTCOME_SKIP;
    else if (end->status >= EXIT_FAIL_FIRST && end->status <= EXIT_FAIL_LAST && end->status != EXIT_RETRY)
        ret->outcome = DUREQ_OUTCOME_FAIL;
    else
        ret->outcome = DUREQ_OUTCOME_RETRY;
    (void)snprintf(ret->msg, sizeof ret->msg, "exit code %d", end->status);
    append_reason(ret, last_line(end->stderr_tail));
}

static void judge_said(const dq_exec_end *end, dq_exec_verdict *ret)
{
    const dq_exec_said *said = end->said;

    ret->outcome = said->outcome;
    ret->after_ms = said->after_ms;
    ret->code = end->status;
    if (said->outcome == DUREQ_OUTCOME_DONE)
        return;
    if (said->no_memory)
        (void)snprintf(ret->msg, sizeof ret->msg, "out of memory while its outcome was read");
    else if (said->fault.len > 0)
        (void)snprintf(ret->msg, sizeof ret->msg, "%s", said->fault.ptr);
    else if (said->error.len > 0)
        (void)snprintf(ret->msg, sizeof ret->msg, "%s", said->error.ptr);
    else
        (void)snprintf(ret->msg, sizeof ret->msg, "outcome %s", dureq_outcome_to_str(said->outcome));
}

void dq_exec_judge(const dq_exec_end *end, dq_exec_verdict *ret)
{
    *ret = (dq_exec_verdict){.outcome = DUREQ_OUTCOME_DONE};
    if (end->by_signal || end->limit)
        judge_signal(end, ret);
    else if (end->said->has_outcome)
        judge_said(end, ret);
    else
        judge_exit(end, ret);
    tidy(ret);
}

/* ---- the result ---- */

static const char cut_mark[] = "\n[cut at 1 MiB]";

/* How many bytes of s end with a whole character, at most n. */
static size_t whole_chars(dureq_str s, size_t n)
{
    size_t back = n;

    while (back > 0 && n - back < 3 && ((unsigned char)s.ptr[back] & 0xC0) == 0x80)
        back--;
    return ((unsigned char)s.ptr[back] & 0xC0) == 0x80 ? n : back;
}

static void truncate_to(dq_buf *b, size_t len)
{
    b->len = len;
    b->ptr[len] = '\0';
}

const char *dq_exec_result(dq_buf *out)
{
    if (out->len > 0 && out->ptr[out->len - 1] == '\n')
        truncate_to(out, out->len - 1);
    if (out->len > DUREQ_RESULT_MAX) {
        truncate_to(out, whole_chars(dq_buf_str(out), DUREQ_RESULT_MAX - (sizeof cut_mark - 1)));
        dq_buf_append(out, cut_mark, sizeof cut_mark - 1);
    } else if (dq_json_valid(dq_buf_str(out))) {
        return "application/json";
    }
    return dq_utf8_valid(dq_buf_str(out)) ? "text/plain" : "application/octet-stream";
}
