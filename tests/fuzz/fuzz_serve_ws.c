/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "serve/ws.h"

/* Frames as a client sends them: what is read does not depend on where the bytes are cut, nothing is held beyond the limits, and after a fault nothing more is
   asked. */

typedef struct outcome {
    uint64_t sum;
    size_t n, at;
    int code;
} outcome;

static outcome run(dureq_str in, size_t piece)
{
    outcome o = {0};
    dq_ws w = {0};
    size_t have = 0;

    while (o.at < in.len && o.code == 0) {
        dq_ws_event e;
        size_t n;

        have = DQ_MAX(have, DQ_MIN(o.at + piece, in.len));
        n = dq_ws_read(&w, dureq_str_of(in.ptr + o.at, have - o.at), &e);
        assert(n <= have - o.at && w.message.len <= DQ_WS_MESSAGE_MAX && w.control.len <= DQ_WS_CONTROL_MAX);
        o.at += n;
        if (e.kind == DQ_WS_MORE) {
            assert(o.at == have);
            continue;
        }
        assert(n > 0 || e.kind == DQ_WS_FAULT);
        o.n++;
        o.sum = o.sum * 31 + (uint64_t)e.kind + (uint64_t)e.code + dq_hash_bytes(e.data.ptr ? e.data.ptr : "", e.data.len);
        o.code = e.kind == DQ_WS_FAULT || e.kind == DQ_WS_CLOSE ? e.code : 0;
    }
    dq_ws_deinit(&w);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dureq_str in = dureq_str_of((const char *)data, size);
    outcome whole = run(in, size ? size : 1);

    for (size_t piece = 1; piece < 8; piece += 3) {
        outcome cut = run(in, piece);

        assert(cut.n == whole.n && cut.sum == whole.sum && cut.code == whole.code);
    }
    return 0;
}
