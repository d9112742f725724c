/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What somebody is limited to: jobs of some queues, of some task types, or of both at once. */

#include "base/base.h"

/* Names with commas, each of which may end in '*'. NULL: any. */
typedef struct dq_scope {
    char *queues, *types;
} dq_scope;

/* scope NULL: no limit. */
bool dq_scope_is_open(const dq_scope *scope);
bool dq_scope_has_queue(const dq_scope *scope, dureq_str queue);
bool dq_scope_has_type(const dq_scope *scope, dureq_str type);
bool dq_scope_fits(const dq_scope *scope, dureq_str queue, dureq_str type);

int dq_scope_copy(const dq_scope *scope, dq_scope *ret); /* DUREQ_ENOMEM */
void dq_scope_deinit(dq_scope *scope);
