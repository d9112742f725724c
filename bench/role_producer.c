/* SPDX-License-Identifier: Apache-2.0 */
/* The producer: a dureq_client that enqueues numbered jobs. Payloads are made once and only their numbers change, so that the
   process's time is the client's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dureq/client.h>

#include "bench.h"
#include "board.h"
#include "role.h"
#include "wire.h"

typedef struct producer {
    dureq_client *client;
    board *board; /* NULL: none */
    wire w;       /* for the bare wake-up */
} producer;

/* One "enqueue" as asked. */
typedef struct load {
    int64_t n, first;
    size_t batch, payload;
    int64_t lead;   /* at most so many jobs ahead of the node; 0: any */
    double per_s;   /* calls are paced to it; 0: as fast as it goes */
    int64_t due_ms; /* Unix time of the first job; 0: at once */
    double due_per_s;
    int64_t retention_ms;

    dureq_job_spec *specs;
    dureq_job_options *options;
    dureq_enqueue_result *results;
    char *bytes;
} load;

static void load_deinit(load *l)
{
    dq_free(l->specs);
    dq_free(l->options);
    dq_free(l->results);
    dq_free(l->bytes);
}

static int load_init(load *l, const role_words *q, dureq_error *err)
{
    *l = (load){
        .n = (int64_t)role_get(q, "n", 1),
        .first = (int64_t)role_get(q, "first", 0),
        .batch = (size_t)role_get(q, "batch", BENCH_BATCH),
        .payload = (size_t)role_get(q, "payload", BENCH_PAYLOAD),
        .lead = (int64_t)role_get(q, "lead", 0),
        .per_s = role_get(q, "per_s", 0),
        .due_ms = (int64_t)role_get(q, "due_ms", 0),
        .due_per_s = role_get(q, "due_per_s", 1000),
        .retention_ms = (int64_t)role_get(q, "retention_ms", 0),
    };
    l->specs = dq_calloc(l->batch, sizeof(*l->specs));
    l->options = dq_calloc(l->batch, sizeof(*l->options));
    l->results = dq_calloc(l->batch, sizeof(*l->results));
    l->bytes = dq_malloc(l->batch * l->payload);
    if (!l->specs || !l->options || !l->results || !l->bytes)
        return dq_fail_nomem(err);
    for (size_t i = 0; i < l->batch; i++) {
        char *payload = l->bytes + i * l->payload;

        board_write_payload(payload, l->payload);
        l->options[i] = dureq_job_options_init();
        l->options[i].retention_ms = l->retention_ms;
        l->specs[i] = (dureq_job_spec){.task_type = BENCH_TASK_TYPE, .payload = dureq_str_of(payload, l->payload)};
        if (l->due_ms || l->retention_ms)
            l->specs[i].options = &l->options[i];
    }
    return 0;
}

static void number_jobs(const producer *p, load *l, int64_t done, size_t n)
{
    int64_t now = p->board ? dq_mono_us() : 0;

    for (size_t i = 0; i < n; i++) {
        int64_t number = l->first + done + (int64_t)i;

        board_write_number(l->bytes + i * l->payload, number);
        if (p->board && number < p->board->n)
            p->board->jobs[number].enqueued_us = now;
        if (l->due_ms)
            l->options[i].run_at_ms = l->due_ms + (int64_t)((double)(done + (int64_t)i) * 1000 / l->due_per_s);
    }
}

/* Not before its time, and not too far ahead of the node. */
static void wait_for_turn(const producer *p, const load *l, int64_t begun_us, int64_t started_before, int64_t done)
{
    if (l->per_s > 0)
        role_sleep_until_us(begun_us + (int64_t)((double)done * 1e6 / l->per_s));
    while (l->lead && p->board && done - (atomic_load(&p->board->n_started) - started_before) > l->lead)
        role_sleep_until_us(dq_mono_us() + 200);
}

