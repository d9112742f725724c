/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"

#define CAP_MIN 16

void dq_map_deinit(dq_map *m)
{
    dq_free(m->slots);
    *m = (dq_map){0};
}

/* The key's slot, or the empty one where it would go. cap is a power of two and never full. */
static dq_map_slot *slot_of(const dq_map *m, dureq_str key, uint64_t hash)
{
    size_t i = hash & (m->cap - 1);

    while (m->slots[i].value && !(m->slots[i].hash == hash && dq_str_eq(m->slots[i].key, key)))
        i = (i + 1) & (m->cap - 1);
    return &m->slots[i];
}

void *dq_map_get(const dq_map *m, dureq_str key)
{
    return m->n ? slot_of(m, key, dq_hash_bytes(key.ptr, key.len))->value : NULL;
}

static int resize(dq_map *m, size_t cap)
{
    dq_map bigger = {.slots = dq_calloc(cap, sizeof(dq_map_slot)), .n = m->n, .cap = cap};

    if (!bigger.slots)
        return DUREQ_ENOMEM;
    for (size_t i = 0; i < m->cap; i++)
        if (m->slots[i].value)
            *slot_of(&bigger, m->slots[i].key, m->slots[i].hash) = m->slots[i];
    dq_free(m->slots);
    *m = bigger;
    return 0;
}

int dq_map_put(dq_map *m, dureq_str key, void *value)
{
    uint64_t hash = dq_hash_bytes(key.ptr, key.len);
    dq_map_slot *slot;

    if (m->n * 4 >= m->cap * 3) {
        int rc = resize(m, m->cap ? m->cap * 2 : CAP_MIN);

        if (rc < 0)
            return rc;
    }
    slot = slot_of(m, key, hash);
    if (!slot->value)
        m->n++;
    *slot = (dq_map_slot){.hash = hash, .key = key, .value = value};
    return 0;
}

void *dq_map_remove(dq_map *m, dureq_str key)
{
    dq_map_slot *slot = m->n ? slot_of(m, key, dq_hash_bytes(key.ptr, key.len)) : NULL;
    void *value = slot ? slot->value : NULL;
    size_t hole, i;

    if (!value)
        return NULL;

    /* Close the gap: move back every follower whose home is not between the hole and itself. */
    hole = (size_t)(slot - m->slots);
    for (i = (hole + 1) & (m->cap - 1); m->slots[i].value; i = (i + 1) & (m->cap - 1)) {
        size_t home = m->slots[i].hash & (m->cap - 1);

        if (((i - home) & (m->cap - 1)) >= ((i - hole) & (m->cap - 1))) {
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole] = (dq_map_slot){0};
    m->n--;
    return value;
}

void *dq_map_next(const dq_map *m, size_t *i)
{
    while (*i < m->cap) {
        void *value = m->slots[(*i)++].value;

        if (value)
            return value;
    }
    return NULL;
}
