/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules read back: one with what it did, or page by page, shard after shard. */
#include "client/schedule_view.h"

#include <stdio.h>

#include "base/date.h"
#include "redis/resp.h"

#define LIST_DEFAULT 10
#define LIST_MAX     1000
#define PAGE_BYTES   (512 * 1024)

typedef struct owner {
    dq_arena arena;
} owner;

void dureq_schedule_list_destroy(dureq_schedule_list *list)
{
    if (!list)
        return;
    if (list->owner)
        dq_arena_deinit(&((owner *)list->owner)->arena);
    dq_free(list->owner);
    dq_free(list->items);
    dq_free(list);
}

dureq_schedule_list *dq_schedule_list_create(size_t room)
{
    dureq_schedule_list *list = dq_calloc(1, sizeof *list);

    if (!list)
        return NULL;
    list->owner = dq_calloc(1, sizeof(owner));
    list->items = dq_calloc(room, sizeof *list->items);
    if (list->owner && list->items)
        return list;
    dureq_schedule_list_destroy(list);
    return NULL;
}

static dq_arena *arena_of(dureq_schedule_list *list)
{
    return &((owner *)list->owner)->arena;
}

/* ---- one ---- */

dureq_str dq_schedule_newest(const dq_schedule_view *v)
{
    dq_schedule_edit edit;

    if (v->edit.len && dq_schedule_edit_unpack(v->edit, &edit) == 0)
        return edit.rest;
    return v->definition;
}

/* What the leader has not computed yet, it will find like this. */
static int64_t next_of(const dq_schedule_view *v, const dureq_schedule *s, dq_zones *zones)
{
    int64_t from = v->state.cursor, next = 0;
    dq_schedule_edit edit;
    dq_calendar c;

    if (v->state.flags & DQ_SCHEDULE_ENDED)
        return 0;
    if (!v->edit.len && v->state.next)
        return v->state.next;
    if (v->edit.len && dq_schedule_edit_unpack(v->edit, &edit) == 0)
        from = DQ_MAX(from, dq_floor_div(edit.at_ms, 1000));
    if (dq_schedule_open(&c, s, v->state.created_ms, zones, NULL) < 0)
        return 0;
    if (!dq_calendar_next(&c, from, &next))
        next = 0;
    dq_calendar_deinit(&c);
    return next;
}

static const char *what_text(dq_record_kind kind)
{
    return kind == DQ_RECORD_FIRED ? "fired" : kind == DQ_RECORD_SKIPPED ? "skipped" : "held";
}

/* Newest first. */
static int add_records(dq_arena *a, const dq_schedule_view *v, dureq_schedule_info *info)
{
    dureq_schedule_record *records;
    dq_reply at = v->records;

    if (v->n_records == 0)
        return 0;
    records = dq_arena_alloc(a, v->n_records * sizeof *records);
    if (!records)
        return DUREQ_ENOMEM;
    for (size_t i = v->n_records; i > 0; i--) {
        dureq_schedule_record *out = &records[i - 1];
        dq_schedule_record r;
        dq_id job;

        if (dq_schedule_record_unpack(dq_reply_str(at), &r) < 0)
            return DUREQ_EPROTO;
        *out = (dureq_schedule_record){.what = what_text(r.kind),
                                       .reason = dq_schedule_reason(r.reason),
                                       .at_ms = r.at_ms,
                                       .first_ms = r.first * 1000,
                                       .last_ms = r.last * 1000,
                                       .n = r.n};
        if (dq_id_unpack(r.job, &job))
            dq_id_to_text(&job, &out->job_id);
        if (i > 1)
            at = dq_reply_next(at);
    }
    info->records = records;
    info->n_records = v->n_records;
    return 0;
}

