/* SPDX-License-Identifier: Apache-2.0 */
/* Retries of jobs whose unique keys are at home on other shards. The job's script says which key it needs; that is reserved at its home, for a
   minute, and the job is started with the token of the reservation in the same step that leaves word of it in its shard's outbox. Then its
   home is told (so will it be by the leader of the job's shard, should we not get so far). A job that was not started lets the reservation
   go; should we not get so far, it runs out. Callers' threads. */

#include "base/random.h"
#include "client/keys.h"
#include "client/many.h"
#include "redis/resp.h"

#define RESERVE_MS 60000
#define CONFIRM_MS 20000 /* of them are left for the word to the key's home: a call that comes later starts nothing */

int dq_many_note_key(many *m, size_t index, dureq_str what)
{
    dq_reader r = dq_reader_of(what);
    many_key *k;

    if (!m->keys)
        m->keys = dq_calloc(DQ_LIST_MAX, sizeof *m->keys);
    if (!m->keys)
        return DUREQ_ENOMEM;
    k = &m->keys[m->n_keys];
    *k = (many_key){.index = index};
    k->home = dq_read_u8(&r);
    k->home = k->home << 8 | dq_read_u8(&r);
    for (int i = 0; i < 6; i++)
        k->held_ms = k->held_ms << 8 | dq_read_u8(&r);
    k->key_len = (size_t)(r.end - r.p);
    if (r.bad || k->key_len == 0 || k->key_len > sizeof k->key || k->home >= dq_client_keys(m->client)->n_shards)
        return DUREQ_EPROTO;
    memcpy(k->key, r.p, k->key_len);
    memcpy(k->arg, m->ids[index].packed, DQ_ID_BYTES);
    m->n_keys++;
    return DQ_MANY_KEY;
}

static dureq_str key_of(const many_key *k)
{
    return dureq_str_of(k->key, k->key_len);
}

static dureq_str token_of(const many_key *k)
{
    return dureq_str_of(k->arg + DQ_ID_BYTES, DQ_KEY_TOKEN_BYTES);
}

static dureq_str id_of(const many_key *k)
{
    return dureq_str_of(k->arg, DQ_ID_BYTES);
}

static unsigned shard_of(const many *m, const many_key *k)
{
    return m->ids[k->index].shard;
}

/* ---- all of them at once ---- */

typedef void (*put_fn)(const many *m, const many_key *k, dq_buf *out);
typedef void (*take_fn)(many_key *k, dq_reply reply);

/* One call for each key that is wanted. The first failure is returned, when all are answered. */
static int for_keys(many *m, bool (*wanted)(const many *m, const many_key *k), put_fn put, take_fn take, dureq_error *err)
{
    int64_t deadline_us = dq_client_deadline_us(m->client);
    void *calls[DQ_LIST_MAX];
    int rc = 0;

    for (size_t i = 0; i < m->n_keys; i++) {
        dq_buf call = {0};

        if (!wanted(m, &m->keys[i]))
            continue;
        put(m, &m->keys[i], &call);
        calls[i] = dq_client_call_begin(m->client, m->keys[i].home, DQ_CALL_REPEAT, &call);
    }
    for (size_t i = 0; i < m->n_keys; i++) {
        dq_owned_reply reply;
        int one;

        if (!wanted(m, &m->keys[i]))
            continue;
        one = dq_client_call_end(calls[i], deadline_us, &reply, rc == 0 ? err : NULL);
        if (one == 0) {
            if (take)
                take(&m->keys[i], reply.reply);
            dq_owned_reply_deinit(&reply);
        }
        rc = rc < 0 ? rc : one;
    }
    return rc;
}

/* ---- reserving ---- */

static void put_reserve(const many *m, const many_key *k, dq_buf *out)
{
    dq_call_key_reserve(out, dq_client_keys(m->client), k->home, key_of(k), token_of(k), RESERVE_MS);
}

/* The server's clock says when the call is too late: wherever it lay, and however long. */
static void take_reserved(many_key *k, dq_reply reply)
{
    int64_t until_ms = dq_reply_int(reply) - CONFIRM_MS;

    k->reserved = dq_reply_type(reply) == DQ_RESP_INTEGER;
    for (int i = 0; i < 6; i++)
        k->arg[sizeof k->arg - 6 + (size_t)i] = (unsigned char)(until_ms >> (40 - 8 * i));
}

