/* SPDX-License-Identifier: Apache-2.0 */
#include "exec_run.h"

#include "exec_args.h"
#include "exec_child.h"
#include "leftovers.h"

#include "base/clock.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* One run of a program, on the node's loop thread:

       start -> [spawner's thread makes the child] -> on_spawned -> reading ... -> on_exit -> judged, finished
                                                  \-> could not start: finished

   A run ends with its program, not with the last holder of its pipes: on_exit kills the process group, takes what is left in the
   pipes, and sweeps for those who left the group. Being told to stop or die before there is a child is remembered. */

#define NO_ROOM_SAY_US     60000000
#define USER_FULL_AFTER_MS 1000
#define LEFTOVERS_AGAIN_US 100000 /* half of the shortest lease */

/* ---- ending ---- */

static void run_destroy(dq_exec_run *run)
{
    if (run->spawn.context_path)
        (void)unlink(run->spawn.context_path);
    dq_exec_io_close(run);
    if (run->spawn.has_group && dq_group_end(&run->handler->host->groups, run->spawn.group_no) && run->was_started)
        DQ_LOG(run->handler->host->log, DUREQ_LOG_INFO, "exec.left_behind",
               "program=%s what was in its control group is killed, its job has ended", run->handler->program);
    dq_list_remove(&run->link);
    dq_exec_said_deinit(&run->said);
    dq_buf_deinit(&run->stdout_kept);
    dq_buf_deinit(&run->stdout_over);
    dq_buf_deinit(&run->stderr_tail);
    dq_line_cut_deinit(&run->lines);
    dq_buf_deinit(&run->context);
    dq_arena_deinit(&run->arena);
    dq_free(run);
}

/* The run is gone before the worker hears of it: finishing may start the next job at once. */
static void finish(dq_exec_run *run, int rc)
{
    dureq_run *task = run->task;

    dq_run_set_state(task, NULL);
    run_destroy(run);
    dq_run_finish(task, rc);
}

/* Not the job's fault, and not a run of it: told when it begins, and again when it had been over for a while. */
static void say_no_room(dq_exec_host *host, int sys_errno)
{
    int64_t now_us = dq_loop_now_us(host->loop), last_us = host->no_room_us;
    size_t n = 0;

    host->no_room_us = now_us;
    if (last_us && now_us - last_us < NO_ROOM_SAY_US)
        return;
    DQ_LIST_FOREACH (dq_exec_run, run, &host->runs, link)
        n += run->is_running;
    DQ_LOG(host->log, DUREQ_LOG_WARN, "exec.no_room",
           "programs=%zu error=\"%s\" no more programs can be started: jobs are given back, and no more are taken than run", n,
           strerror(sys_errno));
}

static void finish_no_room(dq_exec_run *run, int sys_errno)
{
    dureq_run *task = run->task;

    say_no_room(run->handler->host, sys_errno);
    dq_run_set_state(task, NULL);
    run_destroy(run);
    dq_run_no_room(task);
}

static int set_result(dq_exec_run *run)
{
    const char *type;

    if (run->stdout_kept.failed)
        return dureq_run_retry(run->task, DUREQ_ENOMEM, "out of memory for the output");
    if (run->stdout_kept.len == 0)
        return 0;
    type = dq_exec_result(&run->stdout_kept);
    return dureq_run_set_result(run->task, dq_buf_str(&run->stdout_kept), type);
}

/* What a program printed before it failed often says why. It is no result, and not worth a second failure. */
static void keep_output(dq_exec_run *run)
{
    DQ_BUF_AUTO all = {0};

    dq_buf_append_str(&all, dq_str_last(dq_buf_str(&run->stdout_kept), DQ_EXEC_OUTPUT_BYTES));
    dq_buf_append_str(&all, dq_buf_str(&run->stdout_over));
    if (!all.failed && all.len > 0)
        dq_run_set_output(run->task, dq_str_last(dq_buf_str(&all), DQ_EXEC_OUTPUT_BYTES));
}

static int apply(dq_exec_run *run, const dq_exec_verdict *v)
{
    dureq_str detail = dq_str_last(dq_buf_str(&run->stderr_tail), DQ_EXEC_TAIL_BYTES);

    if (v->outcome == DUREQ_OUTCOME_FAIL || v->outcome == DUREQ_OUTCOME_RETRY)
        keep_output(run);
    switch (v->outcome) {
    case DUREQ_OUTCOME_DONE: return set_result(run);
    case DUREQ_OUTCOME_FAIL: return dureq_run_fail_detail(run->task, v->code, v->msg, detail);
    case DUREQ_OUTCOME_RATE_LIMITED: return dureq_run_rate_limited(run->task, v->after_ms, v->msg);
    case DUREQ_OUTCOME_SKIP: return dureq_run_skip(run->task, v->msg);
    case DUREQ_OUTCOME_PAUSE: return dureq_run_pause(run->task, v->after_ms, v->msg);
    case DUREQ_OUTCOME_REPEAT:
        return dureq_run_repeat_limited(run->task, v->after_ms,
                                        run->said.has_payload ? dq_buf_str(&run->said.payload) : (dureq_str){0}, run->said.limit);
    case DUREQ_OUTCOME_RETRY:
    case DUREQ_OUTCOME_TIMED_OUT:
    case DUREQ_OUTCOME_CANCELLED:
    case DUREQ_OUTCOME_CRASHED: break;
    }
    return dureq_run_retry_detail(run->task, v->code, v->msg, detail);
}

static void on_exit_readable(evutil_socket_t fd, short what, void *arg)
{
    dq_exec_run *run = arg;
    dq_exec_host *host = run->handler->host;
    dq_exec_end end = {.limit = NULL, .said = &run->said, .cpu_limit_seconds = run->handler->spec.limits.cpu_seconds};
    dq_exec_verdict verdict;
    siginfo_t info = {0};

    (void)what;
    dq_exec_run_signal(run, SIGKILL); /* what it left behind, while its number is still its own */
    dq_exec_io_drain(run);
    (void)waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG);
    end.by_signal = info.si_code != CLD_EXITED;
    end.status = info.si_status;
    if (end.by_signal && end.status == SIGKILL && !run->limit && run->spawn.has_group && run->handler->spec.limits.memory_bytes &&
        dq_group_ran_out(&host->groups, run->spawn.group_no))
        run->limit = run->handler->memory_limit_text;
    end.limit = run->limit;
    end.stderr_tail = dq_buf_str(&run->stderr_tail);
    dq_exec_judge(&end, &verdict);
    finish(run, apply(run, &verdict));
    dq_orphans_sweep_soon(&host->orphans);
}

