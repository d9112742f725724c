/* SPDX-License-Identifier: Apache-2.0 */
#include "reload.h"

#include "base/mutex.h"
#include "daemon.h"
#include "declare.h"
#include "handler_list.h"
#include "model/job.h"
#include "node/external.h"

#include <unistd.h>

/* ---- what needs a new start ---- */

static bool is_taken(const dq_config_row *row)
{
    return strcmp(row->name, "log.level") == 0 || strcmp(row->name, "dureqd.builtins") == 0;
}

static bool is_same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool is_same(const dq_config_row *row, const dq_config *a, const dq_config *b)
{
    const void *in_a = (const char *)a + row->offset, *in_b = (const char *)b + row->offset;

    switch (row->type) {
    case DQ_CONFIG_TEXT:
    case DQ_CONFIG_NAME:
    case DQ_CONFIG_LIST: return is_same_text(*(char *const *)in_a, *(char *const *)in_b);
    case DQ_CONFIG_BOOL: return *(const bool *)in_a == *(const bool *)in_b;
    case DQ_CONFIG_INT:
    case DQ_CONFIG_MS:
    case DQ_CONFIG_BYTES:
    case DQ_CONFIG_CHOICE: return *(const int64_t *)in_a == *(const int64_t *)in_b;
    case DQ_CONFIG_IGNORED:
    case DQ_CONFIG_REFUSED: break;
    }
    return true;
}

static void put_name(dq_buf *out, const char *section, const char *name)
{
    dq_buf_append_fmt(out, "%s%s%s", out->len ? ", " : "", section, name);
}

static const dq_queue_spec *find_queue(const dq_config *cfg, const char *name)
{
    for (size_t i = 0; i < cfg->n_queues; i++)
        if (strcmp(cfg->queues[i].name, name) == 0)
            return &cfg->queues[i];
    return NULL;
}

static bool is_same_queue(const dq_queue_spec *a, const dq_queue_spec *b)
{
    DQ_BUF_AUTO policy_a = {0};
    DQ_BUF_AUTO policy_b = {0};
    const dureq_queue_options *x = &a->options, *y = &b->options;

    if (x->retry_policy)
        dq_retry_pack(&policy_a, x->retry_policy);
    if (y->retry_policy)
        dq_retry_pack(&policy_b, y->retry_policy);
    return x->weight == y->weight && x->priority_min == y->priority_min && x->priority_max == y->priority_max &&
           x->max_len == y->max_len && x->retention_ms == y->retention_ms && !policy_a.failed && !policy_b.failed &&
           dq_str_eq(dq_buf_str(&policy_a), dq_buf_str(&policy_b));
}

static void put_queues(const dq_config *boot, const dq_config *next, dq_buf *out)
{
    for (size_t i = 0; i < next->n_queues; i++) {
        const dq_queue_spec *old = find_queue(boot, next->queues[i].name);

        if (!old || !is_same_queue(old, &next->queues[i]))
            put_name(out, "queues.", next->queues[i].name);
    }
    for (size_t i = 0; i < boot->n_queues; i++)
        if (!find_queue(next, boot->queues[i].name))
            put_name(out, "queues.", boot->queues[i].name);
}

void dq_reload_not_taken(const dq_config *boot, const dq_config *next, dq_buf *out)
{
    for (size_t i = 0; i < dq_config_n_rows; i++)
        if (!is_taken(&dq_config_rows[i]) && !is_same(&dq_config_rows[i], boot, next))
            put_name(out, "", dq_config_rows[i].name);
    put_queues(boot, next, out);
}

/* ---- a reload ---- */

static const dq_config *now_of(const dq_reload *r)
{
    return r->now ? r->now : r->boot;
}

static void config_destroy(dq_config *cfg)
{
    if (cfg)
        dq_config_deinit(cfg);
    dq_free(cfg);
}

static void drop_next(dq_reload *r)
{
    if (r->has_next)
        config_destroy(r->next);
    else
        dq_free(r->next);
    r->next = NULL;
    r->has_next = false;
}

static void say_failed(const dq_reload *r, const dureq_error *err)
{
    DQ_LOG(r->log, DUREQ_LOG_ERROR, "daemon.reload_failed", "nothing was changed: %s", err->msg);
}

static void say_warnings(const dq_reload *r, const dq_config *next)
{
    dureq_str rest = dq_buf_str(&next->warnings);

    while (rest.len > 0) {
        dureq_str line = dq_str_cut(&rest, '\n');

        DQ_LOG(r->log, DUREQ_LOG_WARN, "config.warning", DQ_STR_FMT, DQ_STR_ARG(line));
    }
}

