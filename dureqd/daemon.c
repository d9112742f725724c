/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon.h"

#include "api_host.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "builtins.h"
#include "declare.h"
#include "embedded.h"
#include "exec.h"
#include "exec_spawn.h"
#include "handler_list.h"
#include "handler_spec.h"
#include "log_out.h"
#include "node/external.h"
#include "node/state_dir.h"
#include "node_meter.h"
#include "notify.h"
#include "redis/url.h"
#include "reload.h"
#include "run_log.h"
#include "signals.h"

#include <dureq/dureq.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* The first thread turns a small loop of its own: signals, the embedded server, the watchdog. The node has its loop thread. Its start
   and its stop block, so each has a thread, too: the loop goes on to hear signals and to look after the server until the node is
   done with it.

       check -> embedded server -> node and handlers -> queues -> ready ... first signal -> node stops -> all goes in reverse

   A signal before "ready" ends the start where it is. */

#define BEAT_LOOK_MS 100

typedef struct dq_daemon {
    const dq_config *cfg;
    dq_log_out out;
    dq_log log;
    dq_loop *loop;
    dq_embedded *embedded; /* NULL: a server was given */
    dureq_node *node;
    dq_exec_host *exec;
    dq_run_log runs;
    dq_node_meter *meter;
    dq_reload reload;
    dq_api_host *api; /* NULL: not served */
    const char *url;  /* the starter's */

    int signal_fd;
    struct event signal_event;
    bool stop_wanted;
    bool is_running; /* the node is started: a signal stops it */

    pthread_t starter;
    dq_message started;
    bool is_starting;
    bool node_is_live; /* the starter's, read after it posted, as the next two */
    int start_rc;
    dureq_error start_err;
    atomic_bool start_is_over; /* the starter begins nothing more */

    pthread_t stopper;
    bool has_stopper;
    dq_message stopped;
    int stop_rc; /* the stopper's, read after it posted */
    dureq_error stop_err;

    dq_timer watchdog;
    dq_message beat;       /* posted to the node's loop, which answers the watchdog */
    atomic_bool beat_sent; /* and has not been answered: the message is not ours (release by the loop, acquire here) */
    int64_t beat_every_us;
} dq_daemon;

static int exit_code_of(int rc)
{
    switch (rc) {
    case 0: return DQ_EXIT_DONE;
    case DUREQ_EINVAL:
    case DUREQ_EPARSE:
    case DUREQ_EUNSUPPORTED: return DQ_EXIT_USAGE;
    case DUREQ_EUNAVAILABLE:
    case DUREQ_ETIMEOUT:
    case DUREQ_EBUSY:
    case DUREQ_EREADONLY:
    case DUREQ_ENOWRITE:
    case DUREQ_ELOADING: return DQ_EXIT_SERVER_AWAY;
    case DUREQ_EAUTH:
    case DUREQ_EPERM: return DQ_EXIT_NOT_ALLOWED;
    default: return DQ_EXIT_FAILED;
    }
}

/* ---- signals ---- */

static void *stopper_main(void *arg)
{
    dq_daemon *d = arg;

    dq_api_host_drain(d->api);
    dq_reload_join(&d->reload);
    d->stop_rc = dureq_node_stop(d->node, &d->stop_err);
    dq_api_host_destroy(DQ_TAKE(d->api));
    dq_loop_post(d->loop, &d->stopped);
    return NULL;
}

static void on_stopped(dq_message *m)
{
    dq_loop_stop(dq_container_of(m, dq_daemon, stopped)->loop);
}

static void begin_stop(dq_daemon *d)
{
    dureq_error err = {0};

    dq_notify("STOPPING=1");
    dq_reload_off(&d->reload);
    (void)dureq_node_drain(d->node, /*drain=*/true); /* at once: what the stopper waits for first may take a while */
    d->stopped.fn = on_stopped;
    if (dq_thread_start(&d->stopper, "dq-stop", 0, stopper_main, d, &err) == 0) {
        d->has_stopper = true;
        return;
    }
    (void)stopper_main(d); /* without a thread no second signal is heard, but it stops */
}

static void cancel_start(dq_daemon *d)
{
    atomic_store(&d->start_is_over, true);
    dq_node_cancel_start(d->node);
}

