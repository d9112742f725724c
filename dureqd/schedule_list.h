/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Schedules as files declare them: a list of mappings, each with `key` and what the body of PUT /api/schedules has. */

#include "config_yaml.h"

typedef struct dq_schedule_spec {
    const char *key;
    dureq_str body;   /* JSON */
    dureq_str origin; /* where it was said: "dureqd.yaml:12:5" */
} dq_schedule_spec;

#define DQ_SCHEDULES_MAX 10000

/* All is allocated in the arena; what can be wrong without a server is refused, with its place. */
int dq_schedule_list_read(dq_arena *arena, const char *name, const dq_yaml_node *list, dq_schedule_spec **ret, size_t *ret_n,
                          dureq_error *err);
/* The same of a file's text: a list, or a mapping that has it as `schedules`. */
int dq_schedule_list_parse(dq_arena *arena, const char *name, dureq_str text, dq_schedule_spec **ret, size_t *ret_n,
                           dureq_error *err);
