/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A YAML text as a small tree that knows where everything stood.

   Only what a settings file needs: one document of mappings, sequences and scalars. Anchors, aliases and tags are refused
   (an alias can make a small file enormous), as are keys said twice. */

#include "config.h"

typedef enum dq_yaml_kind {
    DQ_YAML_SCALAR,
    DQ_YAML_SEQUENCE,
    DQ_YAML_MAPPING,
} dq_yaml_kind;

typedef struct dq_yaml_node {
    dq_yaml_kind kind;
    bool is_null;     /* an empty plain scalar, "~" or "null" */
    dureq_str key;    /* in a mapping; key_line and key_column are its place */
    dureq_str text;   /* of a scalar */
    bool is_plain;    /* it stands without quotes: a number, true and false mean what they say */
    int line, column; /* count from 1 */
    int key_line, key_column;
    struct dq_yaml_node *first, *last, *next; /* children, and the next one of the parent's */
    size_t n;
} dq_yaml_node;

/* Nodes live in the arena. An empty text gives an empty mapping. DUREQ_EPARSE with "name:line:column: what",
   DUREQ_ETOOLARGE beyond DQ_CONFIG_FILE_MAX or DQ_CONFIG_DEPTH_MAX. */
int dq_yaml_parse(dq_arena *arena, const char *name, dureq_str text, dq_yaml_node **ret, dureq_error *err);
/* How much of a key a message shows: what is meant as NAME=value may hold a password. */
int dq_yaml_key_shown(const char *key);
const char *dq_yaml_kind_text(const dq_yaml_node *node); /* "a mapping" */