static void on_stop_signal(dq_daemon *d, const char *name)
{
    if (!d->stop_wanted) {
        DQ_LOG(&d->log, DUREQ_LOG_INFO, "daemon.stopping", "signal=%s running jobs have %lld ms", name,
               (long long)d->cfg->drain_timeout_ms);
        d->stop_wanted = true;
        if (d->is_running)
            begin_stop(d);
        else if (d->is_starting)
            cancel_start(d);
        return;
    }
    DQ_LOG(&d->log, DUREQ_LOG_WARN, "daemon.stopping_now", "signal=%s unfinished jobs are given back at once", name);
    dureq_node_stop_now(d->node);
    dq_embedded_hurry(d->embedded);
}

static void on_hup(dq_daemon *d)
{
    dq_reload_want(&d->reload);
    if (d->is_running && !d->stop_wanted)
        dq_api_host_reload(d->api, d->cfg);
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
    dq_daemon *d = arg;
    struct signalfd_siginfo info;

    (void)what;
    while (read(fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGHUP)
            on_hup(d);
        else
            on_stop_signal(d, info.ssi_signo == SIGTERM ? "TERM" : "INT");
    }
}

static int watch_signals(dq_daemon *d, dureq_error *err)
{
    int rc = dq_signals_take(&d->signal_fd, err);

    if (rc < 0)
        return rc;
    (void)event_assign(&d->signal_event, dq_loop_base(d->loop), d->signal_fd, EV_READ | EV_PERSIST, on_signal, d);
    return event_add(&d->signal_event, NULL) < 0 ? dq_fail_nomem(err) : 0;
}

/* ---- watchdog: says that the node's loop still turns ---- */

static void on_beat(dq_message *m)
{
    dq_daemon *d = dq_container_of(m, dq_daemon, beat);

    dq_notify("WATCHDOG=1");
    atomic_store_explicit(&d->beat_sent, false, memory_order_release);
}

static void on_watchdog(dq_timer *t)
{
    dq_daemon *d = dq_container_of(t, dq_daemon, watchdog);

    dq_timer_set(&d->watchdog, d->beat_every_us);
    if (d->has_stopper)
        dq_notify("WATCHDOG=1"); /* the node's loop may be gone */
    else if (!atomic_exchange_explicit(&d->beat_sent, true, memory_order_acquire))
        dq_loop_post(dq_node_loop(d->node), &d->beat);
}

static int start_watchdog(dq_daemon *d, dureq_error *err)
{
    d->beat_every_us = dq_notify_watchdog_every_us();
    if (d->beat_every_us == 0)
        return 0;
    d->beat.fn = on_beat;
    if (dq_timer_init(&d->watchdog, d->loop, on_watchdog) < 0)
        return dq_fail_nomem(err);
    dq_timer_set(&d->watchdog, d->beat_every_us);
    return 0;
}

/* ---- starting ---- */

int dq_daemon_check_handlers(const dq_config *cfg, dureq_error *err)
{
    int rc = 0;

    for (size_t i = 0; i < cfg->n_handlers && rc == 0; i++)
        if (cfg->handlers[i].kind == DQ_HANDLER_EXEC)
            rc = dq_exec_check(&cfg->handlers[i], err);
    return rc;
}

int dq_daemon_check(const dq_config *cfg, dureq_error *err)
{
    dq_arena arena = {0};
    const char *program = NULL;
    int rc = dq_daemon_check_handlers(cfg, err);

    if (rc == 0 && !cfg->redis_url)
        rc = dq_program_find(&arena, cfg->redis_server, getenv("PATH"), &program, err);
    if (program)
        rc = dq_embedded_check_program(program, err);
    dq_arena_deinit(&arena);
    return rc;
}

static int start_embedded(dq_daemon *d, char **ret_url, dureq_error *err)
{
    DQ_BUF_AUTO dir = {0};
    dq_embedded_options o = {.program = d->cfg->redis_server, .log = &d->log, .give_up = &d->stop_wanted};
    int rc = dq_config_redis_url(d->cfg, ret_url, err);

    if (rc < 0 || *ret_url)
        return rc;
    if (d->cfg->state_dir)
        dq_buf_append_text(&dir, d->cfg->state_dir);
    else
        rc = dq_state_dir_default(&dir, err);
    if (rc < 0 || dir.failed)
        return rc < 0 ? rc : dq_fail_nomem(err);
    o.dir = dir.ptr;
    o.insecure_dir = d->cfg->insecure_state_dir;
    o.appendfsync = dq_config_fsyncs[d->cfg->redis_appendfsync].text;
    rc = dq_embedded_start(d->loop, &o, &d->embedded, err);
    if (rc < 0)
        return rc;
    *ret_url = dq_strdup(dq_embedded_url(d->embedded));
    return *ret_url ? 0 : dq_fail_nomem(err);
}

