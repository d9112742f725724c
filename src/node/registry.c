/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers of a node: registered before it starts, or into a set that takes their place while it runs. */

#include <sys/stat.h>
#include <unistd.h>

#include "json/json.h"
#include "node/node_internal.h"

/* ---- registering ---- */

static int may_register(const dureq_node *n, dureq_error *err)
{
    if (!n)
        return dq_fail(err, DUREQ_EINVAL, "node must be given");
    if (n->started && !n->is_staging)
        return dq_fail(err, DUREQ_ECONFLICT, "handlers are registered before the node is started");
    return 0;
}

static dq_handlers *set_of(dureq_node *n)
{
    return n->is_staging ? &n->staged : &n->handlers;
}

int dureq_node_use(dureq_node *n, dureq_middleware_fn fn, void *userdata, dureq_error *err)
{
    int rc = may_register(n, err);

    if (rc < 0)
        return rc;
    return fn ? dq_handlers_use(&n->handlers, fn, userdata, err) : dq_fail(err, DUREQ_EINVAL, "fn must be given");
}

int dureq_node_handle(dureq_node *n, const char *task_type, dureq_handler_fn fn, void *userdata,
                      const dureq_handler_options *opts, dureq_error *err)
{
    int rc = may_register(n, err);

    if (rc < 0)
        return rc;
    if (!fn || !task_type)
        return dq_fail(err, DUREQ_EINVAL, "task_type and fn must be given");
    return dq_handlers_add(set_of(n), task_type, fn, NULL, userdata, opts, err);
}

int dq_node_handle_external(dureq_node *n, const char *task_type, const dq_external_ops *ops, void *userdata,
                            const dureq_handler_options *opts, dureq_error *err)
{
    int rc = may_register(n, err);

    return rc < 0 ? rc : dq_handlers_add(set_of(n), task_type, NULL, ops, userdata, opts, err);
}

/* ---- what others see of them ---- */

void dq_node_make_info(const dureq_node *n, const dq_handlers *handlers, dq_buf *out)
{
    dq_json_writer w = dq_json_writer_of(out);
    DQ_BUF_AUTO types = {0};
    char host[256] = "";
    struct stat space;

    (void)gethostname(host, sizeof host - 1);
    dq_handlers_names(handlers, &types);
    dq_json_begin_object(&w);
    dq_json_set_str(&w, "task_types", dq_buf_str(&types));
    dq_json_set_text(&w, "version", dureq_version());
    dq_json_set_text(&w, "host", host);
    dq_json_set_i64(&w, "pid", getpid());
    if (stat("/proc/self/ns/pid", &space) == 0)
        dq_json_set_i64(&w, "pid_space", (int64_t)space.st_ino);
    dq_json_set_text(&w, "instance", n->instance);
    dq_json_set_i64(&w, "concurrency", n->o.concurrency);
    dq_json_end_object(&w);
}

/* ---- other handlers while it runs ---- */

int dq_node_handlers_begin(dureq_node *n, dureq_error *err)
{
    if (!n->started || n->is_staging)
        return dq_fail(err, DUREQ_ECONFLICT, "handlers are replaced while the node runs, one set at a time");
    if (atomic_load_explicit(&n->is_swapping, memory_order_acquire))
        return dq_fail(err, DUREQ_ECONFLICT, "the handlers are being replaced already");
    n->is_staging = true;
    return 0;
}

void dq_node_handlers_abort(dureq_node *n)
{
    n->is_staging = false;
    dq_handlers_drop(&n->staged);
}

static void run_swap(dq_message *m)
{
    dureq_node *n = dq_container_of(m, dureq_node, swap);
    void (*done)(void *userdata) = n->on_swapped;
    void *userdata = n->on_swapped_userdata;

    dq_worker_replace_handlers(n->worker, &n->staged, n->staged_info);
    n->staged_info = NULL;
    atomic_store_explicit(&n->is_swapping, false, memory_order_release);
    if (done)
        done(userdata);
}

int dq_node_handlers_commit(dureq_node *n, void (*done)(void *userdata), void *userdata, dureq_error *err)
{
    DQ_BUF_AUTO info = {0};
    int rc =
        n->staged.n > 0 ? dq_handlers_number(&n->staged, &n->handlers, err) : dq_fail(err, DUREQ_EINVAL, "no handler is left");

    if (rc == 0)
        dq_node_make_info(n, &n->staged, &info);
    if (rc == 0)
        rc = dq_buf_finish(&info, err);
    if (rc < 0) {
        dq_node_handlers_abort(n);
        return rc;
    }
    n->staged_info = dq_buf_take(&info);
    n->is_staging = false;
    n->on_swapped = done;
    n->on_swapped_userdata = userdata;
    n->swap.fn = run_swap;
    atomic_store_explicit(&n->is_swapping, true, memory_order_relaxed);
    dq_loop_post(n->loop, &n->swap);
    return 0;
}