static void set_status(const dq_schedule_view *v, dureq_schedule_info *info)
{
    unsigned flags = v->state.flags;

    info->status = flags & DQ_SCHEDULE_ENDED ? "completed" : flags & DQ_SCHEDULE_PAUSED ? "paused" : "active";
    info->reason = flags & DQ_SCHEDULE_FAILED ? "failure" : flags & DQ_SCHEDULE_HELD ? "queue" : "";
    info->created_at_ms = v->state.created_ms;
    info->n_dispatched = v->state.n_taken;
    info->n_skipped = v->state.n_skipped;
    info->n_active = v->n_active;
    info->n_buffered = v->n_buffered;
}

int dq_schedule_list_add(dureq_schedule_list *list, const dq_schedule_view *v, dq_zones *zones, dureq_error *err)
{
    dureq_schedule_info *info = &list->items[list->n];
    dq_arena *a = arena_of(list);
    dureq_str packed = dq_arena_dup_str(a, dq_schedule_newest(v));
    dq_definition d;
    dq_id id;
    int rc = dq_definition_unpack(packed, a, &d);

    if (rc == 0 && !dq_id_unpack(v->id, &id))
        rc = DUREQ_EPROTO;
    if (rc < 0)
        return dq_fail(err, rc, "what Redis holds of a schedule cannot be read");
    *info = (dureq_schedule_info){.key = d.key, .schedule = d.schedule};
    dq_job_parts parts = {
        .id = id, .state = DUREQ_JOB_SCHEDULED, .lane_name = d.lane_name, .j = d.j, .blob = dq_arena_dup_str(a, v->payload)};
    rc = dq_job_from_parts(&parts, NULL, NULL, a, &info->job, err);
    if (rc < 0)
        return rc;
    info->job.unique_key = d.unique_key;
    dq_id_to_text(&id, &info->id);
    set_status(v, info);
    info->next_at_ms = next_of(v, &info->schedule, zones) * 1000;
    info->job.run_at_ms = info->next_at_ms;
    rc = add_records(a, v, info);
    if (rc < 0)
        return dq_fail(err, rc, "what Redis holds of what a schedule did cannot be read");
    list->n++;
    return 0;
}

int dq_schedule_id_parse(const dureq_client *c, const char *id, dq_id *ret, unsigned char packed[DQ_ID_BYTES], dureq_error *err)
{
    int rc = dq_parse_job_id(id, c, ret, packed, err);

    if (rc == 0 && ret->lane != 0)
        return dq_fail(err, DUREQ_ENOTFOUND, "no schedule %s: this is the id of a job", id);
    return rc;
}

int dq_schedule_read(dureq_client *c, unsigned shard, dureq_str id, dureq_str key, dq_owned_reply *ret_reply,
                     dq_schedule_view *ret, dureq_error *err)
{
    dq_buf call = {0};
    int rc;

    dq_call_schedule_get(&call, dq_client_keys(c), shard, id, key, /*with_records=*/true);
    rc = dq_client_call(c, shard, DQ_CALL_REPEAT | DQ_CALL_LARGE, &call, ret_reply, err);
    if (rc < 0)
        return rc;
    rc = dq_schedule_view_decode(ret_reply->reply, ret);
    if (rc == 0)
        return 0;
    dq_owned_reply_deinit(ret_reply);
    return rc == DUREQ_ENOTFOUND ? rc : dq_fail(err, rc, "what Redis holds of a schedule cannot be read");
}

/* The reply is given up; the list is the caller's. */
static int give(dq_owned_reply *reply, const dq_schedule_view *v, dureq_schedule_list **ret, dureq_error *err)
{
    dureq_schedule_list *list = dq_schedule_list_create(1);
    int rc = list ? dq_schedule_list_add(list, v, NULL, err) : dq_fail_nomem(err);

    dq_owned_reply_deinit(reply);
    if (rc < 0)
        dureq_schedule_list_destroy(list);
    else
        *ret = list;
    return rc;
}

