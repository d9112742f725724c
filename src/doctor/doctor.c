/* SPDX-License-Identifier: Apache-2.0 */
/* The doctor: sends the store's bounded steps one after the other and puts the report together. Scripts find nearly every fault in one
   atomic step. What no step can see at once is settled here by looking again: a unique key and its job on another shard, a release that
   waits in an outbox, a shard's copies of definitions that are being changed (below), sums over a bucket's rows (doctor_history.c). */

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "doctor/doctor_internal.h"
#include "model/id.h"

#define FAULTS_DEFAULT    1000
#define SETTLE_DEFAULT_MS 500
#define SETTLE_STEP_MS    20

static int call(dq_doctor *d, unsigned shard, dq_buf *bytes, dq_owned_reply *ret, dureq_error *err)
{
    /* A repair whose reply was lost must not be made twice: the doctor is called again then. */
    return dq_client_call(d->client, shard, d->options.repair ? 0 : DQ_CALL_REPEAT, bytes, ret, err);
}

/* ---- report ---- */

static char *printable(dq_arena *a, dureq_str s)
{
    DQ_BUF_AUTO out = {0};

    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if (c < 0x20 || c > 0x7e || c == '\\')
            dq_buf_append_fmt(&out, "\\x%02x", c);
        else
            dq_buf_append_char(&out, (char)c);
    }
    return dq_buf_failed(&out) ? NULL : dq_arena_dup(a, dq_buf_str(&out));
}

static char *id_text(dq_arena *a, dureq_str bytes)
{
    dureq_job_id text;
    dq_id id;

    if (bytes.len == 0)
        return dq_arena_dup(a, bytes);
    if (!dq_id_unpack(bytes, &id))
        return printable(a, bytes);
    dq_id_to_text(&id, &text);
    return dq_arena_dup(a, dureq_str_from(text.text));
}

/* Two structures may both tell of the same job: it is one fault then. */
static int remember(dq_doctor *d, const dq_fault_view *f, bool *ret_new)
{
    DQ_BUF_AUTO name = {0};
    dureq_str kept;

    dq_buf_append_fmt(&name, "%d ", (int)f->kind);
    dq_buf_append_str(&name, f->id);
    if (f->kind != DQ_FAULT_TWICE) {
        dq_buf_append_char(&name, ' ');
        dq_buf_append_str(&name, f->key);
    }
    if (f->id.len == 0)
        dq_buf_append_str(&name, f->text);
    if (dq_buf_failed(&name))
        return DUREQ_ENOMEM;
    *ret_new = dq_map_get(&d->seen, dq_buf_str(&name)) == NULL;
    if (!*ret_new)
        return 0;
    kept = dq_arena_dup_str(&d->arena, dq_buf_str(&name));
    return kept.ptr ? dq_map_put(&d->seen, kept, d) : DUREQ_ENOMEM;
}

static int grow(dq_doctor *d)
{
    size_t cap = d->cap ? d->cap * 2 : 16;
    dq_doctor_fault *more = dq_realloc(d->report->faults, cap * sizeof *more);

    if (!more)
        return DUREQ_ENOMEM;
    d->report->faults = more;
    d->cap = cap;
    return 0;
}

int dq_doctor_add_fault(dq_doctor *d, const dq_fault_view *f, dureq_error *err)
{
    dq_doctor_fault made = {.kind = f->kind, .repairable = f->repairable, .repaired = f->repaired};
    bool fresh = false;

    /* What is only counted is not remembered either: a million faults must not take memory. */
    if (d->report->n_faults == d->options.max_faults) {
        d->report->n_found++;
        return 0;
    }
    if (remember(d, f, &fresh) < 0)
        return dq_fail_nomem(err);
    if (!fresh)
        return 0;
    made.key = printable(&d->arena, f->key);
    made.id = id_text(&d->arena, f->id);
    made.text = printable(&d->arena, f->text);
    if (!made.key || !made.id || !made.text || (d->report->n_faults == d->cap && grow(d) < 0))
        return dq_fail_nomem(err);
    d->report->faults[d->report->n_faults++] = made;
    d->report->n_found++;
    return 0;
}

