/* SPDX-License-Identifier: Apache-2.0 */
/* Which handler runs a job, what runs around it, how many at a time, and that a saturated one holds up nobody. */
#include "test_rig.h"

#include "base/mutex.h"

#include <stdatomic.h>

static char mail[] = "mail", order[] = "order", never[] = "never";
static char a[] = "a", b[] = "b", c[] = "c", d[] = "d", x[] = "x", y[] = "y";

/* The result is the name the handler was registered under. */
static int say_name(dureq_run *task, void *userdata)
{
    return dureq_run_set_result(task, dureq_str_from(userdata), "text/plain");
}

/* ---- which one ---- */

SCENARIO(exact_goes_before_patterns_and_the_longest_pattern_before_others)
{
    static char names[][16] = {"*", "order.*", "order.ship", "order.ship*", "order.ship.*", "o*"};
    static const struct {
        const char *type, *handler;
    } rows[] = {
        {"order.ship", "order.ship"},
        {"order.ship.air", "order.ship.*"},
        {"order.shipped", "order.ship*"},
        {"order.pack", "order.*"},
        {"order.", "order.*"},
        {"order", "o*"},
        {"mail", "*"},
        {"o", "o*"},
        {"ORDER.ship", "*"},
        {"order.ship.", "order.ship.*"},
        {"order.shi", "order.*"},
    };
    dureq_node_options o = rig_node_options("n");
    dureq_node *n = rig_node_create(&o);

    for (size_t i = 0; i < DQ_ARRAY_LEN(names); i++)
        rig_handle(n, names[i], say_name, names[i], NULL);
    rig_start(n);
    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        dureq_job_id id = rig_enqueue(rows[i].type, "1", NULL);

        EXPECT_NOTE("%s", rows[i].type);
        EXPECT_STR_TEXT(rows[i].handler, rig_wait(id.text)->result);
    }
}

SCENARIO(a_job_nobody_handles_waits_for_a_node_that_does)
{
    dureq_job_id id, other;

    (void)rig_node("n", "mail.*", say_name, mail);
    id = rig_enqueue("order", "1", NULL);
    other = rig_enqueue("mail.send", "1", NULL);
    EXPECT_STR_TEXT("mail", rig_wait(other.text)->result);
    EXPECT_I64(DUREQ_JOB_PENDING, rig_state(id.text));
    (void)rig_node("m", "order", say_name, order);
    EXPECT_STR_TEXT("order", rig_wait(id.text)->result);
    EXPECT_STR_TEXT("m", rig_job(id.text)->node_id);
    EXPECT_I64(1, rig_job(id.text)->runs);
}

/* ---- what runs around it ---- */

static struct {
    dq_mutex mu;
    char text[512];
} trace;

static void note(const char *what)
{
    dq_mutex_lock(&trace.mu);
    size_t len = strlen(trace.text);
    (void)snprintf(trace.text + len, sizeof trace.text - len, "%s ", what);
    dq_mutex_unlock(&trace.mu);
}

static int around(dureq_run *task, dureq_next_fn next, void *next_data, void *userdata)
{
    char text[32];
    int rc;

    (void)snprintf(text, sizeof text, "%s(", (const char *)userdata);
    note(text);
    rc = next(task, next_data);
    (void)snprintf(text, sizeof text, ")%s", (const char *)userdata);
    note(text);
    return rc;
}

static int inside(dureq_run *task, void *userdata)
{
    (void)task;
    note(userdata);
    return 0;
}

SCENARIO(middleware_runs_global_first_then_the_handlers_each_in_order)
{
    const dureq_middleware own[] = {{around, c}, {around, d}};
    dureq_handler_options h = dureq_handler_options_init();
    dureq_node_options o = rig_node_options("n");
    dureq_node *n = rig_node_create(&o);
    dureq_job_id id;

    dq_mutex_init(&trace.mu);
    trace.text[0] = '\0';
    h.middleware = own;
    h.n_middleware = 2;
    rig_handle(n, "both", inside, x, &h); /* what is used later counts for it too */
    RIG_OK(dureq_node_use(n, around, a, &err));
    RIG_OK(dureq_node_use(n, around, b, &err));
    rig_handle(n, "bare", inside, y, NULL);
    rig_start(n);
    id = rig_enqueue("both", "1", NULL);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
    EXPECT_TEXT("a( b( c( d( x )d )c )b )a ", trace.text);
    trace.text[0] = '\0';
    id = rig_enqueue("bare", "1", NULL);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
    EXPECT_TEXT("a( b( y )b )a ", trace.text);
}

static int refuse(dureq_run *task, dureq_next_fn next, void *next_data, void *userdata)
{
    (void)next;
    (void)next_data;
    (void)userdata;
    return dureq_run_fail(task, 42, "not today");
}

static int rescue(dureq_run *task, dureq_next_fn next, void *next_data, void *userdata)
{
    (void)userdata;
    return next(task, next_data) == DUREQ_EIO ? dureq_run_skip(task, "rescued") : 0;
}

static int fail_io(dureq_run *task, void *userdata)
{
    (void)task;
    (void)userdata;
    return DUREQ_EIO;
}

