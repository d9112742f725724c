/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the API says of itself: parameters, schemas, and the OpenAPI document that is made of them and of the routes. */

#include "api/request.h"

typedef struct dq_api_schema {
    const char *name, *text; /* see schemas.c */
} dq_api_schema;
extern const dq_api_schema dq_api_schemas[]; /* ended by a NULL name */

typedef enum dq_api_type {
    DQ_API_TEXT,
    DQ_API_NUMBER, /* whole, from min to max */
    DQ_API_BOOL,
    DQ_API_TIME,
    DQ_API_DURATION,
    DQ_API_WORD,  /* one of `words` */
    DQ_API_WORDS, /* some of them, with commas */
} dq_api_type;

typedef struct dq_api_param {
    const char *name;
    dq_api_type type;
    int64_t min, max;
    const char *words; /* with blanks between */
    const char *text;
    const char *only; /* of this path; NULL: of all that have no row of their own */
} dq_api_param;

const dq_api_param *dq_api_param_of(const char *pattern, dureq_str name); /* NULL: it is not described */

/* The document for OpenAPI 3.1. */
void dq_api_write_openapi(dq_json_writer *w);
