/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Schedules as they are read back. */

#include <dureq/schedule.h>

#include "client/client_internal.h"
#include "client/schedule.h"
#include "store/schedule_calls.h"

dureq_schedule_list *dq_schedule_list_create(size_t room);
/* Adds one to a list that has room for it. Texts are copied. zones: for those whose next time the leader has not computed yet. */
int dq_schedule_list_add(dureq_schedule_list *list, const dq_schedule_view *v, dq_zones *zones, dureq_error *err);
/* The definition that counts: of a change that waits, else its own. */
dureq_str dq_schedule_newest(const dq_schedule_view *v);
/* By id, or by key on its shard (id empty). The reply is the caller's to deinit on 0. */
int dq_schedule_read(dureq_client *c, unsigned shard, dureq_str id, dureq_str key, dq_owned_reply *ret_reply,
                     dq_schedule_view *ret, dureq_error *err);
int dq_schedule_id_parse(const dureq_client *c, const char *id, dq_id *ret, unsigned char packed[DQ_ID_BYTES], dureq_error *err);
/* The payload of the occurrences to come, and its content type. */
int dq_schedule_update_payload(dureq_client *c, const char *id, const dureq_job_spec *payload, dureq_error *err);
