/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which dead jobs belong together: those with the same first line of their error, its numbers left out. */

#include "api/request.h"

#define DQ_API_GROUP_TEXT 17

/* The name of its group, which says nothing of the error: 16 hexadecimal digits. It stays the same in later versions: operations keep it. `key` is room
   for the words that it stands for. DUREQ_ENOMEM. */
int dq_api_group_of(const dureq_job *job, dq_buf *key, char ret[DQ_API_GROUP_TEXT], dureq_error *err);
bool dq_api_is_group(const char *text);
