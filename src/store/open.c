/* SPDX-License-Identifier: Apache-2.0 */
/* From "connected" to "up". One step after the other, each one or several commands in flight at once; a step ends when all its replies
   are there. A lost connection ends it all (store.c), the next one starts it again.

   Of a prefix that is new, all that could be in the way (keys of other types, what the user may not run) is looked for on all shards before
   the first key is written: whoever is refused leaves nothing behind. A store that may not make one (no_create) is up at once without it.

   Failures are of two kinds. Those that waiting cannot mend are told to on_refused (once, until it is another one) and tried again every
   5 s, because an operator may mend them; the others (loading, busy, a replica, out of memory) are tried again after 50 ms doubling to 2 s. Loop thread. */

#include <string.h>

#include "model/id.h"
#include "model/job.h"
#include "redis/resp.h"
#include "store/core.h"
#include "store/plain_calls.h"
#include "store/queue_calls.h"

#define RETRY_FIRST_MS   50
#define RETRY_LONGEST_MS 2000
#define RETRY_REFUSED_MS 5000
#define LOOK_AGAIN_MS    1000 /* whether the prefix was made meanwhile */
#define WATCH_MS         100
#define REDIS_MAJOR_MIN  7

static void step_run(dq_store *s, dq_open_step step);
static void look_again(dq_store *s);

bool dq_error_is_refusal(int code)
{
    switch (code) {
    case DUREQ_ETOOOLD:
    case DUREQ_ESCHEMA:
    case DUREQ_EPOLICY:
    case DUREQ_EWRONGTYPE: return true;
    default: return dq_redis_error_is_refusal(code);
    }
}

bool dq_store_takes_no_writes(int code)
{
    return code == DUREQ_ENOWRITE || code == DUREQ_EREADONLY || code == DUREQ_EREDISOOM;
}

/* ---- what a failed step leads to ---- */

/* Lua says in words of its own when the user may not do what a script does. */
static void name_permission(dureq_error *err)
{
    if (err->code == DUREQ_EREDIS && (strstr(err->msg, "can't run this command") || strstr(err->msg, "ACL failure")))
        err->code = DUREQ_EPERM;
}

static void tell_refused(dq_store *s, const dureq_error *why)
{
    bool news = s->last.code != why->code || strcmp(s->last.msg, why->msg) != 0;

    s->last = *why;
    if (news)
        DQ_LOG(s->log, DUREQ_LOG_ERROR, "store.refused", "error=\"%s\"", why->msg);
    if (news && s->cb.on_refused)
        s->cb.on_refused(s, why, s->cb.userdata);
}

static void step_failed(dq_store *s, const dureq_error *why)
{
    s->step = DQ_OPEN_IDLE;
    if (why->code == DUREQ_EUNAVAILABLE || why->code == DUREQ_ECLOSED) {
        s->last = *why; /* the connection is gone: on_lost follows */
        return;
    }
    if (dq_error_is_refusal(why->code)) {
        s->retry_ms = RETRY_REFUSED_MS;
        dq_timer_set(&s->retry, s->retry_ms * 1000);
        tell_refused(s, why);
        return;
    }
    DQ_LOG(s->log, DUREQ_LOG_INFO, "store.not_yet", "error=\"%s\"", why->msg);
    s->last = *why;
    if (dq_store_takes_no_writes(why->code) && s->cb.on_waiting)
        s->cb.on_waiting(s, why, s->cb.userdata);
    s->retry_ms = s->retry_ms ? DQ_MIN(s->retry_ms * 2, RETRY_LONGEST_MS) : RETRY_FIRST_MS;
    dq_timer_set(&s->retry, s->retry_ms * 1000);
}

void dq_open_watch(dq_store *s)
{
    dq_timer_set(&s->retry, WATCH_MS * 1000);
}

/* The connection says by itself only that it was made or lost. */
static void look_at_connecting(dq_store *s)
{
    dureq_error why;

    dq_redis_last_error(s->main, &why);
    dq_open_watch(s);
    if (dq_error_is_refusal(why.code))
        tell_refused(s, &why);
    else if (why.code < 0 && dq_redis_has_failed(s->main)) {
        s->last = why;
        if (s->cb.on_waiting)
            s->cb.on_waiting(s, &why, s->cb.userdata);
    }
}

void dq_open_retry_fired(dq_timer *t)
{
    dq_store *s = dq_container_of(t, dq_store, retry);

    if (s->absent)
        look_again(s);
    if (s->up || s->step != DQ_OPEN_IDLE)
        return;
    if (dq_redis_is_ready(s->main))
        dq_open_start(s);
    else
        look_at_connecting(s);
}

