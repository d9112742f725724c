/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "client/event.h"
#include "client/event_cursor.h"
#include "json/json.h"

/* The first byte: how much of the rest is `x`, or all a token. Whatever an entry holds, each event of it is written as JSON, with its secret part and
   without; a token that is taken is written again as it was. */

static void write_one(const dq_event *e, void *userdata)
{
    static const dq_event_names names = {.queue = {"q", 1}, .task_type = {"t", 1}};
    DQ_BUF_AUTO text = {0};
    dq_event_secret secret;
    size_t *n = userdata;

    if (++*n > 2000) /* 65,535 in one run of ids is no fault */
        return;
    dq_event_write(e, &names, &text, &secret);
    assert(secret.at + secret.len == text.len);
    dq_buf_append_char(&text, '}');
    assert(dq_json_valid(dq_buf_str(&text)));
    text.len = secret.at;
    dq_buf_append_char(&text, '}');
    assert(dq_json_valid(dq_buf_str(&text)));
}

static void read_token(dureq_str text)
{
    DQ_BUF_AUTO again = {0};
    dq_event_cursor c = {0};

    if (dq_event_cursor_init(&c, 3) < 0)
        return;
    if (dq_event_token_parse(text, &c, NULL) == 0) {
        dq_event_cursor back = {0};

        dq_event_token_put(&again, &c);
        assert(dq_event_cursor_init(&back, 3) == 0 && dq_event_token_parse(dq_buf_str(&again), &back, NULL) == 0);
        assert(memcmp(c.at, back.at, 3 * sizeof *c.at) == 0 && c.part == back.part);
        dq_event_cursor_deinit(&back);
    }
    dq_event_cursor_deinit(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dureq_str rest = dureq_str_of((const char *)data + (size > 0), size - (size > 0));
    size_t n_x = size > 0 ? DQ_MIN((size_t)data[0], rest.len) : 0, n = 0;
    dq_event_entry entry = {.shard = 0, .ms = 1, .e = {rest.ptr, rest.len - n_x}, .x = {rest.ptr + (rest.len - n_x), n_x}};

    dq_event_each(&entry, write_one, &n);
    read_token(rest);
    return 0;
}
