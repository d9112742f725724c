/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <dureq/client.h>

/* Short enough for lines that are too long. */
#undef DUREQ_PAYLOAD_DEFAULT_MAX
#define DUREQ_PAYLOAD_DEFAULT_MAX 200

/* Reading lines is the file's own. */
#include "../../dureqctl/enqueue_many.c" /* NOLINT(bugprone-suspicious-include) */

/* The input of enqueue --lines and --ndjson, after a byte that says which and what the server makes of it. Each line that is not empty is told of once, in
   order; a line of text is sent as it stands; what is printed is of the format that was asked for. All but the texts that are sent holds, too, when the n-th
   allocation fails, for each n, unless that is how it ends. */

const size_t fuzz_replay_fewer = 2;

enum { FORMAT = 3, NDJSON = 4, SERVER_REFUSES = 8, SERVER_FAILS = 16, NOMEM = 32, NOMEM_MAX = 2000, NOMEM_BYTES_MAX = 512 };

static unsigned how;
static size_t n_sent, n_calls, n_ok;
static dq_buf sent; /* payloads of lines of text, each ended by \n */
static int n_faults;
static long failing; /* the allocation that fails; 0: none */

/* What is done here gets its memory, and does not count. Gives the number of the one to fail from there on. */
static long hold_failing(void)
{
    long left = failing - dq_alloc_count();

    dq_alloc_fail_at(0);
    return failing && left > 0 ? left : 0;
}

static void go_on_failing(long left)
{
    failing = left;
    dq_alloc_fail_at(left);
}

int ctl_fail(int code, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vfprintf(stderr, fmt, args);
    va_end(args);
    n_faults++;
    return code;
}

int ctl_exit_of(int dureq_code)
{
    assert(dureq_code < 0);
    return CTL_REFUSED;
}

int ctl_connect(ctl *c, ctl_use use)
{
    (void)c;
    (void)use;
    return CTL_DONE;
}

void ctl_warn_unhandled(ctl *c, const char *type, dq_buf *out)
{
    (void)c;
    (void)type;
    (void)out;
}

void ctl_enqueue_words(const char *msg, dq_buf *out)
{
    dq_buf_append_text(out, msg);
}

const char *dq_api_code_word(int code)
{
    assert(code < 0);
    return "word";
}

static void look_at_spec(const dureq_job_spec *spec)
{
    const dureq_job_options *o = spec->options;

    assert(spec->task_type && o && (spec->payload.ptr || spec->payload.len == 0));
    for (size_t i = 0; i < o->n_tags; i++)
        assert(o->tags[i]);
    for (size_t i = 0; i < o->n_headers; i++)
        assert(o->headers[i].name);
    if (how & NDJSON)
        return;
    assert(spec->payload.len > 0 && spec->payload.len <= TEXT_MAX);
    dq_buf_append_str(&sent, spec->payload);
    dq_buf_append_char(&sent, '\n');
}

int ctl_enqueue_jobs(ctl *c, const dureq_job_spec *specs, size_t n, dureq_enqueue_result *results, dureq_error *err)
{
    long left = hold_failing();

    (void)c;
    assert(n > 0 && n <= CHUNK);
    for (size_t i = 0; i < n; i++) {
        bool refused = how & SERVER_REFUSES && n_sent % 3 == 1;

        look_at_spec(&specs[i]);
        n_sent++;
        results[i] = (dureq_enqueue_result){.code = refused ? DUREQ_EDUPLICATE : 0};
        (void)snprintf(results[i].msg, sizeof results[i].msg, "%s", refused ? "\"held\"" : "");
        (void)snprintf(results[i].id.text, sizeof results[i].id.text, "%020zu", n_sent);
        n_ok += !refused;
    }
    go_on_failing(left);
    if (how & SERVER_FAILS && ++n_calls == 2)
        return dq_fail(err, DUREQ_EUNAVAILABLE, "gone");
    return 0;
}

/* ---- what is expected ---- */

/* Lines that count: of those too long, `*ret_long`. Texts of the others into `out`. */
static size_t count_lines(dureq_str all, size_t max, size_t *ret_long, dq_buf *out)
{
    size_t n = 0;

    *ret_long = 0;
    while (all.len > 0) {
        const char *end = memchr(all.ptr, '\n', all.len);
        size_t whole = end ? (size_t)(end - all.ptr) : all.len, len = whole;

        if (end && len > 0 && len <= max + 1 && all.ptr[len - 1] == '\r')
            len--;
        n += len > 0;
        *ret_long += len > max;
        if (len > 0 && len <= max) {
            dq_buf_append(out, all.ptr, len);
            dq_buf_append_char(out, '\n');
        }
        all = dureq_str_of(all.ptr + whole + (end != NULL), all.len - whole - (end != NULL));
    }
    return n;
}

