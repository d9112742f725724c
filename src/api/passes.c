/* SPDX-License-Identifier: Apache-2.0 */
#include "api/passes.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>

#include "base/random.h"

#define ID_BYTES     6
#define SECRET_BYTES 32

static const char *const roles[] = {[DQ_API_VIEWER] = "viewer", [DQ_API_OPERATOR] = "operator", [DQ_API_ADMIN] = "admin"};

const char *dq_role_word(dq_api_role role)
{
    return role >= DQ_API_VIEWER && (size_t)role < DQ_ARRAY_LEN(roles) ? roles[role] : "anyone";
}

dq_api_role dq_role_of(dureq_str word)
{
    for (size_t i = DQ_API_VIEWER; i < DQ_ARRAY_LEN(roles); i++)
        if (dq_str_eq_text(word, roles[i]))
            return (dq_api_role)i;
    return DQ_API_ITSELF;
}

/* ---- secrets ---- */

static void put_hex(const unsigned char *bytes, size_t n, char *out)
{
    for (size_t i = 0; i < n; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

void dq_pass_hash(dureq_str secret, char ret[DQ_PASS_HASH_MAX])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];

    (void)SHA256((const unsigned char *)secret.ptr, secret.len, digest);
    put_hex(digest, sizeof digest, ret);
}

bool dq_pass_split(dureq_str text, const char *mark, dureq_str *ret_id, dureq_str *ret_secret)
{
    dureq_str rest = text, first = dq_str_cut(&rest, '_');

    *ret_id = dq_str_cut(&rest, '_');
    *ret_secret = rest;
    return dq_str_eq_text(first, mark) && ret_id->len == (size_t)2 * ID_BYTES && rest.len > 0;
}

int dq_pass_make(const char *mark, char id[DQ_PASS_ID_MAX], char hash[DQ_PASS_HASH_MAX], char text[DQ_PASS_TEXT_MAX],
                 dureq_error *err)
{
    unsigned char bytes[ID_BYTES], secret[SECRET_BYTES];
    char hex[2 * SECRET_BYTES + 1];
    int rc = dq_random_bytes(bytes, sizeof bytes, err);

    if (rc == 0)
        rc = dq_random_bytes(secret, sizeof secret, err);
    if (rc < 0)
        return rc;
    put_hex(bytes, sizeof bytes, id);
    put_hex(secret, sizeof secret, hex);
    dq_pass_hash(dureq_str_from(hex), hash);
    (void)snprintf(text, DQ_PASS_TEXT_MAX, "%s_%s_%s", mark, id, hex);
    return 0;
}

bool dq_pass_is_right(dureq_str id, const char *hash, const char *right_id, const char *right_hash)
{
    return dq_str_eq_text(id, right_id) && CRYPTO_memcmp(hash, right_hash, DQ_PASS_HASH_MAX - 1) == 0;
}

/* ---- as JSON ---- */

static void put_names(dq_json_writer *w, const char *name, const char *list)
{
    dureq_str rest = dureq_str_from(list);

    if (!list)
        return;
    dq_json_key(w, name);
    dq_json_begin_array(w);
    while (rest.len)
        dq_json_put_str(w, dq_str_cut(&rest, ','));
    dq_json_end_array(w);
}

void dq_scope_to_json(dq_json_writer *w, const dq_scope *scope)
{
    put_names(w, "queues", scope->queues);
    put_names(w, "task_types", scope->types);
}

/* A version that knows of no limits must not take one that has them for one that has none: it finds no role. */
static const char *role_key(const dq_token *t)
{
    return dq_scope_is_open(&t->scope) ? "role" : "limited_role";
}

static void put_members(dq_json_writer *w, const dq_token *t, const char *role_name)
{
    dq_json_set_text(w, "id", t->id);
    dq_json_set_text(w, "name", t->name);
    dq_json_set_text(w, role_name, dq_role_word(t->role));
    dq_json_set_bool(w, "payload", !t->hides_payload);
    dq_scope_to_json(w, &t->scope);
    dq_json_set_rfc3339(w, "created_at", t->created_at_ms);
    if (t->expires_at_ms)
        dq_json_set_rfc3339(w, "expires_at", t->expires_at_ms);
}

void dq_token_to_json(dq_json_writer *w, const dq_token *t)
{
    dq_json_begin_object(w);
    put_members(w, t, "role");
    dq_json_end_object(w);
}

void dq_token_store(dq_json_writer *w, const dq_token *t)
{
    dq_json_begin_object(w);
    put_members(w, t, role_key(t));
    dq_json_set_text(w, "hash", t->hash);
    dq_json_end_object(w);
}

