/* SPDX-License-Identifier: Apache-2.0 */

/* The worker of festival_with_mux.c alone: it makes no schedules, and runs what others scheduled. Whoever has the command line may do that:

       dureqctl schedule create festival.music --cron '@every 1s' --header stage=large

       festival_mux_just_server [redis://host:port]     DUREQ_REDIS_URL and DUREQ_PREFIX are read too */

#include <dureq/dureq.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- middleware ---- */

/* Around every handler of the node. Of an occurrence it says how late it began, counted from when it came round. */
static int timed(dureq_run *run, dureq_next_fn next, void *next_data, void *userdata)
{
    int64_t at_ms = 0;
    int rc;

    (void)userdata;
    if (dureq_run_schedule(run, NULL, &at_ms))
        printf("[log] %s came round, dispatched after %d ms\n", dureq_run_task_type(run),
               (int)(dureq_run_enqueued_at_ms(run) - at_ms));
    rc = next(run, next_data);
    printf("[log] %s ends with %s\n", dureq_run_task_type(run), rc == 0 ? "0" : dureq_errcode_name(rc));
    return rc;
}

/* Around the handler it was given with: whose turn it is stands in a header, which each occurrence has from its schedule. */
static int stage_required(dureq_run *run, dureq_next_fn next, void *next_data, void *userdata)
{
    (void)userdata;
    if (dureq_run_header(run, "stage").len == 0)
        return dureq_run_fail(run, 0, "no stage");
    return next(run, next_data);
}

/* ---- handlers ---- */

/* "festival.*": every type that begins so. */
static int festival(dureq_run *run, void *userdata)
{
    const char *what = dureq_run_task_type(run) + strlen("festival.");
    dureq_str stage = dureq_run_header(run, "stage");

    (void)userdata;
    printf("%s on the %.*s stage, by %s\n", what, (int)stage.len, stage.ptr, dureq_run_node_id(run));
    return 0;
}

static int register_all(dureq_node *node, dureq_error *err)
{
    static const dureq_middleware inner[] = {{stage_required, NULL}};
    dureq_handler_options options = dureq_handler_options_init();
    int rc;

    options.middleware = inner;
    options.n_middleware = sizeof inner / sizeof inner[0];
    rc = dureq_node_use(node, timed, NULL, err);
    if (rc == 0)
        rc = dureq_node_handle(node, "festival.*", festival, NULL, &options, err);
    return rc;
}

int main(int argc, char **argv)
{
    dureq_node_options opts = dureq_node_options_init();
    const char *url = argc > 1 ? argv[1] : getenv("DUREQ_REDIS_URL");
    dureq_node *node = NULL;
    dureq_error err = {0, 0, ""};
    int rc;

    (void)setvbuf(stdout, NULL, _IOLBF, BUFSIZ); /* whoever reads this waits for lines */
    opts.redis_url = url ? url : "redis://127.0.0.1:6379";
    opts.prefix = getenv("DUREQ_PREFIX");
    rc = dureq_node_create(&opts, &node, &err);
    if (rc == 0)
        rc = register_all(node, &err);
    if (rc == 0)
        rc = dureq_node_start(node, &err);
    if (rc == 0) {
        printf("%s takes jobs\n", dureq_node_id(node));
        rc = dureq_node_run_until_signal(node, &err);
    }
    if (rc != 0)
        fprintf(stderr, "festival_mux_just_server: %s: %s\n", dureq_errcode_name(rc), err.msg);
    dureq_node_destroy(node);
    return rc == 0 ? 0 : 1;
}
