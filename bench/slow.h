/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which scripts held up the server longest, from its slow log. */

#include "rig.h"

typedef struct slow_scripts {
    int64_t longest_us, second_us;
    size_t n_over;   /* 5 ms */
    char script[32]; /* the longest one */
} slow_scripts;

int slow_watch(rig *r, dureq_error *err);                   /* from now on */
int slow_read(rig *r, slow_scripts *ret, dureq_error *err); /* adds to what `ret` has */
