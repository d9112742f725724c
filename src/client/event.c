/* SPDX-License-Identifier: Apache-2.0 */
#include "client/event.h"

#include <stdio.h>

#include "model/schedule.h"

static const struct {
    const char *text, *says;
} types[] = {
#define X(name, text, says) {text, says},
    DQ_EVENTS(X)
#undef X
};
_Static_assert(DQ_EVENT_N_TYPES <= 64, "a set of types is the bits of a number");

const char *dq_event_text(dq_event_type t)
{
    return types[t].text;
}

const char *dq_event_says(dq_event_type t)
{
    return types[t].says;
}

/* ---- what entries say ---- */

typedef struct teller {
    const dq_event_entry *entry;
    dq_event_fn fn;
    void *userdata;
    dq_reader r; /* of `e`, after its kind */
    int64_t at_ms;
    uint64_t session;
} teller;

static void tell(const teller *t, dq_event_type type, const dq_event *about)
{
    dq_event e = about ? *about : (dq_event){0};

    e.type = type;
    e.at_ms = t->at_ms;
    e.session = e.session ? e.session : t->session;
    t->fn(&e, t->userdata);
}

static bool next_id(dq_reader *r, dq_id *ret)
{
    dureq_str bytes = dq_read_bytes(r, DQ_ID_BYTES);

    return !r->bad && dq_id_unpack(bytes, ret);
}

/* The same of all ids up to the end. */
static void tell_ids(teller *t, dq_event_type type, const dq_event *about)
{
    dq_event e = about ? *about : (dq_event){0};

    e.has_job = true;
    while (t->r.p < t->r.end && next_id(&t->r, &e.job))
        tell(t, type, &e);
}

static void tell_run(const teller *t, uint64_t n, uint32_t lane, uint64_t ms, uint32_t seq)
{
    dq_event e = {.has_job = true};

    if (seq > DQ_ID_SEQ_MAX || n > DQ_ID_SEQ_MAX - seq + 1)
        return;
    for (uint64_t i = 0; i < n; i++) {
        e.job = (dq_id){.ms = ms, .seq = seq + (uint32_t)i, .lane = lane, .shard = (uint16_t)t->entry->shard};
        tell(t, e.job.seq >= DQ_ID_SEQ_DUE ? DQ_EVENT_JOB_SCHEDULED : DQ_EVENT_JOB_ENQUEUED, &e);
    }
}

/* 'E': lane I3 ms I6 seq I4 n I2, of each run of ids. */
static void sealed(teller *t)
{
    while (t->r.p < t->r.end && !t->r.bad) {
        uint32_t lane = (uint32_t)dq_read_be(&t->r, 3);
        uint64_t ms = dq_read_be(&t->r, 6);
        uint32_t seq = (uint32_t)dq_read_be(&t->r, 4);
        uint64_t n = dq_read_be(&t->r, 2);

        if (t->r.bad)
            return;
        tell_run(t, n, lane, ms, seq);
    }
}

/* 'A': 0 n I2 lane I3 ms I6 seq I4; or why a job was refused: 3 and 4 with the id of another. */
static void accepted(teller *t)
{
    while (t->r.p < t->r.end && !t->r.bad) {
        uint8_t refusal = dq_read_u8(&t->r);

        if (refusal == 3 || refusal == 4)
            (void)dq_read_bytes(&t->r, DQ_ID_BYTES);
        if (refusal != 0)
            continue;
        uint64_t n = dq_read_be(&t->r, 2);
        uint32_t lane = (uint32_t)dq_read_be(&t->r, 3);
        uint64_t ms = dq_read_be(&t->r, 6);
        uint32_t seq = (uint32_t)dq_read_be(&t->r, 4);

        if (t->r.bad)
            return;
        tell_run(t, n, lane, ms, seq);
    }
}

/* 'C': first runs, whose starts were not reported before. */
static void done(teller *t)
{
    dq_event e = {.has_job = true, .run = 1, .attempt = 1};

    while (t->r.p < t->r.end && next_id(&t->r, &e.job)) {
        tell(t, DQ_EVENT_JOB_STARTED, &e);
        tell(t, DQ_EVENT_JOB_COMPLETED, &e);
    }
}

/* ---- 'O' ---- */

/* What `x` says of an outcome: place of its id I2, flags u8, run I2, attempt I2, outcome u8, tried again at I6, length I2 and error. */
typedef struct detail {
    size_t place;
    bool is_there, was_started, is_spent;
    unsigned outcome;
    dq_event about;
} detail;

