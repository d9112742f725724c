/* SPDX-License-Identifier: Apache-2.0 */
#include "api/tokens.h"

#include "api/passes.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mutex.h"
#include "client/tokens.h"

#define FRESH_US INT64_C(2000000)

/* A pass, and what Redis has of it. */
typedef struct look {
    dureq_str id;                /* of what was sent, as its hash */
    char hash[DQ_PASS_HASH_MAX]; /* of its secret */
    bool is_session, is_good;    /* is_good: it was right, and the rest is there */
    dq_session session;
    dq_token token; /* whose text it is, or that the session stands for */
} look;

/* What was looked up lately. */
typedef struct kept {
    dq_list link;
    int64_t read_us;
    char key[DQ_PASS_ID_MAX + 1];
    look is;
} kept;

struct dq_api_tokens {
    dq_mutex mu;          /* guards the rest */
    dq_map by_key;        /* of kept */
    dq_list by_age;       /* about the oldest first */
    int64_t forgotten_us; /* what was read before is old */
    int64_t failed_us;    /* when a look last failed, and why */
    dureq_error failure;
};

/* ---- what Redis has ---- */

static bool has_expired(int64_t expires_at_ms)
{
    return expires_at_ms && dq_wall_ms() >= expires_at_ms;
}

static bool look_begin(dq_api_pass pass, look *ret)
{
    dureq_str secret;

    *ret = (look){.is_session = pass.is_session};
    if (!dq_pass_split(pass.text, pass.is_session ? "dqs" : "dq", &ret->id, &secret))
        return false;
    dq_pass_hash(secret, ret->hash);
    return true;
}

static void look_end(look *l)
{
    if (l->is_good)
        dq_token_deinit(&l->token);
    l->is_good = false;
}

/* Whether what was sent is this one's secret. */
static bool is_right(const look *l, dureq_str id, const char *hash)
{
    return l->is_session ? dq_pass_is_right(id, hash, l->session.id, l->session.hash)
                         : dq_pass_is_right(id, hash, l->token.id, l->token.hash);
}

/* What is asked for of a call: places among the looks, and ids. */
typedef struct asked {
    look *looks;
    size_t n;
    size_t *at;
    dureq_str *ids;
} asked;

static void take_session(void *userdata, size_t i, dureq_str text)
{
    const asked *a = userdata;
    look *l = &a->looks[a->at[i]];

    if (!dq_session_read(text, &l->session) || !is_right(l, l->id, l->hash))
        l->session = (dq_session){0};
}

static void take_token(void *userdata, size_t i, dureq_str text)
{
    const asked *a = userdata;
    look *l = &a->looks[a->at[i]];

    if (!dq_token_read(text, &l->token))
        return;
    l->is_good = dq_str_eq_text(a->ids[i], l->token.id) && (l->is_session || is_right(l, l->id, l->hash));
    if (!l->is_good)
        dq_token_deinit(&l->token);
}

/* The sessions, and then the tokens: those that were sent, and those of the sessions that there are. */
static int read_in_steps(dureq_client *client, asked *a, size_t n_looks, dureq_error *err)
{
    int rc;

    for (size_t i = 0; i < n_looks; i++)
        if (a->looks[i].is_session && a->looks[i].id.len) {
            a->at[a->n] = i;
            a->ids[a->n++] = a->looks[i].id;
        }
    rc = dq_client_passes_some(client, DQ_PASS_SESSION, a->ids, a->n, take_session, a, err);
    a->n = 0;
    for (size_t i = 0; i < n_looks; i++) {
        dureq_str id = a->looks[i].is_session ? dureq_str_from(a->looks[i].session.token) : a->looks[i].id;

        if (id.len) {
            a->at[a->n] = i;
            a->ids[a->n++] = id;
        }
    }
    return rc < 0 ? rc : dq_client_passes_some(client, DQ_PASS_TOKEN, a->ids, a->n, take_token, a, err);
}

