/* SPDX-License-Identifier: Apache-2.0 */
#include "api/scope.h"

#include <dureq/schedule.h>

#include "client/client.h"

bool dq_api_is_limited(const dq_api_ctx *c)
{
    return !dq_scope_is_open(c->req->scope);
}

static int outside(dureq_error *err, const char *what, const char *name)
{
    return dq_fail(err, DUREQ_EPERM, "%s '%.64s' is outside the queues or task types that this token is limited to", what, name);
}

static int check_fits(const dq_api_ctx *c, const dureq_job *job, const char *what, const char *name, dureq_error *err)
{
    return dq_scope_fits(c->req->scope, job->queue, job->task_type) ? 0 : outside(err, what, name);
}

static int check_schedule(dq_api_ctx *c, const char *id, dureq_error *err)
{
    dureq_schedule_list *list;
    int rc = dureq_client_get_schedule(c->client, id, &list, err);

    if (rc < 0)
        return rc;
    rc = check_fits(c, &list->items[0].job, "schedule", id, err);
    dureq_schedule_list_destroy(list);
    return rc;
}

/* What looks like a job may be the template of a schedule, which has an id like one. */
int dq_api_check_job(dq_api_ctx *c, const char *id, dureq_error *err)
{
    dureq_job_list *list;
    int rc;

    if (!dq_api_is_limited(c))
        return 0;
    rc = dureq_client_get_job(c->client, id, &list, err);
    if (rc == DUREQ_ENOTFOUND)
        return check_schedule(c, id, NULL) == DUREQ_EPERM ? outside(err, "schedule", id) : rc;
    if (rc < 0)
        return rc;
    rc = check_fits(c, &list->items[0], "job", id, err);
    dureq_job_list_destroy(list);
    return rc;
}

/* "<job>.<n>" */
static int check_run(dq_api_ctx *c, const char *id, dureq_error *err)
{
    dureq_str rest = dureq_str_from(id);
    const char *job = dq_arena_dup(&c->arena, dq_str_cut(&rest, '.'));

    return job ? dq_api_check_job(c, job, err) : dq_fail_nomem(err);
}

static int check_key(dq_api_ctx *c, const char *key, dureq_error *err)
{
    dureq_job_id id;
    int64_t ttl_ms;
    int rc = dureq_client_get_unique_key(c->client, dureq_str_from(key), &id, &ttl_ms, err);

    if (rc == DUREQ_ENOTFOUND)
        return 0; /* nobody holds it */
    if (rc == 0)
        rc = dq_api_check_job(c, id.text, err);
    return rc == DUREQ_ENOTFOUND ? outside(err, "the holder of key", key) : rc;
}

/* What acts on a queue acts on jobs of all types in it, but for a purge of one type. */
static int check_queue(const dq_api_ctx *c, const dq_api_route *route, const char *name, dureq_error *err)
{
    const char *type = dq_api_query(c, "type");

    if (!dq_scope_has_queue(c->req->scope, dureq_str_from(name)))
        return outside(err, "queue", name);
    if (!c->req->scope->types || strcmp(route->method, "GET") == 0)
        return 0;
    if (type && dq_scope_has_type(c->req->scope, dureq_str_from(type)))
        return 0;
    return dq_fail(err, DUREQ_EPERM, "this acts on jobs of %s, and this token is limited to some task types",
                   type ? "another task type" : "all task types of a queue");
}

/* Figures are of what is named. */
static int check_named(const dq_api_ctx *c, dureq_error *err)
{
    const char *queue = dq_api_query(c, "queue"), *type = dq_api_query(c, "type");

    if (c->req->scope->queues && !(queue && dq_scope_has_queue(c->req->scope, dureq_str_from(queue))))
        return dq_fail(err, DUREQ_EPERM, "this token is limited to some queues: name one of them by the parameter 'queue'");
    if (c->req->scope->types && !(type && dq_scope_has_type(c->req->scope, dureq_str_from(type))))
        return dq_fail(err, DUREQ_EPERM, "this token is limited to some task types: name one of them by the parameter 'type'");
    return 0;
}

static int check_target(dq_api_ctx *c, dureq_error *err)
{
    const char *target = dq_api_query(c, "target");
    int rc;

    if (!target)
        return dq_fail(err, DUREQ_EPERM, "this token is limited: name a job by the parameter 'target'");
    rc = dq_api_check_job(c, target, err);
    if (rc != DUREQ_EINVAL)
        return rc;
    return c->req->scope->queues && !c->req->scope->types && dq_scope_has_queue(c->req->scope, dureq_str_from(target))
               ? 0
               : outside(err, "target", target);
}

int dq_api_check_scope(dq_api_ctx *c, const dq_api_route *route, dureq_error *err)
{
    if (!dq_api_is_limited(c))
        return 0;
    switch (route->scope) {
    case DQ_API_SCOPE_OPEN:
    case DQ_API_SCOPE_OWN: return 0;
    case DQ_API_SCOPE_JOB: return dq_api_check_job(c, c->vars[0], err);
    case DQ_API_SCOPE_RUN: return check_run(c, c->vars[0], err);
    case DQ_API_SCOPE_SCHEDULE: return check_schedule(c, c->vars[0], err);
    case DQ_API_SCOPE_KEY: return check_key(c, c->vars[0], err);
    case DQ_API_SCOPE_QUEUE: return check_queue(c, route, c->vars[0], err);
    case DQ_API_SCOPE_NAMED: return check_named(c, err);
    case DQ_API_SCOPE_TARGET: return check_target(c, err);
    case DQ_API_SCOPE_NONE: break;
    }
    return dq_fail(err, DUREQ_EPERM, "this is about all queues and task types, and this token is limited to some");
}

/* Which queue a job comes to by its priority is known to the queues alone. */
int dq_api_check_spec(const dq_api_ctx *c, const dureq_job_spec *spec, dureq_error *err)
{
    const char *queue = spec->options ? spec->options->queue : NULL;

    if (!dq_api_is_limited(c))
        return 0;
    if (!dq_scope_has_type(c->req->scope, dureq_str_from(spec->task_type)))
        return outside(err, "task type", spec->task_type);
    if (!c->req->scope->queues || (queue && dq_scope_has_queue(c->req->scope, dureq_str_from(queue))))
        return 0;
    return queue ? outside(err, "queue", queue)
                 : dq_fail(err, DUREQ_EPERM, "this token is limited to some queues: name one of them by the field 'queue'");
}

int dq_api_list_jobs(dq_api_ctx *c, const dureq_job_filter *f, dureq_job_list **ret, dureq_error *err)
{
    return dq_client_list_jobs_within(c->client, f, c->req->scope, ret, err);
}
