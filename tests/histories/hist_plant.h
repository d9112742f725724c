/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Faults that can be planted in the scripts: each must be found. */

#include <stdbool.h>
#include <stddef.h>

typedef struct hist_plant {
    const char *name;
    const char *file;         /* below src/store/lua */
    const char *is, *becomes; /* each place of it */
    bool of_schedules;        /* it is looked for by histories of schedules, else by the others */
} hist_plant;

extern const hist_plant hist_plants[];
extern const size_t hist_n_plants;
