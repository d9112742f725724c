/* SPDX-License-Identifier: Apache-2.0 */
/* POST /api/jobs: one job spec, an array of them, or one a line (NDJSON). Each is accepted or refused by itself; the answer has one
   item per spec, in order. */
#include <stdio.h>

#include "api/scope.h"
#include "client/request.h"
#include "model/job_json.h"

#define CHUNK 2048 /* as many as the client sends at a time */

typedef struct chunk {
    dureq_job_spec specs[CHUNK];
    dureq_job_options options[CHUNK];
    dureq_enqueue_result results[CHUNK];
    dureq_error errors[CHUNK];  /* code < 0: refused before it was sent */
    dureq_job_spec good[CHUNK]; /* of send */
    dureq_enqueue_result answers[CHUNK];
    size_t at[CHUNK];
    dq_json docs[CHUNK]; /* of lines */
    dq_arena arena;      /* what the specs point to */
    size_t n;
    const char *key;    /* Idempotency-Key; NULL: none */
    bool is_alone;      /* one spec: its request id is the key itself */
    int64_t n_given;    /* specs of the body so far */
    bool is_lines;      /* so is the answer, and it goes out chunk by chunk */
    bool any_sent;      /* a chunk has its answers: what fails now fails item by item */
    dureq_error broken; /* code < 0: since then nothing is sent */
} chunk;

static void write_result(dq_api_ctx *c, const dureq_enqueue_result *r)
{
    dq_json_begin_object(&c->w);
    if (r->code == 0) {
        dq_json_key(&c->w, "id");
        dq_json_put_text(&c->w, r->id.text);
        if (r->existing) { /* what became of it by now is not known here */
            dq_json_key(&c->w, "existing");
            dq_json_put_bool(&c->w, true);
        } else {
            dq_json_key(&c->w, "status");
            dq_json_put_text(&c->w, r->scheduled ? "scheduled" : "pending");
        }
    } else {
        dq_json_key(&c->w, "error");
        dq_json_put_text(&c->w, r->msg);
        dq_json_key(&c->w, "code");
        dq_json_put_text(&c->w, dq_api_code_word(r->code));
        if (r->id.text[0]) {
            dq_json_key(&c->w, "existing_id");
            dq_json_put_text(&c->w, r->id.text);
        }
    }
    dq_json_end_object(&c->w);
}

static void refuse(chunk *k, size_t i)
{
    size_t len = DQ_MIN(strlen(k->errors[i].msg), sizeof k->results[i].msg - 1);

    k->results[i] = (dureq_enqueue_result){.code = k->errors[i].code};
    memcpy(k->results[i].msg, k->errors[i].msg, len);
}

/* The server went away after some were accepted: their ids must reach the caller, so the rest is refused one by one. The chunk in
   which it happened has answers where they are known. */
static int answer_broken(const chunk *k, bool is_first, dureq_enqueue_result *answers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (is_first && (answers[i].code == 0 || answers[i].msg[0]))
            continue;
        answers[i] = (dureq_enqueue_result){.code = k->broken.code};
        (void)snprintf(answers[i].msg, sizeof answers[i].msg, "%.*s", (int)sizeof answers[i].msg - 1, k->broken.msg);
    }
    return 0;
}

/* Sends the good ones of a chunk and puts all answers in their places. */
static int send(dq_api_ctx *c, chunk *k, dureq_error *err)
{
    dureq_enqueue_result *answers = k->answers;
    size_t n = 0;
    int rc = 0;

    for (size_t i = 0; i < k->n; i++) {
        if (k->errors[i].code < 0) {
            refuse(k, i);
            continue;
        }
        k->at[n] = i;
        k->good[n] = k->specs[i];
        k->good[n++].options = &k->options[i];
    }
    if (n && k->broken.code == 0)
        rc = dureq_client_enqueue_many(c->client, k->good, n, answers, err);
    for (size_t i = 0; rc < 0 && i < n; i++)
        k->any_sent = k->any_sent || answers[i].code == 0;
    if (rc < 0 && k->any_sent)
        k->broken = *err;
    if (n && k->broken.code < 0)
        rc = answer_broken(k, rc < 0, answers, n);
    k->any_sent = k->any_sent || rc == 0;
    for (size_t i = 0; rc == 0 && i < n; i++)
        k->results[k->at[i]] = answers[i];
    return rc;
}

