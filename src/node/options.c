/* SPDX-License-Identifier: Apache-2.0 */
#include <unistd.h>

#include "base/random.h"
#include "node/node_internal.h"
#include "worker/pool.h"

#define CONCURRENCY_DEFAULT 100
#define CONCURRENCY_MAX     65536
#define LEASE_DEFAULT_MS    5000
#define LEASE_MIN_MS        200
#define LEASE_MAX_MS        3600000
#define SHUTDOWN_DEFAULT_MS 30000
#define MAX_CRASHES_DEFAULT 3
#define HOUR_MS             3600000LL
#define STACK_MIN           (64 * 1024)
#define STACK_MAX           (1024 * 1024 * 1024)
#define RETENTION_MAX_MS    (100 * 366 * 24 * HOUR_MS)

/* Host name and six letters; of characters that a name takes. */
static char *make_node_id(void)
{
    char host[64] = "node";
    uint64_t r = 0;
    dq_buf b = {0};

    (void)gethostname(host, sizeof host - 1);
    (void)dq_random_bytes(&r, sizeof r, NULL);
    for (char *p = host; *p; p++)
        dq_buf_append_char(&b, dq_name_check("host", dureq_str_of(p, 1), NULL) == 0 ? *p : '-');
    dq_buf_append_char(&b, '-');
    for (int i = 0; i < 6; i++, r /= 26)
        dq_buf_append_char(&b, (char)('a' + r % 26));
    return dq_buf_take(&b);
}

static int check_numbers(const dureq_node_options *o, dureq_error *err)
{
    if (o->concurrency < 0 || o->concurrency > CONCURRENCY_MAX)
        return dq_fail(err, DUREQ_EINVAL, "concurrency takes 1 to %d, or 0 for %d", CONCURRENCY_MAX, CONCURRENCY_DEFAULT);
    if (o->threads < 0 || o->threads > CONCURRENCY_MAX)
        return dq_fail(err, DUREQ_EINVAL, "threads takes 1 to %d, or 0 for as many as concurrency", CONCURRENCY_MAX);
    if (o->lease_ms != 0 && (o->lease_ms < LEASE_MIN_MS || o->lease_ms > LEASE_MAX_MS))
        return dq_fail(err, DUREQ_EINVAL, "lease_ms takes %d to %d, or 0 for %d", LEASE_MIN_MS, LEASE_MAX_MS, LEASE_DEFAULT_MS);
    if (o->stack_size != 0 && (o->stack_size < STACK_MIN || o->stack_size > STACK_MAX))
        return dq_fail(err, DUREQ_EINVAL, "stack_size takes %d to %d bytes, or 0 for %d", STACK_MIN, STACK_MAX,
                       DQ_POOL_STACK_BYTES);
    if (o->shutdown_timeout_ms < 0)
        return dq_fail(err, DUREQ_EINVAL, "shutdown_timeout_ms takes 1 or more, or 0 for %d", SHUTDOWN_DEFAULT_MS);
    if (o->max_crashes < 0 || o->max_crashes > 255)
        return dq_fail(err, DUREQ_EINVAL, "max_crashes takes 1 to 255, or 0 for %d", MAX_CRASHES_DEFAULT);
    if (o->max_payload_bytes < 0 || o->max_payload_bytes > DUREQ_PAYLOAD_LIMIT_MAX)
        return dq_fail(err, DUREQ_EINVAL, "max_payload_bytes takes 1 to %d, or 0 for 1 MiB", DUREQ_PAYLOAD_LIMIT_MAX);
    if (o->shards < 0 || o->shards > 256)
        return dq_fail(err, DUREQ_EINVAL, "shards takes 1 to 256, or 0 for 1");
    if (o->history_max_bytes < -1)
        return dq_fail(err, DUREQ_EINVAL, "history_max_bytes takes a number of bytes, 0 for the default or -1 for no cap");
    return 0;
}

static int check_retentions(const dureq_node_options *o, dureq_error *err)
{
    const struct {
        const char *name;
        int64_t ms, min, forever;
    } rows[] = {
        {"dead_retention_ms", o->dead_retention_ms, 1, -1},
        {"audit_retention_ms", o->audit_retention_ms, 1, -1},
        {"stats_minutes_retention_ms", o->stats_minutes_retention_ms, HOUR_MS, 0},
        {"stats_hours_retention_ms", o->stats_hours_retention_ms, 24 * HOUR_MS, 0},
        {"stats_days_retention_ms", o->stats_days_retention_ms, 24 * HOUR_MS, 0},
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++)
        if (rows[i].ms != 0 && rows[i].ms != rows[i].forever && (rows[i].ms < rows[i].min || rows[i].ms > RETENTION_MAX_MS))
            return dq_fail(err, DUREQ_EINVAL, "%s takes %lld ms to 100 years, 0 for the default%s", rows[i].name,
                           (long long)rows[i].min, rows[i].forever ? " or -1 for ever" : "");
    return 0;
}

int dq_node_take_options(dureq_node *n, const dureq_node_options *given, dureq_error *err)
{
    int rc;

    rc = dq_options_adopt(&n->o, sizeof n->o, given, "node options", err);
    const char *url = n->o.redis_url, *prefix = n->o.prefix, *node_id = n->o.node_id;
    n->o.redis_url = n->o.prefix = n->o.node_id = NULL; /* ours from here on */
    if (rc < 0)
        return rc;
    if (!url)
        return dq_fail(err, DUREQ_EINVAL, "redis_url is missing: it takes redis://, rediss:// or unix://");
    if (node_id) {
        rc = dq_name_check("node_id", dureq_str_from(node_id), err);
        if (rc < 0)
            return rc;
    }
    rc = check_numbers(&n->o, err);
    if (rc == 0)
        rc = check_retentions(&n->o, err);
    if (rc < 0)
        return rc;
    n->o.redis_url = dq_strdup(url);
    n->o.prefix = dq_strdup(prefix ? prefix : "dureq");
    n->o.node_id = node_id ? dq_strdup(node_id) : make_node_id();
    if (!n->o.redis_url || !n->o.prefix || !n->o.node_id)
        return dq_fail_nomem(err);
    if (n->o.concurrency == 0)
        n->o.concurrency = CONCURRENCY_DEFAULT;
    if (n->o.threads == 0)
        n->o.threads = n->o.concurrency;
    n->o.lease_ms = n->o.lease_ms ? n->o.lease_ms : LEASE_DEFAULT_MS;
    n->o.shutdown_timeout_ms = n->o.shutdown_timeout_ms ? n->o.shutdown_timeout_ms : SHUTDOWN_DEFAULT_MS;
    n->o.max_crashes = n->o.max_crashes ? n->o.max_crashes : MAX_CRASHES_DEFAULT;
    n->log = (dq_log){.fn = n->o.log_fn, .userdata = n->o.log_userdata, .level = n->o.log_level};
    return 0;
}

void dq_node_drop_options(dureq_node *n)
{
    dq_free((char *)n->o.redis_url);
    dq_free((char *)n->o.prefix);
    dq_free((char *)n->o.node_id);
}
