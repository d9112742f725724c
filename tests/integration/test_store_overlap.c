/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of occurrences of a schedule while others are active: a table of what happens one after the other, for each policy. */
#include "test_places.h"

#include "base/date.h"
#include "store/queue_calls.h"
#include "store/schedule_calls.h"

#include <dureq/schedule.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LEASE_MS 60000

/* What happens, a letter each; to a job: the one that is active, else the one that was dispatched last.
     o  an occurrence comes round
     R  it is taken by a session, and its start reported      k  that session's lease ends, and it is reaped
     c  it is completed                                       K  the same, and the job is dead: one crash is one too many
     f  an attempt fails, and it is tried again later         C  that session is closed by its node
     n  it is made ready at once                              u  it is paused      U  it is resumed
     d  it is dead                                            P  the schedule is paused      Q  it is resumed
     x  it is cancelled                                       y  it is retried by hand       Y  which is refused
     p  its queue is purged                                   D  it is deleted
   What it did: F fired, S skipped, with the occurrence, and o overlap, f buffer full, r replaced, b from the buffer; then how many are active and wait. */
static const struct {
    dureq_overlap policy;
    const char *happens, *did;
} rows[] = {
    {DUREQ_OVERLAP_ALLOW_ALL, "o", "F1 0 0"},
    {DUREQ_OVERLAP_ALLOW_ALL, "ooo", "F1 F2 F3 0 0"},
    {DUREQ_OVERLAP_ALLOW_ALL, "ofo", "F1 F2 0 0"},
    {DUREQ_OVERLAP_ALLOW_ALL, "oRoko", "F1 F2 F3 0 0"},
    {DUREQ_OVERLAP_ALLOW_ALL, "oxodoco", "F1 F2 F3 F4 0 0"},

    {DUREQ_OVERLAP_SKIP, "o", "F1 1 0"},
    {DUREQ_OVERLAP_SKIP, "oo", "F1 S2o 1 0"},
    {DUREQ_OVERLAP_SKIP, "ooo", "F1 S2o S3o 1 0"},
    {DUREQ_OVERLAP_SKIP, "ooco", "F1 S2o F3 1 0"},
    {DUREQ_OVERLAP_SKIP, "oc", "F1 0 0"},
    {DUREQ_OVERLAP_SKIP, "ofo", "F1 S2o 1 0"},
    {DUREQ_OVERLAP_SKIP, "ofnco", "F1 F2 1 0"},
    {DUREQ_OVERLAP_SKIP, "odo", "F1 F2 1 0"},
    {DUREQ_OVERLAP_SKIP, "ofndo", "F1 F2 1 0"},
    {DUREQ_OVERLAP_SKIP, "oxo", "F1 F2 1 0"},
    {DUREQ_OVERLAP_SKIP, "oRxo", "F1 F2 1 0"},
    {DUREQ_OVERLAP_SKIP, "opo", "F1 F2 1 0"},
    {DUREQ_OVERLAP_SKIP, "ouo", "F1 S2o 1 0"},
    {DUREQ_OVERLAP_SKIP, "ouUco", "F1 F2 1 0"},
    {DUREQ_OVERLAP_SKIP, "oRko", "F1 S2o 1 0"},
    {DUREQ_OVERLAP_SKIP, "oRkco", "F1 F2 1 0"},
    {DUREQ_OVERLAP_SKIP, "oRKo", "F1 F2 1 0"},
    {DUREQ_OVERLAP_SKIP, "odyo", "F1 S2o 1 0"},
    {DUREQ_OVERLAP_SKIP, "odyco", "F1 F2 1 0"},
    {DUREQ_OVERLAP_SKIP, "odDo", "F1 F2 1 0"},
    {DUREQ_OVERLAP_SKIP, "ocDo", "F1 F2 1 0"},
    {DUREQ_OVERLAP_SKIP, "oPoQo", "F1 S2o 1 0"},

    {DUREQ_OVERLAP_BUFFER_ONE, "oo", "F1 1 1"},
    {DUREQ_OVERLAP_BUFFER_ONE, "oooo", "F1 S3f S4f 1 1"},
    {DUREQ_OVERLAP_BUFFER_ONE, "ooc", "F1 F2b 1 0"},
    {DUREQ_OVERLAP_BUFFER_ONE, "oocc", "F1 F2b 0 0"},
    {DUREQ_OVERLAP_BUFFER_ONE, "oocco", "F1 F2b F3 1 0"},
    {DUREQ_OVERLAP_BUFFER_ONE, "oooco", "F1 S3f F2b 1 1"},
    {DUREQ_OVERLAP_BUFFER_ONE, "ood", "F1 F2b 1 0"},
    {DUREQ_OVERLAP_BUFFER_ONE, "oox", "F1 F2b 1 0"},
    {DUREQ_OVERLAP_BUFFER_ONE, "ooRx", "F1 F2b 1 0"},
    {DUREQ_OVERLAP_BUFFER_ONE, "oop", "F1 F2b 1 0"},
    {DUREQ_OVERLAP_BUFFER_ONE, "oof", "F1 1 1"},
    {DUREQ_OVERLAP_BUFFER_ONE, "oofnc", "F1 F2b 1 0"},
    {DUREQ_OVERLAP_BUFFER_ONE, "oou", "F1 1 1"},
    {DUREQ_OVERLAP_BUFFER_ONE, "ooRk", "F1 1 1"},
    {DUREQ_OVERLAP_BUFFER_ONE, "ooRK", "F1 F2b 1 0"},
    {DUREQ_OVERLAP_BUFFER_ONE, "ooPc", "F1 0 1"},
    {DUREQ_OVERLAP_BUFFER_ONE, "ooPcQ", "F1 F2b 1 0"},
    {DUREQ_OVERLAP_BUFFER_ONE, "ooPQ", "F1 1 1"},

    {DUREQ_OVERLAP_BUFFER_ALL, "oooo", "F1 1 3"},
    {DUREQ_OVERLAP_BUFFER_ALL, "oocoo", "F1 F2b 1 2"},
    {DUREQ_OVERLAP_BUFFER_ALL, "ooocc", "F1 F2b F3b 1 0"},
    {DUREQ_OVERLAP_BUFFER_ALL, "oooccc", "F1 F2b F3b 0 0"},
    {DUREQ_OVERLAP_BUFFER_ALL, "oooxd", "F1 F2b F3b 1 0"},
    {DUREQ_OVERLAP_BUFFER_ALL, "ooopp", "F1 F2b F3b 1 0"},
    {DUREQ_OVERLAP_BUFFER_ALL, "oofo", "F1 1 2"},
    {DUREQ_OVERLAP_BUFFER_ALL, "oooRk", "F1 1 2"},
    {DUREQ_OVERLAP_BUFFER_ALL, "oooRKRK", "F1 F2b F3b 1 0"},
    {DUREQ_OVERLAP_BUFFER_ALL, "oooPx", "F1 0 2"},
    {DUREQ_OVERLAP_BUFFER_ALL, "oooPxQ", "F1 F2b 1 1"},
    {DUREQ_OVERLAP_BUFFER_ALL, "oooPxQcc", "F1 F2b F3b 0 0"},

    {DUREQ_OVERLAP_REPLACE, "oo", "F1 F2 1 0"},
    {DUREQ_OVERLAP_REPLACE, "oooo", "F1 F2 F3 F4 1 0"},
    {DUREQ_OVERLAP_REPLACE, "oco", "F1 F2 1 0"},
    {DUREQ_OVERLAP_REPLACE, "ofo", "F1 F2 1 0"},
    {DUREQ_OVERLAP_REPLACE, "ouo", "F1 F2 1 0"},
    {DUREQ_OVERLAP_REPLACE, "odo", "F1 F2 1 0"},
    {DUREQ_OVERLAP_REPLACE, "oRko", "F1 F2 1 0"},
    {DUREQ_OVERLAP_REPLACE, "oRo", "F1 1 1"},
    {DUREQ_OVERLAP_REPLACE, "oRoo", "F1 S2r 1 1"},
    {DUREQ_OVERLAP_REPLACE, "oRooo", "F1 S2r S3r 1 1"},
    {DUREQ_OVERLAP_REPLACE, "oRok", "F1 F2b 1 0"},
    {DUREQ_OVERLAP_REPLACE, "oRoC", "F1 F2b 1 0"},
    {DUREQ_OVERLAP_REPLACE, "oRook", "F1 S2r F3b 1 0"},
    {DUREQ_OVERLAP_REPLACE, "oRoPk", "F1 0 1"},
    {DUREQ_OVERLAP_REPLACE, "oRoPkQ", "F1 F2b 1 0"},
    {DUREQ_OVERLAP_REPLACE, "oRxo", "F1 1 1"},
    {DUREQ_OVERLAP_REPLACE, "oRokRo", "F1 F2b 1 1"},
};