SCENARIO(middleware_decides_whether_and_how_the_handler_counts)
{
    const dureq_middleware refusing = {refuse, NULL}, rescuing = {rescue, NULL};
    dureq_handler_options h = dureq_handler_options_init();
    dureq_node_options o = rig_node_options("n");
    dureq_node *n = rig_node_create(&o);
    dureq_job_id id;
    const dureq_job *j;

    h.n_middleware = 1;
    h.middleware = &refusing;
    rig_handle(n, "refused", say_name, never, &h);
    h.middleware = &rescuing;
    rig_handle(n, "rescued", fail_io, NULL, &h);
    rig_start(n);
    id = rig_enqueue("refused", "1", NULL);
    j = rig_wait(id.text);
    EXPECT_I64(DUREQ_JOB_DEAD, j->state);
    EXPECT_I64(42, j->attempts[0].code);
    id = rig_enqueue("rescued", "1", NULL);
    j = rig_wait(id.text);
    EXPECT_I64(DUREQ_JOB_COMPLETED, j->state);
    EXPECT_TRUE(j->skipped);
}

/* ---- how many at a time ---- */

typedef struct gauge {
    atomic_int now, most, done;
    atomic_bool let_go;
} gauge;

static void enter(gauge *g)
{
    int now = atomic_fetch_add(&g->now, 1) + 1, most = atomic_load(&g->most);

    while (now > most && !atomic_compare_exchange_weak(&g->most, &most, now))
        ;
}

static int briefly(dureq_run *task, void *userdata)
{
    gauge *g = userdata;

    enter(g);
    (void)dureq_run_wait_cancelled(task, 4);
    atomic_fetch_sub(&g->now, 1);
    atomic_fetch_add(&g->done, 1);
    return 0;
}

static int until_let_go(dureq_run *task, void *userdata)
{
    gauge *g = userdata;

    (void)task;
    enter(g);
    for (int i = 0; i < 3000 && !atomic_load(&g->let_go); i++)
        rig_pause();
    atomic_fetch_sub(&g->now, 1);
    atomic_fetch_add(&g->done, 1);
    return 0;
}

static dureq_node *node_of(int32_t concurrency)
{
    dureq_node_options o = rig_node_options("n");

    o.concurrency = concurrency;
    return rig_node_create(&o);
}

SCENARIO(no_more_run_at_a_time_than_the_node_and_the_handler_allow)
{
    dureq_handler_options h = dureq_handler_options_init();
    dureq_node *n = node_of(5);
    static gauge narrow, wide;

    narrow = wide = (gauge){0};
    h.concurrency = 2;
    rig_handle(n, "narrow", briefly, &narrow, &h);
    rig_handle(n, "wide", briefly, &wide, NULL);
    rig_start(n);
    for (int i = 0; i < 60; i++) {
        (void)rig_enqueue("narrow", "1", NULL);
        (void)rig_enqueue("wide", "1", NULL);
    }
    RIG_UNTIL(rig_counts().completed == 120);
    EXPECT_I64(2, atomic_load(&narrow.most));
    EXPECT_TRUE(atomic_load(&wide.most) >= 3 && atomic_load(&wide.most) <= 5);
}

SCENARIO(a_patterns_limit_holds_over_all_its_types_and_queues)
{
    static const char *const types[] = {"p.a", "p.b", "p.c", "p.d", "p.e"};
    static const char *const queues[] = {"high", "normal", "low"};
    dureq_handler_options h = dureq_handler_options_init();
    dureq_node *n = node_of(40);
    static gauge g;

    g = (gauge){0};
    h.concurrency = 2;
    for (int i = 0; i < 150; i++) {
        dureq_job_options o = dureq_job_options_init();

        o.queue = queues[i % 3];
        (void)rig_enqueue(types[i % 5], "1", &o);
    }
    rig_handle(n, "p.*", briefly, &g, &h);
    rig_start(n);
    RIG_UNTIL(rig_counts().completed == 150);
    EXPECT_I64(2, atomic_load(&g.most));
    EXPECT_U64(0, rig_stats(n).returned); /* nothing was taken in vain */
}

SCENARIO(a_saturated_handler_never_holds_up_the_others)
{
    dureq_handler_options h = dureq_handler_options_init();
    dureq_node *n = node_of(4);
    static gauge slow, quick;
    int64_t since;

    slow = quick = (gauge){0};
    h.concurrency = 2;
    rig_handle(n, "slow", until_let_go, &slow, &h);
    rig_handle(n, "quick", briefly, &quick, NULL);
    rig_start(n);
    for (int i = 0; i < 100; i++)
        (void)rig_enqueue("slow", "1", NULL);
    RIG_UNTIL(atomic_load(&slow.now) == 2);
    since = rig_mono_ms();
    for (int i = 0; i < 50; i++)
        (void)rig_enqueue("quick", "1", NULL);
    RIG_UNTIL(atomic_load(&quick.done) == 50);
    EXPECT_TRUE(rig_mono_ms() - since < 3000);
    EXPECT_I64(2, atomic_load(&slow.now));
    RIG_UNTIL(rig_counts().pending == 98); /* what was sent to it beyond its limit is given back */
    atomic_store(&slow.let_go, true);
    RIG_UNTIL(rig_counts().completed == 150);
    EXPECT_I64(2, atomic_load(&slow.most));
}

SCENARIO(fewer_threads_than_concurrency_let_jobs_wait_for_a_thread)
{
    dureq_node_options o = rig_node_options("n");
    dureq_node *n;
    static gauge g;

    g = (gauge){0};
    o.concurrency = 20;
    o.threads = 3;
    n = rig_node_create(&o);
    rig_handle(n, "t", briefly, &g, NULL);
    rig_start(n);
    for (int i = 0; i < 60; i++)
        (void)rig_enqueue("t", "1", NULL);
    RIG_UNTIL(rig_counts().completed == 60);
    EXPECT_TRUE(atomic_load(&g.most) <= 3);
}

RIG_MAIN()
