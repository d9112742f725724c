/* SPDX-License-Identifier: Apache-2.0 */
#include "api/snapshots.h"

#define AGE_MAX_US INT64_C(5000000)
#define TEXT_MAX   65536

static const struct {
    const char *name, *path;
} kinds[DQ_API_N_SNAPSHOTS] = {
    [DQ_API_SNAPSHOT_COUNTS] = {"counts", "/api/stats"},
    [DQ_API_SNAPSHOT_QUEUES] = {"queues", "/api/queues"},
    [DQ_API_SNAPSHOT_NODES] = {"nodes", "/api/nodes"},
};

void dq_api_snapshots_deinit(dq_api_snapshots *s)
{
    for (size_t i = 0; i < DQ_API_N_SNAPSHOTS; i++) {
        dq_buf_deinit(&s->kinds[i].text);
        dq_buf_deinit(&s->kinds[i].next);
    }
}

void dq_api_snapshots_forget(dq_api_snapshots *s)
{
    for (size_t i = 0; i < DQ_API_N_SNAPSHOTS; i++)
        dq_buf_deinit(&s->kinds[i].text);
    s->have = 0;
}

static unsigned kind_of(dureq_str name)
{
    for (unsigned i = 0; i < DQ_API_N_SNAPSHOTS; i++)
        if (dq_str_eq_text(name, kinds[i].name))
            return 1u << i;
    return 0;
}

int dq_api_snapshot_kinds(const char *text, unsigned *ret, dureq_error *err)
{
    dureq_str list = dureq_str_from(text);

    *ret = 0;
    while (list.len) {
        dureq_str name = dq_str_trim(dq_str_cut(&list, ','));
        unsigned kind = kind_of(name);

        if (!kind)
            return dq_fail(err, DUREQ_EINVAL, "parameter 'snapshot' takes counts, queues and nodes, not '%.*s'",
                           (int)DQ_MIN(name.len, (size_t)64), name.ptr);
        *ret |= kind;
    }
    return 0;
}

bool dq_api_snapshots_plan(dq_api_snapshots *s, unsigned wanted, uint64_t seen, int64_t now_us)
{
    bool is_fresh = (s->have & wanted) == wanted && s->seen == seen && now_us - s->read_at_us < AGE_MAX_US;

    if (is_fresh)
        return false;
    s->plan.kinds = wanted;
    s->plan.seen = seen;
    s->plan.at_us = now_us;
    return true;
}

static void put_message(dq_buf *out, size_t kind, const dq_api_response *res)
{
    dq_buf_clear(out);
    dq_buf_append_fmt(out, "{\"type\":\"stream.snapshot\",\"of\":\"%s\",", kinds[kind].name);
    if (res->status == 200 && res->body.len > TEXT_MAX) {
        dq_buf_append_text(out, "\"omitted\":true}");
        return;
    }
    dq_buf_append_text(out, res->status == 200 ? "\"data\":" : "\"failure\":");
    dq_buf_append_str(out, dq_buf_str(&res->body));
    dq_buf_append_char(out, '}');
}

void dq_api_snapshots_fetch(dq_api_snapshots *s, dureq_client *client)
{
    for (size_t i = 0; i < DQ_API_N_SNAPSHOTS; i++) {
        dq_api_request req = {.method = "GET", .path = kinds[i].path};
        dq_api_response res;

        if (!(s->plan.kinds >> i & 1))
            continue;
        dq_api_handle(client, &req, &res);
        if (res.body.len)
            put_message(&s->kinds[i].next, i, &res);
        s->kinds[i].is_read = res.status == 200;
        dq_api_response_deinit(&res);
    }
}

static bool publish_one(dq_api_snapshots *s, dq_api_snapshot *k)
{
    bool is_new = k->next.len && !dq_buf_failed(&k->next) && !dq_str_eq(dq_buf_str(&k->next), dq_buf_str(&k->text));

    if (is_new) {
        dq_buf_deinit(&k->text);
        k->text = k->next;
        k->next = (dq_buf){0};
        k->version = ++s->version;
    }
    dq_buf_deinit(&k->next);
    return is_new;
}

bool dq_api_snapshots_publish(dq_api_snapshots *s)
{
    unsigned have = 0;
    bool is_any_new = false;

    for (size_t i = 0; i < DQ_API_N_SNAPSHOTS; i++) {
        have |= s->plan.kinds >> i & 1 && s->kinds[i].is_read ? 1u << i : 0;
        is_any_new = publish_one(s, &s->kinds[i]) || is_any_new;
    }
    if (have == s->plan.kinds) { /* else some could not be read: the next time */
        s->have = have;
        s->seen = s->plan.seen;
        s->read_at_us = s->plan.at_us;
    }
    s->plan.kinds = 0;
    return is_any_new;
}
