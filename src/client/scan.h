/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Pages of a hash (HSCAN). Within dq_client_enter and dq_client_leave. */

#include "client/client_internal.h"

typedef void (*dq_scan_fn)(void *userdata, dureq_str field, dureq_str value);
/* One page: fields and values to fn, the cursor of the next one to *cursor, which is "0" after the last. A field may come twice when the hash grew meanwhile. */
int dq_scan_page(dureq_client *c, dq_buf *bytes, dq_buf *cursor, dq_scan_fn fn, void *userdata, size_t *n_read, dureq_error *err);
bool dq_scan_is_over(const dq_buf *cursor);
