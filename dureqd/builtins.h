/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The handlers that are part of the daemon: echo, noop, sleep, fail-always. */

#include <dureq/node.h>

#include "config.h"

/* Registers one for spec->type; what the spec leaves open is the built-in's own. Before the node starts, or into a set that is to replace its handlers. */
int dq_builtin_add(dureq_node *node, const dq_handler_spec *spec, dureq_error *err);
/* The next that is registered under its own name: of dureqd.builtins, and no handler of the configuration has it. From *at = 0 on; NULL at the
   end. */
const char *dq_builtin_listed(const dq_config *cfg, size_t *at);
int32_t dq_builtin_concurrency(const char *name); /* when none is configured */

/* What a payload of "sleep" asks for. DUREQ_EINVAL. */
int dq_builtin_parse_sleep(dureq_str payload, int64_t *ret_ms, dq_buf *ret_message, dureq_error *err);
