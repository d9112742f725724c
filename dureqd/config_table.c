/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <inttypes.h>

/* ---- the table: alphabetical, the one place where a setting is said ---- */

#define AT(member) .offset = offsetof(dq_config, member)

static const dq_config_choice log_formats[] = {{"text", DQ_LOG_TEXT}, {"json", DQ_LOG_JSON}, {NULL, 0}};
static const dq_config_choice log_levels[] = {
    {"error", DUREQ_LOG_ERROR}, {"warn", DUREQ_LOG_WARN}, {"info", DUREQ_LOG_INFO}, {"debug", DUREQ_LOG_DEBUG}, {NULL, 0}};

const dq_config_choice dq_config_fsyncs[] = {{"everysec", 0}, {"always", 1}, {"no", 2}, {NULL, 0}};

static const dq_config_choice auths[] = {{"local", 0}, {"none", 1}, {"tokens", 2}, {NULL, 0}};

#define DAY_MS (24 * 3600 * 1000LL)

const dq_config_row dq_config_rows[] = {
    {.name = "dureqd.allowEviction",
     .type = DQ_CONFIG_BOOL,
     AT(allow_eviction),
     .def = "false",
     .help = "Accept a server whose maxmemory-policy may drop jobs."},
    {.name = "dureqd.allowHosts",
     .type = DQ_CONFIG_TEXT,
     AT(allow_hosts),
     .max = 4000,
     .help =
         "Names by which the API may be asked beside localhost and addresses, with commas; a request for another name is refused."},
    {.name = "dureqd.allowOrigins",
     .type = DQ_CONFIG_TEXT,
     AT(allow_origins),
     .max = 4000,
     .help = "Origins of pages elsewhere that may change something by the API, such as https://ops.example.com, with commas."},
    {.name = "dureqd.apiAddress",
     .type = DQ_CONFIG_TEXT,
     AT(api_address),
     .max = 4000,
     .help =
         "Where the API listens: 127.0.0.1:8080 when unset, off, or a comma list of addresses with port and unix:/path; port 0 is any."},
    {.name = "dureqd.auditRetention",
     .type = DQ_CONFIG_MS,
     AT(audit_retention_ms),
     .def = "30d",
     .min = 1000,
     .max = 100 * 366 * DAY_MS,
     .or_forever = true,
     .help =
         "How long audit entries are kept; the node that is leader of a shard decides, so give all nodes the same; -1 is for ever."},
    {.name = "dureqd.auth",
     .type = DQ_CONFIG_CHOICE,
     AT(auth),
     .def = "local",
     .choices = auths,
     .help =
         "Who may use the API over TCP: local is whoever can connect, on loopback only; tokens is whoever sends one that dureqctl token "
         "create made; none is whoever can connect, anywhere. Whoever may open the Unix socket may do all, unless there are proxyUsers."},
    {.name = "dureqd.basePath",
     .type = DQ_CONFIG_TEXT,
     AT(base_path),
     .max = 256,
     .help = "Path under which a proxy shows the dashboard and the API, such as /dureq; the proxy may take it away or leave it."},
    {.name = "dureqd.builtins",
     .type = DQ_CONFIG_LIST,
     AT(builtins),
     .def = "echo,noop,sleep,fail-always",
     .max = 1024,
     .check = dq_config_check_builtins,
     .help = "Built-in handlers to register under their own names; empty for none."},
    {.name = "dureqd.concurrency",
     .type = DQ_CONFIG_INT,
     AT(concurrency),
     .def = "100",
     .min = 1,
     .max = 65536,
     .help = "Jobs that run at a time on this node."},
    {.name = "dureqd.deadRetention",
     .type = DQ_CONFIG_MS,
     AT(dead_retention_ms),
     .def = "30d",
     .min = 1000,
     .max = 100 * 366 * DAY_MS,
     .or_forever = true,
     .help = "How long dead jobs are kept; else as auditRetention."},
    {.name = "dureqd.drainTimeoutMs",
     .type = DQ_CONFIG_MS,
     AT(drain_timeout_ms),
     .def = "30000",
     .min = 0,
     .max = DAY_MS,
     .help = "How long a stop waits for running jobs before it gives them back."},
    {.name = "dureqd.grpcAddress", .type = DQ_CONFIG_REFUSED, .help = "gRPC comes with a later version"},
    {.name = "dureqd.handlers", .type = DQ_CONFIG_REFUSED, .help = "the list of built-in handlers is dureqd.builtins here"},
    {.name = "dureqd.historyMaxBytes",
     .type = DQ_CONFIG_BYTES,
     AT(history_max_bytes),
     .def = "0",
     .min = -1,
     .max = INT64_MAX,
     .help = "Cap of the rows kept of ended jobs; 0 is a quarter of the server's maxmemory, else 1 GiB; -1 is none."},
    {.name = "dureqd.insecure",
     .type = DQ_CONFIG_BOOL,
     AT(insecure),
     .def = "false",
     .help = "Let the API listen beyond loopback without TLS: tokens and payloads can then be read on the way."},
    {.name = "dureqd.insecureStateDir",
     .type = DQ_CONFIG_BOOL,
     AT(insecure_state_dir),
     .def = "false",
     .help = "Take the state directory although others own it or can write to it."},
    {.name = "dureqd.leaseMs",
     .type = DQ_CONFIG_MS,
     AT(lease_ms),
     .def = "5000",
     .min = 200,
     .max = 3600000, /* as a node has it */
     .help = "A node silent for so long has lost its jobs to the others."},
    {.name = "dureqd.maxCrashes",
     .type = DQ_CONFIG_INT,
     AT(max_crashes),
     .def = "3",
     .min = 1,
     .max = 255,
     .help = "A job that took its process down so often is dead."},
    {.name = "dureqd.maxPayloadBytes",
     .type = DQ_CONFIG_BYTES,
     AT(max_payload_bytes),
     .def = "1MiB",
     .min = 1024,
     .max = DUREQ_PAYLOAD_LIMIT_MAX,
     .help = "Largest payload that this node enqueues, or that a repeat gives to the next run."},
    {.name = "dureqd.mode",
     .type = DQ_CONFIG_LIST,
     AT(mode),
     .def = "full",
     .max = 128,
     .check = dq_config_check_mode,
     .help =
         "What the node does: queue (runs jobs; without it the node has no handlers and does not start in this version), scheduler "
         "(may become leader), monitor (serves the API), or full for all; a comma list combines. The word workflow does nothing in this "
         "version."},
    {.name = "dureqd.nodeId",
     .type = DQ_CONFIG_NAME,
     AT(node_id),
     .max = DUREQ_NAME_MAX,
     .help = "Name of this node; host name and random letters when unset."},
    {.name = "dureqd.prefix",
     .type = DQ_CONFIG_NAME,
     AT(prefix),
     .def = "dureq",
     .max = DUREQ_PREFIX_MAX,
     .help = "Prefix of all keys in Redis; two prefixes never see each other."},
    {.name = "dureqd.proxySecret",
     .type = DQ_CONFIG_TEXT,
     AT(proxy_secret),
     .max = 4096,
     .secret = true,
     .help =
         "What a proxy that names users sends as X-Dureq-Proxy-Secret, at least 16 bytes; without it the proxy comes by the Unix "
         "socket. As a flag it is visible to others; the environment or the file is better."},
    {.name = "dureqd.proxyUserHeader",
     .type = DQ_CONFIG_TEXT,
     AT(proxy_user_header),
     .def = "X-Forwarded-User",
     .max = 64,
     .help = "The field in which a proxy names the user."},
    {.name = "dureqd.proxyUsers",
     .type = DQ_CONFIG_TEXT,
     AT(proxy_users),
     .max = 65536,
     .help =
         "Users that a proxy may name, and their roles: alice=admin,bob=viewer+payload,*=viewer. Takes auth: tokens; with it nobody is "
         "let in by the Unix socket alone."},
    {.name = "dureqd.shards",
     .type = DQ_CONFIG_INT,
     AT(shards),
     .def = "1",
     .min = 1,
     .max = 256,
     .help = "Shards of the prefix, used when it is new."},
    {.name = "dureqd.stateDir",
     .type = DQ_CONFIG_TEXT,
     AT(state_dir),
     .max = 4000,
     .help = "Directory of the embedded Redis; by default /var/lib/dureq for root, else ~/.local/state/dureq."},
    {.name = "dureqd.statsDaysRetention",
     .type = DQ_CONFIG_MS,
     AT(stats_days_retention_ms),
     .def = "400d",
     .min = DAY_MS,
     .max = 100 * 366 * DAY_MS,
     .help = "How long statistics by day are kept; all nodes the same."},
    {.name = "dureqd.statsHoursRetention",
     .type = DQ_CONFIG_MS,
     AT(stats_hours_retention_ms),
     .def = "30d",
     .min = DAY_MS,
     .max = 100 * 366 * DAY_MS,
     .help = "How long statistics by hour are kept; all nodes the same."},
    {.name = "dureqd.statsMinutesRetention",
     .type = DQ_CONFIG_MS,
     AT(stats_minutes_retention_ms),
     .def = "48h",
     .min = DAY_MS / 24,
     .max = 100 * 366 * DAY_MS,
     .help = "How long statistics by minute are kept; all nodes the same."},
    {.name = "dureqd.threads",
     .type = DQ_CONFIG_INT,
     AT(threads),
     .def = "0",
     .min = 0,
     .max = 65536,
     .help = "Threads for built-in handlers at most; 0 is the concurrency. Programs need none."},
    {.name = "dureqd.tlsCert",
     .type = DQ_CONFIG_TEXT,
     AT(tls_cert),
     .max = 4000,
     .help = "Certificate of the API with its chain, PEM; with it all its TCP addresses speak TLS. Read again at SIGHUP."},
    {.name = "dureqd.tlsKey",
     .type = DQ_CONFIG_TEXT,
     AT(tls_key),
     .max = 4000,
     .help = "The private key of dureqd.tlsCert, PEM."},
    {.name = "dureqd.trustedProxies",
     .type = DQ_CONFIG_TEXT,
     AT(trusted_proxies),
     .max = 4000,
     .help =
         "Addresses and networks of proxies, such as 10.0.0.0/8, with commas: what they say of whom they ask for (X-Forwarded-For) and "
         "how that came to them (X-Forwarded-Proto) is believed for the audit and for cookies; nobody is let in by it."},
    {.name = "dureqd.uniqueNodeId",
     .type = DQ_CONFIG_BOOL,
     AT(unique_node_id),
     .def = "false",
     .help = "Do not start beside a live node of the same name; else that is only warned of."},
    {.name = "log.format",
     .type = DQ_CONFIG_CHOICE,
     AT(log_format),
     .def = "text",
     .choices = log_formats,
     .help = "Log lines on standard error as text, or as one JSON object each."},
    {.name = "log.level",
     .type = DQ_CONFIG_CHOICE,
     AT(log_level),
     .def = "info",
     .choices = log_levels,
     .help = "The least important record that is still written."},
    {.name = "redis.appendfsync",
     .type = DQ_CONFIG_CHOICE,
     AT(redis_appendfsync),
     .def = "everysec",
     .choices = dq_config_fsyncs,
     .help = "How the embedded server syncs its append-only file."},
    {.name = "redis.clusterAddrs", .type = DQ_CONFIG_REFUSED, .help = "Redis Cluster comes with a later version"},
    {.name = "redis.db",
     .type = DQ_CONFIG_INT,
     AT(redis_db),
     .def = "-1",
     .min = -1,
     .max = 65535,
     .help = "Database number; -1 is the one of redis.url, else 0."},
    {.name = "redis.password",
     .type = DQ_CONFIG_TEXT,
     AT(redis_password),
     .max = 4096,
     .secret = true,
     .help =
         "Password, when it is not part of redis.url. As a flag it is visible for a moment; the environment or the file is better."},
    {.name = "redis.poolSize", .type = DQ_CONFIG_IGNORED, .help = "connections are pipelined here, there is no pool"},
    {.name = "redis.server",
     .type = DQ_CONFIG_TEXT,
     AT(redis_server),
     .def = "redis-server",
     .max = 4000,
     .help = "Program of the embedded server, found through PATH."},
    {.name = "redis.url",
     .type = DQ_CONFIG_TEXT,
     AT(redis_url),
     .max = 4096,
     .check = dq_config_check_url,
     .secret = true,
     .help = "redis://, rediss:// or unix:// address; without one a private redis-server is started."},
    {.name = "redis.username",
     .type = DQ_CONFIG_TEXT,
     AT(redis_username),
     .max = 256,
     .help = "User, when it is not part of redis.url."},
};
const size_t dq_config_n_rows = DQ_ARRAY_LEN(dq_config_rows);

