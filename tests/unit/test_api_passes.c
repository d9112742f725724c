/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens and sessions as Redis keeps them, and the cookie. */
#include "expect.h"

#include "api/passes.h"
#include "api/tokens.h"

#define HASH "0123456789012345678901234567890123456789012345678901234567890123"

static const char *stored(const dq_token *t)
{
    static dq_buf out;
    dq_json_writer w;

    dq_buf_clear(&out);
    w = dq_json_writer_of(&out);
    dq_token_store(&w, t);
    return out.ptr;
}

TEST(a_token_comes_back_as_it_was_stored)
{
    dq_token t = {.id = "0123456789ab", .name = "ci", .hash = HASH, .role = DQ_API_OPERATOR, .created_at_ms = 1000}, back;

    EXPECT_HAS("\"role\":\"operator\"", stored(&t));
    EXPECT_TRUE(dq_token_read(dureq_str_from(stored(&t)), &back));
    EXPECT_TEXT("ci", back.name);
    EXPECT_TEXT(HASH, back.hash);
    EXPECT_I64(DQ_API_OPERATOR, back.role);
    EXPECT_TRUE(dq_scope_is_open(&back.scope) && back.expires_at_ms == 0 && back.created_at_ms == 1000);
    dq_token_deinit(&back);
}

/* A version that knows no limits reads `role`, and takes what has none for no token. */
TEST(a_limited_token_has_no_role_for_who_knows_no_limits)
{
    dq_token t = {.id = "0123456789ab", .name = "ci", .hash = HASH, .role = DQ_API_VIEWER, .scope = {.queues = (char *)"a,b*"}},
             back;

    EXPECT_TRUE(strstr(stored(&t), "\"role\"") == NULL);
    EXPECT_TRUE(dq_token_read(dureq_str_from(stored(&t)), &back));
    EXPECT_I64(DQ_API_VIEWER, back.role);
    EXPECT_TEXT("a,b*", back.scope.queues);
    EXPECT_TRUE(back.scope.types == NULL);
    dq_token_deinit(&back);
}

TEST(what_cannot_be_read_is_no_token)
{
    static const char *const bad[] = {
        "",
        "[]",
        "1",
        "{}",
        "{\"id\":\"a\",\"role\":\"viewer\",\"hash\":\"short\"}",
        "{\"id\":\"a\",\"role\":\"king\",\"hash\":\"" HASH "\"}",
        "{\"role\":\"viewer\",\"hash\":\"" HASH "\"}",
        "{\"id\":\"a\",\"role\":\"viewer\",\"hash\":\"" HASH "\",\"expires_at\":\"soon\"}",
        "{\"id\":\"a\",\"role\":\"viewer\",\"hash\":\"" HASH "\",\"queues\":\"q\"}",
        "{\"id\":\"a\",\"role\":\"viewer\",\"hash\":\"" HASH "\",\"queues\":[1]}",
        "{\"id\":\"a\",\"limited_role\":\"viewer\",\"hash\":\"" HASH "\"}",
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(bad); i++) {
        dq_token t;

        EXPECT_NOTE("%s", bad[i]);
        EXPECT_FALSE(dq_token_read(dureq_str_from(bad[i]), &t));
    }
}

TEST(an_empty_list_is_a_limit_to_nothing)
{
    dq_token t;

    EXPECT_TRUE(dq_token_read(DQ_STR_LIT("{\"id\":\"a\",\"limited_role\":\"viewer\",\"hash\":\"" HASH "\",\"queues\":[]}"), &t));
    EXPECT_FALSE(dq_scope_fits(&t.scope, DQ_STR_LIT("q"), DQ_STR_LIT("t")));
    dq_token_deinit(&t);
}

TEST(a_session_without_an_end_is_none)
{
    dq_session s;

    EXPECT_TRUE(dq_session_read(
        DQ_STR_LIT("{\"id\":\"a\",\"token\":\"b\",\"hash\":\"" HASH "\",\"expires_at\":\"2026-11-30T00:00:00Z\"}"), &s));
    EXPECT_FALSE(dq_session_read(DQ_STR_LIT("{\"id\":\"a\",\"token\":\"b\",\"hash\":\"" HASH "\"}"), &s));
    EXPECT_FALSE(dq_session_read(DQ_STR_LIT("{\"id\":\"a\",\"hash\":\"" HASH "\",\"expires_at\":\"2026-11-30T00:00:00Z\"}"), &s));
}