static void say_not_taken(const dq_reload *r, const dq_config *next)
{
    DQ_BUF_AUTO names = {0};

    dq_reload_not_taken(r->boot, next, &names);
    if (names.failed || names.len > 0)
        DQ_LOG(r->log, DUREQ_LOG_WARN, "daemon.not_taken", "settings=\"%s\" they need a new start",
               names.failed ? "(out of memory)" : names.ptr);
}

typedef struct changes {
    int n[DQ_HANDLER_REMOVED + 1];
} changes;

/* Says, or only counts (`log` NULL), which handlers of `in` are other ones; `removed` looks for those that are gone. */
static int count_changes(const dq_reload *r, bool removed, const dq_log *log, changes *ret)
{
    const dq_config *now = now_of(r), *next = r->next, *in = removed ? now : next;
    dq_handler_spec spec;

    for (size_t at = 0; dq_handler_list_next(in, &at, &spec);) {
        int change = dq_handler_compare(now, next, spec.type);

        if (change < 0)
            return change;
        if (removed != (change == DQ_HANDLER_REMOVED))
            continue;
        ret->n[change]++;
        if (change != DQ_HANDLER_SAME)
            dq_handler_say(log, r->boot, &spec, (dq_handler_change)change);
    }
    return 0;
}

static int all_changes(const dq_reload *r, const dq_log *log, changes *ret)
{
    int rc = count_changes(r, /*removed=*/false, log, ret);

    return rc < 0 ? rc : count_changes(r, /*removed=*/true, log, ret);
}

static void say_done(const dq_reload *r, const dq_config *next, const changes *c)
{
    const char *level = "?";

    for (const dq_config_choice *w = dq_config_row_find(NULL, DQ_STR_LIT("log.level"))->choices; w->text; w++)
        if (w->value == next->log_level)
            level = w->text;
    DQ_LOG(r->log, DUREQ_LOG_INFO, "daemon.reloaded", "handlers=%d added=%d changed=%d removed=%d log_level=%s schedules=%d",
           c->n[DQ_HANDLER_SAME] + c->n[DQ_HANDLER_ADDED] + c->n[DQ_HANDLER_CHANGED], c->n[DQ_HANDLER_ADDED],
           c->n[DQ_HANDLER_CHANGED], c->n[DQ_HANDLER_REMOVED], level, r->n_declared);
}

static void finish(dq_reload *r)
{
    changes c = {0};

    dq_node_set_log_level(r->node, (dureq_log_level)r->next->log_level);
    (void)all_changes(r, r->log, &c);
    say_not_taken(r, r->next);
    say_done(r, r->next, &c); /* the old level shows it, if it is to be shown */
    atomic_store_explicit(&r->log->level, (int)r->next->log_level, memory_order_relaxed);
    config_destroy(r->now);
    r->now = r->next;
    r->next = NULL;
}

static void begin(dq_reload *r);

static void begin_if_wanted(dq_reload *r)
{
    if (r->is_wanted && !r->is_off)
        begin(r);
}

static void go_on(dq_reload *r)
{
    finish(r);
    begin_if_wanted(r);
}

static void give_up(dq_reload *r, const dureq_error *err)
{
    say_failed(r, err);
    drop_next(r);
    begin_if_wanted(r);
}

/* ---- schedules, after handlers ---- */

static void *declarer_main(void *arg)
{
    dq_reload *r = arg;
    dq_declaring how = {.client = dureq_node_client(r->node), .is_over = &r->declaring_is_over, .log = r->log};

    dq_declared done = dq_schedules_declare_again(&how, r->declares_all ? NULL : now_of(r), r->next);

    r->n_declared = done.n;
    r->declares_all = done.n_refused > 0;
    dq_loop_post(r->loop, &r->declared);
    return NULL;
}

static void on_declared(dq_message *m)
{
    dq_reload *r = dq_container_of(m, dq_reload, declared);

    if (!r->is_off)
        dq_reload_join(r);
    go_on(r);
}

static void take_schedules(dq_reload *r)
{
    dureq_error err = {0};

    r->n_declared = 0;
    if (r->is_off || (!r->declares_all && !dq_schedules_differ(now_of(r), r->next))) {
        go_on(r);
        return;
    }
    r->has_declarer = dq_thread_start(&r->declarer, "dq-declare", 0, declarer_main, r, &err) == 0;
    if (r->has_declarer)
        return;
    DQ_LOG(r->log, DUREQ_LOG_ERROR, "schedule.refused", "all that changed: %s", err.msg);
    go_on(r);
}