static int enqueue_all(producer *p, load *l, int64_t *ret_refused, dureq_error *err)
{
    int64_t begun = dq_mono_us(), started_before = p->board ? atomic_load(&p->board->n_started) : 0;

    for (int64_t done = 0; done < l->n;) {
        size_t n = (size_t)DQ_MIN(l->n - done, (int64_t)l->batch);
        int rc;

        wait_for_turn(p, l, begun, started_before, done);
        number_jobs(p, l, done, n);
        rc = dureq_client_enqueue_many(p->client, l->specs, n, l->results, err);
        if (rc < 0)
            return rc;
        for (size_t i = 0; i < n; i++)
            *ret_refused += l->results[i].code < 0;
        if (*ret_refused)
            return dq_fail(err, DUREQ_EREDIS, "a job was refused: %s", l->results[0].msg);
        done += (int64_t)n;
    }
    return 0;
}

static int enqueue(void *role, const role_words *q, role_words *answer, dureq_error *err)
{
    DQ_CLEANUP(load_deinit) load l = {0};
    int64_t refused = 0, cpu, begun;
    int rc = load_init(&l, q, err);

    if (rc < 0)
        return rc;
    cpu = role_cpu_us();
    begun = dq_mono_us();
    rc = enqueue_all(role, &l, &refused, err);
    role_put(answer, "us", (double)(dq_mono_us() - begun));
    role_put(answer, "cpu_us", (double)(role_cpu_us() - cpu));
    return rc;
}

/* A bare message that carries the time of its sending, beside an XADD. */
static int pulse_bare(producer *p, const char *payload, size_t len, dureq_error *err)
{
    DQ_BUF_AUTO out = {0};

    dq_resp_begin(&out, 5);
    dq_resp_arg_text(&out, "XADD");
    dq_resp_arg_text(&out, "{bench}:bare");
    dq_resp_arg_text(&out, "*");
    dq_resp_arg_text(&out, "j");
    dq_resp_arg(&out, dureq_str_of(payload, len));
    dq_resp_begin(&out, 3);
    dq_resp_arg_text(&out, "SPUBLISH");
    dq_resp_arg_text(&out, "{bench}:wake");
    dq_resp_arg_i64(&out, dq_mono_us());
    return wire_call(&p->w, &out, 2, NULL, err);
}

/* n jobs one by one, and a bare message between any two of them, all `gap_us` apart: each finds the system idle. */
static int pulse(void *role, const role_words *q, role_words *answer, dureq_error *err)
{
    producer *p = role;
    DQ_CLEANUP(load_deinit) load l = {0};
    int64_t gap = (int64_t)role_get(q, "gap_us", 5000), begun = dq_mono_us();
    int rc = load_init(&l, q, err);

    for (int64_t i = 0; i < l.n && rc == 0; i++) {
        role_sleep_until_us(dq_mono_us() + gap);
        number_jobs(p, &l, i, 1);
        rc = dureq_client_enqueue(p->client, l.specs, NULL, err);
        if (rc < 0)
            return rc;
        role_sleep_until_us(dq_mono_us() + gap);
        rc = pulse_bare(p, l.bytes, l.payload, err);
    }
    role_put(answer, "us", (double)(dq_mono_us() - begun));
    return rc;
}

static const role_command commands[] = {{"enqueue", enqueue}, {"pulse", pulse}, {NULL, NULL}};

static void log_to_stderr(const dureq_log_record *record, void *userdata)
{
    (void)userdata;
    fprintf(stderr, "producer: %s %s\n", record->event, record->text);
}

static int open_all(producer *p, int argc, char **argv, dureq_error *err)
{
    dureq_client_options opts = dureq_client_options_init();
    const char *board_path = role_option(argc, argv, "board"), *socket_path = role_option(argc, argv, "socket");
    int rc;

    opts.redis_url = role_option(argc, argv, "url");
    opts.timeout_ms = 60000;
    if (getenv("BENCH_LOG"))
        opts.log_fn = log_to_stderr;
    rc = dureq_client_create(&opts, &p->client, err);
    if (rc == 0 && board_path)
        rc = board_open(board_path, &p->board, err);
    if (rc == 0 && socket_path)
        rc = wire_open(&p->w, socket_path, err);
    return rc;
}

int role_producer_main(int argc, char **argv)
{
    producer p = {.w = {.fd = -1}};
    dureq_error err = {0};
    int rc = open_all(&p, argc, argv, &err);

    rc = rc < 0 ? role_fail_start(&err) : role_serve(commands, &p);
    dureq_client_destroy(p.client);
    board_close(p.board);
    wire_close(&p.w);
    return rc;
}
