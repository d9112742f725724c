/* SPDX-License-Identifier: Apache-2.0 */
/* A list of one job as the job itself. */
#include <dureq/client.h>

#include "base/base.h"

typedef struct one_job {
    dureq_job job; /* first: what the caller has */
    dureq_job_list *list;
} one_job;

/* Takes the list, also when it fails. */
static int give(dureq_job_list *list, dureq_job **ret, dureq_error *err)
{
    one_job *one = dq_malloc(sizeof *one);

    if (!one) {
        dureq_job_list_destroy(list);
        return dq_fail_nomem(err);
    }
    one->job = list->items[0];
    one->list = list;
    *ret = &one->job;
    return 0;
}

int dureq_client_get_one(dureq_client *client, const char *id, dureq_job **ret, dureq_error *err)
{
    dureq_job_list *list;
    int rc;

    if (!ret)
        return dq_fail(err, DUREQ_EINVAL, "ret must be given");
    rc = dureq_client_get_job(client, id, &list, err);
    return rc < 0 ? rc : give(list, ret, err);
}

int dureq_client_wait_one(dureq_client *client, const char *id, int64_t timeout_ms, dureq_job **ret, dureq_error *err)
{
    dureq_job_list *list;
    int rc;

    if (!ret)
        return dq_fail(err, DUREQ_EINVAL, "ret must be given");
    rc = dureq_client_wait(client, id, timeout_ms, &list, err);
    return rc < 0 ? rc : give(list, ret, err);
}

void dureq_job_destroy(dureq_job *job)
{
    one_job *one = job ? dq_container_of(job, one_job, job) : NULL;

    if (one)
        dureq_job_list_destroy(one->list);
    dq_free(one);
}
