/* SPDX-License-Identifier: Apache-2.0 */
#include "api_host.h"

#include "client/client.h"
#include "serve/serve.h"

#include <dureq/client.h>

#define STOP_MS 3000 /* for answers that are under way when the node has stopped */

struct dq_api_host {
    dq_log log;
    dureq_client *client;
    dq_server *server;
};

static int connect_client(dq_api_host *h, const dq_config *cfg, const char *url, dureq_error *err)
{
    dureq_client_options o = dureq_client_options_init();
    int rc;

    o.redis_url = url;
    o.prefix = cfg->prefix;
    o.shards = (int32_t)cfg->shards;
    o.max_payload_bytes = cfg->max_payload_bytes;
    o.allow_eviction = cfg->allow_eviction;
    o.client_name = "dureqd-api";
    o.actor = "api";
    o.log_fn = h->log.fn;
    o.log_userdata = h->log.userdata;
    o.log_level = h->log.level;
    rc = dureq_client_create(&o, &h->client, err);
    if (rc == 0)
        dq_client_share_walks(h->client);
    return rc;
}

/* The words of a comma list, in the arena. */
static int split(dq_arena *arena, const char *list, const char ***ret, size_t *ret_n, dureq_error *err)
{
    dureq_str rest = dureq_str_from(list);
    const char **words = dq_arena_alloc(arena, (rest.len / 2 + 1) * sizeof *words);
    size_t n = 0;

    if (!words)
        return dq_fail_nomem(err);
    while (rest.len) {
        dureq_str word = dq_str_trim(dq_str_cut(&rest, ','));

        if (word.len == 0)
            continue;
        words[n] = dq_arena_dup(arena, word);
        if (!words[n++])
            return dq_fail_nomem(err);
    }
    *ret = words;
    *ret_n = n;
    return 0;
}

/* Base64 is a third longer, and there are the other fields. */
static int64_t body_max(const dq_config *cfg)
{
    return DQ_MAX(cfg->max_payload_bytes / 3 * 4 + (1 << 20), 16 << 20);
}

static const char *why_local(const dq_config *cfg)
{
    if (cfg->auth == DQ_AUTH_LOCAL)
        return "set dureqd.auth to tokens, or to none";
    if (!cfg->tls_cert && !cfg->insecure)
        return "set dureqd.tlsCert and tlsKey, or dureqd.insecure";
    return NULL;
}

static int check_users(const dq_config *cfg, dureq_error *err)
{
    if (cfg->proxy_users && *cfg->proxy_users && cfg->auth != DQ_AUTH_TOKENS)
        return dq_fail(err, DUREQ_EINVAL,
                       "dureqd.proxyUsers takes dureqd.auth: tokens: else whoever does not come by the proxy may do all");
    return 0;
}

static int create_server(dq_api_host *h, const dq_config *cfg, dq_node_meter *meter, dureq_error *err)
{
    dq_server_options o = {
        .client = h->client,
        .hosts = cfg->allow_hosts,
        .origins = cfg->allow_origins,
        .proxies = cfg->trusted_proxies,
        .proxy_users = cfg->proxy_users,
        .proxy_user_field = cfg->proxy_user_header,
        .proxy_secret = cfg->proxy_secret,
        .pages = dq_dashboard,
        .base_path = cfg->base_path,
        .stays_local = why_local(cfg),
        .needs_token = cfg->auth == DQ_AUTH_TOKENS,
        .tls_cert = cfg->tls_cert,
        .tls_key = cfg->tls_key,
        .body_max_bytes = body_max(cfg),
        .metrics = dq_node_meter_write,
        .unsent = dq_node_meter_unsent,
        .metrics_userdata = meter,
        .log = &h->log,
    };
    dq_arena arena = {0};
    const char **words = NULL;
    int rc = check_users(cfg, err);

    if (rc < 0)
        return rc;
    rc = split(&arena, cfg->api_address ? cfg->api_address : DQ_CONFIG_API_ADDRESS, &words, &o.n_addresses, err);

    o.addresses = words;
    if (rc == 0)
        rc = dq_server_create(&o, &h->server, err);
    dq_arena_deinit(&arena);
    return rc;
}

static void say_addresses(dq_api_host *h)
{
    for (size_t i = 0; dq_server_address(h->server, i); i++)
        DQ_LOG(&h->log, DUREQ_LOG_INFO, "api.listening", "address=%s", dq_server_address(h->server, i));
}

static bool is_wanted(const dq_config *cfg)
{
    return dq_config_has_mode(cfg, "monitor") && !(cfg->api_address && strcmp(cfg->api_address, "off") == 0);
}

int dq_api_host_start(const dq_config *cfg, const char *redis_url, dq_node_meter *meter, const dq_log *log, dq_api_host **ret,
                      dureq_error *err)
{
    dq_api_host *h;
    int rc;

    *ret = NULL;
    if (!is_wanted(cfg))
        return 0;
    h = dq_calloc(1, sizeof *h);
    if (!h)
        return dq_fail_nomem(err);
    h->log = *log;
    rc = connect_client(h, cfg, redis_url, err);
    if (rc == 0)
        rc = create_server(h, cfg, meter, err);
    if (rc == DUREQ_EIO && !cfg->api_address) {
        DQ_LOG(log, DUREQ_LOG_WARN, "api.not_listening", "%s: set dureqd.apiAddress to another address, or to off", err->msg);
        dq_api_host_destroy(h);
        return 0;
    }
    if (rc < 0) {
        dq_api_host_destroy(h);
        return rc;
    }
    dq_server_start(h->server);
    say_addresses(h);
    *ret = h;
    return 0;
}

void dq_api_host_reload(dq_api_host *h, const dq_config *cfg)
{
    dureq_error err = {0};

    if (!h || !cfg->tls_cert)
        return;
    if (dq_server_reload(h->server, cfg->tls_cert, cfg->tls_key, &err) < 0)
        DQ_LOG(&h->log, DUREQ_LOG_ERROR, "api.not_reloaded", "the certificate stays as it is: %s", err.msg);
    else
        DQ_LOG(&h->log, DUREQ_LOG_INFO, "api.reloaded", "certificate=%s", cfg->tls_cert);
}

void dq_api_host_drain(dq_api_host *h)
{
    if (h)
        dq_server_drain(h->server);
}

void dq_api_host_destroy(dq_api_host *h)
{
    if (!h)
        return;
    dq_server_destroy(h->server, STOP_MS);
    dureq_client_destroy(h->client);
    dq_free(h);
}