/* ---- handlers ---- */

static void on_swapped(dq_message *m)
{
    take_schedules(dq_container_of(m, dq_reload, swapped));
}

/* The node's loop. */
static void swapped(void *userdata)
{
    dq_reload *r = userdata;

    dq_loop_post(r->loop, &r->swapped);
}

static int swap_handlers(dq_reload *r, dureq_error *err)
{
    int n, rc = dq_node_handlers_begin(r->node, err);

    if (rc < 0)
        return rc;
    rc = dq_handler_list_add(r->next, r->exec, r->node, &n, err);
    if (rc < 0) {
        dq_node_handlers_abort(r->node);
        return rc;
    }
    return dq_node_handlers_commit(r->node, swapped, r, err);
}

/* Its handlers, and then its schedules, are to be taken. */
static void take(dq_reload *r, dureq_error *err)
{
    changes c = {0};
    int rc = all_changes(r, /*log=*/NULL, &c);

    if (rc < 0) {
        (void)dq_fail_nomem(err);
    } else if (c.n[DQ_HANDLER_ADDED] + c.n[DQ_HANDLER_CHANGED] + c.n[DQ_HANDLER_REMOVED] == 0) {
        take_schedules(r);
        return;
    } else {
        rc = swap_handlers(r, err);
    }
    if (rc < 0)
        give_up(r, err);
}

/* ---- reading, on a thread of its own: it takes a second where there are many schedules, and a signal is to be heard meanwhile ---- */

static void *reader_main(void *arg)
{
    dq_reload *r = arg;

    r->read_rc = dq_config_load_again(r->next, r->boot, environ, &r->read_err);
    r->has_next = r->read_rc == 0; /* else nothing is in it */
    if (r->read_rc == 0)
        r->read_rc = dq_daemon_check_handlers(r->next, &r->read_err);
    dq_loop_post(r->loop, &r->was_read);
    return NULL;
}

static void join_reader(dq_reload *r)
{
    if (r->has_reader)
        (void)pthread_join(r->reader, NULL);
    r->has_reader = false;
}

static void on_read(dq_message *m)
{
    dq_reload *r = dq_container_of(m, dq_reload, was_read);

    if (r->is_off)
        return; /* dropped in the end */
    join_reader(r);
    if (r->read_rc < 0) {
        give_up(r, &r->read_err);
        return;
    }
    say_warnings(r, r->next);
    take(r, &r->read_err);
}

static void begin(dq_reload *r)
{
    dureq_error err = {0};

    r->is_wanted = false;
    r->has_next = false;
    r->read_err = (dureq_error){0};
    r->next = dq_calloc(1, sizeof *r->next);
    if (!r->next)
        (void)dq_fail_nomem(&err);
    else
        r->has_reader = dq_thread_start(&r->reader, "dq-reload", 0, reader_main, r, &err) == 0;
    if (!r->has_reader)
        give_up(r, &err);
}

void dq_reload_init(dq_reload *r, const dq_config *boot, dq_log *log)
{
    *r = (dq_reload){
        .boot = boot, .log = log, .was_read = {.fn = on_read}, .swapped = {.fn = on_swapped}, .declared = {.fn = on_declared}};
}

void dq_reload_ready(dq_reload *r, dq_loop *loop, dureq_node *node, dq_exec_host *exec)
{
    r->loop = loop;
    r->node = node;
    r->exec = exec;
    if (r->is_wanted)
        begin(r);
}

void dq_reload_want(dq_reload *r)
{
    if (r->is_off)
        DQ_LOG(r->log, DUREQ_LOG_INFO, "daemon.hup", "nothing is read again by a daemon that stops");
    else if (r->node && !r->next)
        begin(r);
    else
        r->is_wanted = true;
}

void dq_reload_off(dq_reload *r)
{
    r->is_off = true;
    atomic_store(&r->declaring_is_over, true);
}

void dq_reload_join(dq_reload *r)
{
    if (r->has_declarer)
        (void)pthread_join(r->declarer, NULL);
    r->has_declarer = false;
}

void dq_reload_deinit(dq_reload *r)
{
    join_reader(r);
    drop_next(r);
    config_destroy(r->now);
}