/* Each program takes descriptors: no more jobs are taken than there are of them. */
static int64_t effective_concurrency(dq_daemon *d)
{
    const dq_config *cfg = d->cfg;
    int64_t has, needs, most, programs = 0;

    for (size_t i = 0; i < cfg->n_handlers; i++)
        if (cfg->handlers[i].kind == DQ_HANDLER_EXEC)
            programs += dq_exec_concurrency(&cfg->handlers[i]);
    programs = DQ_MIN(programs, cfg->concurrency);
    most = dq_spawn_children_max(programs, &has, &needs);
    if (programs == 0 || !dq_config_has_mode(cfg, "queue") || most == programs)
        return cfg->concurrency;
    DQ_LOG(&d->log, DUREQ_LOG_WARN, "daemon.few_descriptors",
           "has=%lld needs=%lld concurrency=%lld instead of %lld: raise the hard limit of open files (ulimit -n, LimitNOFILE=)",
           (long long)has, (long long)needs, (long long)most, (long long)cfg->concurrency);
    return most;
}

static void on_node_event(const dureq_node_event *event, void *userdata)
{
    dq_daemon *d = userdata;

    dq_run_log_event(event, &d->runs);
    dq_node_meter_event(d->meter, event);
}

static int create_node(dq_daemon *d, const char *url, dureq_error *err)
{
    const dq_config *cfg = d->cfg;
    dureq_node_options o = dureq_node_options_init();

    o.redis_url = url;
    o.prefix = cfg->prefix;
    o.node_id = cfg->node_id;
    o.concurrency = (int32_t)effective_concurrency(d);
    o.threads = (int32_t)cfg->threads;
    o.lease_ms = cfg->lease_ms;
    o.shutdown_timeout_ms = cfg->drain_timeout_ms ? cfg->drain_timeout_ms : 1; /* 0 would be the library's default */
    o.max_crashes = (int32_t)cfg->max_crashes;
    o.max_payload_bytes = cfg->max_payload_bytes;
    o.shards = (int32_t)cfg->shards;
    o.history_max_bytes = cfg->history_max_bytes;
    o.dead_retention_ms = cfg->dead_retention_ms;
    o.audit_retention_ms = cfg->audit_retention_ms;
    o.stats_minutes_retention_ms = cfg->stats_minutes_retention_ms;
    o.stats_hours_retention_ms = cfg->stats_hours_retention_ms;
    o.stats_days_retention_ms = cfg->stats_days_retention_ms;
    o.allow_eviction = cfg->allow_eviction;
    o.never_leads = !dq_config_has_mode(cfg, "scheduler");
    o.log_fn = dq_log_out_write;
    o.log_userdata = &d->out;
    o.log_level = (int32_t)cfg->log_level;
    o.on_event = on_node_event;
    o.on_event_userdata = d;
    return dureq_node_create(&o, &d->node, err);
}

/* Queues belong to the prefix, not to one daemon's file: what is in Redis stays, and a difference is told. */
static int set_queues(dq_daemon *d, dureq_error *err)
{
    for (size_t i = 0; i < d->cfg->n_queues && !atomic_load(&d->start_is_over); i++) {
        const dq_queue_spec *q = &d->cfg->queues[i];
        dureq_error inner = {0};
        bool differs = false;
        int rc =
            dureq_client_set_queue(dureq_node_client(d->node), q->name, &q->options, /*only_if_missing=*/true, &differs, &inner);

        if (rc < 0)
            return dq_fail(err, rc, DQ_STR_FMT ": queue '%.60s': %.120s", DQ_STR_ARG(q->origin), q->name, inner.msg);
        if (differs)
            DQ_LOG(&d->log, DUREQ_LOG_WARN, "queue.differs",
                   "queue=%s said at " DQ_STR_FMT " differs from what is in Redis, which is kept; "
                   "change it with: dureqctl queue set",
                   q->name, DQ_STR_ARG(q->origin));
    }
    return 0;
}

/* As the file declares them; what Redis holds of others stays. While a node of an older version is alive there can be none, which is no reason not to start. */
static int put_schedules(dq_daemon *d, dureq_error *err)
{
    dq_declaring how = {.client = dureq_node_client(d->node), .is_over = &d->start_is_over, .log = &d->log};
    int rc = dq_schedules_declare(&how, d->cfg, err);

    d->reload.declares_all = rc == 1;
    return DQ_MIN(rc, 0);
}

