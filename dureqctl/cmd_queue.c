/* SPDX-License-Identifier: Apache-2.0 */
/* queue and node commands. */
#include <stdio.h>

#include "act.h"
#include "ctl.h"

static const dureq_str no_body = {NULL, 0};

static int list(ctl *c, int argc, char **argv, const char *path, const ctl_column *columns)
{
    int rc = ctl_only_options(argc, argv, NULL, 0);

    return rc != 0 ? rc : ctl_show_list(c, path, /*query=*/NULL, /*member=*/NULL, columns);
}

static int queue_list(ctl *c, int argc, char **argv)
{
    static const ctl_column columns[] = {
        {"NAME", "name", CTL_TEXT},
        {"WEIGHT", "weight", CTL_NUMBER},
        {"PENDING", "pending", CTL_NUMBER},
        {"RUNNING", "running", CTL_NUMBER},
        {"OLDEST", "oldest_age", CTL_LENGTH},
        {"PAUSED", "paused", CTL_TEXT},
        {"MAX LEN", "max_len", CTL_NUMBER, .may_go = true},
        {"WITHOUT A NODE", "unhandled_types", CTL_WORDS},
        {NULL, "queue", CTL_TEXT},
    };

    return list(c, argc, argv, "/api/queues", columns);
}

static int node_list(ctl *c, int argc, char **argv)
{
    static const ctl_column columns[] = {
        {"NODE", "node_id", CTL_TEXT},
        {"STARTED", "started_at", CTL_TIME, .may_go = true},
        {"HEARTBEAT", "last_heartbeat", CTL_TIME, .may_go = true},
        {"DRAINING", "draining", CTL_TEXT},
        {"TOO OLD", "too_old", CTL_TEXT},
        {"RUNNING", "running_workers", CTL_NUMBER, "pool_stats"},
        {"SLOTS", "max_concurrency", CTL_NUMBER, "pool_stats"},
        {"STUCK", "stuck_workers", CTL_NUMBER, "pool_stats", .may_go = true},
        {"TYPES", "task_types", CTL_WORDS},
        {NULL, "node", CTL_TEXT},
    };

    return list(c, argc, argv, "/api/nodes", columns);
}

static int act(ctl *c, const char *method, const char *path_fmt, const char *query, const char *verb, const char *name)
{
    DQ_BUF_AUTO path = {0};
    dq_json_ref affected;
    ctl_answer a;
    int64_t n = 0;
    int rc;

    ctl_path(&path, path_fmt, name);
    rc = *name ? ctl_call(c, method, path.ptr, query, no_body, &a) : ctl_usage("a name is not ''");
    if (rc != 0)
        return rc;
    affected = dq_json_member(&a.doc, 0, "affected");
    if (affected != DQ_JSON_NONE && dq_json_i64(&a.doc, affected, &n) == 0)
        ctl_print_done(c, &a, "%s %s: %lld job%s", verb, name, (long long)n, n == 1 ? "" : "s");
    else
        ctl_print_done(c, &a, "%s %s", verb, name);
    ctl_answer_deinit(&a);
    return CTL_DONE;
}

/* For each name; the first failure's code is kept, the others still done. */
static int act_all(ctl *c, int argc, char **argv, const char *method, const char *path_fmt, const char *verb)
{
    int n, rc = ctl_options(argc, argv, NULL, 0, &n);

    if (rc != 0)
        return rc;
    if (n == 0)
        return ctl_usage("'%s' needs a name", argv[0]);
    for (int i = 1; i <= n; i++) {
        int one = act(c, method, path_fmt, /*query=*/NULL, verb, argv[i]);

        rc = rc == 0 ? one : rc;
    }
    return rc;
}

static int queue_pause(ctl *c, int argc, char **argv)
{
    return act_all(c, argc, argv, "POST", "/api/queues/%s/pause", "paused");
}

static int queue_resume(ctl *c, int argc, char **argv)
{
    return act_all(c, argc, argv, "POST", "/api/queues/%s/resume", "resumed");
}

/* What waits is looked up as the jobs of a filter are. */
static int purge_one(ctl *c, const char *name, const char *type, bool dry_run, bool yes)
{
    const ctl_act look = {
        .method = "POST", .path = "/api/jobs/bulk/cancel", .verb = "purge", .done = "purged", .dry_run = dry_run, .yes = yes};
    DQ_BUF_AUTO filter = {0};
    DQ_BUF_AUTO query = {0};
    int rc;

    if (!*name)
        return ctl_usage("a name is not ''");
    ctl_query(&filter, "queue", name);
    ctl_query(&filter, "status", "pending");
    ctl_query(&filter, "type", type);
    ctl_query(&query, "type", type);
    if (dry_run)
        return ctl_act_filter(c, &look, filter.ptr);
    rc = ctl_act_ask(c, &look, filter.ptr);
    return rc == 0 ? act(c, "POST", "/api/queues/%s/purge", query.ptr, "purged", name) : rc;
}

static int queue_delete(ctl *c, int argc, char **argv)
{
    bool force = false, yes = false;
    const ctl_option options[] = {{.name = "force", .flag = &force}, {.name = "yes", .flag = &yes}};
    DQ_BUF_AUTO filter = {0};
    int n, rc = ctl_options(argc, argv, options, DQ_ARRAY_LEN(options), &n);

    if (rc == 0 && (n != 1 || !*argv[1]))
        rc = ctl_usage("queue delete takes one name");
    if (rc == 0 && force) {
        const ctl_act look = {.method = "POST", .path = "/api/jobs/bulk/cancel", .verb = "delete", .done = "deleted", .yes = yes};

        ctl_query(&filter, "queue", argv[1]);
        rc = ctl_act_ask(c, &look, filter.ptr);
    }
    return rc == 0 ? act(c, "DELETE", "/api/queues/%s", force ? "force=1" : NULL, "deleted", argv[1]) : rc;
}