/* ---- the checks of the server ---- */

/* The value after "name:" in a text of INFO. */
static dureq_str info_field(dureq_str info, const char *name)
{
    size_t name_len = strlen(name);

    while (info.len) {
        dureq_str line = dq_str_trim(dq_str_cut(&info, '\n'));

        if (line.len > name_len && line.ptr[name_len] == ':' && memcmp(line.ptr, name, name_len) == 0)
            return dureq_str_of(line.ptr + name_len + 1, line.len - name_len - 1);
    }
    return (dureq_str){0};
}

static int check_server(dureq_str info, dureq_error *err)
{
    dureq_str version = info_field(info, "redis_version"), rest = version;
    dureq_str major_text = dq_str_cut(&rest, '.');
    int64_t major;

    if (info_field(info, "valkey_version").len)
        return 0; /* its first release counts as Redis 7.2 */
    if (dq_parse_i64(major_text, 0, 100000, &major) < 0)
        return dq_fail(err, DUREQ_EPROTO, "the server does not tell its version in INFO server");
    if (major < REDIS_MAJOR_MIN)
        return dq_fail(err, DUREQ_ETOOOLD, "the server is Redis " DQ_STR_FMT "; dureq needs Redis 7.0 or Valkey 7.2",
                       DQ_STR_ARG(version));
    return 0;
}

static int check_memory(dq_store *s, dureq_str info, dureq_error *err)
{
    dureq_str policy = info_field(info, "maxmemory_policy");

    if (dq_parse_i64(info_field(info, "maxmemory"), 0, INT64_MAX, &s->maxmemory) < 0)
        s->maxmemory = 0;
    if (dq_str_eq_text(policy, "noeviction"))
        return 0;
    if (!policy.len)
        return dq_fail(err, DUREQ_EPROTO, "the server does not tell its maxmemory_policy in INFO memory");
    if (!s->allow_eviction)
        return dq_fail(err, DUREQ_EPOLICY,
                       "maxmemory-policy is " DQ_STR_FMT ", which may drop jobs; run CONFIG SET maxmemory-policy noeviction, "
                       "or allow eviction by name",
                       DQ_STR_ARG(policy));
    DQ_LOG(s->log, DUREQ_LOG_WARN, "store.eviction", "policy=" DQ_STR_FMT, DQ_STR_ARG(policy));
    return 0;
}

/* A number of <prefix>:meta must be one that this program knows. */
static int check_known(const char *what, int64_t found, int64_t known, dureq_error *err)
{
    if (found < 1)
        return dq_fail(err, DUREQ_EPROTO, "%s of the prefix is damaged", what);
    if (found > known)
        return dq_fail(err, DUREQ_ESCHEMA, "the data is of %s %lld, this program knows up to %lld; a newer dureq is needed", what,
                       (long long)found, (long long)known);
    return 0;
}

static int check_meta(const dq_reply *reply, dureq_error *err)
{
    int64_t shards = dq_reply_int(dq_reply_at(*reply, 2));
    int r = check_known("schema", dq_reply_int(dq_reply_at(*reply, 1)), DQ_SCHEMA_VERSION, err);

    if (r == 0)
        r = check_known("scripts", dq_reply_int(dq_reply_at(*reply, 3)), DQ_SCRIPTS_VERSION, err);
    if (r == 0)
        r = check_known("envelope", dq_reply_int(dq_reply_at(*reply, 4)), DQ_ENVELOPE_VERSION, err);
    if (r < 0)
        return r;
    if (shards < 1 || shards > DQ_SHARD_MAX + 1)
        return dq_fail(err, DUREQ_EPROTO, "shards of the prefix is damaged");
    return 0;
}

static int take_look(dq_store *s, const dq_reply *reply, dureq_error *err)
{
    int r = check_meta(reply, err);
    bool made = dq_reply_int(dq_reply_at(*reply, 5)) == 1;

    s->look_shards = r == 0 && !made ? (unsigned)dq_reply_int(dq_reply_at(*reply, 2)) : 0;
    return r;
}

static int take_shards(dq_store *s, int64_t shards, dureq_error *err)
{
    int r;

    if (s->has_keys && s->keys.n_shards != shards)
        return dq_fail(err, DUREQ_ESCHEMA,
                       "the prefix has %lld shards now, had %u: its data was replaced, start the program again",
                       (long long)shards, s->keys.n_shards);
    if (s->has_keys)
        return 0;
    r = dq_keys_init(&s->keys, dureq_str_from(s->prefix), (unsigned)shards);
    if (r < 0)
        return dq_fail_nomem(err);
    s->has_keys = true;
    return 0;
}

