/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

/* A Lua script embedded at build time by tools/embed_lua.py. */
typedef struct dq_script {
    const char *name;
    char sha1[41];
    int n_keys;
    const char *text;
    size_t len;
} dq_script;

extern const dq_script dq_scripts[]; /* indexed by the DQ_SCRIPT_* of the generated scripts.h */
