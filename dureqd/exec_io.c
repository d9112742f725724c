/* SPDX-License-Identifier: Apache-2.0 */
#include "exec_run.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

/* Reading what a program writes. One read an event: the loop gives everyone else a turn in between, whatever one program
   pours out. What is too much is read and dropped, so that no program hangs on a full pipe. */

/* Most that is taken from a pipe after its writer's end: what fits into one of the largest size an ordinary user can make. */
#define DRAIN_BYTES_MAX (1024 * 1024)

void dq_exec_run_signal(const dq_exec_run *run, int sig)
{
    /* Not yet reaped, so the number is still the group's. ESRCH before its setpgid cannot be: the program runs. */
    if (run->is_running)
        (void)kill(-run->spawn.pid, sig);
}

/* ---- what each stream does with its bytes ---- */

/* Keeps the last `max` bytes; cut only when twice that, so that a byte costs the same however many come. */
static void take_tail(dq_buf *tail, size_t max, dureq_str bytes)
{
    dq_buf_append_str(tail, dq_str_last(bytes, max));
    if (tail->len > 2 * max)
        dq_buf_consume(tail, tail->len - max);
}

static void take_out(dq_exec_run *run, dureq_str bytes)
{
    size_t n = DQ_MIN(bytes.len, DQ_EXEC_STDOUT_KEEP - run->stdout_kept.len);

    dq_buf_append(&run->stdout_kept, bytes.ptr, n);
    if (n < bytes.len)
        take_tail(&run->stdout_over, DQ_EXEC_OUTPUT_BYTES, dureq_str_of(bytes.ptr + n, bytes.len - n));
}

static void take_err(dq_exec_run *run, dureq_str bytes)
{
    dq_run_log_bytes(run->task, bytes);
    take_tail(&run->stderr_tail, DQ_EXEC_TAIL_BYTES, bytes);
}

static void log_text(dq_exec_run *run, const char *text, const char *what)
{
    DQ_BUF_AUTO line = {0};

    dq_buf_append_fmt(&line, "descriptor 3: %s%s%s\n", text, *what ? ": " : "", what);
    if (!line.failed)
        dq_run_log_bytes(run->task, dq_buf_str(&line));
}

static void take_line(dq_exec_run *run, dureq_str text)
{
    dq_exec_line line = {0};
    dureq_error err = {0};

    if (dq_str_trim(text).len == 0)
        return;
    if (dq_exec_line_read(text, &run->said, &line, &err) < 0) {
        log_text(run, "ignored a line", err.msg);
        return;
    }
    if (line.progress.len > 0 && dureq_run_progress(run->task, line.progress) < 0)
        log_text(run, "ignored a progress that is too large", "");
    if (line.log.len > 0)
        dq_run_log_bytes(run->task, dq_buf_str(&line.log));
    if (line.heartbeat)
        dureq_run_heartbeat(run->task);
    dq_exec_line_deinit(&line);
}

static void take_cut(dq_exec_run *run, dq_line_end cut, dureq_str text)
{
    if (cut == DQ_LINE_WHOLE)
        take_line(run, text);
    else if (cut == DQ_LINE_LONG)
        log_text(run, "ignored a line", "longer than 2 MiB");
    else if (cut == DQ_LINE_LOST)
        dq_exec_said_lost(&run->said);
}

static void take_ctl(dq_exec_run *run, dureq_str bytes)
{
    while (bytes.len > 0) {
        dureq_str text = {0};
        dq_line_end cut = dq_line_cut_take(&run->lines, &bytes, &text);

        take_cut(run, cut, text);
    }
}

/* ---- streams ---- */

static void stream_close(dq_exec_stream *s)
{
    if (s->fd < 0)
        return;
    (void)event_del(&s->event);
    (void)close(s->fd);
    s->fd = -1;
}

static void count_bytes(dq_exec_run *run, size_t n)
{
    int64_t most = run->handler->spec.limits.output_bytes;

    run->n_bytes = run->n_bytes + (int64_t)n;
    if (most == 0 || run->n_bytes <= most || run->limit)
        return;
    run->limit = run->handler->output_limit_text;
    dq_exec_run_signal(run, SIGKILL);
}

/* One read; how much it was, 0 when there is nothing (more). */
static size_t stream_read(dq_exec_stream *s)
{
    dq_exec_run *run = s->run;
    char *scratch = run->handler->host->scratch;
    ssize_t n = read(s->fd, scratch, DQ_EXEC_READ_BYTES);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0) {
        stream_close(s);
        return 0;
    }
    count_bytes(run, (size_t)n);
    if (!run->limit)
        s->take(run, dureq_str_of(scratch, (size_t)n));
    return (size_t)n;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)stream_read(arg);
}

static int stream_start(dq_exec_stream *s, dq_exec_run *run, int fd, void (*take)(dq_exec_run *run, dureq_str bytes))
{
    struct event_base *base = dq_loop_base(run->handler->host->loop);

    *s = (dq_exec_stream){.run = run, .fd = fd, .take = take};
    (void)event_assign(&s->event, base, fd, EV_READ | EV_PERSIST, on_readable, s); /* fails only for signals */
    return event_add(&s->event, NULL) < 0 ? DUREQ_ENOMEM : 0;
}

/* Starts all, even after a failure: closing needs them in a known state. */
int dq_exec_io_start(dq_exec_run *run, event_callback_fn on_exit)
{
    struct event_base *base = dq_loop_base(run->handler->host->loop);
    int rc = stream_start(&run->out, run, run->spawn.out_fd, take_out);

    rc |= stream_start(&run->err, run, run->spawn.err_fd, take_err);
    rc |= stream_start(&run->ctl, run, run->spawn.ctl_fd, take_ctl);
    (void)event_assign(&run->exit_event, base, run->spawn.pid_fd, EV_READ, on_exit, run);
    rc |= event_add(&run->exit_event, NULL);
    return rc == 0 ? 0 : DUREQ_ENOMEM;
}

static void stream_drain(dq_exec_stream *s)
{
    size_t total = 0, n = 1;

    while (s->fd >= 0 && n > 0 && total < DRAIN_BYTES_MAX) {
        n = stream_read(s);
        total += n;
    }
}

void dq_exec_io_drain(dq_exec_run *run)
{
    dureq_str text = {0};
    dq_line_end cut;

    stream_drain(&run->err);
    stream_drain(&run->out);
    stream_drain(&run->ctl);
    cut = dq_line_cut_last(&run->lines, &text);
    take_cut(run, cut, text);
}

void dq_exec_io_close(dq_exec_run *run)
{
    if (!run->is_running)
        return;
    stream_close(&run->out);
    stream_close(&run->err);
    stream_close(&run->ctl);
    (void)event_del(&run->exit_event);
    (void)close(run->spawn.pid_fd);
    run->is_running = false;
}