/* ---- names ---- */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

bool dq_config_key_eq(dureq_str a, const char *b)
{
    size_t i = 0;

    for (; i < a.len && *b; i++) {
        if (a.ptr[i] == '_') /* snake_case: next one is upper case in the name */
            continue;
        if (i > 0 && a.ptr[i - 1] == '_') {
            if (*b != upper(a.ptr[i]))
                return false;
        } else if (a.ptr[i] != *b) {
            return false;
        }
        b++;
    }
    return i == a.len && !*b;
}

const dq_config_row *dq_config_row_find(const char *section, dureq_str key)
{
    size_t n = section ? strlen(section) : 0;

    for (size_t i = 0; i < dq_config_n_rows; i++) {
        const char *name = dq_config_rows[i].name;

        if (section && (strncmp(name, section, n) != 0 || name[n] != '.'))
            continue;
        if (dq_config_key_eq(key, section ? name + n + 1 : name))
            return &dq_config_rows[i];
    }
    return NULL;
}

static const char *spoken_name(const dq_config_row *row)
{
    return strncmp(row->name, "dureqd.", 7) == 0 ? row->name + 7 : row->name;
}

/* "redis.url" with '_': "redis_url"; "leaseMs" with '-': "lease-ms". */
static void put_spoken(const dq_config_row *row, char between, char (*letter)(char), char *out, size_t cap)
{
    size_t n = 0;

    for (const char *p = spoken_name(row); *p && n + 2 < cap; p++) {
        if (*p == '.') {
            out[n++] = between;
            continue;
        }
        if (*p >= 'A' && *p <= 'Z')
            out[n++] = between;
        out[n++] = letter(*p);
    }
    out[n] = '\0';
}

