/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes (a node is its sessions, one a shard), and the names of nodes behind session numbers. */

#include <stdio.h>

#include "client/client_internal.h"
#include "json/json.h"
#include "store/plain_calls.h"

/* ---- names ---- */

typedef struct node_name {
    struct node_name *next;
    uint64_t session;
    dureq_str text;
} node_name;

struct dq_node_names {
    dureq_client *client;
    unsigned shard;
    dq_arena arena;
    node_name *known;
};

dq_node_names *dq_node_names_create(dureq_client *c, unsigned shard)
{
    dq_node_names *n = dq_calloc(1, sizeof *n);

    if (n) {
        n->client = c;
        n->shard = shard;
    }
    return n;
}

void dq_node_names_destroy(dq_node_names *n)
{
    if (!n)
        return;
    dq_arena_deinit(&n->arena);
    dq_free(n);
}

static dureq_str ask_name(dq_node_names *n, uint64_t session)
{
    dq_owned_reply reply;
    dq_buf bytes = {0};
    char number[24];

    (void)snprintf(number, sizeof number, "%llu", (unsigned long long)session);
    dq_plain_field(&bytes, dq_client_keys(n->client), n->shard, "sn", dureq_str_from(number));
    if (dq_client_command(n->client, &bytes, 1, &reply, NULL) < 0)
        return (dureq_str){0};
    dureq_str name = dq_arena_dup_str(&n->arena, dq_reply_str(reply.reply));
    dq_owned_reply_deinit(&reply);
    return name;
}

/* text: in the arena. */
static dureq_str add_name(dq_node_names *n, uint64_t session, dureq_str text)
{
    node_name *added = dq_arena_alloc(&n->arena, sizeof *added);

    if (!added)
        return (dureq_str){0};
    *added = (node_name){.next = n->known, .session = session, .text = text};
    n->known = added;
    return text;
}

dureq_str dq_node_names_get(uint64_t session, void *names)
{
    dq_node_names *n = names;

    if (!n)
        return (dureq_str){0};
    for (node_name *k = n->known; k; k = k->next)
        if (k->session == session)
            return k->text;
    return add_name(n, session, ask_name(n, session));
}

void dq_node_names_know(dq_node_names *n, uint64_t session, dureq_str text)
{
    if (n && session)
        (void)add_name(n, session, dq_arena_dup_str(&n->arena, text));
}

/* ---- nodes ---- */

void dureq_node_list_destroy(dureq_node_list *list)
{
    if (!list)
        return;
    dq_arena_deinit(list->owner);
    dq_free(list->owner);
    dq_free(list);
}

static int64_t member_i64(const dq_json *doc, const char *name)
{
    dq_json_ref v = dq_json_member(doc, 0, name);
    int64_t n = 0;

    return v != DQ_JSON_NONE && dq_json_i64(doc, v, &n) == 0 ? n : 0;
}

static dureq_str member_text(const dq_json *doc, const char *name, dq_arena *a)
{
    dq_json_ref v = dq_json_member(doc, 0, name);
    DQ_BUF_AUTO text = {0};

    if (v == DQ_JSON_NONE || dq_json_string(doc, v, &text) < 0)
        return (dureq_str){0};
    return dq_arena_dup_str(a, dq_buf_str(&text));
}

/* What the node said of itself (worker/beat.c writes it). */
static void read_info(dureq_str info, dureq_str dyn, dq_arena *a, dureq_node_info *out)
{
    dq_json doc;

    if (dq_json_parse(info, &doc, NULL) == 0) {
        out->task_types = member_text(&doc, "task_types", a);
        out->version = member_text(&doc, "version", a);
        out->host = member_text(&doc, "host", a);
        out->pid = member_i64(&doc, "pid");
        out->pid_space = member_i64(&doc, "pid_space");
        out->instance = member_text(&doc, "instance", a);
        out->concurrency = (int32_t)member_i64(&doc, "concurrency");
        dq_json_deinit(&doc);
    }
    if (dq_json_parse(dyn, &doc, NULL) == 0) {
        out->running = (int32_t)member_i64(&doc, "running");
        out->stuck = (int32_t)member_i64(&doc, "stuck");
        dq_json_deinit(&doc);
    }
}

