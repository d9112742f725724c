/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Names of lanes and nodes, for events, which have their numbers. Filled by who reads; one thread. */

#include "client/event.h"

typedef struct dq_event_directory dq_event_directory;
dq_event_directory *dq_event_directory_create(unsigned n_shards); /* NULL: no memory */
void dq_event_directory_destroy(dq_event_directory *d);
/* Of what is not known the names are empty. Valid until something is added or forgotten. */
dq_event_names dq_event_directory_get(const dq_event_directory *d, unsigned shard, const dq_event *e);

uint32_t dq_event_directory_lanes(const dq_event_directory *d, unsigned shard); /* how many are known, from the first one on */
int dq_event_directory_add_lane(dq_event_directory *d, unsigned shard, dureq_str name);
void dq_event_directory_forget(dq_event_directory *d, unsigned shard); /* its lanes may be others now */
bool dq_event_directory_has_node(const dq_event_directory *d, unsigned shard, uint64_t session);
int dq_event_directory_add_node(dq_event_directory *d, unsigned shard, uint64_t session, dureq_str name);
