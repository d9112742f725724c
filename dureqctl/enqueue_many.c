/* SPDX-License-Identifier: Apache-2.0 */
/* enqueue --lines and --ndjson: one job a line, sent in chunks. Each line is accepted or refused by itself; answers come in the
   order of the lines. Input may be endless and lines of any length: no more than one chunk is in memory. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "enqueue.h"
#include "model/job_json.h"

#define CHUNK      256
#define CHUNK_MAX  (1024 * 1024)                       /* bytes of lines kept before they are sent */
#define TEXT_MAX   ((size_t)DUREQ_PAYLOAD_DEFAULT_MAX) /* of a payload */
#define SPEC_MAX   (2 * TEXT_MAX)                      /* of a job spec, which may hold the payload as base64 */
#define FAILED_MAX 5                                   /* refusals told one by one */

typedef struct batch {
    ctl *c;
    ctl_enqueue_options *o;
    dureq_job_spec specs[CHUNK], good[CHUNK];
    dureq_job_options job_options[CHUNK];
    dureq_enqueue_result results[CHUNK], answers[CHUNK]; /* results: code < 0 when refused before it was sent */
    char *texts[CHUNK];
    dq_json docs[CHUNK];
    int64_t line_no[CHUNK];
    dq_arena arena;
    dq_buf line;
    size_t n, bytes;
    int64_t n_lines, accepted, refused, printed, last_shown_us;
    int64_t total_bytes, seen_bytes; /* of the input file; total 0 when not known */
    bool on_terminal;
    int rc; /* exit code of the first refusal */
} batch;

/* ---- telling ---- */

static void show_progress(batch *b, bool last)
{
    int64_t now_us = dq_mono_us();
    double share = b->total_bytes ? (double)b->seen_bytes / (double)b->total_bytes : 0;
    char bar[31];
    int filled = (int)(share * 30);

    if (!b->on_terminal || (!last && now_us - b->last_shown_us < 100000))
        return;
    b->last_shown_us = now_us;
    if (b->total_bytes) {
        memset(bar, '.', 30);
        memset(bar, '#', (size_t)DQ_MIN(filled, 30));
        bar[30] = '\0';
        fprintf(stderr, "\r[%s] %3d %%  %" PRId64 " accepted  %" PRId64 " refused", bar, (int)(share * 100), b->accepted,
                b->refused);
    } else {
        fprintf(stderr, "\r%" PRId64 " accepted  %" PRId64 " refused", b->accepted, b->refused);
    }
    if (last)
        fputc('\n', stderr);
}

static void tell_refused(batch *b, int64_t line, const dureq_enqueue_result *r)
{
    const char *begin = b->on_terminal ? "\r" : "";

    if (b->refused++ < FAILED_MAX && r->id.text[0])
        fprintf(stderr, "%sdureqctl: line %" PRId64 ": %s (job %s)\n", begin, line, r->msg, r->id.text);
    else if (b->refused <= FAILED_MAX)
        fprintf(stderr, "%sdureqctl: line %" PRId64 ": %s\n", begin, line, r->msg);
    if (b->rc == 0)
        b->rc = ctl_exit_of(r->code);
}

static void print_json(const dureq_enqueue_result *r, int64_t line)
{
    DQ_BUF_AUTO text = {0};
    dq_json_writer w = dq_json_writer_of(&text);

    dq_json_begin_object(&w);
    dq_json_key(&w, "line");
    dq_json_put_i64(&w, line);
    if (r->code == 0) {
        dq_json_key(&w, "id");
        dq_json_put_text(&w, r->id.text);
    } else {
        dq_json_key(&w, "error");
        dq_json_put_text(&w, r->msg);
        dq_json_key(&w, "code");
        dq_json_put_text(&w, dq_api_code_word(r->code));
    }
    if (r->code < 0 && r->id.text[0]) {
        dq_json_key(&w, "existing_id");
        dq_json_put_text(&w, r->id.text);
    }
    dq_json_end_object(&w);
    if (dq_buf_failed(&text)) /* the job is accepted all the same: what needs no room is told */
        printf("{\"line\":%" PRId64 ",\"%s\":\"%s\"}", line, r->code == 0 ? "id" : "code",
               r->code == 0 ? r->id.text : dq_api_code_word(r->code));
    else
        fputs(text.ptr, stdout);
}

