/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The dashboard's files: what durequi/build.mjs makes of it, as data. The server hands out assets by their names, which hold a hash of the
   content, and the index for every other path that a browser asks for as a page. */

#include "base/str.h"

typedef struct dq_page {
    const char *path; /* "assets/..." or "index.html"; NULL ends a table */
    const char *type;
    const char *hash;      /* of the content */
    dureq_str raw, br, gz; /* NULL: not in this form */
} dq_page;

extern const dq_page dq_dashboard[];