/* A body that is sent again with its key enqueues nothing again, item by item. A spec's own request id goes first. */
static void take_key(chunk *k, size_t i)
{
    DQ_BUF_AUTO id = {0};

    if (!k->key || k->errors[i].code < 0 || k->options[i].request_id.len > 0)
        return;
    dq_buf_append_text(&id, k->key);
    if (!k->is_alone)
        dq_buf_append_fmt(&id, ":%lld", (long long)k->n_given - 1);
    k->options[i].request_id = dq_arena_dup_str(&k->arena, dq_buf_str(&id));
    if (k->options[i].request_id.len == 0) /* the key is not empty */
        dq_fail_nomem(&k->errors[i]);
}

static void add(const dq_api_ctx *c, chunk *k, const dq_json *doc, dq_json_ref v)
{
    size_t i = k->n++;

    k->errors[i] = (dureq_error){0};
    k->options[i] = dureq_job_options_init();
    k->n_given++;
    if (dq_job_spec_from_json(doc, v, &k->arena, &k->specs[i], &k->options[i], &k->errors[i]) < 0)
        return; /* the code stays in errors */
    take_key(k, i);
    k->specs[i].options = &k->options[i];
    if (k->errors[i].code == 0)
        (void)dq_api_check_spec(c, &k->specs[i], &k->errors[i]);
}

static int flush(dq_api_ctx *c, chunk *k, dureq_error *err)
{
    int rc = send(c, k, err);

    for (size_t i = 0; rc == 0 && i < k->n; i++) {
        if (k->is_lines) /* each is a document of its own */
            c->w = dq_json_writer_of(&c->res->body);
        write_result(c, &k->results[i]);
        if (k->is_lines)
            dq_buf_append_char(&c->res->body, '\n');
    }
    k->n = 0;
    dq_arena_reset(&k->arena);
    return rc == 0 && k->is_lines ? dq_api_flush(c, err) : rc;
}

static void answer_one(dq_api_ctx *c, const dureq_enqueue_result *r)
{
    c->res->status = r->code < 0 ? dq_api_status_of(r->code) : r->existing ? 200 : 201;
    c->res->code = r->code;
    if (r->code == 0)
        (void)snprintf(c->res->location, sizeof c->res->location, "/api/jobs/%s", r->id.text);
    write_result(c, r);
}

static int enqueue_one(dq_api_ctx *c, chunk *k, const dq_json *doc, dureq_error *err)
{
    int rc;

    k->is_alone = true;
    add(c, k, doc, 0);
    rc = send(c, k, err);
    if (rc == 0)
        answer_one(c, &k->results[0]);
    return rc;
}

static int enqueue_array(dq_api_ctx *c, chunk *k, const dq_json *doc, dureq_error *err)
{
    int rc = 0;

    dq_json_begin_array(&c->w);
    for (dq_json_ref v = dq_json_first(doc, 0); rc == 0 && v != DQ_JSON_NONE; v = dq_json_next(doc, 0, v)) {
        add(c, k, doc, v);
        if (k->n == CHUNK)
            rc = flush(c, k, err);
    }
    if (rc == 0)
        rc = flush(c, k, err);
    dq_json_end_array(&c->w);
    return rc;
}

/* As many lines as a chunk holds. A document per line; they must live until the chunk is sent. How many documents there are. */
static size_t read_lines(const dq_api_ctx *c, chunk *k, dureq_str *rest)
{
    size_t n_docs = 0;

    while (rest->len && k->n < CHUNK) {
        dureq_str line = dq_str_trim(dq_str_cut(rest, '\n'));
        dureq_error bad = {0};

        if (line.len == 0)
            continue;
        k->docs[n_docs] = (dq_json){0};
        if (dq_json_parse_frame(line, &k->docs[n_docs], &bad) < 0) {
            bad.code = bad.code == DUREQ_ENOMEM ? bad.code : DUREQ_EINVAL;
            k->errors[k->n++] = bad;
            k->n_given++;
        } else {
            add(c, k, &k->docs[n_docs++], 0);
        }
    }
    return n_docs;
}