/* Daemons with the same server and prefix run the same jobs. */
static int append_owner(dq_daemon *d, const char *url, dq_buf *out, dureq_error *err)
{
    dq_redis_url u = {0};
    int rc = dq_redis_url_parse(dureq_str_from(url), &u, err);

    if (rc < 0)
        return rc;
    dq_redis_url_describe(&u, out);
    dq_buf_append_fmt(out, " %s\n", d->cfg->prefix);
    dq_redis_url_deinit(&u);
    return out->failed ? dq_fail_nomem(err) : 0;
}

static const dureq_node_info *find_instance(const dureq_node_list *list, dureq_str instance)
{
    for (size_t i = 0; i < list->n; i++)
        if (dq_str_eq(list->items[i].instance, instance))
            return &list->items[i];
    return NULL;
}

/* One that was killed is listed until its lease is over, but beats no more. */
static bool beats(dq_daemon *d, const dureq_node_info *n)
{
    int64_t until_us = dq_mono_us() + d->cfg->lease_ms * 1000;
    bool is_told = false, is_listed = true;

    while (!is_told && is_listed && dq_mono_us() < until_us && !atomic_load(&d->start_is_over)) {
        dureq_node_list *list = NULL;
        const dureq_node_info *now;

        (void)poll(NULL, 0, BEAT_LOOK_MS);
        if (dureq_client_list_nodes(dureq_node_client(d->node), &list, NULL) < 0)
            return true;
        now = find_instance(list, n->instance);
        is_listed = now != NULL;
        is_told = is_listed && now->last_heartbeat_ms > n->last_heartbeat_ms;
        dureq_node_list_destroy(list);
    }
    return is_told;
}

static bool is_twin(dq_daemon *d, const dureq_node_info *n, const dureq_node_info *self, const char *host)
{
    if (!dq_str_eq_text(n->node_id, dureq_node_id(d->node)) || dq_str_eq_text(n->instance, dq_node_instance(d->node)))
        return false;
    if (!dq_str_eq_text(n->host, host))
        return true;
    /* Its number says nothing where numbers of processes are others, as in another container of the same host name. */
    if (n->instance.len > 0 && (!self || n->pid_space != self->pid_space || n->pid_space == 0))
        return beats(d, n);
    /* One of this machine that was killed is listed until its lease is over. */
    return n->pid != getpid() && (n->pid <= 0 || kill((pid_t)n->pid, 0) == 0 || errno != ESRCH);
}

/* What is charged, drained or listed by its name would be so of both. */
static int look_for_twin(dq_daemon *d, dureq_error *err)
{
    dureq_node_list *list = NULL;
    const dureq_node_info *self;
    char host[256] = "";
    int rc = dureq_client_list_nodes(dureq_node_client(d->node), &list, err);

    if (rc < 0)
        return rc;
    (void)gethostname(host, sizeof host - 1);
    self = find_instance(list, dureq_str_from(dq_node_instance(d->node)));
    for (size_t i = 0; i < list->n && rc == 0; i++) {
        const dureq_node_info *n = &list->items[i];

        if (!is_twin(d, n, self, host))
            continue;
        if (d->cfg->unique_node_id)
            rc = dq_fail(err, DUREQ_ECONFLICT, "a node of the name '%.60s' lives already: host %.60s, pid %lld", d->cfg->node_id,
                         n->host.len ? n->host.ptr : "?", (long long)n->pid);
        else
            DQ_LOG(&d->log, DUREQ_LOG_WARN, "node.same_name",
                   "node=%s host=" DQ_STR_FMT
                   " pid=%lld another node has this name: give each its own, or set dureqd.uniqueNodeId",
                   dureq_node_id(d->node), DQ_STR_ARG(n->host), (long long)n->pid);
    }
    dureq_node_list_destroy(list);
    return rc;
}

static void *starter_main(void *arg)
{
    dq_daemon *d = arg;

    d->start_rc = dureq_node_start(d->node, &d->start_err);
    d->node_is_live = d->start_rc == 0;
    if (d->start_rc == 0 && d->cfg->node_id) /* one that is made up is nobody else's */
        d->start_rc = look_for_twin(d, &d->start_err);
    if (d->start_rc == 0)
        d->start_rc = set_queues(d, &d->start_err);
    if (d->start_rc == 0)
        d->start_rc = put_schedules(d, &d->start_err);
    if (d->start_rc == 0 && !atomic_load(&d->start_is_over))
        d->start_rc = dq_api_host_start(d->cfg, d->url, d->meter, &d->log, &d->api, &d->start_err);
    dq_loop_post(d->loop, &d->started);
    return NULL;
}