static int take_meta(dq_store *s, const dq_reply *reply, dureq_error *err)
{
    int r = check_meta(reply, err);

    if (r == 0)
        r = take_shards(s, dq_reply_int(dq_reply_at(*reply, 2)), err);
    if (r == 0)
        dq_store_saw_time(s, 0, dq_reply_int(dq_reply_at(*reply, 0))); /* until a session of the shard tells more */
    return r;
}

/* What HMGET gave of `meta`, from a server that takes no writes: scripts that might write are refused, even where they would not. */
static int take_read_meta(dq_store *s, const dq_reply *reply, dureq_error *err)
{
    static const int64_t known[] = {DQ_SCHEMA_VERSION, DQ_SCRIPTS_VERSION, DQ_ENVELOPE_VERSION};
    static const char *const names[] = {"schema", "scripts", "envelope"};
    int64_t v;

    for (size_t i = 0; i < DQ_ARRAY_LEN(known); i++) {
        if (dq_reply_is_nil(dq_reply_at(*reply, i)) && s->no_create) {
            s->look_shards = s->has_keys ? s->keys.n_shards : s->shards_wanted;
            return 0;
        }
        if (dq_reply_is_nil(dq_reply_at(*reply, i))) /* nothing is here yet, and nothing can be made */
            return dq_fail(err, DUREQ_ENOWRITE, "%s", s->no_writes.msg);
        if (dq_parse_i64(dq_reply_str(dq_reply_at(*reply, i)), 1, INT64_MAX, &v) < 0)
            v = 0;
        int r = check_known(names[i], v, known[i], err);
        if (r < 0)
            return r;
    }
    if (dq_parse_i64(dq_reply_str(dq_reply_at(*reply, DQ_ARRAY_LEN(known))), 1, DQ_SHARD_MAX + 1, &v) < 0)
        return dq_fail(err, DUREQ_EPROTO, "shards of the prefix is damaged");
    return take_shards(s, v, err);
}

/* ---- the steps: what each sends ---- */

static void step_reply(void *userdata, int code, const dq_reply *reply, const dureq_error *err);

static int send_info(dq_store *s, const char *section)
{
    dureq_str words[] = {DQ_STR_LIT("INFO"), dureq_str_from(section)};

    return dq_redis_command(s->main, 0, step_reply, s, 2, words);
}

/* "<prefix>:<name>" into key, which stays until the call is written. */
static dq_call begin_config(dq_store *s, dq_buf *key, const char *name, const dq_call_form *form)
{
    dq_buf *out = dq_redis_out(s->main);

    dq_buf_append_fmt(key, "%s:%s", s->prefix, name);
    if (dq_buf_failed(key))
        out->failed = true;
    return dq_call_begin_lone(out, dq_buf_str(key), form);
}

static int send_meta(dq_store *s, bool only_look, dq_redis_reply_fn fn)
{
    DQ_BUF_AUTO key = {0};
    dq_call c = begin_config(s, &key, "meta", &(dq_call_form){.script = DQ_SCRIPT_META_INIT, .as_text = true});

    dq_call_arg_i64(&c, DQ_SCHEMA_VERSION);
    dq_call_arg_i64(&c,
                    s->has_keys ? s->keys.n_shards : s->shards_wanted); /* again: as it was, not as this program would begin */
    dq_call_arg_i64(&c, DQ_SCRIPTS_BASE);
    dq_call_arg_i64(&c, DQ_ENVELOPE_VERSION);
    dq_call_arg_text(&c, only_look ? "l" : "");
    dq_call_end(&c);
    return dq_redis_commit(s->main, 0, fn, s);
}

static int send_read_meta(dq_store *s)
{
    dq_plain_meta(dq_redis_out(s->main), s->prefix);
    return dq_redis_commit(s->main, 0, step_reply, s);
}

static int send_queues(dq_store *s)
{
    DQ_BUF_AUTO key = {0};
    DQ_BUF_AUTO args = {0};
    dureq_error err;
    size_t n;
    int r;

    r = dq_queues_defaults(&args, &n, &err);
    if (r < 0)
        return r;
    dq_call c = begin_config(s, &key, "config:queues", &(dq_call_form){.script = DQ_SCRIPT_QUEUES_INIT});
    dq_call_raw(&c, dq_buf_str(&args), 2 * n);
    dq_call_end(&c);
    return dq_redis_commit(s->main, 0, step_reply, s);
}

