/* SPDX-License-Identifier: Apache-2.0 */
#include "store/call.h"

#include <assert.h>
#include <string.h>

#include "redis/resp.h"

#define COUNT_DIGITS 6

static unsigned digits_of(size_t n)
{
    unsigned digits = 1;

    for (; n >= 10; n /= 10)
        digits++;
    return digits;
}

/* n in so many digits, zeros in front. */
static void put_digits(char *at, unsigned digits, size_t n)
{
    for (; digits > 0; digits--, n /= 10)
        at[digits - 1] = (char)('0' + n % 10);
}

#define ZEROS 20

/* Up to the number of keys. */
static dq_call begin(dq_buf *out, const dq_call_form *form)
{
    static const char zeros[] = "00000000000000000000\r\n";
    const dq_script *script = &dq_scripts[form->script];
    size_t n_keys = (size_t)script->n_keys + form->n_more_keys;
    dq_call c = {
        .out = out,
        .digits = form->n_about ? digits_of(3 + n_keys + 1 + form->n_about) : 2,
        .head = out->len,
        .n_words = 3,
        .keys_left = n_keys,
    };

    dq_buf_append_char(out, '*');
    dq_buf_append(out, zeros + ZEROS - c.digits, c.digits + 2);
    dq_resp_arg_text(out, form->as_text ? "EVAL" : "EVALSHA");
    dq_resp_arg(out, form->as_text ? dureq_str_of(script->text, script->len) : dureq_str_of(script->sha1, 40));
    dq_resp_arg_i64(out, (int64_t)n_keys + 1);
    return c;
}

static void key_written(dq_call *c)
{
    assert(c->keys_left > 0);
    c->keys_left--;
    c->n_words++;
}

dq_call dq_call_begin_as(dq_buf *out, const dq_keys *k, unsigned shard, const dq_call_form *form)
{
    dq_call c = begin(out, form);

    c.keys = k;
    c.shard = shard;
    dq_call_key(&c, "sh");
    return c;
}

dq_call dq_call_begin(dq_buf *out, const dq_keys *k, unsigned shard, int script)
{
    return dq_call_begin_as(out, k, shard, &(dq_call_form){.script = script});
}

dq_call dq_call_begin_lone(dq_buf *out, dureq_str key, const dq_call_form *form)
{
    dq_call c = begin(out, form);

    c.lone_key = key;
    dq_resp_arg(out, key);
    key_written(&c);
    return c;
}

void dq_call_key_of(dq_call *c, const char *name, dureq_str suffix)
{
    dq_keys_arg(c->out, c->keys, c->shard, name, suffix);
    key_written(c);
}

void dq_call_key(dq_call *c, const char *name)
{
    dq_call_key_of(c, name, (dureq_str){0});
}

void dq_call_key_no(dq_call *c, const char *name, uint64_t suffix)
{
    dq_keys_arg_u64(c->out, c->keys, c->shard, name, suffix);
    key_written(c);
}

/* After the script's keys. Of a key without a tag it has that key as its tag, which is the same slot. */
static void put_guard(dq_call *c)
{
    assert(c->keys_left == 0);
    if (c->keys) {
        dq_keys_arg(c->out, c->keys, c->shard, "!", (dureq_str){0});
    } else {
        DQ_BUF_AUTO guard = {0};

        dq_buf_append_fmt(&guard, "{" DQ_STR_FMT "}:!", DQ_STR_ARG(c->lone_key));
        dq_resp_arg_buf(c->out, &guard);
    }
    c->guarded = true;
    c->n_words++;
}

static inline void next_arg(dq_call *c)
{
    if (!c->guarded)
        put_guard(c);
    c->n_words++;
}

void dq_call_arg(dq_call *c, dureq_str arg)
{
    next_arg(c);
    dq_resp_arg(c->out, arg);
}

void dq_call_arg_buf(dq_call *c, const dq_buf *arg)
{
    next_arg(c);
    dq_resp_arg_buf(c->out, arg);
}

void dq_call_arg_text(dq_call *c, const char *arg)
{
    next_arg(c);
    dq_resp_arg_text(c->out, arg);
}

void dq_call_arg_i64(dq_call *c, int64_t arg)
{
    next_arg(c);
    dq_resp_arg_i64(c->out, arg);
}

void dq_call_arg_flag(dq_call *c, bool on)
{
    dq_call_arg(c, on ? DQ_STR_LIT("1") : (dureq_str){0});
}

void dq_call_arg_id(dq_call *c, const dq_id *id)
{
    unsigned char packed[DQ_ID_BYTES];

    dq_id_pack(id, packed);
    dq_call_arg(c, dureq_str_of(packed, sizeof(packed)));
}

void dq_call_args(dq_call *c, const dureq_str *args, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dq_call_arg(c, args[i]);
}

void dq_call_raw(dq_call *c, dureq_str args, size_t n)
{
    if (!c->guarded)
        put_guard(c);
    c->n_words += n;
    dq_buf_append_str(c->out, args);
}

size_t dq_call_number_later(dq_call *c)
{
    next_arg(c);
    dq_buf_append_text(c->out, "$6\r\n000000\r\n");
    return c->out->len - COUNT_DIGITS - 2;
}

void dq_call_number(dq_call *c, size_t at, size_t n)
{
    assert(digits_of(n) <= COUNT_DIGITS);
    if (!c->out->failed)
        put_digits(c->out->ptr + at, COUNT_DIGITS, n);
}

/* The protocol wants the number of words first and without zeros in front. */
void dq_call_end(dq_call *c)
{
    dq_buf *out = c->out;

    if (!c->guarded)
        put_guard(c);
    unsigned digits = digits_of(c->n_words);
    if (digits > c->digits)
        (void)dq_buf_reserve(out, digits - c->digits);
    if (out->failed)
        return;
    if (digits != c->digits) {
        size_t from = c->head + 1 + c->digits, to = c->head + 1 + digits;

        memmove(out->ptr + to, out->ptr + from, out->len - from + 1);
        out->len = out->len + to - from;
    }
    put_digits(out->ptr + c->head + 1, digits, c->n_words);
}

static bool only_reads(const dq_script *script)
{
    size_t head = (size_t)((const char *)memchr(script->text, '\n', script->len) - script->text);

    return memmem(script->text, head, "no-writes", strlen("no-writes")) ||
           strncmp(script->name, "doctor_", strlen("doctor_")) == 0;
}

bool dq_call_only_reads(dureq_str call)
{
    for (int i = 0; i < DQ_SCRIPT_COUNT; i++)
        if (memmem(call.ptr, DQ_MIN(call.len, 64), dq_scripts[i].sha1, 40))
            return only_reads(&dq_scripts[i]);
    return false;
}
