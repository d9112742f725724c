/* SPDX-License-Identifier: Apache-2.0 */

/* Drives a fuzz target without libFuzzer: fuzz_x SEED-FILE...

   Each seed as it is, cut after each of its first bytes, and damaged in ways that a generator with a fixed start chooses, so that a run can
   be repeated. Every input lies at the end of a block of its own size: a sanitizer sees the first byte after it that is read. */

#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEED_MAX      (256 * 1024)
#define CUTS_MAX      2000
#define DAMAGES       2000
#define SHORT_DIVISOR 10

static uint64_t state = 0x9e3779b97f4a7c15u;
static size_t n_inputs;

static size_t pick(size_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return below ? (size_t)(state % below) : 0;
}

static void try_input(const uint8_t *data, size_t size)
{
    uint8_t *exact = malloc(size ? size : 1);

    if (!exact)
        abort();
    memcpy(exact, data, size);
    (void)LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    n_inputs++;
}

/* One change: a bit, a byte, a stretch taken out, a stretch doubled. Returns the new size, at most `cap`. */
static size_t damage(uint8_t *data, size_t size, size_t cap)
{
    static const uint8_t telling[] = {0, 1, 0x7f, 0x80, 0xff, '\n', '\r', '"', '\\', '-', '9', '{', '[', '%', ':', ' '};
    size_t at = pick(size), n = 1 + pick(8);

    if (size == 0)
        return 0;
    if (n > size - at)
        n = size - at;
    switch (pick(4)) {
    case 0: data[at] ^= (uint8_t)(1u << pick(8)); return size;
    case 1: data[at] = telling[pick(sizeof telling)]; return size;
    case 2: memmove(data + at, data + at + n, size - at - n); return size - n;
    default:
        if (size + n > cap)
            return size;
        memmove(data + at + n, data + at, size - at);
        return size + n;
    }
}

static size_t fewer(void)
{
    return &fuzz_replay_fewer ? fuzz_replay_fewer : 1;
}

static void replay(const uint8_t *seed, size_t size, size_t n_damages)
{
    static uint8_t copy[SEED_MAX];

    try_input(seed, size);
    for (size_t cut = 0; cut < size && cut < CUTS_MAX; cut += fewer())
        try_input(seed, cut);
    for (size_t i = 0; i < n_damages; i++) {
        size_t len = size;

        memcpy(copy, seed, size);
        for (size_t n = 1 + pick(4); n > 0; n--)
            len = damage(copy, len, sizeof copy);
        try_input(copy, len);
    }
}

int main(int argc, char **argv)
{
    static uint8_t seed[SEED_MAX];
    size_t n_damages = (getenv("DUREQ_TEST_SHORT") ? DAMAGES / SHORT_DIVISOR : DAMAGES) / fewer();

    try_input(seed, 0);
    for (int i = 1; i < argc; i++) {
        FILE *f = fopen(argv[i], "rb");
        size_t size;

        if (!f) {
            perror(argv[i]);
            return 1;
        }
        size = fread(seed, 1, sizeof seed, f);
        (void)fclose(f);
        replay(seed, size, n_damages);
    }
    printf("%d seeds, %zu inputs\n", argc - 1, n_inputs);
    return 0;
}