void dq_session_store(dq_json_writer *w, const dq_session *s)
{
    dq_json_begin_object(w);
    dq_json_set_text(w, "id", s->id);
    dq_json_set_text(w, "token", s->token);
    dq_json_set_rfc3339(w, "created_at", s->created_at_ms);
    dq_json_set_rfc3339(w, "expires_at", s->expires_at_ms);
    dq_json_set_text(w, "hash", s->hash);
    dq_json_end_object(w);
}

static void take_text(const dq_json *doc, const char *name, char *out, size_t size)
{
    dq_json_ref v = dq_json_member(doc, 0, name);
    DQ_BUF_AUTO text = {0};

    *out = '\0';
    if (v != DQ_JSON_NONE && dq_json_string(doc, v, &text) == 0 && text.len < size)
        memcpy(out, text.ptr ? text.ptr : "", text.len + (text.ptr != NULL));
}

/* Absent: 0. False: it is there, and no time. */
static bool take_time(const dq_json *doc, const char *name, int64_t *ret)
{
    dq_json_ref v = dq_json_member(doc, 0, name);
    DQ_BUF_AUTO text = {0};

    *ret = 0;
    return v == DQ_JSON_NONE || (dq_json_string(doc, v, &text) == 0 && dq_parse_rfc3339_ms(dq_buf_str(&text), ret) == 0);
}

/* Absent: NULL. False: it is there, and no list of texts; or no memory. */
static bool take_names(const dq_json *doc, const char *name, char **ret)
{
    dq_json_ref v = dq_json_member(doc, 0, name);
    DQ_BUF_AUTO text = {0};

    if (v == DQ_JSON_NONE)
        return true;
    if (dq_json_type_of(doc, v) != DQ_JSON_ARRAY)
        return false;
    for (dq_json_ref e = dq_json_first(doc, v); e != DQ_JSON_NONE; e = dq_json_next(doc, v, e)) {
        if (text.len)
            dq_buf_append_char(&text, ',');
        if (dq_json_string(doc, e, &text) < 0)
            return false;
    }
    *ret = text.len ? dq_buf_take(&text) : dq_strdup("");
    return *ret != NULL;
}

bool dq_scope_of_json(const dq_json *doc, dq_scope *ret)
{
    *ret = (dq_scope){0};
    return take_names(doc, "queues", &ret->queues) && take_names(doc, "task_types", &ret->types);
}

static bool token_of(const dq_json *doc, dq_token *t)
{
    char open[16], limited[16];
    dq_json_ref payload = dq_json_member(doc, 0, "payload");
    bool good = take_time(doc, "created_at", &t->created_at_ms) && take_time(doc, "expires_at", &t->expires_at_ms) &&
                dq_scope_of_json(doc, &t->scope);

    take_text(doc, "id", t->id, sizeof t->id);
    take_text(doc, "name", t->name, sizeof t->name);
    take_text(doc, "hash", t->hash, sizeof t->hash);
    take_text(doc, "role", open, sizeof open);
    take_text(doc, "limited_role", limited, sizeof limited);
    t->role = dq_role_of(dureq_str_from(*limited ? limited : open));
    t->hides_payload = payload == DQ_JSON_NONE || dq_json_type_of(doc, payload) != DQ_JSON_TRUE;
    if (*limited && dq_scope_is_open(&t->scope))
        good = false; /* of a token that is limited nobody may make one that is not */
    return good && t->role && t->id[0] && strlen(t->hash) == DQ_PASS_HASH_MAX - 1;
}

bool dq_token_read(dureq_str text, dq_token *ret)
{
    dq_json doc = {0};
    bool good;

    *ret = (dq_token){0};
    if (dq_json_parse_frame(text, &doc, NULL) < 0)
        return false;
    good = dq_json_type_of(&doc, 0) == DQ_JSON_OBJECT && token_of(&doc, ret);
    dq_json_deinit(&doc);
    if (!good)
        dq_token_deinit(ret);
    return good;
}

void dq_token_deinit(dq_token *t)
{
    dq_scope_deinit(&t->scope);
}

bool dq_session_read(dureq_str text, dq_session *ret)
{
    dq_json doc = {0};
    bool good;

    *ret = (dq_session){0};
    if (dq_json_parse_frame(text, &doc, NULL) < 0)
        return false;
    good = dq_json_type_of(&doc, 0) == DQ_JSON_OBJECT && take_time(&doc, "created_at", &ret->created_at_ms) &&
           take_time(&doc, "expires_at", &ret->expires_at_ms) && ret->expires_at_ms > 0;
    if (good) {
        take_text(&doc, "id", ret->id, sizeof ret->id);
        take_text(&doc, "token", ret->token, sizeof ret->token);
        take_text(&doc, "hash", ret->hash, sizeof ret->hash);
    }
    dq_json_deinit(&doc);
    return good && ret->id[0] && ret->token[0] && strlen(ret->hash) == DQ_PASS_HASH_MAX - 1;
}
