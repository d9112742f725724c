/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What metrics are made of, read in bounded parts whatever is stored. Any thread; blocking. */

#include <dureq/client.h>

#include "store/queue_calls.h"

/* The lanes of all shards from those numbers on (`known` has one for each shard, and is moved on). Names are views, until fn returns. */
typedef void (*dq_lane_fn)(void *userdata, unsigned shard, uint32_t lane, dureq_str queue, dureq_str type);
int dq_client_new_lanes(dureq_client *client, uint32_t *known, dq_lane_fn fn, void *userdata, dureq_error *err);
/* The same of one shard, within dq_client_enter and dq_client_leave. */
int dq_client_new_lanes_of(dureq_client *client, unsigned shard, uint32_t *known, dq_lane_fn fn, void *userdata,
                           dureq_error *err);
unsigned dq_client_shards(const dureq_client *client);

/* What is counted of a minute (from 1970), lane by lane. kind and bucket: as in `K st:<minute>`; bucket is -1 of a plain count. At most so many
   fields of each shard are read: *ret_cut says that there are more. */
typedef void (*dq_minute_fn)(void *userdata, unsigned shard, uint32_t lane, char kind, int bucket, int64_t n);
int dq_client_minute(dureq_client *client, int64_t minute, size_t fields_max, dq_minute_fn fn, void *userdata, bool *ret_cut,
                     dureq_error *err);

/* Names of queues, some of them when there are more than n_max. */
int dq_client_some_queues(dureq_client *client, size_t n_max, void (*fn)(void *userdata, dureq_str name, bool paused),
                          void *userdata, dureq_error *err);
/* ret: n, set here. */
int dq_client_queue_depths(dureq_client *client, const dureq_str *names, size_t n, dq_queue_stats *ret, int64_t *ret_now_ms,
                           dureq_error *err);
/* At once, and asks nobody: 0 while the server is connected, else why it is not. */
int dq_client_check_up(dureq_client *client, dureq_error *err);
