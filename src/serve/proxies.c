/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/proxies.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/str.h"

/* IPv4 as IPv6 has it, so that both ways to write one compare. */
typedef struct network {
    unsigned char bytes[16];
    unsigned bits;
} network;

struct dq_proxies {
    size_t n;
    network items[];
};

static void map_v4(const struct in_addr *v4, unsigned char ret[16])
{
    static const unsigned char prefix[12] = {[10] = 0xff, [11] = 0xff};

    memcpy(ret, prefix, sizeof prefix);
    memcpy(ret + 12, v4, 4);
}

static bool parse_address(dureq_str text, unsigned char ret[16], bool *ret_v4)
{
    char copy[INET6_ADDRSTRLEN];
    struct in_addr v4;

    if (text.len == 0 || text.len >= sizeof copy)
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    *ret_v4 = inet_pton(AF_INET, copy, &v4) == 1;
    if (*ret_v4)
        map_v4(&v4, ret);
    return *ret_v4 || inet_pton(AF_INET6, copy, ret) == 1;
}

static bool parse_network(dureq_str text, network *ret)
{
    dureq_str rest = text, address = dq_str_trim(dq_str_cut(&rest, '/'));
    int64_t bits;
    bool is_v4;

    if (!parse_address(address, ret->bytes, &is_v4))
        return false;
    ret->bits = 128;
    if (!rest.ptr)
        return true;
    if (dq_parse_i64(dq_str_trim(rest), 0, is_v4 ? 32 : 128, &bits) < 0)
        return false;
    ret->bits = (unsigned)bits + (is_v4 ? 96 : 0);
    return true;
}

int dq_proxies_create(const char *list, dq_proxies **ret, dureq_error *err)
{
    dureq_str rest = dureq_str_from(list);
    dq_proxies *p = dq_calloc(1, sizeof *p + (rest.len / 2 + 1) * sizeof p->items[0]);

    if (!p)
        return dq_fail_nomem(err);
    while (rest.len) {
        dureq_str one = dq_str_trim(dq_str_cut(&rest, ','));

        if (one.len == 0)
            continue;
        if (!parse_network(one, &p->items[p->n++])) {
            dq_free(p);
            return dq_fail(err, DUREQ_EINVAL, "trustedProxies takes addresses and networks such as 10.0.0.0/8, not '%.*s'",
                           (int)DQ_MIN(one.len, (size_t)60), one.ptr);
        }
    }
    *ret = p;
    return 0;
}

void dq_proxies_destroy(dq_proxies *p)
{
    dq_free(p);
}

static bool is_in(const network *net, const unsigned char bytes[16])
{
    unsigned whole = net->bits / 8, left = net->bits % 8;

    if (memcmp(net->bytes, bytes, whole) != 0)
        return false;
    return left == 0 || ((net->bytes[whole] ^ bytes[whole]) >> (8 - left)) == 0;
}

static bool has(const dq_proxies *p, const unsigned char bytes[16])
{
    for (size_t i = 0; p && i < p->n; i++)
        if (is_in(&p->items[i], bytes))
            return true;
    return false;
}

bool dq_proxies_has(const dq_proxies *p, const struct sockaddr *address)
{
    unsigned char bytes[16];

    if (address->sa_family == AF_INET)
        map_v4(&((const struct sockaddr_in *)(const void *)address)->sin_addr, bytes);
    else if (address->sa_family == AF_INET6)
        memcpy(bytes, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, sizeof bytes);
    else
        return false;
    return has(p, bytes);
}

/* "192.0.2.1", "192.0.2.1:1234", "2001:db8::1", "[2001:db8::1]:1234": without the port. */
static dureq_str without_port(dureq_str text)
{
    const char *end;

    if (text.len && text.ptr[0] == '[') {
        end = memchr(text.ptr, ']', text.len);
        return end ? dureq_str_of(text.ptr + 1, (size_t)(end - text.ptr) - 1) : text;
    }
    end = memchr(text.ptr ? text.ptr : "", ':', text.len);
    if (end && !memchr(end + 1, ':', text.len - (size_t)(end - text.ptr) - 1))
        return dureq_str_of(text.ptr, (size_t)(end - text.ptr));
    return text;
}

/* The last item of a list with commas; *list becomes what is before it. */
static dureq_str cut_last(dureq_str *list)
{
    size_t at = list->len;
    dureq_str last;

    while (at > 0 && list->ptr[at - 1] != ',')
        at--;
    last = dureq_str_of(list->ptr + at, list->len - at);
    list->len = at > 0 ? at - 1 : 0;
    return dq_str_trim(last);
}

/* Each proxy adds whom it saw at the end, as one more item or one more line. True: it is told who; or nothing before it can be believed. */
static bool look_back(const dq_proxies *p, dureq_str list, char ret[DQ_PROXY_TEXT_MAX], bool *found)
{
    while (list.len) {
        unsigned char bytes[16];
        dureq_str one = without_port(cut_last(&list));
        bool is_v4;

        if (!parse_address(one, bytes, &is_v4))
            return true;
        memcpy(ret, one.ptr, one.len);
        ret[one.len] = '\0';
        *found = true;
        if (!has(p, bytes))
            return true;
    }
    return false;
}

bool dq_proxies_client(const dq_proxies *p, const dq_http_head *head, char ret[DQ_PROXY_TEXT_MAX])
{
    bool found = false;

    for (size_t i = head->n_fields; i-- > 0;)
        if (dq_http_eq_nocase(head->fields[i].name, "x-forwarded-for") && look_back(p, head->fields[i].value, ret, &found))
            break;
    return found;
}

bool dq_proxies_passed_on(const dq_http_head *head)
{
    return dq_http_field_get(head, "x-forwarded-for").ptr || dq_http_field_get(head, "forwarded").ptr ||
           dq_http_field_get(head, "x-real-ip").ptr;
}

bool dq_proxies_says_tls(const dq_http_head *head)
{
    for (size_t i = head->n_fields; i-- > 0;)
        if (dq_http_eq_nocase(head->fields[i].name, "x-forwarded-proto")) {
            dureq_str list = head->fields[i].value;

            return dq_http_eq_nocase(cut_last(&list), "https");
        }
    return false;
}
