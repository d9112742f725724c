/* SPDX-License-Identifier: Apache-2.0 */
#include "exec_run.h"

#include "handler_env.h"
#include "handler_spec.h"
#include "leftovers.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- who owns an orphan ---- */

static dq_exec_host *host_of(dq_orphans *o)
{
    return dq_container_of(o, dq_exec_host, orphans);
}

static bool is_live_run(dq_orphans *o, dureq_str run_id)
{
    DQ_LIST_FOREACH (dq_exec_run, run, &host_of(o)->runs, link)
        if (dq_str_eq_text(run_id, dureq_run_id(run->task)))
            return true;
    return false;
}

static bool is_live_group(dq_orphans *o, pid_t pgid)
{
    DQ_LIST_FOREACH (dq_exec_run, run, &host_of(o)->runs, link)
        if (run->is_running && run->spawn.pid == pgid)
            return true;
    return false;
}

static bool has_run_since(dq_orphans *o, int64_t ticks)
{
    DQ_LIST_FOREACH (dq_exec_run, run, &host_of(o)->runs, link)
        if (run->started_ticks <= ticks)
            return true;
    return false;
}

static const dq_orphans_ops orphans_ops = {is_live_run, is_live_group, has_run_since};

/* ---- the directory of context files ---- */

static bool make_dir_in(const char *base, dq_buf *path)
{
    dq_buf_clear(path);
    if (!base || base[0] != '/')
        return false;
    dq_buf_append_fmt(path, "%s/dureqd-XXXXXX", base);
    /* Others may pass through to their own file but not look around. */
    return !path->failed && mkdtemp(path->ptr) && chmod(path->ptr, 0711) == 0;
}

static int make_context_dir(dq_exec_host *host, dureq_error *err)
{
    DQ_BUF_AUTO path = {0};
    bool ok = make_dir_in(getenv("RUNTIME_DIRECTORY"), &path) || (geteuid() == 0 && make_dir_in("/run", &path)) ||
              make_dir_in(getenv("XDG_RUNTIME_DIR"), &path) || make_dir_in(getenv("TMPDIR"), &path) || make_dir_in("/tmp", &path);

    if (!ok)
        return dq_fail_errno(err, DUREQ_EIO, errno, "cannot make a directory for context files in /tmp: %s", strerror(errno));
    host->context_dir = dq_buf_take(&path);
    if (!host->context_dir)
        return dq_fail_nomem(err);
    return dq_leftovers_claim(host->context_dir, host->owner, &host->lock_fd, err);
}

/* ---- the host ---- */

/* The guardian last: what it looks for is there. */
static int make_groups(dq_exec_host *host, const dq_exec_host_options *o, dureq_error *err)
{
    int rc = 0;

    if (o->proc)
        rc = dq_groups_open(&host->groups, o->proc, strrchr(host->context_dir, '/') + 1, err);
    if (rc == 0 && host->groups.dir)
        rc = dq_leftovers_note_group(host->context_dir, host->groups.dir, err);
    if (rc == 0)
        dq_guardian_start(&host->guardian, o->guardian, host->context_dir);
    return rc;
}

int dq_exec_host_create(dq_loop *loop, const dq_exec_host_options *o, dq_exec_host **ret, dureq_error *err)
{
    const dq_log *log = o->log;
    dq_exec_host *host = dq_calloc(1, sizeof *host);
    int rc;

    if (!host)
        return dq_fail_nomem(err);
    host->loop = loop;
    host->log = log;
    dq_mutex_init(&host->mu);
    dq_list_init(&host->handlers);
    dq_list_init(&host->runs);
    host->scratch = dq_malloc(DQ_EXEC_READ_BYTES);
    host->owner = dq_strdup(o->owner);
    host->lock_fd = -1;
    rc = host->scratch && host->owner ? make_context_dir(host, err) : dq_fail_nomem(err);
    if (rc == 0)
        rc = dq_orphans_init(&host->orphans, loop, &orphans_ops, host->context_dir, log, err);
    if (rc == 0)
        rc = make_groups(host, o, err);
    if (rc == 0)
        rc = dq_spawner_create(loop, &host->spawner, err);
    if (rc < 0) {
        dq_exec_host_destroy(host);
        return rc;
    }
    dq_leftovers_end(host->context_dir, host->owner, log);
    *ret = host;
    return 0;
}

static void remove_file(const dq_exec_host *host, const char *file)
{
    DQ_BUF_AUTO name = {0};

    dq_buf_append_fmt(&name, "%s/%s", host->context_dir, file);
    if (!name.failed)
        (void)unlink(name.ptr);
}