static int send_look_queues(dq_store *s)
{
    DQ_BUF_AUTO key = {0};
    dq_call c = begin_config(s, &key, "config:queues", &(dq_call_form){.script = DQ_SCRIPT_QUEUES_INIT});

    dq_call_end(&c);
    return dq_redis_commit(s->main, 0, step_reply, s);
}

static int send_look_shards(dq_store *s)
{
    dq_keys keys;
    int r;

    s->step_pending = 0;
    r = dq_keys_init(&keys, dureq_str_from(s->prefix), s->look_shards);
    if (r < 0)
        return r;
    for (unsigned i = 0; r == 0 && i < keys.n_shards; i++) {
        dq_call_shard_init(dq_redis_out(s->main), &keys, i, NULL);
        r = dq_redis_commit(s->main, 0, step_reply, s);
        s->step_pending += r == 0;
    }
    dq_keys_deinit(&keys);
    return r;
}

static int step_send(dq_store *s, dq_open_step step)
{
    s->step_pending = 1;
    switch (step) {
    case DQ_OPEN_SERVER: return send_info(s, "server");
    case DQ_OPEN_MEMORY: return send_info(s, "memory");
    case DQ_OPEN_LOOK_META: return send_meta(s, /*only_look=*/true, step_reply);
    case DQ_OPEN_SCRIPTS: return dq_send_load_scripts(s, step_reply, s, &s->step_pending);
    case DQ_OPEN_LOOK_QUEUES: return send_look_queues(s);
    case DQ_OPEN_LOOK_SHARDS: return send_look_shards(s);
    case DQ_OPEN_META: return send_meta(s, /*only_look=*/false, step_reply);
    case DQ_OPEN_QUEUES: return send_queues(s);
    case DQ_OPEN_SHARDS: return dq_shards_send(s);
    case DQ_OPEN_SHARDS_PRUNE: return dq_shards_prune(s);
    case DQ_OPEN_READ_META: return send_read_meta(s);
    case DQ_OPEN_VERIFY: return dq_queues_read(s, step_reply, s);
    case DQ_OPEN_IDLE: break;
    }
    return DUREQ_EINVAL;
}

static void step_run(dq_store *s, dq_open_step step)
{
    dureq_error err;

    s->step = step;
    s->step_code = 0;
    int r = step_send(s, step);
    if (r == 0)
        return;
    dq_fail(&err, r, "%s", dureq_errcode_text(r));
    bool several =
        step == DQ_OPEN_SCRIPTS || step == DQ_OPEN_LOOK_SHARDS || step == DQ_OPEN_SHARDS || step == DQ_OPEN_SHARDS_PRUNE;
    if (several && s->step_pending > 0) {
        s->step_code = r; /* fails when what was sent is answered */
        s->step_err = err;
    } else {
        step_failed(s, &err);
    }
}

/* ---- the steps: what each makes of its replies ---- */

static int take_queues(dq_store *s, const dq_reply *reply, bool *ret_differ, dureq_error *err)
{
    dq_queue_set fresh;
    int r = dq_queue_set_from_reply(reply, &fresh, err);

    if (r == 0)
        *ret_differ = dq_queues_take(s, &fresh);
    return r;
}

/* Definitions that were there before the prefix must be readable. */
static int look_at_queues(const dq_reply *reply, dureq_error *err)
{
    dq_queue_set found;

    if (dq_reply_len(*reply) == 0)
        return 0;
    int r = dq_queue_set_from_reply(reply, &found, err);
    if (r == 0)
        dq_queue_set_deinit(&found);
    return r;
}

/* There are always some queues: without any, the prefix was deleted since its first step, and is half made. */
static int look_for_deletion(dq_store *s, const dq_reply *reply, dureq_error *err)
{
    if (dq_reply_len(*reply) > 0)
        return 0;
    s->other_server = true;
    return dq_fail(err, DUREQ_ECONFLICT, "the prefix was deleted while it was made");
}

static void go_up(dq_store *s, bool queues_changed)
{
    s->step = DQ_OPEN_IDLE;
    s->up = true;
    s->retry_ms = 0;
    s->refreshing = s->refresh_again = false;
    s->last = (dureq_error){0};
    DQ_LOG(s->log, DUREQ_LOG_INFO, "store.up", "prefix=%s shards=%u", s->prefix, s->keys.n_shards);
    if (queues_changed && s->cb.on_queues)
        s->cb.on_queues(s, s->cb.userdata);
    if (s->up && s->cb.on_up)
        s->cb.on_up(s, !s->other_server, s->cb.userdata);
    s->other_server = false;
    if (s->up)
        dq_send_up(s);
}

