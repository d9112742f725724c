/* SPDX-License-Identifier: Apache-2.0 */
#include "base/random.h"

#include <errno.h>
#include <sys/random.h>

int dq_random_bytes(void *out, size_t len, dureq_error *err)
{
    char *p = out;

    while (len) {
        ssize_t n = getrandom(p, len, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return dq_fail_errno(err, DUREQ_EIO, errno, "the kernel gives no random bytes");
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

void dq_rng_seed(dq_rng *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) { /* splitmix64, as the authors of xoshiro advise: https://prng.di.unimi.it */
        uint64_t z = (seed += 0x9e3779b97f4a7c15u);

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        r->s[i] = z ^ (z >> 31);
    }
}

static uint64_t rotl(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

uint64_t dq_rng_next(dq_rng *r)
{
    uint64_t *s = r->s;
    uint64_t result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t dq_rng_below(dq_rng *r, uint64_t n)
{
    uint64_t limit = UINT64_MAX - UINT64_MAX % n, v;

    do {
        v = dq_rng_next(r);
    } while (v >= limit);
    return v % n;
}

double dq_rng_unit(dq_rng *r)
{
    return (double)(dq_rng_next(r) >> 11) * 0x1.0p-53;
}
