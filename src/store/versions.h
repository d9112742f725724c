/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What all who work on a prefix must know. A session reports DQ_SCRIPTS_VERSION of its program; one from before that is of version 0. */

#include "store/store.h"

/* code DUREQ_ECONFLICT: live sessions are too old, err names their nodes; nothing was raised, unless they were opened in this moment. */
typedef void (*dq_versions_fn)(void *userdata, int code, const dureq_error *err);

/* From now on sessions must know this version of the scripts: no older program can open one or connect, and one that did so in the same moment stops
   taking jobs and leading with its next heartbeat. Loop thread. Returns 0 (fn will be called once) or negative (it will not). */
int dq_store_require_version(dq_store *s, int64_t version, dq_versions_fn fn, void *userdata);