static void on_started(dq_message *m)
{
    dq_loop_stop(dq_container_of(m, dq_daemon, started)->loop);
}

/* Turns the loop until the node is there, or is not to be any more. */
static int wait_started(dq_daemon *d, dureq_error *err)
{
    int rc;

    d->started.fn = on_started;
    rc = dq_thread_start(&d->starter, "dq-start", 0, starter_main, d, err);
    if (rc < 0)
        return rc;
    d->is_starting = true;
    (void)dq_loop_run(d->loop);
    d->is_starting = false;
    (void)pthread_join(d->starter, NULL);
    if (d->start_rc < 0)
        *err = d->start_err;
    return d->start_rc;
}

static int make_exec_host(dq_daemon *d, const char *owner, dureq_error *err)
{
    dq_exec_host_options o = {.owner = owner, .log = &d->log, .proc = "/proc/self", .guardian = "/proc/self/exe"};

    return dq_exec_host_create(dq_node_loop(d->node), &o, &d->exec, err);
}

static int make_node(dq_daemon *d, const char *url, int *ret_n_handlers, dureq_error *err)
{
    DQ_BUF_AUTO owner = {0};
    int rc;

    d->meter = dq_node_meter_create();
    rc = d->meter ? create_node(d, url, err) : dq_fail_nomem(err);
    if (rc == 0)
        dq_node_meter_watch(d->meter, d->node);
    if (rc == 0)
        rc = dq_run_log_init(&d->runs, dq_node_loop(d->node), &d->log, err);
    if (rc == 0)
        rc = append_owner(d, url, &owner, err);
    if (rc == 0)
        rc = make_exec_host(d, owner.ptr, err);
    if (rc < 0 || !dq_config_has_mode(d->cfg, "queue"))
        return rc;
    return dq_handler_list_add(d->cfg, d->exec, d->node, ret_n_handlers, err);
}

static void say_handlers(dq_daemon *d)
{
    dq_handler_spec spec;
    bool has_exec = false;

    for (size_t at = 0; dq_config_has_mode(d->cfg, "queue") && dq_handler_list_next(d->cfg, &at, &spec);) {
        dq_handler_say(&d->log, d->cfg, &spec, DQ_HANDLER_SAME);
        has_exec = has_exec || spec.kind == DQ_HANDLER_EXEC;
    }
    if (has_exec)
        dq_exec_host_say(d->exec);
}

/* A built-in if there is one, which does no harm; of a pattern some type that it takes. */
static void append_first_type(const dq_config *cfg, dq_buf *out)
{
    size_t at = 0;
    const char *name = dq_builtin_listed(cfg, &at);
    size_t n;

    if (!name)
        name = cfg->handlers[0].type; /* a node without handlers does not start */
    n = strcspn(name, "*");
    dq_buf_append(out, name, n);
    if (name[n])
        dq_buf_append_text(out, "test");
}

static int say_first_command(dq_daemon *d, const char *url, dureq_error *err)
{
    DQ_BUF_AUTO command = {0};
    dq_redis_url u = {0};
    int rc = dq_redis_url_parse(dureq_str_from(url), &u, err);

    if (rc < 0)
        return rc;
    dq_buf_append_text(&command, "dureqctl");
    if (d->cfg->redis_url || d->cfg->state_dir) {
        dq_buf_append_text(&command, " --server ");
        dq_redis_url_describe(&u, &command); /* without a password */
    }
    dq_redis_url_deinit(&u);
    if (strcmp(d->cfg->prefix, "dureq") != 0)
        dq_buf_append_fmt(&command, " --prefix %s", d->cfg->prefix);
    dq_buf_append_text(&command, " enqueue --wait ");
    append_first_type(d->cfg, &command);
    if (command.failed)
        return dq_fail_nomem(err);
    DQ_LOG(&d->log, DUREQ_LOG_INFO, "daemon.try", "command=\"%s\"", command.ptr);
    return 0;
}

