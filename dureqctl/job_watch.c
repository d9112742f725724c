/* SPDX-License-Identifier: Apache-2.0 */
/* job watch: a line at each change of a job until it ends, as text, JSON or CSV. */
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "ctl.h"
#include "model/place.h"

#define LINE_MAX_WIDTH ((size_t)220) /* where it is no terminal that says how wide it is */

typedef struct shown {
    dureq_job_state state;
    int32_t attempt;
    uint64_t progress; /* a hash of it */
    bool any;
} shown;

static uint64_t hash_of(dureq_str s)
{
    return dq_hash_bytes(s.ptr, s.len);
}

static bool differs(const shown *before, const dureq_job *job)
{
    return !before->any || before->state != job->state || before->attempt != job->attempt ||
           before->progress != hash_of(job->progress);
}

static void print_change_json(const ctl *c, const dureq_job *job, const char *at)
{
    DQ_BUF_AUTO line = {0};
    dq_json_writer w = dq_json_writer_of(&line);

    dq_json_begin_object(&w);
    dq_json_set_text(&w, "at", at);
    dq_json_set_text(&w, "status", dureq_job_state_to_str(job->state));
    dq_json_set_i64(&w, "attempt", job->attempt);
    if (dq_json_valid(job->progress)) {
        dq_json_set_raw(&w, "progress", job->progress);
    }
    dq_json_end_object(&w);
    ctl_put_json(c, dq_buf_str(&line));
}

static void print_change_csv(const ctl *c, const dureq_job *job, const char *at)
{
    DQ_BUF_AUTO progress = {0};
    char attempt[16];

    (void)snprintf(attempt, sizeof attempt, "%d", (int)job->attempt);
    dq_buf_append_str(&progress, job->progress);
    ctl_print_csv_row(c, (const char *const[]){at, dureq_job_state_to_str(job->state), attempt, progress.ptr ? progress.ptr : ""},
                      4);
}

static void print_change(const ctl *c, const dureq_job *job, bool is_first)
{
    char at[DQ_RFC3339_TEXT_MAX];

    (void)dq_format_rfc3339_ms(dq_wall_ms(), at);
    if (c->format == CTL_CSV) {
        if (is_first)
            ctl_print_csv_row(c, (const char *const[]){"at", "status", "attempt", "progress"}, 4);
        print_change_csv(c, job, at);
    } else if (c->format != CTL_TABLE) {
        print_change_json(c, job, at);
    } else {
        DQ_BUF_AUTO line = {0};

        dq_buf_append_fmt(&line, "%s  %s attempt %d ", at, dureq_job_state_to_str(job->state), (int)job->attempt);
        dq_buf_append_str(&line, job->progress);
        ctl_clean(&line, /*keep_lines=*/false);
        ctl_cut(&line, c->columns ? (size_t)c->columns : LINE_MAX_WIDTH);
        printf(DQ_STR_FMT "\n", DQ_STR_ARG(dq_buf_str(&line)));
    }
    (void)fflush(stdout);
}

/* What is shown of the job; `progress` is a view into the answer. */
static void read_job(const dq_json *doc, dureq_job *ret)
{
    dq_json_ref status = dq_json_member(doc, 0, "status"), attempt = dq_json_member(doc, 0, "attempt");
    dq_json_ref progress = dq_json_member(doc, 0, "progress");
    DQ_BUF_AUTO word = {0};
    int64_t n = 0;

    *ret = (dureq_job){0};
    if (status != DQ_JSON_NONE && dq_json_string(doc, status, &word) == 0)
        (void)dureq_job_state_parse(dq_buf_str(&word), &ret->state);
    if (attempt != DQ_JSON_NONE && dq_json_i64(doc, attempt, &n) == 0)
        ret->attempt = (int32_t)n;
    if (progress != DQ_JSON_NONE)
        ret->progress = dq_json_raw(doc, progress);
}

/* One look: 0 and *ret_ended, or an exit code. */
static int watch_once(ctl *c, const char *id, shown *before, bool *ret_ended)
{
    DQ_BUF_AUTO path = {0};
    ctl_answer a;
    dureq_job job;
    int rc;

    ctl_path(&path, "/api/jobs/%s", id);
    rc = ctl_call(c, "GET", path.ptr, NULL, dureq_str_of(NULL, 0), &a);
    if (rc != 0)
        return rc;
    read_job(&a.doc, &job);
    if (differs(before, &job))
        print_change(c, &job, !before->any);
    *before = (shown){.state = job.state, .attempt = job.attempt, .progress = hash_of(job.progress), .any = true};
    *ret_ended = dq_job_state_is_ended(job.state);
    ctl_answer_deinit(&a);
    return *ret_ended && job.state != DUREQ_JOB_COMPLETED ? CTL_FAILED : 0;
}

int ctl_job_watch(ctl *c, int argc, char **argv)
{
    const struct timespec pause = {.tv_nsec = 200 * 1000 * 1000};
    shown before = {0};
    bool ended = false;
    int n, rc = ctl_options(argc, argv, NULL, 0, &n);

    if (rc == 0 && (n != 1 || !*argv[1]))
        rc = ctl_usage("'%s' takes one id", argv[0]);
    if (rc == 0)
        rc = ctl_connect(c, CTL_READS);
    while (rc == 0) {
        rc = watch_once(c, argv[1], &before, &ended);
        if (ended)
            break;
        (void)nanosleep(&pause, NULL); /* a poll for people to watch; nothing waits on it */
    }
    return rc;
}
