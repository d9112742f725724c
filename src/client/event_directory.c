/* SPDX-License-Identifier: Apache-2.0 */
#include "client/event_directory.h"

#include "base/map.h"
#include "model/job.h"

#define NODES_MAX 65536 /* names that are kept; then all are asked for again */

typedef struct lanes {
    char **names; /* of lane 1 ... */
    uint32_t n, cap;
} lanes;

typedef struct node {
    unsigned char key[10]; /* shard I2, session I8 */
    char name[];
} node;

struct dq_event_directory {
    unsigned n_shards;
    lanes *lanes;
    dq_map nodes;
};

dq_event_directory *dq_event_directory_create(unsigned n_shards)
{
    dq_event_directory *d = dq_calloc(1, sizeof *d);

    if (!d)
        return NULL;
    d->n_shards = n_shards;
    d->lanes = dq_calloc(n_shards, sizeof *d->lanes);
    if (d->lanes)
        return d;
    dq_free(d);
    return NULL;
}

void dq_event_directory_forget(dq_event_directory *d, unsigned shard)
{
    lanes *l = &d->lanes[shard];

    for (uint32_t i = 0; i < l->n; i++)
        dq_free(l->names[i]);
    dq_free(l->names);
    *l = (lanes){0};
}

static void forget_nodes(dq_event_directory *d)
{
    size_t i = 0;

    for (void *n = dq_map_next(&d->nodes, &i); n; n = dq_map_next(&d->nodes, &i))
        dq_free(n);
    dq_map_deinit(&d->nodes);
    d->nodes = (dq_map){0};
}

void dq_event_directory_destroy(dq_event_directory *d)
{
    if (!d)
        return;
    for (unsigned s = 0; s < d->n_shards; s++)
        dq_event_directory_forget(d, s);
    forget_nodes(d);
    dq_free(d->lanes);
    dq_free(d);
}

uint32_t dq_event_directory_lanes(const dq_event_directory *d, unsigned shard)
{
    return d->lanes[shard].n;
}

int dq_event_directory_add_lane(dq_event_directory *d, unsigned shard, dureq_str name)
{
    lanes *l = &d->lanes[shard];
    char *copy;

    if (l->n == l->cap) {
        uint32_t cap = l->cap ? 2 * l->cap : 16;
        char **names = dq_realloc(l->names, cap * sizeof *names);

        if (!names)
            return DUREQ_ENOMEM;
        l->names = names;
        l->cap = cap;
    }
    copy = dq_memdup(name.ptr, name.len);
    if (!copy)
        return DUREQ_ENOMEM;
    l->names[l->n++] = copy;
    return 0;
}

static dureq_str key_of(unsigned shard, uint64_t session, unsigned char out[10])
{
    out[0] = (unsigned char)(shard >> 8);
    out[1] = (unsigned char)shard;
    for (int i = 0; i < 8; i++)
        out[2 + i] = (unsigned char)(session >> (56 - 8 * i));
    return dureq_str_of(out, 10);
}

bool dq_event_directory_has_node(const dq_event_directory *d, unsigned shard, uint64_t session)
{
    unsigned char key[10];

    return dq_map_get(&d->nodes, key_of(shard, session, key)) != NULL;
}

int dq_event_directory_add_node(dq_event_directory *d, unsigned shard, uint64_t session, dureq_str name)
{
    node *n = dq_calloc(1, sizeof *n + name.len + 1), *before;
    dureq_str key;

    if (!n)
        return DUREQ_ENOMEM;
    if (d->nodes.n >= NODES_MAX)
        forget_nodes(d);
    key = key_of(shard, session, n->key);
    if (name.len)
        memcpy(n->name, name.ptr, name.len);
    before = dq_map_remove(&d->nodes, key);
    dq_free(before);
    if (dq_map_put(&d->nodes, key, n) == 0)
        return 0;
    dq_free(n);
    return DUREQ_ENOMEM;
}

dq_event_names dq_event_directory_get(const dq_event_directory *d, unsigned shard, const dq_event *e)
{
    dq_event_names names = {0};
    dureq_str version;

    if (e->has_job && e->job.shard < d->n_shards && e->job.lane >= 1 && e->job.lane <= d->lanes[e->job.shard].n)
        (void)dq_lane_name_split(dureq_str_from(d->lanes[e->job.shard].names[e->job.lane - 1]), &names.queue, &names.task_type,
                                 &version);
    if (e->session) {
        unsigned char key[10];
        node *n = dq_map_get(&d->nodes, key_of(shard, e->session, key));

        names.node = n ? dureq_str_from(n->name) : names.node;
    }
    return names;
}