static int start_node(dq_daemon *d, const char *url, dureq_error *err)
{
    int n_handlers = 0;
    int rc = make_node(d, url, &n_handlers, err);

    d->url = url;
    if (rc == 0)
        rc = wait_started(d, err);
    if (rc < 0 || d->stop_wanted)
        return rc;
    DQ_LOG(&d->log, DUREQ_LOG_INFO, "daemon.ready", "version=%s node=%s prefix=%s handlers=%d mode=%s", dureq_version(),
           dureq_node_id(d->node), d->cfg->prefix, n_handlers, d->cfg->mode);
    say_handlers(d);
    return say_first_command(d, url, err);
}

static void log_warnings(dq_daemon *d)
{
    dureq_str rest = dq_buf_str(&d->cfg->warnings);

    while (rest.len > 0) {
        dureq_str line = dq_str_cut(&rest, '\n');

        if (line.len > 0)
            DQ_LOG(&d->log, DUREQ_LOG_WARN, "config.warning", DQ_STR_FMT, DQ_STR_ARG(line));
    }
}

static int start(dq_daemon *d, dureq_error *err)
{
    char *url = NULL;
    int rc = dq_loop_create(&d->loop, err);

    if (rc == 0)
        rc = watch_signals(d, err);
    if (rc < 0)
        return rc;
    log_warnings(d);
    rc = dq_daemon_check(d->cfg, err); /* before anything is started */
    if (rc == 0)
        rc = start_embedded(d, &url, err);
    if (rc == 0)
        rc = start_node(d, url, err);
    dq_free(url);
    return rc < 0 ? rc : start_watchdog(d, err);
}

/* ---- the whole ---- */

/* The node is live; `stops` when the start failed after that, and all is to end. */
static void run_until_stopped(dq_daemon *d, bool stops)
{
    d->is_running = true;
    if (!stops && !d->stop_wanted) {
        dq_notify("READY=1");
        dq_reload_ready(&d->reload, d->loop, d->node, d->exec);
    }
    dq_loop_run_once(d->loop, /*block=*/false); /* signals that came a moment ago */
    if ((stops || d->stop_wanted) && !d->has_stopper)
        begin_stop(d);
    (void)dq_loop_run(d->loop);
    if (d->has_stopper)
        pthread_join(d->stopper, NULL);
}

/* The exit code of a start that failed or was ended by a signal. */
static int say_no_start(dq_daemon *d, int rc, const dureq_error *err)
{
    bool wanted;

    if (d->signal_fd >= 0)
        dq_loop_run_once(d->loop, /*block=*/false); /* to hear the signal that ended it */
    wanted = rc == DUREQ_ECANCELLED && d->stop_wanted;
    DQ_LOG(&d->log, wanted ? DUREQ_LOG_INFO : DUREQ_LOG_ERROR, "daemon.no_start", "%s", err->msg);
    return wanted ? DQ_EXIT_DONE : exit_code_of(rc);
}

static void tear_down(dq_daemon *d)
{
    dq_timer_deinit(&d->watchdog);
    dq_api_host_destroy(d->api);
    dq_exec_host_destroy(d->exec);
    dq_reload_deinit(&d->reload);
    dq_run_log_deinit(&d->runs);
    dureq_node_destroy(d->node);
    dq_node_meter_destroy(d->meter);
    dq_embedded_stop(d->embedded);
    if (d->signal_fd >= 0) {
        (void)event_del(&d->signal_event);
        (void)close(d->signal_fd);
    }
    dq_loop_destroy(d->loop);
}

int dq_daemon_run(const dq_config *cfg)
{
    dq_daemon d = {.cfg = cfg, .out = {.fd = STDERR_FILENO, .format = (dq_log_format)cfg->log_format}, .signal_fd = -1};
    dureq_error err = {0};
    int rc, code;

    d.log = (dq_log){.fn = dq_log_out_write, .userdata = &d.out, .level = (int)cfg->log_level};
    dq_reload_init(&d.reload, cfg, &d.log);
    dq_spawn_raise_open_files();
    rc = start(&d, &err);
    code = rc < 0 ? say_no_start(&d, rc, &err) : DQ_EXIT_DONE;
    if (d.node_is_live)
        run_until_stopped(&d, /*stops=*/rc < 0);
    if (d.stop_rc < 0)
        DQ_LOG(&d.log, DUREQ_LOG_ERROR, "daemon.stop_failed", "%s", d.stop_err.msg);
    tear_down(&d);
    if (rc == 0)
        DQ_LOG(&d.log, DUREQ_LOG_INFO, "daemon.stopped", "rc=%d", d.stop_rc);
    return rc == 0 && d.stop_rc < 0 ? DQ_EXIT_FAILED : code;
}