static void next_detail(dq_reader *x, detail *ret)
{
    unsigned flags;

    *ret = (detail){0};
    if (x->p >= x->end)
        return;
    ret->place = (size_t)dq_read_be(x, 2);
    flags = dq_read_u8(x);
    ret->was_started = flags & DQ_EVENT_WAS_STARTED;
    ret->is_spent = flags & DQ_EVENT_IS_SPENT;
    ret->about.run = (uint32_t)dq_read_be(x, 2);
    ret->about.attempt = (uint32_t)dq_read_be(x, 2);
    ret->outcome = dq_read_u8(x);
    ret->about.next_at_ms = (int64_t)dq_read_be(x, 6);
    ret->about.error = dq_read_bytes(x, (size_t)dq_read_be(x, 2));
    ret->is_there = !x->bad;
}

static dq_event_type again_type(const detail *d, char part)
{
    if (d->is_there && !d->is_spent && d->outcome == DUREQ_OUTCOME_RATE_LIMITED)
        return DQ_EVENT_JOB_RATE_LIMITED;
    if (d->is_there ? !d->is_spent && d->outcome == DUREQ_OUTCOME_REPEAT : part == 'f')
        return DQ_EVENT_JOB_REPEATED;
    return DQ_EVENT_JOB_RETRYING;
}

static void tell_outcome(const teller *t, char part, const dq_id *id, const detail *d)
{
    dq_event e = d->is_there ? d->about : (dq_event){.run = 1, .attempt = 1}; /* nothing is said of a first run that ended well */
    dq_event_type type;

    switch (part) {
    case 'c':
    case 'n': type = DQ_EVENT_JOB_COMPLETED; break;
    case 'd': type = DQ_EVENT_JOB_DEAD; break;
    case 'r':
    case 'f': type = again_type(d, part); break;
    case 'p': type = DQ_EVENT_JOB_PAUSED; break;
    default: return;
    }
    if (!d->is_there && (type != DQ_EVENT_JOB_COMPLETED || t->entry->x.len == 0))
        e = (dq_event){0}; /* of an older node */
    e.has_job = true;
    e.job = *id;
    if (e.run && !d->was_started)
        tell(t, DQ_EVENT_JOB_STARTED, &(dq_event){.has_job = true, .job = *id, .run = e.run, .attempt = e.attempt});
    if (d->is_spent)
        tell(t, DQ_EVENT_JOB_FAILED, &e);
    tell(t, type, &e);
}

/* Parts: kind, n I2, ids. */
static void outcomes(teller *t)
{
    dq_reader x = dq_reader_of(t->entry->x);
    detail d;
    size_t place = 0;

    if (x.p < x.end)
        (void)dq_read_u8(&x); /* that it is there: of these no start is untold */
    next_detail(&x, &d);
    while (t->r.p < t->r.end && !t->r.bad) {
        char part = (char)dq_read_u8(&t->r);
        size_t n = (size_t)dq_read_be(&t->r, 2);
        dq_id id;

        for (size_t i = 0; i < n; i++, place++) {
            detail none = {0};
            bool is_its = d.is_there && d.place == place;

            if (!next_id(&t->r, &id))
                return;
            tell_outcome(t, part, &id, is_its ? &d : &none);
            if (is_its)
                next_detail(&x, &d);
        }
    }
}

/* ---- the other kinds ---- */

/* `x`: 'm' retried by hand; 'd' and how many were due I4, the others were paused. */
static void ready(teller *t)
{
    dq_reader x = dq_reader_of(t->entry->x);
    char how = (char)dq_read_u8(&x);
    uint64_t n_due = how == 'd' ? dq_read_be(&x, 4) : UINT64_MAX;
    dq_event e = {.has_job = true};

    while (t->r.p < t->r.end && next_id(&t->r, &e.job)) {
        if (how == 'm')
            tell(t, DQ_EVENT_JOB_RETRYING, &e);
        else
            tell(t, n_due > 0 ? DQ_EVENT_JOB_DISPATCHED : DQ_EVENT_JOB_RESUMED, &e);
        n_due -= n_due > 0;
    }
}

/* A letter, which is the same of resume and reschedule; `x` is the verb. */
static void moved(teller *t)
{
    char letter = (char)dq_read_u8(&t->r);

    if (letter == 'n')
        tell_ids(t, DQ_EVENT_JOB_DISPATCHED, NULL);
    else if (letter == 'u')
        tell_ids(t, DQ_EVENT_JOB_PAUSED, NULL);
    else
        tell_ids(t, dq_str_eq_text(t->entry->x, "resume") ? DQ_EVENT_JOB_RESUMED : DQ_EVENT_JOB_RESCHEDULED, NULL);
}