/* Two processes may have one name, by mistake: they are two nodes. In containers also their hosts and numbers can be the same. */
static bool is_same_node(const dureq_node_info *a, const dureq_node_info *b)
{
    if (!dq_str_eq(a->node_id, b->node_id) || !dq_str_eq(a->instance, b->instance))
        return false;
    return a->instance.len > 0 || (dq_str_eq(a->host, b->host) && a->pid == b->pid);
}

static dureq_node_info *node_of(dureq_node_list *list, const dureq_node_info *like)
{
    for (size_t i = 0; i < list->n; i++) {
        dureq_node_info *n = &list->items[i];

        if (is_same_node(n, like))
            return n;
    }
    return NULL;
}

static int add_session(dureq_node_list *list, size_t *cap, dq_reply row)
{
    dq_arena *a = list->owner;
    dureq_str name = dq_reply_str(dq_reply_at(row, 1));
    dureq_node_info told = {.node_id = dq_arena_dup_str(a, name)}, *node;

    if (told.node_id.len < name.len)
        return DUREQ_ENOMEM;
    if (!dq_str_eq_text(dq_reply_str(dq_reply_at(row, 6)), "live"))
        return 0; /* being reaped: the node is gone */
    told.started_at_ms = dq_reply_int(dq_reply_at(row, 4));
    read_info(dq_reply_str(dq_reply_at(row, 2)), dq_reply_str(dq_reply_at(row, 3)), a, &told);
    node = node_of(list, &told);
    if (!node) {
        if (list->n == *cap) {
            dureq_node_info *more = dq_arena_alloc(a, (*cap * 2 + 8) * sizeof *more);

            if (!more)
                return DUREQ_ENOMEM;
            if (list->n)
                memcpy(more, list->items, list->n * sizeof *more);
            list->items = more;
            *cap = *cap * 2 + 8;
        }
        node = &list->items[list->n++];
        *node = told;
    }
    node->started_at_ms = DQ_MIN(node->started_at_ms, dq_reply_int(dq_reply_at(row, 4)));
    node->last_heartbeat_ms = DQ_MAX(node->last_heartbeat_ms, dq_reply_int(dq_reply_at(row, 5)));
    node->leader = node->leader || dq_reply_int(dq_reply_at(row, 7));
    node->draining = node->draining || dq_reply_int(dq_reply_at(row, 8));
    node->too_old = node->too_old || dq_reply_int(dq_reply_at(row, 9));
    return 0;
}

/* Pages of them: a step of the server stays short, however many there are. */
#define SESSIONS_A_CALL 200

typedef struct listing {
    dureq_client *c;
    dureq_node_list *list;
    size_t cap;
} listing;

static int add_page(void *userdata, unsigned shard, const dureq_str *sessions, size_t n, dureq_error *err)
{
    listing *l = userdata;
    dq_owned_reply reply;
    dq_reply_items rows;
    dq_reply row;
    dq_buf call = {0};
    int rc;

    dq_call_node_list(&call, dq_client_keys(l->c), shard, sessions, n);
    rc = dq_client_call(l->c, shard, DQ_CALL_REPEAT, &call, &reply, err);
    if (rc < 0)
        return rc;
    rows = dq_reply_items_of(reply.reply);
    while (rc == 0 && dq_reply_items_next(&rows, &row))
        rc = add_session(l->list, &l->cap, row);
    dq_owned_reply_deinit(&reply);
    return rc < 0 ? dq_fail_nomem(err) : 0;
}

typedef int (*page_fn)(void *userdata, unsigned shard, const dureq_str *sessions, size_t n, dureq_error *err);

