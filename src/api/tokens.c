/* SPDX-License-Identifier: Apache-2.0 */
#include "api/tokens.h"

#include <stdio.h>

#include "api/pass_list.h"
#include "base/clock.h"
#include "base/mutex.h"

#define FRESH_US INT64_C(2000000)

struct dq_api_tokens {
    dq_mutex reading; /* one reads, others wait for it */
    dq_mutex mu;      /* guards the rest; within `reading` */
    dq_pass_list list;
    int64_t read_us;      /* 0: never */
    unsigned n_forgotten; /* how often: what was being read meanwhile is old, too */
    unsigned n_failed;    /* attempts to read */
    dureq_error failure;  /* of the last one that failed */
};

dq_api_tokens *dq_api_tokens_create(void)
{
    dq_api_tokens *t = dq_calloc(1, sizeof *t);

    if (!t)
        return NULL;
    dq_mutex_init(&t->reading);
    dq_mutex_init(&t->mu);
    return t;
}

void dq_api_tokens_destroy(dq_api_tokens *t)
{
    if (!t)
        return;
    dq_pass_list_deinit(&t->list);
    dq_mutex_deinit(&t->mu);
    dq_mutex_deinit(&t->reading);
    dq_free(t);
}

void dq_api_tokens_forget(dq_api_tokens *t)
{
    dq_mutex_lock(&t->mu);
    t->read_us = 0;
    t->n_forgotten++;
    dq_mutex_unlock(&t->mu);
}

static bool is_fresh_locked(const dq_api_tokens *t, int64_t asked_us)
{
    return t->read_us && (t->read_us >= asked_us || dq_mono_us() - t->read_us < FRESH_US);
}

static void take(dq_api_tokens *t, dq_pass_list *list, int64_t read_us, unsigned n_forgotten)
{
    dq_pass_list before;

    dq_mutex_lock(&t->mu);
    before = t->list;
    t->list = *list;
    t->read_us = t->n_forgotten == n_forgotten ? read_us : 0;
    dq_mutex_unlock(&t->mu);
    dq_pass_list_deinit(&before);
}

static int note_failure(dq_api_tokens *t, int rc, const dureq_error *failure, dureq_error *err)
{
    dq_mutex_lock(&t->mu);
    t->n_failed++;
    t->failure = *failure;
    dq_mutex_unlock(&t->mu);
    if (err)
        *err = *failure;
    return rc;
}

/* Who waited gets what the one before found, also when that was nothing: each would take its time to fail, one after the other. */
static int read_in_turn(dq_api_tokens *t, dureq_client *client, int64_t asked_us, unsigned n_failed, dureq_error *err)
{
    dq_pass_list list = {0};
    dureq_error failure = {0};
    int64_t now_us;
    int rc;

    dq_mutex_lock(&t->mu);
    bool is_new = t->read_us && t->read_us >= asked_us;
    bool has_failed = !is_new && t->n_failed != n_failed;
    unsigned n_forgotten = t->n_forgotten;
    if (has_failed)
        failure = t->failure;
    dq_mutex_unlock(&t->mu);
    if (has_failed && err)
        *err = failure;
    if (is_new || has_failed)
        return failure.code;
    now_us = dq_mono_us(); /* what is revoked after this is not seen */
    rc = dq_pass_list_read(client, &list, &failure);
    if (rc < 0)
        return note_failure(t, rc, &failure, err);
    take(t, &list, now_us, n_forgotten);
    return 0;
}

int dq_api_tokens_read(dq_api_tokens *t, dureq_client *client, int64_t asked_us, dureq_error *err)
{
    unsigned n_failed;
    int rc;

    dq_mutex_lock(&t->mu);
    n_failed = t->n_failed;
    dq_mutex_unlock(&t->mu);
    dq_mutex_lock(&t->reading);
    rc = read_in_turn(t, client, asked_us, n_failed, err);
    dq_mutex_unlock(&t->reading);
    return rc;
}