static void died(teller *t)
{
    dq_event e = {.has_job = true, .error = t->entry->x};

    while (t->r.p < t->r.end && next_id(&t->r, &e.job)) {
        if (dq_str_eq_text(t->entry->x, "schedule_to_start_timeout"))
            tell(t, DQ_EVENT_JOB_TOO_LATE, &e);
        tell(t, DQ_EVENT_JOB_DEAD, &e);
    }
}

/* `x`: of each its id, length I2, JSON. */
static void progressed(teller *t)
{
    dq_reader x = dq_reader_of(t->entry->x);
    dq_event e = {.has_job = true};

    while (x.p < x.end && next_id(&x, &e.job)) {
        e.progress = dq_read_bytes(&x, (size_t)dq_read_be(&x, 2));
        if (!x.bad)
            tell(t, DQ_EVENT_JOB_PROGRESS, &e);
    }
}

static void node(teller *t)
{
    dq_reader x = dq_reader_of(t->entry->x);
    char what = (char)dq_read_u8(&t->r);
    dq_event e = {.node = dq_read_rest(&t->r), .session = dq_read_be(&x, 6)};

    if (what == 'j')
        tell(t, DQ_EVENT_NODE_JOINED, &e);
    else if (what == 'c')
        tell(t, DQ_EVENT_NODE_LEFT, &e);
    else if (what == 'l')
        tell(t, DQ_EVENT_NODE_CRASHED, &e);
}

/* Session of who led, or 0; session and id of who leads. */
static void leader(teller *t)
{
    uint64_t before = dq_read_be(&t->r, 6);
    dq_event e = {.session = dq_read_be(&t->r, 6), .node = dq_read_rest(&t->r)};

    if (before)
        tell(t, DQ_EVENT_LEADER_LOST, &(dq_event){.session = before});
    tell(t, DQ_EVENT_LEADER_ELECTED, &e);
}

/* Each shard has its copy of the queues; the first one tells of all. */
static void queue(teller *t)
{
    char what = (char)dq_read_u8(&t->r);
    dq_event e = {.queue = dq_read_rest(&t->r)};

    if (t->entry->shard != 0)
        return;
    if (what == 'p' || what == 'r')
        tell(t, what == 'p' ? DQ_EVENT_QUEUE_PAUSED : DQ_EVENT_QUEUE_RESUMED, &e);
    else if (what == 'c' || what == 'd')
        tell(t, what == 'c' ? DQ_EVENT_QUEUE_CHANGED : DQ_EVENT_QUEUE_DELETED, &e);
}

/* Status u8 and id of each. */
static void workflows(teller *t)
{
    static const dq_event_type of[] = {0, DQ_EVENT_WORKFLOW_STARTED,   DQ_EVENT_WORKFLOW_COMPLETED, DQ_EVENT_WORKFLOW_FAILED,
                                       0, DQ_EVENT_WORKFLOW_CANCELLED, DQ_EVENT_WORKFLOW_SUSPENDED, DQ_EVENT_WORKFLOW_RESUMED};

    while (t->r.p < t->r.end && !t->r.bad) {
        unsigned status = dq_read_u8(&t->r);
        dq_event e = {.workflow = dq_read_bytes(&t->r, DQ_ID_BYTES)};

        if (!t->r.bad && status < DQ_ARRAY_LEN(of) && of[status])
            tell(t, of[status], &e);
    }
}

/* Letter, workflow, job of each. */
static void tasks(teller *t)
{
    while (t->r.p < t->r.end && !t->r.bad) {
        char what = (char)dq_read_u8(&t->r);
        dq_event e = {.has_job = true, .workflow = dq_read_bytes(&t->r, DQ_ID_BYTES)};

        if (!next_id(&t->r, &e.job))
            return;
        tell(t,
             what == 'r'                  ? DQ_EVENT_TASK_DISPATCHED
             : what == 'c' || what == 's' ? DQ_EVENT_TASK_COMPLETED
                                          : DQ_EVENT_TASK_FAILED,
             &e);
    }
}