int dureq_client_get_schedule(dureq_client *c, const char *id, dureq_schedule_list **ret, dureq_error *err)
{
    unsigned char packed[DQ_ID_BYTES];
    dq_owned_reply reply;
    dq_schedule_view v;
    dq_id parsed;
    int rc;

    if (!c || !id || !ret)
        return dq_fail(err, DUREQ_EINVAL, "client, id and ret must be given");
    rc = dq_schedule_id_parse(c, id, &parsed, packed, err);
    if (rc < 0)
        return rc;
    dq_client_enter(c);
    rc = dq_schedule_read(c, parsed.shard, dureq_str_of(packed, sizeof packed), (dureq_str){0}, &reply, &v, err);
    if (rc == DUREQ_ENOTFOUND)
        (void)dq_fail(err, rc, "no schedule %s", id);
    if (rc == 0)
        rc = give(&reply, &v, ret, err);
    dq_client_leave(c);
    return rc;
}

int dureq_client_get_schedule_by_key(dureq_client *c, dureq_str key, dureq_schedule_list **ret, dureq_error *err)
{
    dq_owned_reply reply;
    dq_schedule_view v;
    int rc;

    if (!c || !ret)
        return dq_fail(err, DUREQ_EINVAL, "client and ret must be given");
    rc = dq_key_check("key", key, err);
    if (rc < 0)
        return rc;
    dq_client_enter(c);
    rc = dq_schedule_read(c, dq_keys_shard_of(dq_client_keys(c), key), (dureq_str){0}, key, &reply, &v, err);
    if (rc == DUREQ_ENOTFOUND)
        (void)dq_fail(err, rc, "no schedule of this key");
    if (rc == 0)
        rc = give(&reply, &v, ret, err);
    dq_client_leave(c);
    return rc;
}

/* ---- pages ---- */

/* "shard.score.id": after that one. */
typedef struct cursor {
    int64_t shard;
    dureq_str score;
    unsigned char id[DQ_ID_BYTES];
    size_t id_len;
} cursor;

static int cursor_read(const char *text, const dq_keys *k, cursor *ret, dureq_error *err)
{
    dureq_str rest = dureq_str_from(text), shard = dq_str_cut(&rest, '.');
    dq_id id;

    *ret = (cursor){0};
    if (!text || !*text)
        return 0;
    ret->score = dq_str_cut(&rest, '.');
    if (dq_parse_i64(shard, 0, k->n_shards - 1, &ret->shard) < 0 || ret->score.len > 32)
        return dq_fail(err, DUREQ_EINVAL, "cursor is not one that a page gave");
    if (ret->score.len == 0)
        return 0;
    if (dq_id_parse(rest, &id) < 0)
        return dq_fail(err, DUREQ_EINVAL, "cursor is not one that a page gave");
    for (size_t i = 0; i < ret->score.len; i++)
        if (!strchr("0123456789.e+inf", ret->score.ptr[i]))
            return dq_fail(err, DUREQ_EINVAL, "cursor is not one that a page gave");
    dq_id_pack(&id, ret->id);
    ret->id_len = DQ_ID_BYTES;
    return 0;
}

/* Rows of one shard; *ret_last is the last of them. */
static int add_page(dureq_client *c, const cursor *at, size_t limit, dureq_schedule_list *list, dq_zones *zones, bool *ret_more,
                    dq_buf *ret_last, dureq_error *err)
{
    unsigned shard = (unsigned)at->shard;
    dq_owned_reply reply;
    dq_schedules_page page;
    dq_buf call = {0};
    int rc;

    dq_call_schedules_page(&call, dq_client_keys(c), shard, at->score, dureq_str_of(at->id, at->id_len), (int)limit, PAGE_BYTES);
    rc = dq_client_call(c, shard, DQ_CALL_REPEAT | DQ_CALL_LARGE, &call, &reply, err);
    if (rc < 0)
        return rc;
    rc = dq_schedules_page_decode(&reply.reply, &page);
    dq_reply row = page.rows;
    for (size_t i = 0; rc == 0 && i < page.n; i++) {
        dq_schedule_view v;

        if (i > 0)
            row = dq_reply_next(row);
        rc = dq_schedule_view_decode(row, &v);
        if (rc == 0)
            rc = dq_schedule_list_add(list, &v, zones, err);
        if (rc == 0 && i + 1 == page.n) {
            const char *id = list->items[list->n - 1].id.text;

            dq_buf_append_fmt(ret_last, "%u." DQ_STR_FMT ".%s", shard, DQ_STR_ARG(v.score), id);
        }
    }
    *ret_more = rc == 0 && page.more;
    dq_owned_reply_deinit(&reply);
    return rc == DUREQ_EPROTO ? dq_fail(err, rc, "what Redis holds of a schedule cannot be read") : rc;
}

