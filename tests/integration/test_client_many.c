/* SPDX-License-Identifier: Apache-2.0 */
/* Operating on lists of jobs: an answer for each, few round trips, and what is told on the way. */
#include "fault_proxy.h"
#include "test_rig.h"

#include <stdlib.h>

#include "model/job.h"

#define SLOW_MS 12 /* of a round trip */

static int act(dureq_run *run, void *userdata)
{
    (void)userdata;
    return dq_str_eq_text(dureq_run_payload(run), "1") ? 0 : dureq_run_fail(run, 1, "died");
}

typedef struct jobs {
    size_t n;
    dureq_job_id *ids;
    const char **texts;
    int *codes;
} jobs;

static jobs jobs_create(size_t n, dureq_str payload, const dureq_job_options *o)
{
    jobs j = {n, calloc(n, sizeof *j.ids), calloc(n, sizeof *j.texts), calloc(n, sizeof *j.codes)};
    dureq_enqueue_result *results = calloc(n, sizeof *results);
    dureq_job_spec *specs = calloc(n, sizeof *specs);

    for (size_t i = 0; i < n; i++)
        specs[i] = (dureq_job_spec){.task_type = "act", .payload = payload, .options = o};
    RIG_OK(dureq_client_enqueue_many(rig.client, specs, n, results, &err));
    for (size_t i = 0; i < n; i++) {
        EXPECT_RC(0, results[i].code);
        j.ids[i] = results[i].id;
        j.texts[i] = j.ids[i].text;
    }
    free(specs);
    free(results);
    return j;
}

static void jobs_free(jobs *j)
{
    free(j->ids);
    free(j->texts);
    free(j->codes);
}

static void expect_codes(const jobs *j, int wanted)
{
    for (size_t i = 0; i < j->n; i++) {
        EXPECT_NOTE("job %zu", i);
        EXPECT_RC(wanted, j->codes[i]);
    }
}

/* ---- each verb ---- */

static int do_list(const char *verb, const jobs *j, const dureq_many_options *o, dureq_error *err)
{
    static const struct {
        const char *name;
        int (*fn)(dureq_client *, const char *const *, size_t, const dureq_many_options *, int *, dureq_error *);
    } fns[] = {
        {"cancel", dureq_client_cancel_many}, {"retry", dureq_client_retry_many},      {"delete", dureq_client_delete_many},
        {"run", dureq_client_run_now_many},   {"later", dureq_client_reschedule_many}, {"pause", dureq_client_pause_many},
        {"resume", dureq_client_resume_many},
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(fns); i++)
        if (strcmp(fns[i].name, verb) == 0)
            return fns[i].fn(rig.client, j->texts, j->n, o, j->codes, err);
    return DUREQ_EINVAL;
}

/* From one to the next, and each again, which the state then refuses. */
SCENARIO(each_verb_does_its_work_on_all_of_a_list)
{
    static const struct {
        const char *verb;
        int state, again;
    } steps[] = {
        {"pause", DUREQ_JOB_PAUSED, DUREQ_ECONFLICT},
        {"resume", DUREQ_JOB_PENDING, DUREQ_ECONFLICT},
        {"later", DUREQ_JOB_SCHEDULED, 0},
        {"run", DUREQ_JOB_PENDING, 0},
        {"cancel", DUREQ_JOB_CANCELLED, DUREQ_ECONFLICT},
        {"retry", DUREQ_JOB_PENDING, DUREQ_ECONFLICT},
        {"cancel", DUREQ_JOB_CANCELLED, DUREQ_ECONFLICT},
        {"delete", -1, DUREQ_ENOTFOUND},
    };
    dureq_many_options o = dureq_many_options_init();
    jobs j = jobs_create(700, DQ_STR_LIT("1"), NULL);

    o.reason = "enough";
    o.run_at_ms = rig_server_ms() + 3600000;
    for (size_t i = 0; i < DQ_ARRAY_LEN(steps); i++) {
        RIG_OK(do_list(steps[i].verb, &j, &o, &err));
        expect_codes(&j, 0);
        for (size_t k = 0; k < j.n; k += 97)
            EXPECT_I64(steps[i].state, rig_state(j.texts[k]));
        if (i == 4)
            EXPECT_STR_TEXT("enough", rig_job(j.texts[699])->reason);
        RIG_OK(do_list(steps[i].verb, &j, &o, &err));
        expect_codes(&j, steps[i].again);
    }
    jobs_free(&j);
}