static void remove_context_dir(dq_exec_host *host)
{
    if (host->lock_fd >= 0) {
        remove_file(host, "group");
        remove_file(host, "daemon");
        (void)close(host->lock_fd);
    }
    if (host->context_dir)
        (void)rmdir(host->context_dir);
}

static void handler_destroy(dq_exec_handler *h)
{
    dq_list_remove(&h->link);
    dq_spawn_profile_deinit(&h->profile);
    dq_arena_deinit(&h->arena);
    dq_free(h);
}

void dq_exec_handler_release(void *handler)
{
    dq_exec_handler *h = handler;
    dq_exec_host *host = h->host;

    dq_mutex_lock(&host->mu);
    dq_list_remove(&h->link);
    dq_mutex_unlock(&host->mu);
    handler_destroy(h);
}

void dq_exec_host_destroy(dq_exec_host *host)
{
    if (!host)
        return;
    host->is_closing = true;
    dq_spawner_destroy(host->spawner);
    DQ_LIST_FOREACH (dq_exec_run, run, &host->runs, link)
        if (run->is_running)
            dq_exec_run_abandon(run);
    while (!dq_list_empty(&host->runs)) /* the spawner's answers are in the mailbox */
        dq_loop_run_once(host->loop, /*block=*/false);
    if (host->spawner)
        dq_orphans_close(&host->orphans);
    dq_orphans_deinit(&host->orphans);
    DQ_LIST_FOREACH (dq_exec_handler, h, &host->handlers, link)
        handler_destroy(h);
    dq_groups_close(&host->groups);
    remove_context_dir(host);
    dq_guardian_stop(&host->guardian);
    dq_mutex_deinit(&host->mu);
    dq_free(host->owner);
    dq_free(host->context_dir);
    dq_free(host->scratch);
    dq_free(host);
}

/* ---- handlers ---- */

static int set_profile(dq_exec_handler *h, const dq_handler_spec *spec, dureq_error *err)
{
    const dq_exec_limits *l = &spec->limits;
    char *name = NULL, *home = NULL;
    int rc = dq_spawn_profile_set_user(&h->profile, l->user, &name, &home, err);

    h->profile.cpu_seconds = l->cpu_seconds;
    h->profile.memory_bytes = l->memory_bytes;
    h->profile.open_files = l->open_files;
    h->profile.nice = spec->nice;
    h->profile.max_processes = spec->max_processes;
    (void)snprintf(h->output_limit_text, sizeof h->output_limit_text, "more than %lld bytes of output",
                   (long long)l->output_bytes);
    (void)snprintf(h->memory_limit_text, sizeof h->memory_limit_text, "more than %lld bytes of memory",
                   (long long)l->memory_bytes);
    (void)snprintf(h->processes_limit_text, sizeof h->processes_limit_text, "user %.48s has its maxProcesses (%lld)",
                   name ? name : "?", (long long)spec->max_processes);
    if (rc == 0)
        rc = dq_env_assemble(&h->arena, spec, environ, name, home, &h->base_env, err);
    dq_free(name);
    dq_free(home);
    return rc;
}

static int check_open_files(const dq_exec_limits *l, dureq_error *err)
{
    struct rlimit now = {0};

    if (l->open_files == 0 || geteuid() == 0 || getrlimit(RLIMIT_NOFILE, &now) < 0 || (rlim_t)l->open_files <= now.rlim_max)
        return 0;
    return dq_fail(err, DUREQ_EPERM, "openFiles: the system allows this daemon %lld at most", (long long)now.rlim_max);
}

/* Without a control group root is under no limit of processes: better no start than one that does not hold. */
static int check_processes(const dq_exec_host *host, const dq_exec_handler *h, const dq_handler_spec *spec, dureq_error *err)
{
    bool is_root = h->profile.has_user ? h->profile.uid == 0 : geteuid() == 0;

    if (spec->max_processes == 0 || !is_root || host->groups.has_pids)
        return 0;
    return dq_fail(err, DUREQ_EPERM,
                   DQ_STR_FMT
                   ": handler '%.60s': maxProcesses does not hold for root without a control group: run the programs as "
                   "somebody else with limits.user",
                   DQ_STR_ARG(spec->origin), spec->type);
}

void dq_exec_host_say(const dq_exec_host *host)
{
    const dq_groups *g = &host->groups;

    DQ_LOG(host->log, DUREQ_LOG_INFO, "exec.limits", "group=%s memory=\"%s\" processes=\"%s\"", g->dir ? g->dir : "none",
           g->has_memory ? "of a run, by its control group" : "of the data of each process",
           g->has_pids ? "of a run, by its control group" : "of the user");
}