static int enqueue_lines(dq_api_ctx *c, chunk *k, dureq_error *err)
{
    dureq_str rest = c->req->body;
    int rc = 0;

    k->is_lines = true;
    c->res->content_type = "application/x-ndjson";
    while (rc == 0 && rest.len) {
        size_t n_docs = read_lines(c, k, &rest);

        rc = flush(c, k, err);
        while (n_docs)
            dq_json_deinit(&k->docs[--n_docs]);
    }
    return rc;
}

static int enqueue_json(dq_api_ctx *c, chunk *k, dureq_error *err)
{
    dq_json doc = {0};
    int rc = dq_json_parse_frame(c->req->body, &doc, err);

    if (rc == DUREQ_EPARSE)
        return DUREQ_EINVAL;
    if (rc < 0)
        return rc;
    if (dq_json_type_of(&doc, 0) == DQ_JSON_ARRAY)
        rc = enqueue_array(c, k, &doc, err);
    else if (dq_json_member(&doc, 0, "schedule") != DQ_JSON_NONE)
        rc = dq_api_create_schedule(c, &doc, err);
    else if (dq_json_type_of(&doc, 0) == DQ_JSON_OBJECT)
        rc = enqueue_one(c, k, &doc, err);
    else
        rc = dq_fail(err, DUREQ_EINVAL, "the body must be a job spec, an array of them, or one a line (NDJSON)");
    dq_json_deinit(&doc);
    return rc;
}

int dq_api_enqueue(dq_api_ctx *c, dureq_error *err)
{
    bool lines = c->req->content_type && strstr(c->req->content_type, "ndjson");
    chunk *k;
    int rc;

    k = dq_calloc(1, sizeof *k);
    if (!k)
        return dq_fail_nomem(err);
    k->key = c->req->idempotency_key && *c->req->idempotency_key ? c->req->idempotency_key : NULL;
    rc = lines ? enqueue_lines(c, k, err) : enqueue_json(c, k, err);
    dq_arena_deinit(&k->arena);
    dq_free(k);
    return rc;
}

/* ---- one job, without a thread ---- */

#define QUICK_BYTES_MAX 65536 /* of a body that is read on the loop */

static void enqueued(void *userdata, const dureq_enqueue_result *r)
{
    dq_api_quick *q = userdata;
    dureq_error err = {.code = r->code};

    if (r->code == DUREQ_EUNAVAILABLE || r->code == DUREQ_ETIMEOUT || r->code == DUREQ_ECLOSED) { /* not about this job */
        (void)dq_fail(&err, r->code, "%s", r->msg);
        dq_api_quick_ready(q, r->code, &err);
        return;
    }
    answer_one(&q->c, r);
    dq_api_quick_ready(q, 0, NULL);
}

static bool is_one_job(const dq_json *doc)
{
    return dq_json_type_of(doc, 0) == DQ_JSON_OBJECT && dq_json_member(doc, 0, "schedule") == DQ_JSON_NONE;
}

int dq_api_begin_enqueue(dq_api_quick *q)
{
    const dq_api_request *req = q->c.req;

    if (req->body.len > QUICK_BYTES_MAX || req->idempotency_key || (req->content_type && strstr(req->content_type, "ndjson")))
        return 0;
    q->options = dureq_job_options_init();
    if (dq_json_parse_frame(req->body, &q->doc, NULL) < 0 || !is_one_job(&q->doc) ||
        dq_job_spec_from_json(&q->doc, 0, &q->c.arena, &q->spec, &q->options, NULL) < 0)
        return 0;
    q->spec.options = &q->options;
    return dq_client_submit_enqueue(q->c.client, &q->spec, enqueued, q, &q->request, NULL) == 0;
}