SCENARIO(each_of_a_list_has_its_own_answer)
{
    jobs j = jobs_create(4, DQ_STR_LIT("1"), NULL);
    const char *ids[] = {j.texts[0], "nonsense", j.texts[1], j.texts[2], NULL, j.texts[0], j.texts[3]};
    int codes[7], wanted[] = {0, DUREQ_EINVAL, DUREQ_ECONFLICT, DUREQ_ENOTFOUND, DUREQ_EINVAL, DUREQ_ECONFLICT, 0};

    RIG_OK(dureq_client_cancel(rig.client, j.texts[1], NULL, &err));
    RIG_OK(dureq_client_cancel(rig.client, j.texts[2], NULL, &err));
    RIG_OK(dureq_client_delete(rig.client, j.texts[2], &err));
    RIG_OK(dureq_client_cancel_many(rig.client, ids, 7, NULL, codes, &err));
    for (int i = 0; i < 7; i++) {
        EXPECT_NOTE("%d", i);
        EXPECT_RC(wanted[i], codes[i]);
    }
    EXPECT_I64(3, rig_counts().cancelled);
    RIG_OK(dureq_client_cancel_many(rig.client, NULL, 0, NULL, NULL, &err));
    jobs_free(&j);
}

SCENARIO(what_no_list_can_be_done_with_is_refused_by_name)
{
    dureq_many_options o = dureq_many_options_init();
    char reason[1100];
    jobs j = jobs_create(1, DQ_STR_LIT("1"), NULL);

    memset(reason, 'r', sizeof reason - 1);
    reason[sizeof reason - 1] = '\0';
    o.reason = reason;
    RIG_FAILS(DUREQ_ETOOLARGE, "reason", dureq_client_cancel_many(rig.client, j.texts, 1, &o, j.codes, &err));
    RIG_FAILS(DUREQ_EINVAL, "run_at_ms", dureq_client_reschedule_many(rig.client, j.texts, 1, NULL, j.codes, &err));
    RIG_FAILS(DUREQ_EINVAL, "codes", dureq_client_retry_many(rig.client, j.texts, 1, NULL, NULL, &err));
    EXPECT_I64(DUREQ_JOB_PENDING, rig_state(j.texts[0]));
    jobs_free(&j);
}

SCENARIO(completed_jobs_are_retried_with_force_only)
{
    dureq_many_options o = dureq_many_options_init();
    jobs j = jobs_create(300, DQ_STR_LIT("1"), NULL);

    (void)rig_node("n", "act", act, NULL);
    RIG_UNTIL(rig_counts().completed == 300);
    RIG_OK(do_list("retry", &j, NULL, &err));
    expect_codes(&j, DUREQ_ECONFLICT);
    o.force = true;
    RIG_OK(do_list("retry", &j, &o, &err));
    expect_codes(&j, 0);
    RIG_UNTIL(rig_counts().completed == 300);
    EXPECT_I64(2, rig_job(j.texts[299])->runs);
    jobs_free(&j);
}

/* ---- bounds ---- */

static void kill_all(jobs *j)
{
    (void)rig_node("n", "act", act, NULL);
    RIG_UNTIL(rig_counts().dead == (int64_t)j->n);
    RIG_OK(dureq_client_pause_queue(rig.client, "normal", &err));
}

/* A script moves 256 KiB and leaves the rest to the next call: none is left out. */
SCENARIO(large_jobs_are_all_done_though_a_call_takes_few_of_them)
{
    size_t len = DQ_PAYLOAD_INLINE_MAX - 100;
    char *bytes = malloc(len);
    jobs j;

    memset(bytes, 'q', len);
    j = jobs_create(150, dureq_str_of(bytes, len), NULL);
    kill_all(&j);
    RIG_OK(do_list("retry", &j, NULL, &err));
    expect_codes(&j, 0);
    RIG_OK(do_list("cancel", &j, NULL, &err));
    expect_codes(&j, 0);
    EXPECT_I64(150, rig_counts().cancelled);
    RIG_OK(do_list("delete", &j, NULL, &err));
    expect_codes(&j, 0);
    EXPECT_I64(0, rig_counts().cancelled);
    jobs_free(&j);
    free(bytes);
}

/* ---- progress ---- */

typedef struct told {
    size_t n, last, stop_at;
    bool is_sound;
} told;

static bool note(size_t n_done, size_t n, void *userdata)
{
    told *t = userdata;

    t->is_sound = t->is_sound && n_done > t->last && n_done <= n && n == 1000;
    t->last = n_done;
    t->n++;
    return t->stop_at == 0 || n_done < t->stop_at;
}