static bool is_away(const many *m, const many_key *k)
{
    return k->home != shard_of(m, k);
}

/* Held by somebody: a job that is not alive is no obstacle, nor is an earlier life of this one. Once: whoever comes between is alive. */
static int reserve_again(many *m, many_key *k, dureq_error *err)
{
    dq_owned_reply reply;
    dq_buf call = {0};
    int rc;

    rc = dq_key_free_if_dead(m->client, key_of(k), k->arg, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        m->codes[k->index] = DUREQ_EDUPLICATE;
    if (rc == 0 || !is_away(m, k))
        return 0;
    put_reserve(m, k, &call);
    rc = dq_client_call(m->client, k->home, DQ_CALL_REPEAT, &call, &reply, err);
    if (rc < 0)
        return rc;
    take_reserved(k, reply.reply);
    dq_owned_reply_deinit(&reply);
    if (!k->reserved)
        m->codes[k->index] = DUREQ_EDUPLICATE;
    return 0;
}

static int reserve_all(many *m, dureq_error *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < m->n_keys; i++)
        rc = dq_random_bytes(m->keys[i].arg + DQ_ID_BYTES, DQ_KEY_TOKEN_BYTES, err);
    if (rc == 0)
        rc = for_keys(m, is_away, put_reserve, take_reserved, err);
    for (size_t i = 0; rc == 0 && i < m->n_keys; i++)
        if (!m->keys[i].reserved)
            rc = reserve_again(m, &m->keys[i], err);
    return rc;
}

/* ---- after ---- */

static bool was_started(const many *m, const many_key *k)
{
    return k->reserved && m->codes[k->index] == 0;
}

/* Whether it was is not known: then the reservation stays until its time is over. */
static bool was_refused(const many *m, const many_key *k)
{
    return k->reserved && m->codes[k->index] < 0 && m->codes[k->index] != DUREQ_EUNKNOWN && m->codes[k->index] != DUREQ_ETIMEOUT;
}

static void put_word(const many *m, const many_key *k, dq_buf *out, dq_key_word word, int64_t held_ms)
{
    DQ_BUF_AUTO value = {0};

    dq_key_word_value(&value, token_of(k), id_of(k), held_ms);
    dq_call_key_settle(out, dq_client_keys(m->client), k->home, shard_of(m, k), word, key_of(k), dq_buf_str(&value));
    if (dq_buf_failed(&value))
        out->failed = true;
}

static void put_confirm(const many *m, const many_key *k, dq_buf *out)
{
    put_word(m, k, out, DQ_KEY_CONFIRM_RETRIED, k->held_ms);
}

static void put_release(const many *m, const many_key *k, dq_buf *out)
{
    put_word(m, k, out, DQ_KEY_RELEASE, /*held_ms=*/-1);
}

/* The wave becomes that of the jobs that may have their keys; keys and wave are in one order. */
static void make_wave(many *m)
{
    size_t n = 0;

    for (size_t i = 0; i < m->n_keys; i++)
        if (m->codes[m->keys[i].index] == DQ_MANY_UNANSWERED || m->codes[m->keys[i].index] == DQ_MANY_KEY) {
            many_key k = m->keys[i];

            m->keys[i] = m->keys[n];
            m->keys[n] = k;
            m->codes[k.index] = DQ_MANY_UNANSWERED;
            m->wave[n++] = k.index;
        }
    m->n_wave = n;
}

static void count_refused(many *m)
{
    for (size_t i = 0; i < m->n_keys; i++)
        m->n_done += m->codes[m->keys[i].index] == DUREQ_EDUPLICATE;
}

int dq_many_run_keys(many *m, dureq_error *err)
{
    int rc;

    rc = reserve_all(m, err);
    for (size_t i = 0; rc < 0 && i < m->n_keys; i++) /* nothing was done for any of them */
        m->codes[m->keys[i].index] = rc;
    count_refused(m);
    m->keys_are_asked = true;
    make_wave(m);
    while (rc == 0 && m->n_wave > 0) {
        rc = dq_many_run_wave(m, err);
        make_wave(m);
    }
    m->keys_are_asked = false;
    /* These are told by the leader as well, or run out: a failure is none of the retry. */
    (void)for_keys(m, was_started, put_confirm, /*take=*/NULL, NULL);
    (void)for_keys(m, was_refused, put_release, /*take=*/NULL, NULL);
    m->n_keys = 0;
    m->n_wave = 0;
    return rc;
}
