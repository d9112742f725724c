/* SPDX-License-Identifier: Apache-2.0 */
/* The server of the REST resources in a process of its own, without a node beside it: its processor time is what requests cost a daemon. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "bench.h"
#include "role.h"
#include "serve/serve.h"

static int tell_port(void *role, const role_words *question, role_words *answer, dureq_error *err)
{
    const char *address = dq_server_address(role, 0), *colon = address ? strrchr(address, ':') : NULL;
    int64_t port;

    (void)question;
    if (!colon || dq_parse_i64(dureq_str_from(colon + 1), 1, 65535, &port) < 0)
        return dq_fail(err, DUREQ_EINVAL, "it has no port");
    role_put(answer, "port", (double)port);
    return 0;
}

static const role_command commands[] = {{"port", tell_port}, {NULL, NULL}};

static int start(int argc, char **argv, dureq_client **client, dq_server **server, dureq_error *err)
{
    static const dq_log quiet = {.fn = NULL};
    dureq_client_options o = dureq_client_options_init();
    const char *address = role_option(argc, argv, "address");
    dq_server_options serve = {.addresses = &address, .n_addresses = 1, .body_max_bytes = 16 << 20, .log = &quiet};
    unsigned connections = (unsigned)role_option_i64(argc, argv, "connections", 0);
    int rc;

    o.redis_url = role_option(argc, argv, "url");
    rc = dureq_client_create(&o, client, err);
    if (rc < 0)
        return rc;
    serve.client = *client;
    serve.connections_max = serve.per_address_max = connections;
    rc = dq_server_create(&serve, server, err);
    if (rc == 0)
        dq_server_start(*server);
    return rc;
}

int role_api_main(int argc, char **argv)
{
    dureq_client *client = NULL;
    dq_server *server = NULL;
    dureq_error err = {0};
    int rc = start(argc, argv, &client, &server, &err);

    rc = rc < 0 ? role_fail_start(&err) : role_serve(commands, server);
    dq_server_destroy(server, 100);
    dureq_client_destroy(client);
    return rc;
}
