/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 4648, section 4. */
#include "json/json.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void dq_base64_encode(dq_buf *out, dureq_str bytes)
{
    const unsigned char *p = (const unsigned char *)bytes.ptr;

    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t n = DQ_MIN(bytes.len - i, (size_t)3);
        uint32_t v = (uint32_t)p[i] << 16 | (n > 1 ? (uint32_t)p[i + 1] << 8 : 0) | (n > 2 ? p[i + 2] : 0);
        char four[4] = {alphabet[v >> 18], alphabet[v >> 12 & 63], n > 1 ? alphabet[v >> 6 & 63] : '=',
                        n > 2 ? alphabet[v & 63] : '='};

        dq_buf_append(out, four, 4);
    }
}

static int value_of(char c)
{
    const char *at = c ? strchr(alphabet, c) : NULL;

    return at ? (int)(at - alphabet) : -1;
}

int dq_base64_decode(dureq_str text, dq_buf *out)
{
    if (text.len % 4)
        return DUREQ_EPARSE;
    for (size_t i = 0; i < text.len; i += 4) {
        bool last = i + 4 == text.len;
        size_t pads = last ? (size_t)(text.ptr[i + 3] == '=') + (text.ptr[i + 2] == '=' && text.ptr[i + 3] == '=') : 0;
        uint32_t v = 0;
        char three[3];

        for (size_t k = 0; k < 4; k++) {
            int digit = k < 4 - pads ? value_of(text.ptr[i + k]) : 0;

            if (digit < 0)
                return DUREQ_EPARSE;
            v = v << 6 | (uint32_t)digit;
        }
        if (pads && v & ((1u << (8 * pads)) - 1)) /* bits that stand for nothing */
            return DUREQ_EPARSE;
        three[0] = (char)(v >> 16);
        three[1] = (char)(v >> 8);
        three[2] = (char)v;
        dq_buf_append(out, three, 3 - pads);
    }
    return dq_buf_finish(out, NULL);
}