/* What u8, reason u8, schedule 13, first I5; then its job 13, or last I5, n I4 and four zeros. */
static void schedules(teller *t)
{
    while (t->r.p < t->r.end && !t->r.bad) {
        unsigned what = dq_read_u8(&t->r), reason = dq_read_u8(&t->r);
        dq_event e = {.schedule = dq_read_bytes(&t->r, DQ_ID_BYTES), .first_s = (int64_t)dq_read_be(&t->r, 5)};
        dureq_str rest = dq_read_bytes(&t->r, DQ_ID_BYTES);
        dq_reader more = dq_reader_of(rest);

        if (t->r.bad)
            return;
        e.schedule_reason = reason ? dq_schedule_reason(reason) : NULL;
        if (what == 1) {
            e.has_job = dq_id_unpack(rest, &e.job);
        } else {
            e.last_s = (int64_t)dq_read_be(&more, 5);
            e.n_occurred = (int64_t)dq_read_be(&more, 4);
        }
        if (what >= 1 && what <= DQ_EVENT_SCHEDULE_REMOVED - DQ_EVENT_SCHEDULE_FIRED + 1)
            tell(t, (dq_event_type)(DQ_EVENT_SCHEDULE_FIRED + what - 1), &e);
    }
}

void dq_event_each(const dq_event_entry *entry, dq_event_fn fn, void *userdata)
{
    teller t = {.entry = entry, .fn = fn, .userdata = userdata, .r = dq_reader_of(entry->e)};
    char kind = (char)dq_read_u8(&t.r);

    t.at_ms = (int64_t)dq_read_be(&t.r, 6);
    if (t.r.bad)
        return;
    if (strchr("SCOB", kind))
        t.session = dq_read_be(&t.r, 6);
    switch (kind) {
    case 'E': sealed(&t); break;
    case 'A': accepted(&t); break;
    case 'S': tell_ids(&t, DQ_EVENT_JOB_STARTED, NULL); break;
    case 'C': done(&t); break;
    case 'O': outcomes(&t); break;
    case 'R': ready(&t); break;
    case 'M': moved(&t); break;
    case 'U': tell_ids(&t, DQ_EVENT_JOB_UPDATED, NULL); break;
    case 'B': tell_ids(&t, entry->x.len ? DQ_EVENT_JOB_AUTO_RECOVERED : DQ_EVENT_JOB_RETURNED, NULL); break;
    case 'K': died(&t); break;
    case 'X': tell_ids(&t, DQ_EVENT_JOB_CANCELLED, &(dq_event){.reason = entry->x}); break;
    case 'Q': tell_ids(&t, DQ_EVENT_JOB_PURGED, NULL); break;
    case 'P': progressed(&t); break;
    case 'N': node(&t); break;
    case 'L': leader(&t); break;
    case 'V': queue(&t); break;
    case 'W': workflows(&t); break;
    case 'T': tasks(&t); break;
    case 'H': schedules(&t); break;
    default: break;
    }
}

/* ---- as JSON ---- */

static void set_id(dq_json_writer *w, const char *name, const dq_id *id)
{
    dureq_job_id text;

    dq_id_to_text(id, &text);
    dq_json_set_text(w, name, text.text);
}

static void set_packed_id(dq_json_writer *w, const char *name, dureq_str packed)
{
    dq_id id;

    if (packed.len && dq_id_unpack(packed, &id))
        set_id(w, name, &id);
}

static void set_if(dq_json_writer *w, const char *name, dureq_str s)
{
    if (s.len)
        dq_json_set_str(w, name, s);
}

static void set_number_if(dq_json_writer *w, const char *name, int64_t v)
{
    if (v)
        dq_json_set_i64(w, name, v);
}

static void set_time_if(dq_json_writer *w, const char *name, int64_t ms)
{
    if (ms)
        dq_json_set_rfc3339(w, name, ms);
}

static void set_run(dq_json_writer *w, const dq_event *e)
{
    char text[DUREQ_JOB_ID_LEN + 12];
    dureq_job_id id;

    if (!e->has_job || !e->run)
        return;
    dq_id_to_text(&e->job, &id);
    (void)snprintf(text, sizeof text, "%s.%u", id.text, (unsigned)e->run);
    dq_json_set_text(w, "run_id", text);
}

static void set_occurrences(dq_json_writer *w, const dq_event *e)
{
    set_packed_id(w, "schedule_id", e->schedule);
    if (e->schedule_reason)
        dq_json_set_text(w, "reason", e->schedule_reason);
    set_time_if(w, "scheduled_at", e->first_s * 1000);
    if (e->last_s > e->first_s)
        dq_json_set_rfc3339(w, "until", e->last_s * 1000);
    set_number_if(w, "count", e->type == DQ_EVENT_SCHEDULE_SKIPPED ? e->n_occurred : 0);
}