SCENARIO(progress_is_told_after_each_round_trip_and_may_stop_it)
{
    dureq_many_options o = dureq_many_options_init();
    jobs j = jobs_create(1000, DQ_STR_LIT("1"), NULL);
    told t = {.is_sound = true};
    int64_t n_ok = 0;

    o.progress_fn = note;
    o.progress_userdata = &t;
    RIG_OK(do_list("pause", &j, &o, &err));
    EXPECT_TRUE(t.is_sound);
    EXPECT_U64(8, t.n);
    EXPECT_U64(1000, t.last);
    t = (told){.is_sound = true, .stop_at = 500};
    RIG_FAILS(DUREQ_ECANCELLED, "512 of 1000", do_list("cancel", &j, &o, &err));
    for (size_t i = 0; i < j.n; i++) {
        EXPECT_TRUE(j.codes[i] == 0 || j.codes[i] == DUREQ_ECANCELLED);
        n_ok += j.codes[i] == 0;
    }
    EXPECT_I64(512, n_ok);
    EXPECT_I64(512, rig_counts().cancelled);
    EXPECT_I64(488, rig_counts().paused);
    jobs_free(&j);
}

/* ---- over a slow way, and a broken one ---- */

static dureq_client *far_client(fault_proxy **ret, int64_t timeout_ms)
{
    dureq_client_options o = dureq_client_options_init();
    dureq_client *c = NULL;

    *ret = fault_proxy_start(test_redis_socket(rig.server), test_redis_file(rig.server, "proxy.sock"));
    o.redis_url = fault_proxy_url(*ret);
    o.prefix = rig.prefix;
    o.timeout_ms = timeout_ms;
    RIG_OK(dureq_client_create(&o, &c, &err));
    return c;
}

SCENARIO(a_list_is_twenty_times_faster_than_its_jobs_one_by_one)
{
    enum { ONE_BY_ONE = 20 };
    dureq_client *near_one = rig.client;
    fault_proxy *proxy;
    jobs j = jobs_create(1000, DQ_STR_LIT("die"), NULL);
    int64_t began, one_ms, list_ms;

    kill_all(&j);
    rig.client = far_client(&proxy, 10000);
    fault_proxy_delay(proxy, SLOW_MS);
    began = rig_mono_ms();
    for (size_t i = 0; i < ONE_BY_ONE; i++)
        RIG_OK(dureq_client_retry(rig.client, j.texts[i], false, &err));
    one_ms = (rig_mono_ms() - began) * 1000 / ONE_BY_ONE;
    began = rig_mono_ms();
    RIG_OK(dureq_client_retry_many(rig.client, j.texts + ONE_BY_ONE, j.n - ONE_BY_ONE, NULL, j.codes + ONE_BY_ONE, &err));
    list_ms = (rig_mono_ms() - began) * 1000 / (int64_t)(j.n - ONE_BY_ONE);
    expect_codes(&j, 0);
    EXPECT_NOTE("one by one %lld us each, in a list %lld us each", (long long)one_ms, (long long)list_ms);
    EXPECT_TRUE(one_ms >= 20 * list_ms);
    dureq_client_destroy(rig.client);
    fault_proxy_stop(proxy);
    rig.client = near_one;
    jobs_free(&j);
}

/* Each job is as its code says; those of the call whose answer was lost may be either. */
SCENARIO(a_lost_answer_leaves_no_code_that_is_wrong)
{
    dureq_client *near_one = rig.client;
    fault_proxy *proxy;
    jobs j = jobs_create(1000, DQ_STR_LIT("1"), NULL);
    size_t n_of[3] = {0};

    rig.client = far_client(&proxy, 10000);
    fault_proxy_cut_at(proxy, FAULT_TO_CLIENT, 2 * 512 + 300); /* an answer for 128 takes 512 bytes */
    RIG_FAILS(DUREQ_EUNKNOWN, "lost", do_list("cancel", &j, NULL, &err));
    dureq_client_destroy(rig.client);
    fault_proxy_stop(proxy);
    rig.client = near_one;
    for (size_t i = 0; i < j.n; i++) {
        int state = rig_state(j.texts[i]);

        EXPECT_NOTE("job %zu: %s", i, dureq_errcode_name(j.codes[i]));
        EXPECT_TRUE(j.codes[i] == 0                  ? state == DUREQ_JOB_CANCELLED
                    : j.codes[i] == DUREQ_ECANCELLED ? state == DUREQ_JOB_PENDING
                                                     : j.codes[i] == DUREQ_EUNKNOWN);
        n_of[j.codes[i] == 0 ? 0 : j.codes[i] == DUREQ_ECANCELLED ? 1 : 2]++;
    }
    EXPECT_TRUE(n_of[0] > 0 && n_of[1] > 0 && n_of[2] > 0);
    jobs_free(&j);
}

RIG_MAIN()