/* ---- the scene ---- */

typedef struct scene {
    test_world *w;
    dureq_client *client;
    dureq_job_id text;
    test_id id;
    unsigned shard;
    int64_t base_s;   /* the occurrence 1 is a second later */
    uint64_t session; /* 0: none */
} scene;

static void ok(int rc, const dureq_error *err)
{
    if (rc < 0)
        fail_msg("%s", err->msg);
}

#define OK(call)               \
    do {                       \
        dureq_error err = {0}; \
        ok((call), &err);      \
    } while (0)

static dq_due_schedule look(scene *s)
{
    dq_due_schedules due;
    dq_due_schedule ret;
    dq_buf call = {0};
    dq_reply reply;

    dq_call_schedule_due(&call, dq_store_keys(s->w->s.store), s->shard, s->w->leader[s->shard]);
    reply = test_store_call(&s->w->s, s->shard, &call, NULL);
    assert_int_equal(dq_schedule_due_decode(&reply, &due), 0);
    assert_int_equal(due.left, 1);
    assert_int_equal(dq_due_schedules_next(&due, &ret), 1);
    ret.id = test_id_str(&s->id); /* the answer's bytes are gone with the next call */
    return ret;
}

/* One that comes round each second, and does so since five minutes. */
static scene open_scene(test_world *w, dureq_client *client, dureq_overlap policy)
{
    dureq_schedule schedule = dureq_schedule_init();
    dureq_job_spec spec = {.task_type = "t", .payload = DQ_STR_LIT("1")};
    scene s = {.w = w, .client = client};
    dq_id id;

    schedule.type = DUREQ_SCHEDULE_DURATION;
    schedule.interval_ms = 1000;
    schedule.overlap_policy = policy;
    OK(dureq_client_create_schedule(client, &schedule, &spec, &s.text, &err));
    assert_int_equal(dq_id_parse(dureq_str_from(s.text.text), &id), 0);
    dq_id_pack(&id, (unsigned char *)s.id.bytes);
    s.shard = id.shard;
    (void)test_plant(w, s.shard, &s.id,
                     "local f = '>BBI4I6I6I6I4I4' local v = { unpk(f, call('HGET', K .. 'sch:s', id)) } "
                     "v[4], v[5], v[6] = v[4] - 300000, v[5] - 300, 0 "
                     "call('HSET', K .. 'sch:s', id, pack(f, unpack(v, 1, 8))) call('ZADD', K .. 'sch', 0, id)");
    s.base_s = look(&s).state.cursor;
    return s;
}