/* Up without a prefix: its keys are those that it would have if this program made it. */
static void go_up_absent(dq_store *s)
{
    dureq_error err;
    int r = take_shards(s, s->look_shards, &err);

    if (r < 0) {
        step_failed(s, &err);
        return;
    }
    dq_timer_set(&s->retry, LOOK_AGAIN_MS * 1000);
    s->absent = true;
    go_up(s, /*queues_changed=*/false);
}

static void on_looked_again(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    dq_store *s = userdata;

    (void)err;
    if (!s->absent)
        return;
    if (code == 0 && dq_reply_int(dq_reply_at(*reply, 5)) == 1)
        dq_redis_reconnect(s->main, "the prefix was made meanwhile");
    else
        dq_timer_set(&s->retry, LOOK_AGAIN_MS * 1000);
}

static void look_again(dq_store *s)
{
    if (send_meta(s, /*only_look=*/true, on_looked_again) < 0)
        dq_timer_set(&s->retry, LOOK_AGAIN_MS * 1000);
}

static bool may_not_be_made(const dq_store *s)
{
    bool has_looked = s->step == DQ_OPEN_LOOK_META || s->step == DQ_OPEN_READ_META;

    return s->no_create && has_looked && s->look_shards > 0;
}

static dq_open_step step_behind(const dq_store *s)
{
    bool is_made = s->look_shards == 0;

    if (s->step == DQ_OPEN_READ_META || s->step == DQ_OPEN_SHARDS_PRUNE)
        return DQ_OPEN_VERIFY;
    return s->step == DQ_OPEN_SCRIPTS && is_made ? DQ_OPEN_META : s->step + 1;
}

static void step_done(dq_store *s, const dq_reply *reply)
{
    dureq_error err;
    bool differ = false;
    int r = 0;

    switch (s->step) {
    case DQ_OPEN_SERVER: r = check_server(dq_reply_str(*reply), &err); break;
    case DQ_OPEN_MEMORY: r = check_memory(s, dq_reply_str(*reply), &err); break;
    case DQ_OPEN_LOOK_META: r = take_look(s, reply, &err); break;
    case DQ_OPEN_LOOK_QUEUES: r = look_at_queues(reply, &err); break;
    case DQ_OPEN_META: r = take_meta(s, reply, &err); break;
    case DQ_OPEN_READ_META: r = take_read_meta(s, reply, &err); break;
    case DQ_OPEN_QUEUES:
        r = take_queues(s, reply, &differ, &err);
        s->queues_changed = s->queues_changed || differ;
        break;
    case DQ_OPEN_VERIFY:
        r = look_for_deletion(s, reply, &err);
        if (r == 0)
            r = take_queues(s, reply, &differ, &err);
        s->queues_changed = s->queues_changed || differ;
        if (r == 0) {
            if (differ && s->no_writes.code == 0)
                step_run(s, DQ_OPEN_SHARDS);
            else if (s->has_others && s->no_writes.code == 0)
                step_run(s, DQ_OPEN_SHARDS_PRUNE);
            else
                go_up(s, s->queues_changed);
            return;
        }
        break;
    case DQ_OPEN_SCRIPTS:
    case DQ_OPEN_LOOK_SHARDS:
    case DQ_OPEN_SHARDS:
    case DQ_OPEN_SHARDS_PRUNE:
    case DQ_OPEN_IDLE: break;
    }
    if (r < 0)
        step_failed(s, &err);
    else if (may_not_be_made(s))
        go_up_absent(s);
    else
        step_run(s, step_behind(s));
}

void dq_open_answered(dq_store *s, int code, const dq_reply *reply, const dureq_error *err)
{
    if (s->step == DQ_OPEN_IDLE)
        return; /* of an attempt that ended */
    if (code < 0 && s->step_code == 0) {
        s->step_code = code;
        s->step_err = *err;
        name_permission(&s->step_err);
    }
    s->step_pending--;
    if (s->step_pending > 0)
        return;
    if (s->step_code == DUREQ_ENOWRITE && s->no_writes.code == 0) {
        s->no_writes = s->step_err;
        step_run(s, DQ_OPEN_READ_META); /* what is there can be read, at least */
    } else if (s->step_code < 0) {
        step_failed(s, &s->step_err);
    } else {
        step_done(s, reply);
    }
}

static void step_reply(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    dq_open_answered(userdata, code, reply, err);
}

void dq_open_start(dq_store *s)
{
    dq_timer_clear(&s->retry);
    s->queues_changed = false;
    s->look_shards = 0;
    s->has_others = false;
    s->no_writes = (dureq_error){0};
    step_run(s, DQ_OPEN_SERVER);
}