/* ---- starting ---- */

static bool is_no_room(int sys_errno)
{
    return sys_errno == EMFILE || sys_errno == ENFILE || sys_errno == EAGAIN || sys_errno == ENOMEM || sys_errno == ENOSPC;
}

/* Linux tells it where the program begins: what its user has is more than this handler lets it have. Other users have room. */
static bool is_user_full(const dq_exec_run *run)
{
    const dq_spawn *s = &run->spawn;

    return s->sys_errno == EAGAIN && s->profile->max_processes && !(s->groups && s->groups->has_pids) &&
           strcmp(s->failed_step, DQ_CHILD_STEP_PROGRAM) == 0;
}

static int start_failed(dq_exec_run *run)
{
    const dq_spawn *s = &run->spawn;
    DQ_BUF_AUTO msg = {0};

    dq_buf_append_fmt(&msg, "cannot start '%.150s': %s (%s)", s->program, strerror(s->sys_errno), s->failed_step);
    if (msg.failed)
        return DUREQ_ENOMEM;
    if (s->sys_errno == E2BIG)
        return dureq_run_fail(run->task, DUREQ_ETOOLARGE, "%s", msg.ptr);
    return dureq_run_retry(run->task, DUREQ_EIO, "%s", msg.ptr);
}

/* Nothing can watch the child: it must not go on. It dies of SIGKILL at once, so the wait is short. */
static void give_up(dq_exec_run *run)
{
    siginfo_t info;

    dq_exec_run_signal(run, SIGKILL);
    (void)waitid(P_PIDFD, (id_t)run->spawn.pid_fd, &info, WEXITED);
    finish_no_room(run, ENOMEM);
}

static void on_spawned(dq_message *m)
{
    dq_exec_run *run = dq_container_of(m, dq_exec_run, spawn.done);
    bool is_closing = run->handler->host->is_closing;

    if (run->spawn.sys_errno) {
        run->spawn.context_path = NULL;
        if (is_closing)
            run_destroy(run);
        else if (is_user_full(run))
            finish(run, dureq_run_rate_limited(run->task, USER_FULL_AFTER_MS, run->handler->processes_limit_text));
        else if (is_no_room(run->spawn.sys_errno))
            finish_no_room(run, run->spawn.sys_errno);
        else
            finish(run, start_failed(run));
        return;
    }
    run->is_running = run->was_started = true;
    if (is_closing) {
        (void)dq_exec_io_start(run, on_exit_readable); /* never turned again, only closed */
        dq_exec_run_abandon(run);
        return;
    }
    if (dq_exec_io_start(run, on_exit_readable) < 0) {
        give_up(run);
        return;
    }
    if (run->kill_wanted)
        dq_exec_run_signal(run, SIGKILL);
    else if (run->stop_wanted)
        dq_exec_run_signal(run, SIGTERM);
}

/* ids: room for those of its schedule and its workflow, if it has them. */
static dq_exec_facts facts_of(const dureq_run *task, dureq_job_id ids[2])
{
    dq_exec_facts f = {
        .job_id = dureq_run_job_id(task),
        .run_id = dureq_run_id(task),
        .task_type = dureq_run_task_type(task),
        .queue = dureq_run_queue(task),
        .node_id = dureq_run_node_id(task),
        .content_type = dureq_run_content_type(task),
        .priority = dureq_run_priority(task),
        .attempt = dureq_run_attempt(task),
        .max_attempts = dureq_run_max_attempts(task),
        .deadline_at_ms = dureq_run_deadline_at_ms(task),
        .enqueued_at_ms = dureq_run_enqueued_at_ms(task),
        .traceparent = dureq_run_header(task, "traceparent"),
        .payload = dureq_run_payload(task),
    };

    if (dureq_run_schedule(task, &ids[0], &f.scheduled_at_ms))
        f.schedule_id = ids[0].text;
    if (dureq_run_workflow(task, &ids[1]))
        f.workflow_id = ids[1].text;
    f.n_headers = dureq_run_headers(task, &f.headers);
    return f;
}

