/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

dq_reader dq_reader_of(dureq_str s)
{
    const unsigned char *p = (const unsigned char *)(s.len ? s.ptr : "");

    return (dq_reader){.p = p, .end = p + s.len};
}

/* The next len bytes, or NULL and the reader is bad from then on. */
static const unsigned char *take(dq_reader *r, size_t len)
{
    const unsigned char *p = r->p;

    if (r->bad || (size_t)(r->end - r->p) < len) {
        r->bad = true;
        return NULL;
    }
    r->p += len;
    return p;
}

uint8_t dq_read_u8(dq_reader *r)
{
    const unsigned char *p = take(r, 1);

    return p ? *p : 0;
}

uint64_t dq_read_be(dq_reader *r, size_t n)
{
    const unsigned char *p = take(r, n);
    uint64_t v = 0;

    for (size_t i = 0; p && i < n; i++)
        v = v << 8 | p[i];
    return v;
}

uint64_t dq_read_varint(dq_reader *r)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 70; shift += 7) {
        const unsigned char *p = take(r, 1);

        if (!p)
            return 0;
        if (shift == 63 && *p > 1)
            break;
        v |= (uint64_t)(*p & 127) << shift;
        if (*p < 128)
            return v;
    }
    r->bad = true;
    return 0;
}

dureq_str dq_read_bytes(dq_reader *r, size_t len)
{
    const unsigned char *p = take(r, len);

    return p ? dureq_str_of(p, len) : dureq_str_of("", 0);
}

dureq_str dq_read_lstr(dq_reader *r)
{
    uint64_t len = dq_read_varint(r);

    if (len > (uint64_t)(r->end - r->p))
        r->bad = true;
    return dq_read_bytes(r, r->bad ? 0 : (size_t)len);
}

dureq_str dq_read_rest(dq_reader *r)
{
    return dq_read_bytes(r, r->bad ? 0 : (size_t)(r->end - r->p));
}