/* ---- what happens ---- */

static void come_round(scene *s)
{
    dq_due_schedule seen;
    int64_t at;
    dq_fired fired;
    DQ_BUF_AUTO bytes = {0};
    dq_reply reply;

    if (dq_reply_int(test_plant(s->w, s->shard, &s->id, "return string.byte(call('HGET', K .. 'sch:s', id), 2) % 2")) == 1)
        return; /* it is paused: nothing comes round */
    seen = look(s);
    at = seen.state.cursor + 1;
    dq_firing f = {.next = at + 1, .due_ms = 1, .at = &at, .n = 1, .missed = {.n = -1}};
    dq_call call = dq_call_schedule_fire(&bytes, dq_store_keys(s->w->s.store), s->shard, s->w->leader[s->shard]);
    dq_fire_add(&call, &seen, &f);
    dq_call_end(&call);
    reply = test_store_call(&s->w->s, s->shard, &bytes, NULL);
    assert_int_equal(dq_schedule_fire_decode(&reply, &fired), 0);
    assert_int_equal(fired.n_stale, 0);
}

static test_id current(scene *s)
{
    test_id id;
    dureq_str found = dq_reply_str(test_plant(s->w, s->shard, &s->id,
                                              "local job = call('SRANDMEMBER', K .. 'sa:' .. id) if job then return job end "
                                              "for _, r in ipairs(call('LRANGE', K .. 'so:' .. id, 0, -1)) do "
                                              "if string.byte(r) % 4 == 1 then job = string.sub(r, 13, 25) end end return job"));

    assert_int_equal(found.len, sizeof id.bytes);
    memcpy(id.bytes, found.ptr, sizeof id.bytes);
    return id;
}