static int queue_purge(ctl *c, int argc, char **argv)
{
    bool dry_run = false, yes = false;
    const char *type = NULL;
    const ctl_option options[] = {
        {.name = "dry-run", .flag = &dry_run},
        {.name = "type", .value = &type},
        {.name = "yes", .flag = &yes},
    };
    int n, rc = ctl_options(argc, argv, options, DQ_ARRAY_LEN(options), &n);

    if (rc == 0 && n == 0)
        rc = ctl_usage("'%s' needs a name", argv[0]);
    if (rc != 0)
        return rc;
    for (int i = 1; i <= n; i++) {
        int one = purge_one(c, argv[i], type, dry_run, yes);

        rc = rc == 0 ? one : rc;
    }
    return rc;
}

static int node_drain(ctl *c, int argc, char **argv)
{
    return act_all(c, argc, argv, "POST", "/api/nodes/%s/drain", "draining");
}

static int node_undrain(ctl *c, int argc, char **argv)
{
    return act_all(c, argc, argv, "DELETE", "/api/nodes/%s/drain", "takes work again:");
}

static int queue_set(ctl *c, int argc, char **argv)
{
    const char *weight = NULL, *priorities = NULL, *max_len = NULL, *retention = NULL;
    const ctl_option options[] = {
        {.name = "max-len", .value = &max_len},
        {.name = "priorities", .value = &priorities},
        {.name = "retention", .value = &retention},
        {.name = "weight", .value = &weight},
    };
    DQ_BUF_AUTO body = {0};
    DQ_BUF_AUTO path = {0};
    dq_json_writer w = dq_json_writer_of(&body);
    int64_t v = 0, low, high;
    ctl_answer a;
    int n, rc = ctl_options(argc, argv, options, DQ_ARRAY_LEN(options), &n);

    int64_t keep_ms;

    if (rc == 0 && (n != 1 || !*argv[1]))
        rc = ctl_usage("queue set takes one name");
    if (rc == 0)
        rc = ctl_duration("retention", retention, &keep_ms);
    dq_json_begin_object(&w);
    if (rc == 0 && weight) {
        rc = ctl_i64("weight", weight, 1, 1000, &v);
        dq_json_set_i64(&w, "weight", v);
    }
    if (rc == 0 && max_len) {
        rc = ctl_i64("max-len", max_len, 0, INT64_C(1) << 40, &v);
        dq_json_set_i64(&w, "max_len", v);
    }
    if (rc == 0 && retention) {
        dq_json_set_text(&w, "retention", retention);
    }
    if (rc == 0 && priorities) {
        dureq_str rest = dureq_str_from(priorities), first = dq_str_cut(&rest, '-');

        if (dq_parse_i64(first, 1, 10, &low) < 0 || dq_parse_i64(rest.ptr ? rest : first, 1, 10, &high) < 0 || low > high)
            return ctl_usage("--priorities takes a range of 1 to 10 such as 4-7, not '%s'", priorities);
        dq_json_key(&w, "priorities");
        dq_json_begin_array(&w);
        dq_json_put_i64(&w, low);
        dq_json_put_i64(&w, high);
        dq_json_end_array(&w);
    }
    dq_json_end_object(&w);
    if (rc != 0)
        return rc;
    ctl_path(&path, "/api/queues/%s", argv[1]);
    rc = ctl_call(c, "PUT", path.ptr, NULL, dq_buf_str(&body), &a);
    if (rc != 0)
        return rc;
    ctl_print_object(c, &a, 0);
    ctl_answer_deinit(&a);
    return CTL_DONE;
}

const ctl_command ctl_queue_commands[] = {
    {"queue delete", "NAME [--force] [--yes]", "Delete a queue that no job names",
     "Refused while a job that has not ended, or a dead one, names it, and when it is the last one.\n"
     "  --force: cancel and delete its jobs, too, running ones as well\n"
     "  --yes: do not ask on a terminal before more than 100 jobs\n",
     queue_delete},
    {"queue list", "", "Queues, heaviest first", "", queue_list},
    {"queue pause", "NAME...", "Start nothing more of these queues", "", queue_pause},
    {"queue purge", "NAME... [--type T] [--dry-run] [--yes]", "Delete waiting jobs of these queues",
     "  --type T: only those of this type (may end in *)\n" CTL_ACT_HELP, queue_purge},
    {"queue resume", "NAME...", "Start jobs of these queues again", "", queue_resume},
    {"queue set", "NAME [--weight N] [--priorities A-B] [--max-len N] [--retention D]", "Create a queue, or change what is named",
     "Example: dureqctl queue set bulk --weight 1 --max-len 1000000 --retention 1h\n", queue_set},
    {NULL, NULL, NULL, NULL, NULL},
};

const ctl_command ctl_node_commands[] = {
    {"node drain", "NODE...", "Take no more work on these nodes", "", node_drain},
    {"node list", "", "Nodes that are alive", "", node_list},
    {"node undrain", "NODE...", "Take work again", "", node_undrain},
    {NULL, NULL, NULL, NULL, NULL},
};