static void print_result(batch *b, const dureq_enqueue_result *r, int64_t line)
{
    if (b->c->format == CTL_TABLE)
        return;
    if (b->c->format == CTL_CSV) {
        printf("%" PRId64 ",%s,%s\r\n", line, r->id.text, r->code < 0 ? dq_api_code_word(r->code) : "accepted");
        return;
    }
    if (b->c->format == CTL_JSON && b->printed++)
        fputs(",\n", stdout);
    print_json(r, line);
    if (b->c->format == CTL_NDJSON)
        fputc('\n', stdout);
}

/* ---- sending ---- */

static void batch_clear(batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        dq_json_deinit(&b->docs[i]);
        dq_free(b->texts[i]);
    }
    dq_arena_reset(&b->arena);
    b->n = b->bytes = 0;
}

/* Sends what was not refused here; then results has all answers. */
static int send_good(batch *b, dureq_error *err)
{
    size_t n = 0, at = 0;
    int rc = 0;

    for (size_t i = 0; i < b->n; i++)
        if (b->results[i].code == 0)
            b->good[n++] = b->specs[i];
    if (n)
        rc = dureq_client_enqueue_many(b->c->client, b->good, n, b->answers, err);
    for (size_t i = 0; i < b->n && n; i++)
        if (b->results[i].code == 0)
            b->results[i] = b->answers[at++];
    return rc;
}

static int batch_send(batch *b)
{
    dureq_error err = {0};
    int rc;

    if (b->n == 0)
        return 0;
    rc = send_good(b, &err);
    for (size_t i = 0; i < b->n; i++) {
        if (rc < 0 && b->results[i].code < 0)
            continue;
        if (b->results[i].code < 0)
            tell_refused(b, b->line_no[i], &b->results[i]);
        else
            b->accepted++;
        print_result(b, &b->results[i], b->line_no[i]);
    }
    if (rc < 0)
        rc = ctl_fail(ctl_exit_of(rc), "%s (%" PRId64 " jobs were accepted before line %" PRId64 ")", err.msg, b->accepted,
                      b->line_no[0]);
    batch_clear(b);
    show_progress(b, false);
    return rc;
}

static int refuse(dureq_enqueue_result *r, const dureq_error *err)
{
    *r = (dureq_enqueue_result){.code = err->code};
    (void)snprintf(r->msg, sizeof r->msg, "%.*s", (int)sizeof r->msg - 1, err->msg);
    return 0;
}

static int read_spec(batch *b, size_t i, dureq_str line)
{
    dureq_error err = {0};
    int rc = dq_json_parse_frame(line, &b->docs[i], &err);

    b->job_options[i] = dureq_job_options_init();
    if (rc == 0)
        rc = dq_job_spec_from_json(&b->docs[i], 0, &b->arena, &b->specs[i], &b->job_options[i], &err);
    if (rc < 0)
        return refuse(&b->results[i], &err);
    b->specs[i].options = &b->job_options[i];
    return 0;
}

/* Takes the line in b->line; `cut`: it was longer than that. */
static int add_line(batch *b, bool cut)
{
    size_t i = b->n, max = b->o->ndjson ? SPEC_MAX : TEXT_MAX, len = b->line.len;
    dureq_error err = {0};

    b->results[i] = (dureq_enqueue_result){0};
    b->texts[i] = NULL;
    b->docs[i] = (dq_json){0};
    b->line_no[i] = b->n_lines;
    if (cut) {
        (void)dq_fail(&err, DUREQ_ETOOLARGE, "the line is longer than %zu bytes", max);
        (void)refuse(&b->results[i], &err);
    } else {
        b->texts[i] = dq_memdup(b->line.ptr, len);
        if (!b->texts[i])
            return ctl_fail(CTL_FAILED, "out of memory");
        b->specs[i] = (dureq_job_spec){.task_type = b->o->type, .payload = dureq_str_of(b->texts[i], len), .options = &b->o->job};
        if (b->o->ndjson)
            (void)read_spec(b, i, dureq_str_of(b->texts[i], len));
        b->bytes += len;
    }
    b->n++;
    return b->n == CHUNK || b->bytes >= CHUNK_MAX ? batch_send(b) : 0;
}

