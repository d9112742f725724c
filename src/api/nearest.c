/* SPDX-License-Identifier: Apache-2.0 */
/* The path that was probably meant: for whoever mistyped one. */
#include "api/request.h"

#define SEGMENT_MAX 40 /* longer ones are not compared */
#define LIMIT       2  /* letters put in, taken out or changed */

static unsigned distance(dureq_str a, dureq_str b)
{
    unsigned row[SEGMENT_MAX + 1];

    if (a.len > SEGMENT_MAX || b.len > SEGMENT_MAX)
        return LIMIT + 1;
    for (size_t k = 0; k <= b.len; k++)
        row[k] = (unsigned)k;
    for (size_t i = 1; i <= a.len; i++) {
        unsigned diagonal = row[0];

        row[0] = (unsigned)i;
        for (size_t k = 1; k <= b.len; k++) {
            unsigned above = row[k];

            row[k] = DQ_MIN(DQ_MIN(above, row[k - 1]) + 1, diagonal + (a.ptr[i - 1] != b.ptr[k - 1]));
            diagonal = above;
        }
    }
    return row[b.len];
}

/* Segment by segment; a variable is like anything. */
static unsigned path_distance(const char *pattern, dureq_str have)
{
    dureq_str want = dureq_str_from(pattern);
    unsigned sum = 0;

    while (want.ptr && have.ptr && sum <= LIMIT) {
        dureq_str w = dq_str_cut(&want, '/'), h = dq_str_cut(&have, '/');
        bool is_variable = w.len && w.ptr[0] == '{';

        sum += is_variable ? (h.len ? 0 : LIMIT + 1) : distance(w, h);
    }
    return want.ptr || have.ptr ? LIMIT + 1 : sum;
}

static const char *nearest_of(dureq_str path, unsigned *ret)
{
    const char *best = NULL;

    *ret = LIMIT + 1;
    for (size_t i = 0; dq_api_route_at(i); i++) {
        const dq_api_route *r = dq_api_route_at(i);
        unsigned d = path_distance(r->pattern, path);

        if (d < *ret) {
            *ret = d;
            best = r->pattern;
        }
    }
    return best;
}

const char *dq_api_nearest(const char *path)
{
    DQ_BUF_AUTO with_api = {0};
    dureq_str s = dureq_str_from(path);
    const char *best, *other;
    unsigned d, other_d;

    while (s.len > 1 && s.ptr[s.len - 1] == '/')
        s.len--;
    best = nearest_of(s, &d);
    if (s.len == 0 || s.ptr[0] != '/')
        return best;
    dq_buf_append_text(&with_api, "/api");
    dq_buf_append_str(&with_api, s);
    other = dq_buf_failed(&with_api) ? NULL : nearest_of(dq_buf_str(&with_api), &other_d);
    return other && (!best || other_d < d) ? other : best;
}
