/* SPDX-License-Identifier: Apache-2.0 */
#include "test_rig.h"

#include "base/clock.h"
#include "doctor/doctor.h"

#include <stdlib.h>
#include <time.h>

#define KEPT 16

test_rig rig;

static test_redis *group_server;
static int64_t group_ahead_s; /* its clock stays where a scenario left it */
static int n_prefixes;
static dureq_job_list *kept[KEPT];
static unsigned n_kept;

/* ---- life ---- */

int rig_group_start(void **state)
{
    (void)state;
    group_server = test_redis_start(NULL);
    return 0;
}

int rig_group_start_own_clock(void **state)
{
    (void)state;
    group_server = test_redis_start(&(test_redis_options){.own_clock = true});
    return 0;
}

int rig_group_stop(void **state)
{
    (void)state;
    test_redis_stop(group_server);
    return 0;
}

static int setup(int shards)
{
    rig = (test_rig){.server = group_server, .shards = shards, .ahead_s = group_ahead_s};
    (void)snprintf(rig.prefix, sizeof(rig.prefix), "t%d.%d", shards, n_prefixes++);
    rig.client = rig_client(NULL, shards);
    return 0;
}

int rig_setup_one(void **state)
{
    (void)state;
    return setup(1);
}

int rig_setup_four(void **state)
{
    (void)state;
    return setup(4);
}

/* Faults, printed; -1: it could not be run. */
static int64_t doctor_faults(void)
{
    dq_doctor_options o = {.repair = false};
    dq_doctor_report r;
    dureq_error err = {0};
    int64_t n;

    if (dq_doctor_run(rig.client, &o, &r, &err) < 0) {
        print_error("doctor: %s\n", err.msg);
        return -1;
    }
    for (size_t i = 0; i < r.n_faults; i++)
        print_error("doctor: %s %s %s: %s\n", dq_fault_kind_to_str(r.faults[i].kind), r.faults[i].key, r.faults[i].id,
                    r.faults[i].text);
    n = r.n_found;
    dq_doctor_report_deinit(&r);
    return n;
}

void rig_doctor(void)
{
    EXPECT_I64(0, doctor_faults());
}

int rig_teardown(void **state)
{
    int64_t faults = 0;

    (void)state;
    if (!rig.is_damaged && rig.n_nodes > 0)
        faults = doctor_faults();
    for (int i = 0; i < rig.n_nodes; i++)
        dureq_node_destroy(rig.nodes[i]);
    if (!rig.is_damaged && faults == 0)
        faults = doctor_faults();
    for (unsigned i = 0; i < KEPT; i++) {
        dureq_job_list_destroy(kept[i]);
        kept[i] = NULL;
    }
    dureq_client_destroy(rig.client);
    rig.client = NULL;
    return faults == 0 ? 0 : -1;
}

/* ---- waiting ---- */

int64_t rig_mono_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void rig_pause(void)
{
    struct timespec ts = {.tv_nsec = 3 * 1000000};

    (void)nanosleep(&ts, NULL);
}

void rig_wait_failed(const char *what, const char *file, int line)
{
    print_error("waited too long for: %s\n", what);
    _fail(file, line);
    abort();
}

/* ---- clients ---- */

dureq_client *rig_client(const char *prefix, int shards)
{
    dureq_client_options o = dureq_client_options_init();
    dureq_client *c = NULL;
    dureq_error err = {0};

    o.redis_url = test_redis_url(rig.server);
    o.prefix = prefix ? prefix : rig.prefix;
    o.shards = shards;
    if (dureq_client_create(&o, &c, &err) < 0)
        fail_msg("client: %s", err.msg);
    return c;
}

void rig_ok(int rc, const dureq_error *err, const char *what, const char *file, int line)
{
    if (rc >= 0)
        return;
    print_error("%s: %s: %s\n", what, dureq_errcode_name(rc), err->msg);
    _fail(file, line);
}

dureq_job_id rig_enqueue(const char *type, const char *payload, const dureq_job_options *o)
{
    dureq_job_spec spec = {.task_type = type, .payload = dureq_str_from(payload), .options = o};
    dureq_job_id id = {{0}};

    RIG_OK(dureq_client_enqueue(rig.client, &spec, &id, &err));
    return id;
}

static const dureq_job *keep(dureq_job_list *list)
{
    dureq_job_list **place = &kept[n_kept++ % KEPT];

    dureq_job_list_destroy(*place);
    *place = list;
    EXPECT_U64(1, list->n);
    return &list->items[0];
}

