/* SPDX-License-Identifier: Apache-2.0 */
/* See versions.h. Three steps: look at all shards, so that a refusal raises nothing; raise <prefix>:meta, which whoever connects reads; raise the shards. A
   session that is opened between the first and the last is found by the last. What needs the version asks its shard whether it is required, so when
   this ends half-way it is begun again. */
#include "store/versions.h"

#include "store/call.h"

typedef enum step { STEP_LOOK, STEP_META, STEP_RAISE } step;

typedef struct requirement {
    dq_store *store;
    int64_t version;
    dq_versions_fn fn;
    void *userdata;
    step step;
    unsigned pending;
    int code;
    dureq_error err;
    dq_buf names; /* of nodes that are too old, each once, with a comma between */
} requirement;

static void send_step(requirement *r);

static bool has_name(const dq_buf *names, dureq_str name)
{
    dureq_str rest = dq_buf_str(names);

    while (rest.len)
        if (dq_str_eq(dq_str_trim(dq_str_cut(&rest, ',')), name))
            return true;
    return false;
}

static void take_names(requirement *r, const dq_reply *reply)
{
    size_t n = dq_reply_len(*reply);
    dq_reply at = n > 0 ? dq_reply_first(*reply) : *reply;

    for (size_t i = 0; i < n; i++) {
        dureq_str name = dq_reply_str(at);

        if (!has_name(&r->names, name)) {
            dq_buf_append_text(&r->names, r->names.len ? ", " : "");
            dq_buf_append_str(&r->names, name);
        }
        if (i + 1 < n)
            at = dq_reply_next(at);
    }
}

static void end(requirement *r)
{
    if (r->code == 0 && r->names.len)
        r->code = dq_fail(&r->err, DUREQ_ECONFLICT, "nodes are too old for this: " DQ_STR_FMT, DQ_STR_ARG(dq_buf_str(&r->names)));
    r->fn(r->userdata, r->code, r->code < 0 ? &r->err : NULL);
    dq_buf_deinit(&r->names);
    dq_free(r);
}

static void answered(requirement *r)
{
    r->pending--;
    if (r->pending > 0)
        return;
    if (r->code < 0 || r->names.len || r->step == STEP_RAISE) {
        end(r);
        return;
    }
    r->step++;
    send_step(r);
}

static void on_answer(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    requirement *r = userdata;

    if (code < 0 && r->code == 0) {
        r->code = code;
        r->err = *err;
    }
    if (code == 0 && r->step != STEP_META)
        take_names(r, reply);
    answered(r);
}

static void put_meta(dq_buf *out, const requirement *r)
{
    DQ_BUF_AUTO key = {0};
    dq_call c;

    dq_buf_append_fmt(&key, "%s:meta", dq_store_keys(r->store)->prefix);
    c = dq_call_begin_lone(out, dq_buf_str(&key), &(dq_call_form){.script = DQ_SCRIPT_META_RAISE});
    dq_call_arg_i64(&c, r->version);
    dq_call_end(&c);
}

static void put_shard(dq_buf *out, const requirement *r, unsigned shard)
{
    dq_call c = dq_call_begin(out, dq_store_keys(r->store), shard, DQ_SCRIPT_VERSION_REQUIRE);

    dq_call_key(&c, "lease");
    dq_call_arg_i64(&c, r->version);
    dq_call_arg_flag(&c, r->step == STEP_RAISE);
    dq_call_end(&c);
}

static void send_step(requirement *r)
{
    unsigned n = r->step == STEP_META ? 1 : dq_store_keys(r->store)->n_shards;

    r->pending = 1; /* this */
    for (unsigned i = 0; i < n; i++) {
        DQ_BUF_AUTO call = {0};
        int rc;

        if (r->step == STEP_META)
            put_meta(&call, r);
        else
            put_shard(&call, r, i);
        r->pending++;
        rc = dq_buf_failed(&call) ? DUREQ_ENOMEM : dq_store_send(r->store, i, 0, dq_buf_str(&call), on_answer, r);
        if (rc < 0)
            r->pending--;
        if (rc < 0 && r->code == 0)
            r->code = dq_fail(&r->err, rc, "%s", dureq_errcode_text(rc));
    }
    answered(r);
}

int dq_store_require_version(dq_store *s, int64_t version, dq_versions_fn fn, void *userdata)
{
    requirement *r;

    if (version > DQ_SCRIPTS_VERSION)
        return DUREQ_EINVAL;
    if (!dq_store_is_up(s))
        return DUREQ_EUNAVAILABLE;
    r = dq_calloc(1, sizeof *r);
    if (!r)
        return DUREQ_ENOMEM;
    *r = (requirement){.store = s, .version = version, .fn = fn, .userdata = userdata};
    send_step(r);
    return 0;
}
