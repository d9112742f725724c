/* SPDX-License-Identifier: Apache-2.0 */
/* The server of the REST resources in a process of its own, without a node beside it: its processor time is what requests cost a daemon. */
#include <stdio.h>

#include "bench.h"
#include "role.h"
#include "serve/serve.h"

static const role_command commands[] = {{NULL, NULL}};

static int start(int argc, char **argv, dureq_client **client, dq_server **server, dureq_error *err)
{
    static const dq_log quiet = {.fn = NULL};
    dureq_client_options o = dureq_client_options_init();
    const char *address = role_option(argc, argv, "address");
    dq_server_options serve = {.addresses = &address, .n_addresses = 1, .body_max_bytes = 16 << 20, .log = &quiet};
    int rc;

    o.redis_url = role_option(argc, argv, "url");
    rc = dureq_client_create(&o, client, err);
    if (rc < 0)
        return rc;
    serve.client = *client;
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

    rc = rc < 0 ? role_fail_start(&err) : role_serve(commands, NULL);
    dq_server_destroy(server, 100);
    dureq_client_destroy(client);
    return rc;
}
