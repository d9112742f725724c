/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "json/json.h"

/* Any bytes come back from their text, and a text that is taken is the one text of its bytes. */

static void check_bytes(dureq_str bytes)
{
    DQ_BUF_AUTO text = {0};
    DQ_BUF_AUTO back = {0};
    int rc;

    dq_base64_encode(&text, bytes);
    assert(text.len == (bytes.len + 2) / 3 * 4);
    rc = dq_base64_decode(dq_buf_str(&text), &back);
    assert(rc == 0 && dq_str_eq(dq_buf_str(&back), bytes));
}

static void check_text(dureq_str text)
{
    DQ_BUF_AUTO bytes = {0};
    DQ_BUF_AUTO again = {0};

    if (dq_base64_decode(text, &bytes) < 0)
        return;
    dq_base64_encode(&again, dq_buf_str(&bytes));
    assert(dq_str_eq(dq_buf_str(&again), text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dureq_str input = dureq_str_of(data, size);

    check_bytes(input);
    check_text(input);
    return 0;
}