/* ---- who it is ---- */

static bool has_expired(int64_t expires_at_ms)
{
    return expires_at_ms && dq_wall_ms() >= expires_at_ms;
}

static dq_api_found who_of(const dq_token *t, dq_api_who *ret)
{
    *ret = (dq_api_who){
        .role = t->role, .hides_payload = t->hides_payload && t->role == DQ_API_VIEWER, .expires_at_ms = t->expires_at_ms};
    memcpy(ret->name, t->name, sizeof t->name);
    memcpy(ret->token, t->id, sizeof t->id);
    return dq_scope_copy(&t->scope, &ret->scope) < 0 ? DQ_API_NO_MEMORY : DQ_API_KNOWN;
}

static dq_api_found find_token_locked(const dq_api_tokens *t, dureq_str id, const char *hash, dq_api_who *ret)
{
    for (size_t i = 0; i < t->list.n_tokens; i++) {
        const dq_token *k = &t->list.tokens[i];

        if (dq_pass_is_right(id, hash, k->id, k->hash) && !has_expired(k->expires_at_ms))
            return who_of(k, ret);
    }
    return DQ_API_UNKNOWN;
}

/* A session is worth what its token is worth by now. */
static dq_api_found find_session_locked(const dq_api_tokens *t, dureq_str id, const char *hash, dq_api_who *ret)
{
    const dq_session *s = NULL;
    dq_api_found found = DQ_API_UNKNOWN;

    for (size_t i = 0; i < t->list.n_sessions && !s; i++)
        if (dq_pass_is_right(id, hash, t->list.sessions[i].id, t->list.sessions[i].hash))
            s = &t->list.sessions[i];
    if (!s || has_expired(s->expires_at_ms))
        return DQ_API_UNKNOWN;
    for (size_t i = 0; i < t->list.n_tokens && found == DQ_API_UNKNOWN; i++)
        if (strcmp(t->list.tokens[i].id, s->token) == 0 && !has_expired(t->list.tokens[i].expires_at_ms))
            found = who_of(&t->list.tokens[i], ret);
    if (found != DQ_API_KNOWN)
        return found;
    memcpy(ret->session, s->id, sizeof s->id);
    ret->expires_at_ms = ret->expires_at_ms ? DQ_MIN(ret->expires_at_ms, s->expires_at_ms) : s->expires_at_ms;
    return found;
}

typedef dq_api_found (*find_fn)(const dq_api_tokens *t, dureq_str id, const char *hash, dq_api_who *ret);

static dq_api_found find(dq_api_tokens *t, const char *mark, dureq_str text, int64_t asked_us, find_fn fn, dq_api_who *ret)
{
    char hash[DQ_PASS_HASH_MAX];
    dureq_str id, secret;
    dq_api_found found;

    if (!dq_pass_split(text, mark, &id, &secret))
        return DQ_API_UNKNOWN;
    dq_pass_hash(secret, hash);
    dq_mutex_lock(&t->mu);
    found = is_fresh_locked(t, asked_us) ? fn(t, id, hash, ret) : DQ_API_STALE;
    if (found == DQ_API_UNKNOWN && t->read_us < asked_us)
        found = DQ_API_STALE; /* it may have been made since; who asks meanwhile waits for the same look */
    dq_mutex_unlock(&t->mu);
    return found;
}

dq_api_found dq_api_tokens_find(dq_api_tokens *t, dureq_str token, int64_t asked_us, dq_api_who *ret)
{
    return find(t, "dq", token, asked_us, find_token_locked, ret);
}

dq_api_found dq_api_tokens_find_session(dq_api_tokens *t, dureq_str session, int64_t asked_us, dq_api_who *ret)
{
    return find(t, "dqs", session, asked_us, find_session_locked, ret);
}

void dq_api_who_deinit(dq_api_who *who)
{
    dq_scope_deinit(&who->scope);
}
