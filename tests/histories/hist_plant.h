/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Faults that can be planted in the scripts: each must be found. */

#include <stdbool.h>
#include <stddef.h>

typedef enum hist_kind { HIST_JOBS, HIST_SCHEDULES, HIST_FLOWS, HIST_KINDS } hist_kind; /* of a history: what it is mostly of */

typedef struct hist_plant {
    const char *name;
    const char *file;         /* below src/store/lua */
    const char *is, *becomes; /* each place of it */
    hist_kind of;             /* it is looked for by histories of this kind */
} hist_plant;

extern const hist_plant hist_plants[];
extern const size_t hist_n_plants;