void dq_doctor_report_deinit(dq_doctor_report *r)
{
    dq_arena *arena = r->owner;

    dq_free(r->faults);
    if (arena)
        dq_arena_deinit(arena);
    dq_free(arena);
    *r = (dq_doctor_report){0};
}

/* ---- steps ---- */

static int add_faults(dq_doctor *d, const dq_doctor_step *step, dureq_error *err)
{
    dq_reply_items items = dq_reply_items_of(step->faults);
    dq_reply at;

    while (dq_reply_items_next(&items, &at)) {
        dq_fault_view f;
        int rc;

        rc = dq_doctor_fault_decode(at, &f);
        if (rc < 0)
            return dq_fail(err, rc, "the doctor's script answered a fault that cannot be read");
        rc = dq_doctor_add_fault(d, &f, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int dq_doctor_step_run(dq_doctor *d, unsigned shard, dq_buf *bytes, bool quiet, dq_owned_reply *reply, dq_doctor_step *step,
                       dureq_error *err)
{
    int rc = call(d, shard, bytes, reply, err);

    if (rc < 0)
        return rc;
    rc = dq_doctor_step_decode(reply->reply, step, quiet ? NULL : &d->report->tally);
    if (rc < 0)
        dq_fail(err, rc, "the doctor's script answered something that cannot be read");
    else if (!quiet)
        rc = add_faults(d, step, err);
    if (rc < 0)
        dq_owned_reply_deinit(reply);
    return rc;
}

int dq_doctor_tell(dq_doctor *d, unsigned shard, dq_buf *bytes, dureq_error *err)
{
    dq_owned_reply reply;
    dq_doctor_step step;
    int rc = dq_doctor_step_run(d, shard, bytes, false, &reply, &step, err);

    if (rc == 0)
        dq_owned_reply_deinit(&reply);
    return rc;
}

int dq_doctor_go_on(dq_buf *cursor, const dq_doctor_step *step, dq_owned_reply *reply, int rc, dureq_error *err)
{
    dq_buf_clear(cursor);
    dq_buf_append_str(cursor, step->cursor);
    dq_owned_reply_deinit(reply);
    return rc < 0 ? rc : dq_buf_finish(cursor, err);
}

/* The i-th of a step's `more`, walked in order: *at goes along. */
int dq_doctor_next_more(const dq_doctor_step *step, size_t i, dq_reply *at, dq_doctor_more *ret, dureq_error *err)
{
    int rc;

    *at = i == 0 ? dq_reply_first(step->more) : dq_reply_next(*at);
    rc = dq_doctor_more_decode(*at, ret);
    return rc < 0 ? dq_fail(err, rc, "the doctor's script answered something that cannot be read") : 0;
}

/* One structure, step by step. */
typedef struct walk {
    dq_doctor *d;
    unsigned shard;
    void (*put)(const struct walk *w, dq_buf *out, dureq_str cursor);          /* the call for the step at the cursor */
    int (*on_more)(struct walk *w, const dq_doctor_more *m, dureq_error *err); /* NULL: nothing is expected */
    dureq_str structure;
    dq_doctor_stream which;
    uint32_t lane;
    bool pending;
    uint32_t n_lanes;  /* learnt from the small state */
    dq_buf structures; /* of walks to come, each an lstr */
} walk;

static int take_more(walk *w, const dq_doctor_step *step, dureq_error *err)
{
    dq_reply at = step->more;

    for (size_t i = 0; i < step->n_more; i++) {
        dq_doctor_more m;
        int rc;

        rc = dq_doctor_next_more(step, i, &at, &m, err);
        if (rc == 0 && w->on_more)
            rc = w->on_more(w, &m, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int walk_run(walk *w, dureq_error *err)
{
    DQ_BUF_AUTO cursor = {0};

    do {
        dq_buf bytes = {0};
        dq_owned_reply reply;
        dq_doctor_step step;
        int rc;

        w->put(w, &bytes, dq_buf_str(&cursor));
        rc = dq_doctor_step_run(w->d, w->shard, &bytes, /*quiet=*/false, &reply, &step, err);
        if (rc == DUREQ_EWRONGTYPE)
            return 0; /* the walk over the keys tells of it */
        if (rc < 0)
            return rc;
        rc = take_more(w, &step, err);
        rc = dq_doctor_go_on(&cursor, &step, &reply, rc, err);
        if (rc < 0)
            return rc;
    } while (cursor.len);
    return 0;
}

static dq_doctor_at at_of(const walk *w)
{
    return dq_doctor_at_shard(w->d, w->shard);
}

static void put_keys(const walk *w, dq_buf *out, dureq_str cursor)
{
    dq_call_doctor_keys(out, at_of(w), cursor);
}

static void put_set(const walk *w, dq_buf *out, dureq_str cursor)
{
    dq_call_doctor_set(out, at_of(w), w->structure, cursor);
}

static void put_stream(const walk *w, dq_buf *out, dureq_str cursor)
{
    dq_call_doctor_stream(out, at_of(w), w->which, w->lane, w->pending, cursor);
}

static void put_small(const walk *w, dq_buf *out, dureq_str cursor)
{
    (void)cursor; /* one step */
    dq_call_doctor_small(out, at_of(w));
}

static void put_lanes(const walk *w, dq_buf *out, dureq_str cursor)
{
    dq_call_doctor_lanes(out, at_of(w), cursor);
}

/* ---- what settles soon ---- */

typedef struct settle {
    int64_t deadline_us;
} settle;

static settle settle_begin(const dq_doctor *d)
{
    return (settle){.deadline_us = dq_add_sat(dq_mono_us(), d->options.settle_ms * 1000)};
}

/* Waits a moment; false when the time is over. */
static bool settle_wait(const settle *s)
{
    const struct timespec moment = {.tv_nsec = SETTLE_STEP_MS * 1000000L};

    if (dq_mono_us() >= s->deadline_us)
        return false;
    (void)nanosleep(&moment, NULL); /* interrupted: looked at a little sooner */
    return true;
}

/* A step of which only the answer counts: 1 when it has a fault or anything more, else 0. */
static int ask(dq_doctor *d, unsigned shard, dq_buf *bytes, dureq_error *err)
{
    dq_owned_reply reply;
    dq_doctor_step step;
    int rc = dq_doctor_step_run(d, shard, bytes, /*quiet=*/true, &reply, &step, err);

    if (rc < 0)
        return rc;
    rc = step.n_faults || step.n_more ? 1 : 0;
    dq_owned_reply_deinit(&reply);
    return rc;
}

/* A key held by a job of another shard. The job lets go in its outbox when it ends; that row stays until the key is free. So when the job
   says nothing of the key, and the key is then still held, nobody will free it. */
static int look_foreign(dq_doctor *d, unsigned shard, const dq_doctor_more *m, dureq_error *err)
{
    unsigned job_shard = m->n[0] < 0 || m->n[0] > DQ_SHARD_MAX ? DQ_SHARD_MAX : (unsigned)m->n[0];
    dq_buf bytes = {0};
    int rc = 0;

    if (job_shard < d->keys->n_shards) {
        dq_call_doctor_holder(&bytes, dq_doctor_at_shard(d, job_shard), m->a, m->b, shard);
        rc = ask(d, job_shard, &bytes, err);
    }
    if (rc != 0)
        return DQ_MIN(rc, 0);
    dq_call_doctor_held(&bytes, dq_doctor_at_shard(d, shard), m->a, (unsigned)m->n[0], m->b);
    return dq_doctor_tell(d, shard, &bytes, err);
}

/* A job that lives and does not hold its key, whose home is another shard. It may end, or be told of, just now: it counts when it stays so. */
static int look_lost(dq_doctor *d, unsigned shard, const dq_doctor_more *m, dureq_error *err)
{
    unsigned home = (unsigned)m->n[0];
    dureq_str id = dureq_str_of(m->b.ptr, DQ_MIN(m->b.len, (size_t)DQ_ID_BYTES));
    settle s = settle_begin(d);
    dq_buf bytes = {0};
    int rc;

    if (m->n[0] < 0 || m->n[0] >= d->keys->n_shards)
        return 0;
    do {
        dq_call_doctor_lost(&bytes, dq_doctor_at_shard(d, home), m->a, shard, m->b, /*report=*/false);
        rc = ask(d, home, &bytes, err);
        if (rc > 0) {
            dq_call_doctor_lives(&bytes, dq_doctor_at_shard(d, shard), m->a, id);
            rc = ask(d, shard, &bytes, err);
        }
        if (rc <= 0)
            return rc;
    } while (settle_wait(&s));
    dq_call_doctor_lost(&bytes, dq_doctor_at_shard(d, home), m->a, shard, m->b, /*report=*/true);
    return dq_doctor_tell(d, home, &bytes, err);
}

static int look_release(dq_doctor *d, unsigned shard, const dq_doctor_more *m, dureq_error *err)
{
    settle s = settle_begin(d);
    dq_buf bytes = {0};

    do {
        dq_call_doctor_release(&bytes, dq_doctor_at_shard(d, shard), m->a, m->b, /*report=*/false);
        int rc = ask(d, shard, &bytes, err);
        if (rc <= 0)
            return rc;
    } while (settle_wait(&s));
    dq_call_doctor_release(&bytes, dq_doctor_at_shard(d, shard), m->a, m->b, /*report=*/true);
    return dq_doctor_tell(d, shard, &bytes, err);
}

/* Else who puts it by its key makes another one. */
static int look_home(dq_doctor *d, unsigned shard, const dq_doctor_more *m, dureq_error *err)
{
    DQ_BUF_AUTO key = {0};

    if (dq_keys_shard_of(d->keys, m->a) == shard)
        return 0;
    dq_buf_append_fmt(&key, "{%s:%u}:sch:k", d->keys->prefix, shard);
    if (dq_buf_failed(&key))
        return dq_fail_nomem(err);
    dq_fault_view f = {.kind = DQ_FAULT_SCHEDULE_KEY,
                       .key = dq_buf_str(&key),
                       .id = m->b,
                       .text = DQ_STR_LIT("its key is at home on another shard: a put by it makes another schedule")};
    return dq_doctor_add_fault(d, &f, err);
}

static int on_more(walk *w, const dq_doctor_more *m, dureq_error *err)
{
    switch (m->kind) {
    case DQ_MORE_WALK: dq_buf_append_lstr(&w->structures, m->a); return dq_buf_failed(&w->structures) ? dq_fail_nomem(err) : 0;
    case DQ_MORE_UNLISTED:
        dq_buf_append_lstr(&w->d->unlisted, m->a);
        return dq_buf_failed(&w->d->unlisted) ? dq_fail_nomem(err) : 0;
    case DQ_MORE_LANES: w->n_lanes = (uint32_t)m->n[0]; return 0;
    case DQ_MORE_FOREIGN: return look_foreign(w->d, w->shard, m, err);
    case DQ_MORE_RELEASE: return look_release(w->d, w->shard, m, err);
    case DQ_MORE_LOST: return look_lost(w->d, w->shard, m, err);
    case DQ_MORE_HOME: return look_home(w->d, w->shard, m, err);
    case DQ_MORE_BUCKET:
    case DQ_MORE_NUMBERS:
    case DQ_MORE_PART:
    case DQ_MORE_ROWS:
    case DQ_MORE_ORDER:
    case DQ_MORE_YES: break;
    }
    return 0;
}

/* ---- definitions ---- */

static int report_outside(dq_doctor *d, dq_fault_kind kind, const char *name, const char *text, dureq_error *err)
{
    DQ_BUF_AUTO key = {0};

    dq_buf_append_fmt(&key, "%s:%s", d->keys->prefix, name);
    if (dq_buf_failed(&key))
        return dq_fail_nomem(err);
    dq_fault_view f = {.kind = kind, .key = dq_buf_str(&key), .text = dureq_str_from(text)};
    return dq_doctor_add_fault(d, &f, err);
}

/* A field of meta: a number from min up to max. */
static int look_meta_field(dq_doctor *d, dq_reply all, const char *name, int64_t min, int64_t max, dureq_error *err)
{
    dq_reply value = dq_reply_lookup(all, name);
    char text[96];
    int64_t v;

    if (dq_parse_i64(dq_reply_str(value), min, max, &v) == 0)
        return 0;
    if (min == max)
        (void)snprintf(text, sizeof text, "%s is not %" PRId64, name, min);
    else
        (void)snprintf(text, sizeof text, "%s is not a number this program can have", name);
    return report_outside(d, DQ_FAULT_META, "meta", text, err);
}

static int look_meta(dq_doctor *d, dureq_error *err)
{
    dq_buf bytes = {0};
    dq_owned_reply reply;
    int rc;

    dq_call_doctor_meta(&bytes, d->keys);
    rc = call(d, 0, &bytes, &reply, err);
    if (rc == DUREQ_EWRONGTYPE)
        return 0; /* the walk over the keys tells of it */
    if (rc < 0)
        return rc;
    rc = look_meta_field(d, reply.reply, "schema", DQ_SCHEMA_VERSION, DQ_SCHEMA_VERSION, err);
    if (rc == 0)
        rc = look_meta_field(d, reply.reply, "shards", d->keys->n_shards, d->keys->n_shards, err);
    if (rc == 0)
        rc = look_meta_field(d, reply.reply, "scripts", 1, DQ_SCRIPTS_VERSION, err);
    if (rc == 0)
        rc = look_meta_field(d, reply.reply, "envelope", 1, DQ_ENVELOPE_VERSION, err);
    if (rc == 0)
        rc = look_meta_field(d, reply.reply, "created", 1, INT64_MAX, err);
    dq_owned_reply_deinit(&reply);
    return rc;
}

/* The definitions as they are now. *ret_damaged: one cannot be read (told when `tell`); then the others say nothing of the shards either. */
static int read_definitions(dq_doctor *d, bool tell, dq_queue_set *ret, bool *ret_damaged, dureq_error *err)
{
    dq_buf bytes = {0};
    dq_owned_reply reply;
    int rc;

    *ret = (dq_queue_set){0};
    *ret_damaged = false;
    dq_call_doctor_definitions(&bytes, d->keys);
    rc = call(d, 0, &bytes, &reply, err);
    *ret_damaged = rc == DUREQ_EWRONGTYPE;
    if (rc < 0)
        return rc == DUREQ_EWRONGTYPE ? 0 : rc;
    dq_reply_items items = dq_reply_items_of(reply.reply);
    dq_reply key, value;
    ret->items = dq_arena_alloc(&ret->arena, (items.left / 2 + 1) * sizeof *ret->items);
    if (!ret->items)
        rc = dq_fail_nomem(err);
    while (rc == 0 && dq_reply_items_next(&items, &key) && dq_reply_items_next(&items, &value)) {
        dureq_error why = {0};
        dureq_str name = dq_arena_dup_str(&ret->arena, dq_reply_str(key));
        dureq_str json = dq_reply_str(value);

        rc = dq_queue_from_json(name, json, &ret->arena, &ret->items[ret->n], &why);
        if (rc == 0) {
            ret->n++;
        } else if (rc == DUREQ_ENOMEM) {
            rc = dq_fail_nomem(err);
        } else {
            *ret_damaged = true;
            rc = tell ? report_outside(d, DQ_FAULT_QUEUE_DEFINITION, "config:queues", why.msg, err) : 0;
        }
    }
    dq_owned_reply_deinit(&reply);
    return rc;
}

/* 1 when the shard's copies differ from the definitions (told when `tell`), else 0. */
static int compare_rows(dq_doctor *d, unsigned shard, bool tell, dureq_error *err)
{
    dq_doctor_at at = dq_doctor_at_shard(d, shard);
    dq_buf bytes = {0};
    dq_queue_set set;
    bool damaged;
    int rc = read_definitions(d, tell || shard == 0, &set, &damaged, err);

    if (rc == 0 && !damaged) {
        at.repair = at.repair && tell;
        dq_call_doctor_queue_rows(&bytes, at, set.items, set.n);
        rc = tell ? dq_doctor_tell(d, shard, &bytes, err) : ask(d, shard, &bytes, err);
    }
    dq_queue_set_deinit(&set);
    return rc;
}

/* A change of a queue writes the definition first, then the shards: a difference counts when it stays. */
static int look_queue_rows(dq_doctor *d, unsigned shard, dureq_error *err)
{
    settle s = settle_begin(d);

    do {
        int rc = compare_rows(d, shard, /*tell=*/false, err);
        if (rc <= 0)
            return rc;
    } while (settle_wait(&s));
    return compare_rows(d, shard, /*tell=*/true, err);
}

/* ---- a shard ---- */

static int walk_streams(walk *w, dureq_error *err)
{
    w->put = put_stream;
    for (w->lane = 1; w->lane <= w->n_lanes; w->lane++)
        for (int i = 0; i < 4; i++) {
            int rc;

            w->which = i / 2 ? DQ_STREAM_FRONT : DQ_STREAM_LANE;
            w->pending = i % 2 != 0;
            rc = walk_run(w, err);
            if (rc < 0)
                return rc;
        }
    return 0;
}

static int walk_sets(walk *w, dureq_error *err)
{
    dq_reader found = dq_reader_of(dq_buf_str(&w->structures));
    int rc = 0;

    w->put = put_set;
    for (size_t i = 0; dq_doctor_set_name(i) && rc == 0; i++) {
        w->structure = dureq_str_from(dq_doctor_set_name(i));
        rc = walk_run(w, err);
    }
    while (found.p < found.end && rc == 0) {
        w->structure = dq_read_lstr(&found);
        rc = walk_run(w, err);
    }
    return rc;
}

static int walk_shard(dq_doctor *d, unsigned shard, dureq_error *err)
{
    walk w = {.d = d, .shard = shard, .on_more = on_more};
    int rc;

    w.put = put_small;
    rc = d->absent ? 0 : walk_run(&w, err);
    w.put = put_lanes;
    if (rc == 0)
        rc = walk_run(&w, err);
    w.put = put_keys;
    if (rc == 0)
        rc = walk_run(&w, err);
    if (rc == 0)
        rc = walk_streams(&w, err);
    if (rc == 0)
        rc = walk_sets(&w, err);
    dq_buf_deinit(&w.structures);
    return rc;
}

static int examine(dq_doctor *d, dureq_error *err)
{
    int rc = d->absent ? 0 : look_meta(d, err);

    for (unsigned shard = 0; shard < d->keys->n_shards && rc == 0; shard++) {
        if (!d->absent)
            rc = look_queue_rows(d, shard, err);
        if (rc == 0)
            rc = walk_shard(d, shard, err);
        if (rc == 0)
            rc = dq_doctor_history(d, shard, err);
        dq_buf_clear(&d->unlisted);
    }
    return rc;
}

int dq_doctor_run(dureq_client *client, const dq_doctor_options *o, dq_doctor_report *ret, dureq_error *err)
{
    dq_doctor_report report = {0};
    dq_doctor d = {.client = client, .report = &report};
    dq_arena *owner = dq_calloc(1, sizeof *owner);
    int rc;

    if (!owner)
        return dq_fail_nomem(err);
    if (o)
        d.options = *o;
    if (!d.options.max_faults)
        d.options.max_faults = FAULTS_DEFAULT;
    if (!d.options.settle_ms)
        d.options.settle_ms = SETTLE_DEFAULT_MS;
    dq_client_enter(client);
    d.keys = dq_client_keys(client);
    d.absent = dq_client_is_absent(client);
    rc = examine(&d, err);
    dq_client_leave(client);
    *owner = d.arena;
    report.owner = owner;
    dq_map_deinit(&d.seen);
    dq_buf_deinit(&d.unlisted);
    if (rc < 0) {
        dq_doctor_report_deinit(&report);
        return rc;
    }
    *ret = report;
    return 0;
}
