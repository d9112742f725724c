/* SPDX-License-Identifier: Apache-2.0 */
/* enqueue --lines and --ndjson: one job a line. Each line is accepted or refused by itself; answers come in the order of the lines.
   Input may be endless and lines of any length: no more than one chunk is in memory. A chunk is sent when it is full, and when the
   input has nothing more ready, so that a line of a program that goes on does not wait for others. At SIGINT, SIGTERM or SIGHUP the
   whole lines that were read are sent first. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "enqueue.h"
#include "model/job_json.h"

#define CHUNK      256
#define CHUNK_MAX  (1024 * 1024)                       /* bytes of lines kept before they are sent */
#define TEXT_MAX   ((size_t)DUREQ_PAYLOAD_DEFAULT_MAX) /* of a payload */
#define SPEC_MAX   (2 * TEXT_MAX)                      /* of a job spec, which may hold the payload as base64 */
#define FAILED_MAX 5                                   /* refusals told one by one */
#define READ_SIZE  65536                               /* a read of the input */

typedef enum input_end {
    INPUT_GOES_ON,
    INPUT_ENDED,
    INPUT_FAILED,  /* errno of it in `sys_errno` */
    INPUT_STOPPED, /* by a signal */
} input_end;

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
    int fd; /* of the input */
    input_end end;
    int sys_errno;
    size_t at, len; /* what of `room` is not looked at yet */
    dq_buf line;
    size_t n, bytes;
    int64_t n_lines, accepted, refused, printed, last_shown_us;
    int64_t total_bytes, seen_bytes; /* of the input file; total 0 when not known */
    bool on_terminal;
    int rc; /* exit code of the first refusal */
    char room[READ_SIZE];
} batch;

/* ---- signals ---- */

static volatile sig_atomic_t stopped_by; /* the signal; 0: none */
static int stop_pipe[2] = {-1, -1};      /* readable after a signal, so that a wait for input ends whenever it comes */

static void on_stop(int sig)
{
    int saved = errno;

    stopped_by = sig;
    (void)!write(stop_pipe[1], "", 1);
    errno = saved;
}

static const int heeded[] = {SIGINT, SIGTERM, SIGHUP};
static struct sigaction actions_before[DQ_ARRAY_LEN(heeded)];

/* A second signal ends the program at once: the handler is for one. */
static int heed_signals(void)
{
    struct sigaction action = {.sa_handler = on_stop, .sa_flags = SA_RESETHAND};

    if (pipe2(stop_pipe, O_CLOEXEC | O_NONBLOCK) < 0)
        return ctl_fail(CTL_FAILED, "cannot make a pipe: %s", strerror(errno));
    for (size_t i = 0; i < DQ_ARRAY_LEN(heeded); i++) {
        (void)sigaction(heeded[i], NULL, &actions_before[i]);
        if (actions_before[i].sa_handler != SIG_IGN) /* nohup */
            (void)sigaction(heeded[i], &action, NULL);
    }
    return 0;
}

static void heed_no_more(void)
{
    for (size_t i = 0; i < DQ_ARRAY_LEN(heeded); i++)
        (void)sigaction(heeded[i], &actions_before[i], NULL);
    for (size_t i = 0; i < 2; i++) {
        (void)close(stop_pipe[i]);
        stop_pipe[i] = -1;
    }
}

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
    if (b->refused++ < FAILED_MAX) {
        DQ_BUF_AUTO text = {0};

        if (b->o->ndjson) /* the line has the fields */
            dq_buf_append_text(&text, r->msg);
        else
            ctl_enqueue_words(r->msg, &text);
        if (b->on_terminal)
            fputs("\r\033[K", stderr);
        if (r->id.text[0])
            (void)ctl_fail(0, "line %" PRId64 ": %s (job %s)", line, text.ptr ? text.ptr : r->msg, r->id.text);
        else
            (void)ctl_fail(0, "line %" PRId64 ": %s", line, text.ptr ? text.ptr : r->msg);
    }
    if (b->rc == 0)
        b->rc = ctl_exit_of(r->code);
}