static int read_looks(dureq_client *client, look *looks, size_t n, dureq_error *err)
{
    asked a = {.looks = looks, .at = dq_calloc(n, sizeof *a.at), .ids = dq_calloc(n, sizeof *a.ids)};
    int rc = a.at && a.ids ? read_in_steps(client, &a, n, err) : dq_fail_nomem(err);

    dq_free(a.at);
    dq_free(a.ids);
    return rc;
}

/* ---- who it is ---- */

static bool is_over(const look *l)
{
    return !l->is_good || has_expired(l->token.expires_at_ms) || (l->is_session && has_expired(l->session.expires_at_ms));
}

/* A session is worth what its token is worth by now. */
static dq_api_found who_of(const look *l, dq_api_who *ret)
{
    const dq_token *t = &l->token;

    if (is_over(l))
        return DQ_API_UNKNOWN;
    *ret = (dq_api_who){
        .role = t->role, .hides_payload = t->hides_payload && t->role == DQ_API_VIEWER, .expires_at_ms = t->expires_at_ms};
    memcpy(ret->name, t->name, sizeof t->name);
    memcpy(ret->token, t->id, sizeof t->id);
    if (l->is_session) {
        memcpy(ret->session, l->session.id, sizeof l->session.id);
        ret->expires_at_ms = t->expires_at_ms ? DQ_MIN(t->expires_at_ms, l->session.expires_at_ms) : l->session.expires_at_ms;
    }
    return dq_scope_copy(&t->scope, &ret->scope) < 0 ? DQ_API_NO_MEMORY : DQ_API_KNOWN;
}

void dq_api_who_deinit(dq_api_who *who)
{
    dq_scope_deinit(&who->scope);
}

/* ---- what is kept ---- */

dq_api_tokens *dq_api_tokens_create(void)
{
    dq_api_tokens *t = dq_calloc(1, sizeof *t);

    if (!t)
        return NULL;
    dq_mutex_init(&t->mu);
    dq_list_init(&t->by_age);
    return t;
}

static void drop_locked(dq_api_tokens *t, kept *k)
{
    (void)dq_map_remove(&t->by_key, dureq_str_from(k->key));
    dq_list_remove(&k->link);
    look_end(&k->is);
    dq_free(k);
}

void dq_api_tokens_destroy(dq_api_tokens *t)
{
    if (!t)
        return;
    while (!dq_list_empty(&t->by_age))
        drop_locked(t, dq_container_of(t->by_age.next, kept, link));
    dq_map_deinit(&t->by_key);
    dq_mutex_deinit(&t->mu);
    dq_free(t);
}

void dq_api_tokens_forget(dq_api_tokens *t)
{
    dq_mutex_lock(&t->mu);
    t->forgotten_us = dq_mono_us();
    dq_mutex_unlock(&t->mu);
}

static dureq_str key_of(const look *l, char out[DQ_PASS_ID_MAX + 1])
{
    out[0] = l->is_session ? 's' : 't';
    memcpy(out + 1, l->id.ptr, l->id.len); /* dq_pass_split saw to its length */
    out[1 + l->id.len] = '\0';
    return dureq_str_of(out, 1 + l->id.len);
}

/* What was read after the request came is good for it, whatever was revoked since: it could have come first. */
static bool is_fresh_locked(const dq_api_tokens *t, const kept *k, int64_t asked_us)
{
    return k->read_us >= asked_us || (k->read_us > t->forgotten_us && dq_mono_us() - k->read_us < FRESH_US);
}

dq_api_found dq_api_tokens_find(dq_api_tokens *t, dq_api_pass pass, int64_t asked_us, dq_api_who *ret)
{
    char key[DQ_PASS_ID_MAX + 1];
    dq_api_found found = DQ_API_STALE;
    const kept *k;
    look l;

    if (!look_begin(pass, &l))
        return DQ_API_UNKNOWN;
    dq_mutex_lock(&t->mu);
    k = dq_map_get(&t->by_key, key_of(&l, key));
    if (k && is_fresh_locked(t, k, asked_us))
        found = is_right(&k->is, l.id, l.hash) ? who_of(&k->is, ret) : DQ_API_UNKNOWN;
    dq_mutex_unlock(&t->mu);
    return found;
}