static size_t elements(const dq_json *doc)
{
    size_t n = 0;

    assert(dq_json_type_of(doc, 0) == DQ_JSON_ARRAY);
    for (dq_json_ref at = dq_json_first(doc, 0); at != DQ_JSON_NONE; at = dq_json_next(doc, 0, at))
        n++;
    return n;
}

static void check_output(dureq_str out, size_t n_told)
{
    size_t n = 0;

    if ((how & FORMAT) == CTL_JSON) {
        dq_json doc = {0};

        assert(dq_json_parse(out, &doc, NULL) == 0 && elements(&doc) == n_told);
        dq_json_deinit(&doc);
        return;
    }
    while (out.len > 0) {
        dureq_str line = dq_str_cut(&out, '\n');

        if ((how & FORMAT) == CTL_NDJSON)
            assert(dq_json_valid(line));
        if ((how & FORMAT) == CTL_CSV)
            assert(line.len > 0 && line.ptr[line.len - 1] == '\r');
        n++;
    }
    if ((how & FORMAT) == CTL_NDJSON)
        assert(n == n_told);
    if ((how & FORMAT) == CTL_CSV)
        assert(n == n_told + 1);
}

static int feed_all(dureq_str input, dq_buf *out)
{
    ctl c = {.format = (ctl_format)(how & FORMAT), .quiet = true};
    ctl_enqueue_options o = {.job = dureq_job_options_init(), .type = "mail"};
    FILE *was_out = stdout, *was_err = stderr;
    int fd = memfd_create("input", MFD_CLOEXEC);
    char *text = NULL, *told = NULL;
    size_t len = 0, told_len = 0;
    int rc;

    if (how & NDJSON)
        o.ndjson = "-";
    else
        o.lines = "-";
    stdout = open_memstream(&text, &len);
    stderr = open_memstream(&told, &told_len);
    if (write(fd, input.ptr, input.len) != (ssize_t)input.len || lseek(fd, 0, SEEK_SET) != 0 || !stdout || !stderr)
        abort();
    rc = run_file(&c, &o, fd);
    failing = hold_failing();
    (void)fclose(stdout);
    (void)fclose(stderr);
    stdout = was_out;
    stderr = was_err;
    (void)close(fd);
    assert(rc == 0 || told_len > 0);
    dq_buf_append(out, text, len);
    free(text);
    free(told);
    return rc;
}

/* The n-th allocation fails, for each n. */
static void sweep(dureq_str input, size_t n_lines)
{
    bool failed = true;

    for (long n = 1; failed && n < NOMEM_MAX; n++) {
        DQ_BUF_AUTO out = {0};
        int rc;

        n_sent = n_calls = n_ok = 0;
        n_faults = 0;
        failing = n;
        dq_alloc_fail_at(n);
        rc = feed_all(input, &out);
        failed = failing == 0;
        assert(failed || (rc == 0) == (n_ok == n_lines));
        if (n_faults == 0)
            check_output(dq_buf_str(&out), n_lines);
        dq_buf_deinit(&sent);
    }
    failing = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dureq_str input = dureq_str_of((const char *)data + 1, size ? size - 1 : 0);
    DQ_BUF_AUTO out = {0};
    DQ_BUF_AUTO lines = {0};
    size_t n, n_long, max;
    int rc;

    if (size < 2)
        return 0;
    how = data[0];
    n_sent = n_calls = n_ok = 0;
    n_faults = 0;
    max = how & NDJSON ? SPEC_MAX : TEXT_MAX;
    n = count_lines(input, max, &n_long, &lines);
    if (how & NOMEM) {
        if (input.len <= NOMEM_BYTES_MAX)
            sweep(input, n);
        return 0;
    }
    rc = feed_all(input, &out);
    assert(n_sent <= n - n_long);
    if (n_faults == 0) {
        check_output(dq_buf_str(&out), n);
        assert((rc == 0) == (n_ok == n));
        assert(how & NDJSON || dq_str_eq(dq_buf_str(&sent), dq_buf_str(&lines)));
    }
    dq_buf_deinit(&sent);
    return 0;
}