static int prepare_context(dq_exec_run *run, const dq_exec_facts *facts, dureq_error *err)
{
    dq_exec_host *host = run->handler->host;
    DQ_BUF_AUTO path = {0};

    dq_exec_build_context(facts, &run->context);
    dq_buf_append_fmt(&path, "%s/%llu.json", host->context_dir, (unsigned long long)++host->n_contexts);
    if (host->groups.dir) {
        run->spawn.groups = &host->groups;
        run->spawn.group_no = host->n_contexts;
    }
    run->spawn.context = dq_buf_str(&run->context);
    run->spawn.context_path = path.failed ? NULL : dq_arena_dup(&run->arena, dq_buf_str(&path));
    return run->context.failed || !run->spawn.context_path ? dq_fail_nomem(err) : 0;
}

static int prepare(dq_exec_run *run, dureq_error *err)
{
    const dq_exec_handler *h = run->handler;
    dureq_job_id ids[2];
    dq_exec_facts facts = facts_of(run->task, ids);
    int rc;

    facts.allow_leading_dash = h->spec.allow_leading_dash;
    rc = dq_exec_build_argv(&run->arena, h->spec.words, h->spec.n_words, &facts, &run->spawn.argv, err);

    if (rc == 0)
        rc = prepare_context(run, &facts, err);
    if (rc == 0)
        rc = dq_exec_build_env(&run->arena, h->base_env, &facts, run->spawn.context_path, &run->spawn.envp, err);
    run->spawn.profile = &h->profile;
    run->spawn.program = h->program;
    run->spawn.input = facts.payload;
    return rc;
}

/* A job of a killed daemon comes back a lease after its death at the soonest, so a search that began within that time has seen what it left. On the
   spawner's thread: it waits for what it kills. */
static void end_leftovers(dq_spawn *spawn)
{
    dq_exec_host *host = dq_container_of(spawn, dq_exec_run, spawn)->handler->host;
    int64_t now_us = dq_mono_us();

    if (host->leftovers_mono_us && now_us - host->leftovers_mono_us < LEFTOVERS_AGAIN_US)
        return;
    dq_leftovers_end(host->context_dir, host->owner, host->log);
    host->leftovers_mono_us = now_us;
}

static int on_start(dureq_run *task, void *userdata)
{
    dq_exec_handler *h = userdata;
    dq_exec_run *run = dq_calloc(1, sizeof *run);
    dureq_error err = {0};
    int rc;

    if (!run) {
        say_no_room(h->host, ENOMEM);
        dq_run_no_room(task);
        return 0;
    }
    run->handler = h;
    run->task = task;
    if (dq_run_was_moved(task)) /* perhaps a daemon was killed with it: nothing of it may run any more */
        run->spawn.before = end_leftovers;
    run->lines.max = DQ_EXEC_LINE_MAX;
    run->spawn.done.fn = on_spawned;
    run->out.fd = run->err.fd = run->ctl.fd = -1;
    dq_list_push_back(&h->host->runs, &run->link);
    dq_run_set_state(task, run);
    rc = prepare(run, &err);
    if (rc < 0) {
        run->spawn.context_path = NULL;
        if (rc == DUREQ_ENOMEM)
            finish_no_room(run, ENOMEM);
        else
            finish(run, dureq_run_fail(task, rc, "%s", err.msg));
        return 0;
    }
    run->started_ticks = dq_orphans_now_ticks();
    dq_spawner_submit(h->host->spawner, &run->spawn);
    return 0;
}

static void on_stop(dureq_run *task, dq_stop_reason why, void *userdata)
{
    dq_exec_run *run = dq_run_get_state(task);

    (void)why; /* the program is told the same way whatever the reason */
    (void)userdata;
    run->stop_wanted = true;
    dq_exec_run_signal(run, SIGTERM);
}

static void on_kill(dureq_run *task, void *userdata)
{
    dq_exec_run *run = dq_run_get_state(task);

    (void)userdata;
    run->kill_wanted = true;
    dq_exec_run_signal(run, SIGKILL);
}

const dq_external_ops dq_exec_ops = {.start = on_start, .stop = on_stop, .kill = on_kill, .released = dq_exec_handler_release};

void dq_exec_run_abandon(dq_exec_run *run)
{
    siginfo_t info;

    if (run->is_running) {
        dq_exec_run_signal(run, SIGKILL);
        (void)waitid(P_PIDFD, (id_t)run->spawn.pid_fd, &info, WEXITED);
    }
    run_destroy(run);
}