void dq_event_write(const dq_event *e, const dq_event_names *names, dq_buf *out, dq_event_secret *ret)
{
    dq_json_writer w = dq_json_writer_of(out);
    dureq_str node = e->node.len ? e->node : names->node;

    dq_json_begin_object(&w);
    dq_json_set_text(&w, "type", types[e->type].text);
    dq_json_set_rfc3339(&w, "timestamp", e->at_ms);
    if (e->has_job)
        set_id(&w, "job_id", &e->job);
    else
        set_packed_id(&w, "job_id", e->workflow.len ? e->workflow : e->schedule);
    set_run(&w, e);
    set_if(&w, "node_id", node);
    set_if(&w, "task_type", e->has_job ? names->task_type : (dureq_str){0});
    set_if(&w, "queue", e->queue.len ? e->queue : names->queue);
    set_number_if(&w, "attempt", e->attempt);
    set_packed_id(&w, "workflow_id", e->workflow);
    if (e->schedule.len)
        set_occurrences(&w, e);
    set_time_if(&w, "next_at", e->next_at_ms);
    ret->at = out->len;
    set_if(&w, "error", e->error);
    set_if(&w, "reason", e->reason);
    if (e->progress.len) {
        dq_json_key(&w, "progress");
        dq_json_put_checked(&w, e->progress);
    }
    ret->len = out->len - ret->at;
}

/* ---- filters ---- */

/* The words of a list that name types; each must name one. */
static bool pattern_fits(dureq_str pattern, const char *text)
{
    if (pattern.len && pattern.ptr[pattern.len - 1] == '*')
        return strncmp(text, pattern.ptr, pattern.len - 1) == 0;
    return dq_str_eq_text(pattern, text);
}

int dq_event_types(const char *text, uint64_t *ret, dureq_error *err)
{
    dureq_str rest = dureq_str_from(text);
    uint64_t all = 0;

    if (rest.len == 0) {
        *ret = UINT64_MAX;
        return 0;
    }
    while (rest.len) {
        dureq_str pattern = dq_str_trim(dq_str_cut(&rest, ','));
        uint64_t set = 0;

        for (size_t i = 0; i < DQ_EVENT_N_TYPES; i++)
            if (pattern_fits(pattern, types[i].text))
                set |= UINT64_C(1) << i;
        if (!set)
            return dq_fail(
                err, DUREQ_EINVAL,
                "parameter 'types' takes types of events such as job.completed, with commas between; a type may end in * "
                "(job.*), not '" DQ_STR_FMT "'",
                (int)DQ_MIN(pattern.len, (size_t)60), pattern.ptr ? pattern.ptr : "");
        all |= set;
    }
    *ret = all;
    return 0;
}

static bool type_fits(dureq_str wanted, dureq_str type)
{
    if (wanted.ptr[wanted.len - 1] == '*')
        return dq_str_starts_with(type, dureq_str_of(wanted.ptr, wanted.len - 1));
    return dq_str_eq(wanted, type);
}

static bool same_id(const dq_id *a, const dq_id *b)
{
    return a->ms == b->ms && a->seq == b->seq && a->lane == b->lane && a->shard == b->shard;
}

static bool is_within(const dq_scope *scope, const dq_event *e, const dq_event_names *names)
{
    dureq_str queue = e->queue.len ? e->queue : names->queue;

    if (dq_scope_is_open(scope))
        return true;
    if (e->has_job)
        return dq_scope_fits(scope, queue, names->task_type);
    return queue.len > 0 && dq_scope_has_queue(scope, queue);
}

bool dq_event_fits(const dq_event_filter *f, const dq_event *e, const dq_event_names *names)
{
    dq_id schedule;

    if (!(f->types >> e->type & 1) || !is_within(f->scope, e, names))
        return false;
    if (f->has_job && !(e->has_job && same_id(&f->job, &e->job)) &&
        !(e->schedule.len && dq_id_unpack(e->schedule, &schedule) && same_id(&f->job, &schedule)))
        return false;
    if (f->workflow.len && !dq_str_eq(f->workflow, e->workflow))
        return false;
    if (f->queue.len && !dq_str_eq(f->queue, e->queue.len ? e->queue : names->queue))
        return false;
    return f->task_type.len == 0 || (e->has_job && type_fits(f->task_type, names->task_type));
}