void dq_config_env_name(const dq_config_row *row, char out[DQ_CONFIG_NAME_TEXT_MAX])
{
    memcpy(out, "DUREQ_", 6);
    put_spoken(row, '_', upper, out + 6, DQ_CONFIG_NAME_TEXT_MAX - 6);
}

void dq_config_flag_name(const dq_config_row *row, char out[DQ_CONFIG_NAME_TEXT_MAX])
{
    memcpy(out, "--", 2);
    put_spoken(row, '-', lower, out + 2, DQ_CONFIG_NAME_TEXT_MAX - 2);
}

/* ---- what a setting takes ---- */

static void describe_choices(const dq_config_row *row, dq_buf *out)
{
    for (const dq_config_choice *c = row->choices; c->text; c++)
        dq_buf_append_fmt(out, "%s%s", c == row->choices ? "" : c[1].text ? ", " : " or ", c->text);
}

static void describe_ms(const dq_config_row *row, dq_buf *out)
{
    char lo[DQ_DURATION_TEXT_MAX], hi[DQ_DURATION_TEXT_MAX];

    dq_format_duration_ms(row->min, lo);
    dq_format_duration_ms(row->max, hi);
    dq_buf_append_fmt(out, "milliseconds or a duration such as 30s, from %s to %s%s", lo, hi, row->or_forever ? ", or -1" : "");
}

void dq_config_describe(const dq_config_row *row, dq_buf *out)
{
    switch (row->type) {
    case DQ_CONFIG_TEXT: dq_buf_append_fmt(out, "a text of at most %" PRId64 " bytes", row->max); break;
    case DQ_CONFIG_NAME: /* the prefix becomes part of key names, where ':' separates */
        dq_buf_append_fmt(out, "1 to %" PRId64 " of [A-Za-z0-9_.%s-]", row->max, row->max == DUREQ_PREFIX_MAX ? "" : ":");
        break;
    case DQ_CONFIG_INT: dq_buf_append_fmt(out, "a whole number from %" PRId64 " to %" PRId64, row->min, row->max); break;
    case DQ_CONFIG_MS: describe_ms(row, out); break;
    case DQ_CONFIG_BYTES: dq_buf_append_text(out, "bytes, or a size such as 64KiB"); break;
    case DQ_CONFIG_BOOL: dq_buf_append_text(out, "true or false"); break;
    case DQ_CONFIG_CHOICE: describe_choices(row, out); break;
    case DQ_CONFIG_LIST: dq_buf_append_text(out, "a list of names"); break;
    case DQ_CONFIG_IGNORED:
    case DQ_CONFIG_REFUSED: break;
    }
}