/* Takes what was found; what is too old to be of use makes room. */
static void keep(dq_api_tokens *t, look *l, int64_t read_us)
{
    kept *k = dq_calloc(1, sizeof *k), *other;

    if (!k) {
        look_end(l);
        return;
    }
    k->read_us = read_us;
    (void)key_of(l, k->key);
    k->is = *l;
    k->is.id = (dureq_str){0}; /* that was a view of the request */
    *l = (look){0};
    dq_mutex_lock(&t->mu);
    while (!dq_list_empty(&t->by_age) && dq_container_of(t->by_age.next, kept, link)->read_us < read_us - FRESH_US)
        drop_locked(t, dq_container_of(t->by_age.next, kept, link));
    other = dq_map_get(&t->by_key, dureq_str_from(k->key));
    if (other)
        drop_locked(t, other);
    dq_list_push_back(&t->by_age, &k->link);
    if (dq_map_put(&t->by_key, dureq_str_from(k->key), k) < 0)
        drop_locked(t, k);
    dq_mutex_unlock(&t->mu);
}

/* Who waited for a thread while another's look failed is told so: each would take its time to fail, one after the other. */
static int failed_since(dq_api_tokens *t, int64_t asked_us, dureq_error *err)
{
    dureq_error failure = {0};

    dq_mutex_lock(&t->mu);
    if (t->failed_us > asked_us)
        failure = t->failure;
    dq_mutex_unlock(&t->mu);
    if (failure.code < 0 && err)
        *err = failure;
    return failure.code;
}

static int note_failure(dq_api_tokens *t, int rc, const dureq_error *failure, dureq_error *err)
{
    dq_mutex_lock(&t->mu);
    t->failed_us = dq_mono_us();
    t->failure = *failure;
    dq_mutex_unlock(&t->mu);
    if (err)
        *err = *failure;
    return rc;
}

int dq_api_tokens_look_up(dq_api_tokens *t, dureq_client *client, dq_api_pass pass, int64_t asked_us, dq_api_found *ret_found,
                          dq_api_who *ret, dureq_error *err)
{
    int64_t now_us;
    dureq_error failure = {0};
    dq_api_found found = dq_api_tokens_find(t, pass, asked_us, ret);
    look l;
    int rc;

    if (found == DQ_API_STALE) {
        rc = failed_since(t, asked_us, err);
        if (rc < 0)
            return rc;
        now_us = dq_mono_us(); /* what is revoked after this is not seen */
        (void)look_begin(pass, &l);
        rc = read_looks(client, &l, 1, &failure);
        if (rc < 0)
            return note_failure(t, rc, &failure, err);
        found = who_of(&l, ret);
        if (l.is_good)
            keep(t, &l, now_us);
    }
    if (found == DQ_API_NO_MEMORY)
        return dq_fail_nomem(err);
    *ret_found = found;
    return 0;
}

int dq_api_tokens_check(dureq_client *client, dq_api_pass_check *checks, size_t n, dureq_error *err)
{
    look *looks = dq_calloc(n, sizeof *looks);
    int rc;

    if (!looks)
        return dq_fail_nomem(err);
    for (size_t i = 0; i < n; i++)
        if (!look_begin(checks[i].pass, &looks[i]))
            looks[i].id = (dureq_str){0};
    rc = read_looks(client, looks, n, err);
    for (size_t i = 0; i < n; i++) {
        checks[i].is_over = rc == 0 && is_over(&looks[i]);
        look_end(&looks[i]);
    }
    dq_free(looks);
    return rc;
}