TEST(a_pass_is_known_by_its_secret)
{
    char id[DQ_PASS_ID_MAX], hash[DQ_PASS_HASH_MAX], text[DQ_PASS_TEXT_MAX], got[DQ_PASS_HASH_MAX];
    dureq_str its_id, secret;

    EXPECT_I64(0, dq_pass_make("dqs", id, hash, text, NULL));
    EXPECT_FALSE(dq_pass_split(dureq_str_from(text), "dq", &its_id, &secret));
    EXPECT_TRUE(dq_pass_split(dureq_str_from(text), "dqs", &its_id, &secret));
    dq_pass_hash(secret, got);
    EXPECT_TRUE(dq_pass_is_right(its_id, got, id, hash));
    secret.len--;
    dq_pass_hash(secret, got);
    EXPECT_FALSE(dq_pass_is_right(its_id, got, id, hash));
}

#define NO_PORT ((dureq_str){0})

TEST(the_cookie_is_found_by_the_name_that_the_connection_asks_for)
{
    dureq_str all = DQ_STR_LIT("a=1; dureq=in-clear; __Host-dureq=host ;__Secure-dureq=secure; dureq=second; b");

    EXPECT_STR_TEXT("in-clear", dq_api_session_in(all, false, NULL, NO_PORT));
    EXPECT_STR_TEXT("in-clear", dq_api_session_in(all, false, "/x", NO_PORT));
    EXPECT_STR_TEXT("host", dq_api_session_in(all, true, "", NO_PORT));
    EXPECT_STR_TEXT("secure", dq_api_session_in(all, true, "/x", NO_PORT));
    EXPECT_TRUE(dq_api_session_in(DQ_STR_LIT("dureq"), false, NULL, NO_PORT).ptr == NULL);
    EXPECT_TRUE(dq_api_session_in(DQ_STR_LIT("xdureq=1; __Host-dureq=1"), false, NULL, NO_PORT).ptr == NULL);
    EXPECT_TRUE(dq_api_session_in((dureq_str){0}, true, NULL, NO_PORT).ptr == NULL);
}

/* Cookies of a host go to all its ports. */
TEST(the_cookie_of_another_port_is_not_taken)
{
    dureq_str all = DQ_STR_LIT("dureq=old; dureq-8081=b; dureq-8080=a; __Host-dureq-8080=tls; __Secure-dureq-8080=path");

    EXPECT_STR_TEXT("a", dq_api_session_in(all, false, NULL, DQ_STR_LIT("8080")));
    EXPECT_STR_TEXT("b", dq_api_session_in(all, false, NULL, DQ_STR_LIT("8081")));
    EXPECT_STR_TEXT("tls", dq_api_session_in(all, true, NULL, DQ_STR_LIT("8080")));
    EXPECT_STR_TEXT("path", dq_api_session_in(all, true, "/x", DQ_STR_LIT("8080")));
    EXPECT_STR_TEXT("old", dq_api_session_in(all, false, NULL, DQ_STR_LIT("8082")));
    EXPECT_TRUE(dq_api_session_in(all, true, NULL, DQ_STR_LIT("8082")).ptr == NULL);
}

TEST(the_port_is_what_follows_the_host)
{
    static const struct {
        const char *authority, *port; /* NULL: none */
    } rows[] = {{"localhost:8080", "8080"}, {"[::1]:443", "443"}, {"[::1]", NULL},    {"localhost", NULL}, {"localhost:", NULL},
                {"x:123456", NULL},         {"8080", NULL},       {"10.0.0.1", NULL}, {"x:80a", NULL},     {"", NULL}};

    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        dureq_str port = dq_api_port_in(dureq_str_from(rows[i].authority));

        EXPECT_NOTE("%s", rows[i].authority);
        if (rows[i].port)
            EXPECT_STR_TEXT(rows[i].port, port);
        else
            EXPECT_TRUE(port.ptr == NULL);
    }
}

TEST_MAIN()