static uint64_t session_of(scene *s)
{
    if (!s->session)
        s->session = test_session_open(s->w, s->shard, "n1", LEASE_MS);
    return s->session;
}

static void start(scene *s, const test_id *job)
{
    test_job_take(s->w, s->shard, session_of(s), job);
    test_session_started(s->w, s->shard, s->session, job, test_server_ms(s->w), NULL);
}

static void end_as(scene *s, const test_id *job, int state)
{
    if (test_job_state(s->w, s->shard, job) != DUREQ_JOB_RUNNING)
        test_job_take(s->w, s->shard, session_of(s), job);
    assert_int_equal(test_job_end(s->w, s->shard, s->session, job, state), 0);
}

static void reap(scene *s, int max_crashes)
{
    dq_reaped r = {.more = true};

    test_session_expire(s->w, s->shard, session_of(s));
    while (r.more || r.session) {
        dq_buf call = {0};
        dq_reply reply;

        dq_call_session_reap(&call, dq_store_keys(s->w->s.store), s->shard, s->w->leader[s->shard],
                             &(dq_reap){.lease_ms = LEASE_MS, .max_crashes = max_crashes});
        reply = test_store_call(&s->w->s, s->shard, &call, NULL);
        assert_int_equal(dq_session_reap_decode(&reply, &r), 0);
    }
    s->session = 0;
}

static void close_session(scene *s)
{
    if (s->session)
        test_session_close(s->w, s->shard, s->session);
    s->session = 0;
}

static void purge(scene *s)
{
    dq_queue_purged p;
    dq_buf call = {0};
    dq_reply reply;

    dq_call_queue_purge(&call, dq_store_keys(s->w->s.store), s->shard, DQ_STR_LIT("me"), DQ_STR_LIT("normal"), (dureq_str){0}, 0);
    reply = test_store_call(&s->w->s, s->shard, &call, NULL);
    assert_int_equal(dq_queue_purge_decode(&reply, &p), 0);
    assert_int_equal(p.n, 1);
}

static void one_fails(scene *s, const test_id *job)
{
    if (test_job_state(s->w, s->shard, job) != DUREQ_JOB_RUNNING)
        test_job_take(s->w, s->shard, session_of(s), job);
    test_job_fail_once(s->w, s->shard, s->session, job);
}

static const char *job_text(const test_id *id)
{
    static dureq_job_id text;
    dq_id parsed;

    assert_true(dq_id_unpack(test_id_str(id), &parsed));
    dq_id_to_text(&parsed, &text);
    return text.text;
}