static int check_cwd(const char *cwd, dureq_error *err)
{
    struct stat st;

    if (!cwd || (stat(cwd, &st) == 0 && S_ISDIR(st.st_mode)))
        return 0;
    return dq_fail(err, DUREQ_ENOTFOUND, "cwd '%.120s' is no directory", cwd);
}

/* The settings that it is of may be gone before its last run. */
static int copy_spec(dq_exec_handler *h, const dq_handler_spec *spec, dureq_error *err)
{
    bool failed = false;

    h->spec = (dq_handler_spec){.limits = spec->limits, .allow_leading_dash = spec->allow_leading_dash, .n_words = spec->n_words};
    h->spec.limits.user = NULL;
    h->spec.words = dq_arena_alloc(&h->arena, (spec->n_words + 1) * sizeof *h->spec.words);
    for (size_t i = 0; h->spec.words && i < spec->n_words; i++) {
        h->spec.words[i] = dq_arena_dup(&h->arena, dureq_str_from(spec->words[i]));
        failed = failed || !h->spec.words[i];
    }
    h->profile.cwd = spec->cwd ? dq_arena_dup(&h->arena, dureq_str_from(spec->cwd)) : NULL;
    return !h->spec.words || failed || (spec->cwd && !h->profile.cwd) ? dq_fail_nomem(err) : 0;
}

static int handler_create(const dq_handler_spec *spec, dq_exec_handler **ret, dureq_error *err)
{
    dq_exec_handler *h = dq_calloc(1, sizeof *h);
    dureq_error inner = {0};
    int rc;

    if (!h)
        return dq_fail_nomem(err);
    rc = dq_program_find(&h->arena, spec->words[0], getenv("PATH"), &h->program, &inner);
    if (rc == 0)
        rc = check_open_files(&spec->limits, &inner);
    if (rc == 0)
        rc = check_cwd(spec->cwd, &inner);
    if (rc == 0)
        rc = set_profile(h, spec, &inner);
    if (rc == 0)
        rc = copy_spec(h, spec, &inner);
    if (rc < 0) {
        handler_destroy(h);
        return dq_fail_errno(err, rc, inner.sys_errno, DQ_STR_FMT ": handler '%.60s': %s", DQ_STR_ARG(spec->origin), spec->type,
                             inner.msg);
    }
    *ret = h;
    return 0;
}

/* More programs than processors only make each slower, unless they wait for others; then their handler says so. */
static int32_t processors(void)
{
    cpu_set_t *set = NULL;
    int n = 0;

    for (int cpus = CPU_SETSIZE; n == 0 && cpus <= CPU_SETSIZE * 64; cpus *= 2) { /* a set that is too small is refused */
        CPU_FREE(set);
        set = CPU_ALLOC((size_t)cpus);
        if (set && sched_getaffinity(0, CPU_ALLOC_SIZE((size_t)cpus), set) == 0)
            n = CPU_COUNT_S(CPU_ALLOC_SIZE((size_t)cpus), set);
    }
    CPU_FREE(set);
    return DQ_MAX(n, 1);
}

int32_t dq_exec_concurrency(const dq_handler_spec *spec)
{
    return spec->concurrency ? spec->concurrency : processors();
}

int dq_exec_check(const dq_handler_spec *spec, dureq_error *err)
{
    dq_exec_handler *h = NULL;
    int rc = handler_create(spec, &h, err);

    if (rc == 0)
        handler_destroy(h);
    return rc;
}

int dq_exec_host_add(dq_exec_host *host, dureq_node *node, const dq_handler_spec *spec, dureq_error *err)
{
    dureq_handler_options o = dureq_handler_options_init();
    dq_exec_handler *h = NULL;
    int rc = handler_create(spec, &h, err);

    if (rc < 0)
        return rc;
    rc = check_processes(host, h, spec, err);
    if (rc < 0) {
        handler_destroy(h);
        return rc;
    }
    h->host = host;
    dq_mutex_lock(&host->mu);
    dq_list_push_back(&host->handlers, &h->link);
    dq_mutex_unlock(&host->mu);
    o.concurrency = dq_exec_concurrency(spec);
    o.timeout_ms = spec->timeout_ms;
    o.grace_ms = spec->grace_ms;
    o.retry_policy = spec->retry_policy;
    rc = dq_node_handle_external(node, spec->type, &dq_exec_ops, h, &o, err);
    if (rc < 0)
        dq_exec_handler_release(h);
    return rc;
}