/* All sessions of a shard, by pages. */
static int for_sessions(dureq_client *c, unsigned shard, page_fn fn, void *userdata, dureq_error *err)
{
    dureq_str page[SESSIONS_A_CALL];
    dq_owned_reply all;
    dq_reply_items sessions;
    dq_reply session;
    dq_buf call = {0};
    size_t n = 0;
    int rc;

    dq_call_node_list(&call, dq_client_keys(c), shard, NULL, 0);
    rc = dq_client_call(c, shard, DQ_CALL_REPEAT, &call, &all, err);
    if (rc < 0)
        return rc;
    sessions = dq_reply_items_of(all.reply);
    while (rc == 0 && dq_reply_items_next(&sessions, &session)) {
        page[n++] = dq_reply_str(session);
        if (n < SESSIONS_A_CALL && sessions.left > 0)
            continue;
        rc = fn(userdata, shard, page, n, err);
        n = 0;
    }
    dq_owned_reply_deinit(&all);
    return rc;
}

static int list_nodes(dureq_client *c, dureq_node_list *list, dureq_error *err)
{
    listing l = {.c = c, .list = list};
    int rc = 0;

    for (unsigned s = 0; rc == 0 && s < dq_client_keys(c)->n_shards; s++)
        rc = for_sessions(c, s, add_page, &l, err);
    return rc;
}

int dureq_client_list_nodes(dureq_client *c, dureq_node_list **ret, dureq_error *err)
{
    int rc;

    if (!c || !ret)
        return dq_fail(err, DUREQ_EINVAL, "client and ret must be given");
    dureq_node_list *list = dq_calloc(1, sizeof *list);
    if (list)
        list->owner = dq_calloc(1, sizeof(dq_arena));
    if (!list || !list->owner) {
        dq_free(list);
        return dq_fail_nomem(err);
    }
    dq_client_enter(c);
    rc = list_nodes(c, list, err);
    dq_client_leave(c);
    if (rc < 0)
        dureq_node_list_destroy(list);
    else
        *ret = list;
    return rc;
}

static bool node_lives(dureq_client *c, const char *node_id)
{
    dureq_node_list *list;

    if (dureq_client_list_nodes(c, &list, NULL) < 0)
        return true;
    bool found = false;
    for (size_t i = 0; i < list->n; i++)
        found = found || dq_str_eq_text(list->items[i].node_id, node_id);
    dureq_node_list_destroy(list);
    return found;
}

typedef struct draining {
    dureq_client *c;
    dureq_str node_id;
    bool drain, is_noted;
} draining;

static int drain_page(void *userdata, unsigned shard, const dureq_str *sessions, size_t n, dureq_error *err)
{
    draining *d = userdata;
    dq_owned_reply reply;
    dq_buf bytes = {0};
    int rc;

    dq_node_drain what = {.actor = dq_client_actor(d->c), .node_id = d->node_id, .drain = d->drain, .first = !d->is_noted};
    dq_call_node_drain(&bytes, dq_client_keys(d->c), shard, &what, sessions, n);
    rc = dq_client_call(d->c, shard, DQ_CALL_REPEAT, &bytes, &reply, err);
    if (rc < 0)
        return rc;
    dq_owned_reply_deinit(&reply);
    d->is_noted = true;
    return 0;
}

/* The note comes first: a session that is opened meanwhile hears of it by its heartbeat. */
static int drain_in_shard(dureq_client *c, unsigned shard, dureq_str node_id, bool drain, dureq_error *err)
{
    draining d = {.c = c, .node_id = node_id, .drain = drain};
    int rc;

    rc = drain_page(&d, shard, NULL, 0, err);
    return rc < 0 ? rc : for_sessions(c, shard, drain_page, &d, err);
}

int dureq_client_drain_node(dureq_client *c, const char *node_id, bool drain, dureq_error *err)
{
    int rc;

    if (!c)
        return dq_fail(err, DUREQ_EINVAL, "client must be given");
    rc = dq_name_check("node_id", dureq_str_from(node_id), err);
    if (rc < 0)
        return rc;
    if (drain && !node_lives(c, node_id))
        return dq_fail(err, DUREQ_ENOTFOUND, "no live node '%s'", node_id);
    dq_client_enter(c);
    for (unsigned s = 0; rc == 0 && s < dq_client_keys(c)->n_shards; s++)
        rc = drain_in_shard(c, s, dureq_str_from(node_id), drain, err);
    dq_client_leave(c);
    return rc;
}
