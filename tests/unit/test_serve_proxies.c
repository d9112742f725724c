/* SPDX-License-Identifier: Apache-2.0 */
/* Whom a proxy asks for: what can be believed of X-Forwarded-For, which anybody may send along. */
#include "expect.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/base.h"
#include "serve/proxies.h"

static dq_proxies *proxies(const char *list)
{
    dq_proxies *p = NULL;
    dureq_error err = {0};

    EXPECT_NOTE("%s", list ? list : "none");
    EXPECT_I64(0, dq_proxies_create(list, &p, &err));
    return p;
}

static bool has(const dq_proxies *p, const char *text)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        return dq_proxies_has(p, (const struct sockaddr *)&v4);
    EXPECT_I64(1, inet_pton(AF_INET6, text, &v6.sin6_addr));
    return dq_proxies_has(p, (const struct sockaddr *)&v6);
}

TEST(addresses_and_networks_are_told_apart)
{
    dq_proxies *p = proxies(" 127.0.0.1 , 10.0.0.0/8,192.0.2.128/25, fd00::/8,2001:db8::1");

    EXPECT_TRUE(has(p, "127.0.0.1") && has(p, "10.255.0.1") && has(p, "192.0.2.200") && has(p, "fd12::1") &&
                has(p, "2001:db8::1"));
    EXPECT_TRUE(has(p, "::ffff:10.1.2.3"));
    EXPECT_FALSE(has(p, "127.0.0.2") || has(p, "11.0.0.1") || has(p, "192.0.2.1") || has(p, "fe80::1") || has(p, "2001:db8::2"));
    dq_proxies_destroy(p);
    p = proxies("0.0.0.0/0");
    EXPECT_TRUE(has(p, "198.51.100.1"));
    EXPECT_FALSE(has(p, "2001:db8::1"));
    dq_proxies_destroy(p);
    p = proxies("");
    EXPECT_FALSE(has(p, "127.0.0.1"));
    dq_proxies_destroy(p);
    p = proxies(NULL);
    EXPECT_FALSE(has(p, "127.0.0.1"));
    dq_proxies_destroy(p);
}

TEST(what_is_no_address_is_refused_by_name)
{
    static const char *const bad[] = {"localhost",  "10.0.0.0/33", "::1/129",      "10.0.0.0/",
                                      "10.0.0.0/x", "10.0.0/8",    "10.0.0.0/8/8", "1.2.3.4 5.6.7.8"};

    for (size_t i = 0; i < DQ_ARRAY_LEN(bad); i++) {
        dq_proxies *p = NULL;
        dureq_error err = {0};

        EXPECT_NOTE("%s", bad[i]);
        EXPECT_I64(DUREQ_EINVAL, dq_proxies_create(bad[i], &p, &err));
        EXPECT_HAS(bad[i], err.msg);
    }
}

static const char *client_of(const dq_proxies *p, const char *fields)
{
    static char ret[DQ_PROXY_TEXT_MAX];
    static char text[1000];
    dq_http_fault fault;
    dq_http_head head;
    size_t seen = 0;

    (void)snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: x\r\n%s\r\n", fields);
    EXPECT_NOTE("%s", fields);
    EXPECT_TRUE(dq_http_head_parse(dureq_str_from(text), &seen, &head, &fault) > 0);
    return dq_proxies_client(p, &head, ret) ? ret : "none";
}

TEST(the_last_address_that_is_no_proxy_is_believed)
{
    dq_proxies *p = proxies("10.0.0.0/8");

    EXPECT_TEXT("none", client_of(p, ""));
    EXPECT_TEXT("192.0.2.1", client_of(p, "X-Forwarded-For: 192.0.2.1\r\n"));
    EXPECT_TEXT("192.0.2.1", client_of(p, "X-Forwarded-For: 203.0.113.9, 192.0.2.1, 10.1.1.1\r\n"));
    EXPECT_TEXT("192.0.2.1",
                client_of(p, "X-Forwarded-For: 203.0.113.9\r\nx-forwarded-for: 192.0.2.1\r\nX-Forwarded-For: 10.1.1.1\r\n"));
    EXPECT_TEXT("192.0.2.1", client_of(p, "X-Forwarded-For: evil,192.0.2.1:4711\r\n"));
    EXPECT_TEXT("2001:db8::1", client_of(p, "X-Forwarded-For: [2001:db8::1]:80\r\n"));
    EXPECT_TEXT("2001:db8::1", client_of(p, "X-Forwarded-For: 2001:db8::1\r\n"));
    EXPECT_TEXT("10.2.2.2", client_of(p, "X-Forwarded-For: 10.2.2.2, 10.1.1.1\r\n"));
    EXPECT_TEXT("10.1.1.1", client_of(p, "X-Forwarded-For: 192.0.2.1, evil, 10.1.1.1\r\n"));
    EXPECT_TEXT("none", client_of(p, "X-Forwarded-For: unknown\r\n"));
    EXPECT_TEXT("none", client_of(p, "X-Forwarded-For: \r\n"));
    EXPECT_TEXT("none", client_of(p, "X-Forwarded-For: ,,\r\n"));
    EXPECT_TEXT("none", client_of(p, "X-Forwarded-For: [::1\r\n"));
    dq_proxies_destroy(p);
}

TEST_MAIN()