const dureq_job *rig_job(const char *id)
{
    dureq_job_list *list = NULL;

    RIG_OK(dureq_client_get_job(rig.client, id, &list, &err));
    return keep(list);
}

int rig_state(const char *id)
{
    dureq_job_list *list = NULL;
    dureq_error err = {0};
    int rc = dureq_client_get_job(rig.client, id, &list, &err);

    if (rc == DUREQ_ENOTFOUND)
        return -1;
    rig_ok(rc, &err, "get_job", __FILE__, __LINE__);
    rc = (int)list->items[0].state;
    dureq_job_list_destroy(list);
    return rc;
}

const dureq_job *rig_wait(const char *id)
{
    dureq_job_list *list = NULL;
    dureq_error err = {0};
    int rc = dureq_client_wait(rig.client, id, RIG_LIMIT_MS, &list, &err);

    if (rc < 0)
        print_error("job %s is %s\n", id, rig_state(id) < 0 ? "gone" : dureq_job_state_to_str((dureq_job_state)rig_state(id)));
    rig_ok(rc, &err, "wait", __FILE__, __LINE__);
    return keep(list);
}

dureq_counts rig_counts(void)
{
    dureq_counts c = {0};

    RIG_OK(dureq_client_count(rig.client, &c, &err));
    return c;
}

int64_t rig_server_ms(void)
{
    char *t = test_redis_command(rig.server, "EVAL", "local t = redis.call('TIME') return t[1] * 1000 + math.floor(t[2] / 1000)",
                                 "0", NULL);
    int64_t ms = strtoll(t + 1, NULL, 10);

    free(t);
    return ms;
}

/* Valkey 9 tells the time of its last look for a while. */
static bool clock_is_ahead(void)
{
    int64_t before_ms = dq_wall_ms(), told_ms = rig_server_ms() - rig.ahead_s * 1000;

    return told_ms >= before_ms - 1000 && told_ms <= dq_wall_ms() + 1000;
}

void rig_step_clock(int64_t seconds)
{
    rig.ahead_s += seconds;
    group_ahead_s = rig.ahead_s;
    test_redis_set_clock(rig.server, rig.ahead_s);
    RIG_UNTIL(clock_is_ahead());
}

/* ---- nodes ---- */

static void log_problem(const dureq_log_record *record, void *userdata)
{
    (void)userdata;
    fprintf(stderr, "  [%s] %s %s\n",
            record->level == DUREQ_LOG_ERROR  ? "error"
            : record->level == DUREQ_LOG_WARN ? "warn"
                                              : "info",
            record->event, record->text);
}

dureq_node_options rig_node_options(const char *node_id)
{
    dureq_node_options o = dureq_node_options_init();

    o.redis_url = test_redis_url(rig.server);
    o.prefix = rig.prefix;
    o.shards = rig.shards;
    o.node_id = node_id;
    o.concurrency = 8;
    o.lease_ms = 1000;
    o.shutdown_timeout_ms = 5000;
    if (getenv("DUREQ_TEST_LOG")) {
        o.log_fn = log_problem;
        o.log_level = DUREQ_LOG_DEBUG;
    }
    return o;
}

dureq_node *rig_node_create(const dureq_node_options *o)
{
    dureq_node *n = NULL;

    RIG_OK(dureq_node_create(o, &n, &err));
    EXPECT_TRUE(rig.n_nodes < RIG_NODES_MAX);
    rig.nodes[rig.n_nodes++] = n;
    return n;
}

void rig_handle(dureq_node *n, const char *type, dureq_handler_fn fn, void *userdata, const dureq_handler_options *o)
{
    RIG_OK(dureq_node_handle(n, type, fn, userdata, o, &err));
}

void rig_start(dureq_node *n)
{
    RIG_OK(dureq_node_start(n, &err));
}

dureq_node *rig_node(const char *node_id, const char *type, dureq_handler_fn fn, void *userdata)
{
    dureq_node_options o = rig_node_options(node_id);
    dureq_node *n = rig_node_create(&o);

    rig_handle(n, type, fn, userdata, NULL);
    rig_start(n);
    return n;
}

dureq_node_stats rig_stats(dureq_node *n)
{
    dureq_node_stats s = {0};

    dureq_node_get_stats(n, &s);
    return s;
}
