/* SPDX-License-Identifier: Apache-2.0 */
/* Users that a proxy names: by whom that is believed, and what they may. */
#include "expect.h"

#include "base/base.h"
#include "serve/users.h"

#define SECRET "0123456789abcdef"

static dq_users *users(const char *roles, const char *field, const char *secret)
{
    const dq_users_options o = {.roles = roles, .field = field, .secret = secret};
    dq_users *u = NULL;
    dureq_error err = {0};

    EXPECT_NOTE("%s", roles ? roles : "none");
    EXPECT_I64(0, dq_users_create(&o, &u, &err));
    return u;
}

/* "operator", "viewer hides", "none", or why not. */
static const char *read_user(const dq_users *u, const char *fields, bool is_unix)
{
    static const char *const words[] = {[DQ_API_VIEWER] = "viewer", [DQ_API_OPERATOR] = "operator", [DQ_API_ADMIN] = "admin"};
    static char text[1000], said[100];
    dq_http_fault fault = {0};
    dq_http_head head;
    dq_user user;
    size_t seen = 0;

    (void)snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: x\r\n%s\r\n", fields);
    EXPECT_NOTE("%s", fields);
    EXPECT_TRUE(dq_http_head_parse(dureq_str_from(text), &seen, &head, &fault) > 0);
    if (!dq_users_read(u, &head, is_unix, &user, &fault)) {
        EXPECT_I64(403, fault.status);
        EXPECT_TRUE(user.name.ptr == NULL);
        return fault.text;
    }
    if (!user.name.ptr)
        return "none";
    (void)snprintf(said, sizeof said, "%s%s", words[user.role], user.hides_payload ? " hides" : "");
    return said;
}

TEST(a_user_has_the_role_of_its_name_or_that_of_all_others)
{
    dq_users *u = users(" alice = admin ,bob=operator, eve@example.com=viewer+payload,*=viewer,", NULL, NULL);

    EXPECT_TEXT("admin", read_user(u, "X-Forwarded-User: alice\r\n", true));
    EXPECT_TEXT("operator", read_user(u, "x-forwarded-USER: bob\r\n", true));
    EXPECT_TEXT("viewer", read_user(u, "X-Forwarded-User: eve@example.com\r\n", true));
    EXPECT_TEXT("viewer hides", read_user(u, "X-Forwarded-User: Alice\r\n", true));
    EXPECT_TEXT("none", read_user(u, "X-User: alice\r\n", true));
    dq_users_destroy(u);
    u = users("alice=admin", "Remote-User", NULL);
    EXPECT_TEXT("admin", read_user(u, "Remote-User: alice\r\n", true));
    EXPECT_HAS("none of dureqd.proxyUsers", read_user(u, "Remote-User: bob\r\n", true));
    EXPECT_TEXT("none", read_user(u, "X-Forwarded-User: alice\r\n", true));
    dq_users_destroy(u);
    EXPECT_TRUE(users(NULL, NULL, NULL) == NULL && users("", NULL, "short") == NULL && users(" , ", NULL, NULL) == NULL);
    EXPECT_TEXT("none", read_user(NULL, "X-Forwarded-User: alice\r\n", true));
}

TEST(only_a_proxy_that_proves_itself_names_a_user)
{
    dq_users *u = users("alice=admin", NULL, SECRET), *by_socket = users("alice=admin", NULL, NULL);

    EXPECT_HAS("proves itself", read_user(by_socket, "X-Forwarded-User: alice\r\n", false));
    EXPECT_HAS("is not dureqd.proxySecret",
               read_user(by_socket, "X-Forwarded-User: alice\r\nX-Dureq-Proxy-Secret: " SECRET "\r\n", false));
    EXPECT_HAS("proves itself", read_user(u, "X-Forwarded-User: alice\r\n", false));
    EXPECT_TEXT("admin", read_user(u, "X-Forwarded-User: alice\r\nX-Dureq-Proxy-Secret: " SECRET "\r\n", false));
    EXPECT_TEXT("admin", read_user(u, "X-Forwarded-User: alice\r\n", true));
    EXPECT_TEXT("none", read_user(u, "X-Dureq-Proxy-Secret: " SECRET "\r\n", false));
    EXPECT_HAS("is not", read_user(u, "X-Forwarded-User: alice\r\nX-Dureq-Proxy-Secret: 0123456789abcdeF\r\n", false));
    EXPECT_HAS("is not", read_user(u, "X-Forwarded-User: alice\r\nX-Dureq-Proxy-Secret: \r\n", true));
    EXPECT_HAS("is not",
               read_user(u, "X-Forwarded-User: alice\r\nX-Dureq-Proxy-Secret: " SECRET "\r\nX-Dureq-Proxy-Secret: " SECRET "\r\n",
                         false));
    dq_users_destroy(u);
    dq_users_destroy(by_socket);
}

TEST(a_name_that_could_be_taken_for_another_is_refused)
{
    static const char *const bad[] = {
        "X-Forwarded-User: \r\n",         "X-Forwarded-User: *\r\n",
        "X-Forwarded-User: a b\r\n",      "X-Forwarded-User: a,b\r\n",
        "X-Forwarded-User: \xc3\xa4\r\n", "X-Forwarded-User: aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff\r\n"};
    dq_users *u = users("*=viewer", NULL, NULL);

    for (size_t i = 0; i < DQ_ARRAY_LEN(bad); i++)
        EXPECT_HAS("the name of a user", read_user(u, bad[i], true));
    EXPECT_HAS("twice", read_user(u, "X-Forwarded-User: eve\r\nX-Forwarded-User: alice\r\n", true));
    dq_users_destroy(u);
}

TEST(what_is_no_role_is_refused_by_name)
{
    static const char *const bad[] = {"alice",    "alice=king", "alice=", "=admin", "alice=admin+payload", "alice=viewer+more",
                                      "a b=admin"};

    for (size_t i = 0; i < DQ_ARRAY_LEN(bad); i++) {
        const dq_users_options o = {.roles = bad[i]};
        dq_users *u = NULL;
        dureq_error err = {0};

        EXPECT_NOTE("%s", bad[i]);
        EXPECT_I64(DUREQ_EINVAL, dq_users_create(&o, &u, &err));
        EXPECT_HAS(bad[i], err.msg);
    }
}

static void expect_bad(const dq_users_options *o, const char *why)
{
    dq_users *u = NULL;
    dureq_error err = {0};

    EXPECT_I64(DUREQ_EINVAL, dq_users_create(o, &u, &err));
    EXPECT_HAS(why, err.msg);
}

TEST(a_field_and_a_secret_must_be_good_for_it)
{
    expect_bad(&(dq_users_options){.roles = "a=admin,b=viewer,a=viewer"}, "'a' twice");
    expect_bad(&(dq_users_options){.roles = "a=admin", .secret = "short"}, "at least 16 bytes");
    expect_bad(&(dq_users_options){.roles = "a=admin", .field = "X User"}, "proxyUserHeader");
    expect_bad(&(dq_users_options){.roles = "a=admin", .field = "Authorization"}, "proxyUserHeader");
    expect_bad(&(dq_users_options){.roles = "a=admin", .field = "Cookie"}, "proxyUserHeader");
    expect_bad(&(dq_users_options){.roles = "a=admin", .field = "X-Dureq-Proxy-Secret"}, "proxyUserHeader");
}

TEST_MAIN()