/* The next line without its end ("\n" or "\r\n") into b->line. False at the end of the input. Of a line that is too long, the rest
   is read over. */
static bool next_line(batch *b, FILE *in, bool *ret_cut)
{
    size_t max = b->o->ndjson ? SPEC_MAX : TEXT_MAX;
    int64_t begun = b->seen_bytes;
    int ch;

    dq_buf_clear(&b->line);
    *ret_cut = false;
    for (ch = getc_unlocked(in); ch != EOF && ch != '\n'; ch = getc_unlocked(in)) {
        b->seen_bytes++;
        if (b->line.len <= max)
            dq_buf_append_char(&b->line, (char)ch);
        else
            *ret_cut = true;
    }
    b->seen_bytes += ch == '\n';
    b->n_lines++;
    if (ch == '\n' && !*ret_cut && b->line.len && b->line.ptr[b->line.len - 1] == '\r')
        b->line.len--;
    *ret_cut = *ret_cut || b->line.len > max;
    return b->seen_bytes > begun;
}

static int feed(batch *b, FILE *in)
{
    bool cut;
    int rc = 0;

    while (rc == 0 && next_line(b, in, &cut)) {
        if (dq_buf_failed(&b->line))
            rc = ctl_fail(CTL_FAILED, "out of memory");
        else if (b->line.len)
            rc = add_line(b, cut);
    }
    if (rc == 0)
        rc = batch_send(b);
    else
        batch_clear(b);
    if (rc == 0 && ferror(in))
        rc = ctl_fail(CTL_FAILED, "cannot read the input: %s", strerror(errno));
    return rc;
}

/* ---- all of it ---- */

static int run(batch *b, FILE *in)
{
    int64_t start_us = dq_mono_us();
    int rc;

    if (b->c->format == CTL_CSV)
        fputs("line,id,status\r\n", stdout);
    if (b->c->format == CTL_JSON)
        fputs("[", stdout);
    rc = feed(b, in);
    if (b->c->format == CTL_JSON)
        fputs("]\n", stdout);
    show_progress(b, true);
    if (b->refused > FAILED_MAX)
        fprintf(stderr, "dureqctl: and %" PRId64 " more lines were refused\n", b->refused - FAILED_MAX);
    if (rc == 0 && b->c->format == CTL_TABLE && !b->c->quiet)
        printf("%" PRId64 " jobs accepted, %" PRId64 " refused, in %.2f s\n", b->accepted, b->refused,
               (double)(dq_mono_us() - start_us) / 1e6);
    return rc == 0 ? b->rc : rc;
}

static int run_file(ctl *c, ctl_enqueue_options *o, FILE *in)
{
    batch *b = dq_calloc(1, sizeof *b);
    int rc;

    if (!b)
        return ctl_fail(CTL_FAILED, "out of memory");
    b->c = c;
    b->o = o;
    b->on_terminal = isatty(STDERR_FILENO) && !c->quiet;
    if (in != stdin && fseek(in, 0, SEEK_END) == 0) {
        b->total_bytes = ftell(in);
        rewind(in);
    }
    rc = run(b, in);
    dq_buf_deinit(&b->line);
    dq_arena_deinit(&b->arena);
    dq_free(b);
    return rc;
}

int ctl_enqueue_file(ctl *c, ctl_enqueue_options *o)
{
    const char *path = o->ndjson ? o->ndjson : o->lines;
    FILE *in;
    int rc = ctl_connect(c);

    if (rc != 0)
        return rc;
    in = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    if (!in)
        return ctl_fail(CTL_FAILED, "cannot open '%s': %s", path, strerror(errno));
    if (!o->job.content_type)
        o->job.content_type = "text/plain";
    rc = run_file(c, o, in);
    if (in != stdin)
        (void)fclose(in);
    return rc;
}