static void print_json(const dureq_enqueue_result *r, int64_t line)
{
    DQ_BUF_AUTO text = {0};
    dq_json_writer w = dq_json_writer_of(&text);

    dq_json_begin_object(&w);
    dq_json_set_i64(&w, "line", line);
    if (r->code == 0) {
        dq_json_set_text(&w, "id", r->id.text);
    } else {
        dq_json_set_text(&w, "error", r->msg);
        dq_json_set_text(&w, "code", dq_api_code_word(r->code));
    }
    if (r->code < 0 && r->id.text[0]) {
        dq_json_set_text(&w, "existing_id", r->id.text);
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
        rc = ctl_enqueue_jobs(b->c, b->good, n, b->answers, err);
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

/* Whether there is input, its end or a signal; timeout -1: waits for one of them. */
static bool is_ready(const batch *b, int timeout_ms)
{
    struct pollfd fds[2] = {{.fd = b->fd, .events = POLLIN}, {.fd = stop_pipe[0], .events = POLLIN}};
    int n;

    do
        n = poll(fds, 2, timeout_ms);
    while (n < 0 && errno == EINTR && !stopped_by);
    return n != 0;
}

/* More input into `room`, or `end` is set. What was read before is sent when there is none yet. 0, or the exit code of that. */
static int fill(batch *b)
{
    ssize_t n;

    if (!is_ready(b, 0)) {
        int rc = batch_send(b);

        (void)fflush(stdout); /* who reads the answers may wait for them */
        if (rc != 0)
            return rc;
        (void)is_ready(b, -1);
    }
    b->at = b->len = 0;
    if (stopped_by) {
        b->end = INPUT_STOPPED;
        return 0;
    }
    n = read(b->fd, b->room, sizeof b->room);
    if (n > 0) {
        b->len = (size_t)n;
    } else if (n == 0) {
        b->end = INPUT_ENDED;
    } else if (errno != EINTR && errno != EAGAIN) {
        b->end = INPUT_FAILED;
        b->sys_errno = errno;
    }
    return 0;
}

/* Appends to b->line what is there of the line, and reads over what makes it longer than it may be. True at its end. */
static bool take_piece(batch *b, size_t max, bool *ret_cut)
{
    const char *from = b->room + b->at, *end = memchr(from, '\n', b->len - b->at);
    size_t n = end ? (size_t)(end - from) : b->len - b->at, taken = DQ_MIN(n, max + 1 - b->line.len);

    dq_buf_append(&b->line, from, taken);
    *ret_cut = *ret_cut || taken < n;
    n += end != NULL;
    b->at += n;
    b->seen_bytes += (int64_t)n;
    return end != NULL;
}

/* The next line without its end ("\n" or "\r\n") into b->line; *ret_any is false when there is none. What stands at the end of the
   input without a line break is a line; what stands before a signal is not, since the rest of it is not known. 0, or an exit code. */
static int next_line(batch *b, bool *ret_any, bool *ret_cut)
{
    size_t max = b->o->ndjson ? SPEC_MAX : TEXT_MAX;
    bool is_whole = false;

    dq_buf_clear(&b->line);
    *ret_any = *ret_cut = false;
    while (!is_whole && !dq_buf_failed(&b->line)) {
        int rc = b->at == b->len ? fill(b) : 0;

        if (rc != 0)
            return rc;
        if (b->end)
            break;
        is_whole = take_piece(b, max, ret_cut);
        *ret_any = *ret_any || is_whole || b->line.len > 0;
    }
    if (b->end == INPUT_STOPPED || b->end == INPUT_FAILED)
        *ret_any = false;
    b->n_lines += *ret_any;
    if (is_whole && *ret_any && !*ret_cut && b->line.len && b->line.ptr[b->line.len - 1] == '\r')
        b->line.len--;
    *ret_cut = *ret_cut || b->line.len > max;
    return 0;
}

static int feed(batch *b)
{
    bool any = true, cut;
    int rc = 0;

    while (rc == 0 && any) {
        rc = next_line(b, &any, &cut);
        if (rc == 0 && dq_buf_failed(&b->line))
            rc = ctl_fail(CTL_FAILED, "out of memory");
        else if (rc == 0 && any && b->line.len)
            rc = add_line(b, cut);
    }
    if (rc == 0)
        rc = batch_send(b);
    else
        batch_clear(b);
    if (rc == 0 && b->end == INPUT_FAILED)
        rc = ctl_fail(CTL_FAILED, "cannot read the input: %s", strerror(b->sys_errno));
    return rc;
}

/* How far it came; then the program ends by the signal, as its caller expects. */
static void tell_stopped(batch *b)
{
    fprintf(stderr, "dureqctl: %s: stopped after line %" PRId64 ", %" PRId64 " jobs accepted, %" PRId64 " refused%s\n",
            strsignal(stopped_by), b->n_lines, b->accepted, b->refused,
            b->line.len ? "; the next line was not whole and is not sent" : "");
    b->c->ended_by = stopped_by;
}

/* ---- all of it ---- */

static int run(batch *b)
{
    int64_t start_us = dq_mono_us();
    int rc;

    if (b->c->format == CTL_CSV)
        fputs("line,id,status\r\n", stdout);
    if (b->c->format == CTL_JSON)
        fputs("[", stdout);
    rc = feed(b);
    if (b->c->format == CTL_JSON)
        fputs("]\n", stdout);
    show_progress(b, true);
    if (b->refused > FAILED_MAX)
        fprintf(stderr, "dureqctl: and %" PRId64 " more lines were refused\n", b->refused - FAILED_MAX);
    if (stopped_by)
        tell_stopped(b);
    else if (rc == 0 && b->c->format == CTL_TABLE && !b->c->quiet)
        printf("%" PRId64 " jobs accepted, %" PRId64 " refused, in %.2f s\n", b->accepted, b->refused,
               (double)(dq_mono_us() - start_us) / 1e6);
    return rc == 0 ? b->rc : rc;
}

static int run_file(ctl *c, ctl_enqueue_options *o, int fd)
{
    batch *b = dq_calloc(1, sizeof *b);
    struct stat st;
    int rc;

    if (!b)
        return ctl_fail(CTL_FAILED, "out of memory");
    b->c = c;
    b->o = o;
    b->fd = fd;
    b->on_terminal = isatty(STDERR_FILENO) && !c->quiet;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        b->total_bytes = st.st_size;
    rc = run(b);
    dq_buf_deinit(&b->line);
    dq_arena_deinit(&b->arena);
    dq_free(b);
    return rc;
}

int ctl_enqueue_file(ctl *c, ctl_enqueue_options *o)
{
    const char *path = o->ndjson ? o->ndjson : o->lines;
    DQ_BUF_AUTO unhandled = {0};
    FILE *in;
    int rc = ctl_connect(c, CTL_WRITES);

    if (rc != 0)
        return rc;
    in = strcmp(path, "-") == 0 ? stdin : fopen(path, "r"); /* only its descriptor is used */
    if (!in)
        return ctl_fail(CTL_FAILED, "cannot open '%s': %s", path, strerror(errno));
    if (!o->job.content_type)
        o->job.content_type = "text/plain";
    if (o->type)
        ctl_warn_unhandled(c, o->type, &unhandled);
    rc = heed_signals();
    if (rc == 0) {
        rc = run_file(c, o, fileno(in));
        heed_no_more();
    }
    if (in != stdin)
        (void)fclose(in);
    return rc;
}