static int count_all(dureq_client *c, int64_t *ret, dureq_error *err)
{
    for (unsigned s = 0; s < dq_client_keys(c)->n_shards; s++) {
        dq_owned_reply reply;
        dq_schedules_page page;
        dq_buf call = {0};
        int rc;

        dq_call_schedules_page(&call, dq_client_keys(c), s, DQ_STR_LIT("inf"), (dureq_str){0}, 0, 0);
        rc = dq_client_call(c, s, DQ_CALL_REPEAT, &call, &reply, err);
        if (rc < 0)
            return rc;
        rc = dq_schedules_page_decode(&reply.reply, &page);
        dq_owned_reply_deinit(&reply);
        if (rc < 0)
            return dq_fail(err, rc, "the answer of schedules_page cannot be read");
        *ret += page.total;
    }
    return 0;
}

static int list_schedules(dureq_client *c, size_t limit, cursor *at, dureq_schedule_list *list, dureq_error *err)
{
    DQ_CLEANUP(dq_zones_destroy_p) dq_zones *zones = NULL;
    DQ_BUF_AUTO last = {0};
    bool more = false;
    int rc = dq_zones_create(NULL, &zones, err);

    if (rc == 0)
        rc = count_all(c, &list->total, err);
    while (rc == 0 && list->n < limit && at->shard < dq_client_keys(c)->n_shards) {
        dq_buf_clear(&last);
        rc = add_page(c, at, limit - list->n, list, zones, &more, &last, err);
        if (more)
            break;
        *at = (cursor){.shard = at->shard + 1};
    }
    if (rc == 0 && !more && at->shard < dq_client_keys(c)->n_shards) {
        dq_buf_clear(&last);
        dq_buf_append_fmt(&last, "%lld..", (long long)at->shard);
        more = true;
    }
    if (rc == 0 && more) {
        list->next_cursor = dq_arena_dup_str(arena_of(list), dq_buf_str(&last));
        rc = dq_buf_failed(&last) || !list->next_cursor.ptr ? dq_fail_nomem(err) : 0;
    }
    return rc;
}

int dureq_client_list_schedules(dureq_client *c, int32_t limit, const char *text, dureq_schedule_list **ret, dureq_error *err)
{
    dureq_schedule_list *list;
    cursor at;
    int rc;

    if (!c || !ret)
        return dq_fail(err, DUREQ_EINVAL, "client and ret must be given");
    if (limit < 0 || limit > LIST_MAX)
        return dq_fail(err, DUREQ_EINVAL, "limit takes 1 to %d, not %d", LIST_MAX, (int)limit);
    limit = limit ? limit : LIST_DEFAULT;
    dq_client_enter(c);
    rc = cursor_read(text, dq_client_keys(c), &at, err);
    list = rc == 0 ? dq_schedule_list_create((size_t)limit) : NULL;
    if (rc == 0)
        rc = list ? list_schedules(c, (size_t)limit, &at, list, err) : dq_fail_nomem(err);
    dq_client_leave(c);
    if (rc < 0)
        dureq_schedule_list_destroy(list);
    else
        *ret = list;
    return rc;
}
