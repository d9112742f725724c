/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Open-addressing map from byte keys to pointers. Keys are borrowed: each must stay valid and
   unchanged while in the map (normally it lies inside the value). Not thread-safe. Zeroed memory is
   an empty map. */

#include "base/str.h"

typedef struct dq_map_slot {
    uint64_t hash;
    dureq_str key;
    void *value; /* NULL: empty slot */
} dq_map_slot;

typedef struct dq_map {
    dq_map_slot *slots;
    size_t n, cap;
} dq_map;

void dq_map_deinit(dq_map *m);
void *dq_map_get(const dq_map *m, dureq_str key);      /* NULL when absent */
int dq_map_put(dq_map *m, dureq_str key, void *value); /* replaces; 0 or DUREQ_ENOMEM */
void *dq_map_remove(dq_map *m, dureq_str key);         /* the value taken out, or NULL */
/* Walk: `size_t i = 0; while ((v = dq_map_next(m, &i)))`. Removing the current one is not allowed. */
void *dq_map_next(const dq_map *m, size_t *i);