static void happen_to_job(scene *s, char what, const test_id *job)
{
    test_world *w = s->w;

    switch (what) {
    case 'R': start(s, job); break;
    case 'c': end_as(s, job, DUREQ_JOB_COMPLETED); break;
    case 'd': end_as(s, job, DUREQ_JOB_DEAD); break;
    case 'f': one_fails(s, job); break;
    case 'n': assert_int_equal(test_job_move(w, s->shard, DQ_JOB_RUN_NOW, 0, job), 0); break;
    case 'u': assert_int_equal(test_job_move(w, s->shard, DQ_JOB_PAUSE, 0, job), 0); break;
    case 'U': assert_int_equal(test_job_move(w, s->shard, DQ_JOB_RESUME, 0, job), 0); break;
    case 'x': assert_int_equal(test_job_cancel(w, s->shard, job), 0); break;
    case 'y': OK(dureq_client_retry(s->client, job_text(job), false, &err)); break;
    case 'Y': assert_int_equal(dureq_client_retry(s->client, job_text(job), false, NULL), DUREQ_ECONFLICT); break;
    case 'D': OK(dureq_client_delete(s->client, job_text(job), &err)); break;
    default: fail_msg("'%c' is nothing that happens", what);
    }
}

static void happen(scene *s, char what)
{
    test_id job;

    switch (what) {
    case 'o': come_round(s); return;
    case 'k': reap(s, 100); return;
    case 'K': reap(s, 1); return;
    case 'C': close_session(s); return;
    case 'p': purge(s); return;
    case 'P': OK(dureq_client_pause_schedule(s->client, s->text.text, &err)); return;
    case 'Q': OK(dureq_client_resume_schedule(s->client, s->text.text, &err)); return;
    default: break;
    }
    job = current(s);
    happen_to_job(s, what, &job);
}

/* ---- what it did ---- */

static char letter_of(const char *reason)
{
    static const char *const words[] = {"overlap", "buffer_full", "replaced", "buffer"};

    for (size_t i = 0; i < DQ_ARRAY_LEN(words); i++)
        if (strcmp(reason, words[i]) == 0)
            return "ofrb"[i];
    return '?';
}

static void put_did(const scene *s, dq_buf *out)
{
    dureq_schedule_list *list = NULL;
    const dureq_schedule_info *info;

    OK(dureq_client_get_schedule(s->client, s->text.text, &list, &err));
    info = &list->items[0];
    for (size_t i = info->n_records; i-- > 0;) {
        const dureq_schedule_record *r = &info->records[i];

        dq_buf_append_fmt(out, "%c%d", r->what[0] - 'a' + 'A', (int)(r->first_ms / 1000 - s->base_s));
        if (r->reason[0])
            dq_buf_append_char(out, letter_of(r->reason));
        dq_buf_append_char(out, ' ');
    }
    dq_buf_append_fmt(out, "%d %d", (int)info->n_active, (int)info->n_buffered);
    dureq_schedule_list_destroy(list);
}

/* Nothing of one row is there for the next. */
static void close_scene(scene *s)
{
    int64_t n;

    OK(dureq_client_delete_schedule(s->client, s->text.text, &err));
    close_session(s);
    OK(dureq_client_purge_queue(s->client, "normal", &n, &err));
}

static void what_becomes_of_occurrences_while_others_are_active(void **state)
{
    test_world *w = *state;
    dureq_client_options o = dureq_client_options_init();
    dureq_client *client = NULL;

    o.redis_url = test_redis_url(w->server);
    OK(dureq_client_create(&o, &client, &err));
    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        scene s = open_scene(w, client, rows[i].policy);
        DQ_BUF_AUTO did = {0};

        for (const char *at = rows[i].happens; *at; at++)
            happen(&s, *at);
        put_did(&s, &did);
        if (strcmp(did.ptr, rows[i].did) != 0)
            fail_msg("%s %s: '%s', not '%s'", dureq_overlap_to_str(rows[i].policy), rows[i].happens, did.ptr, rows[i].did);
        close_scene(&s);
    }
    dureq_client_destroy(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WORLDS(what_becomes_of_occurrences_while_others_are_active),
    };

    return cmocka_run_group_tests(tests, test_world_group_start, test_world_group_stop);
}
