/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The scalar tokens of RFC 8259 and UTF-8. Pure. */

#include "base/str.h"

/* From the opening quote at p: the byte after the closing one. On a fault *what says so and the place is returned. */
const char *dq_json_scan_string(const char *p, const char *end, bool *ret_escapes, const char **what);
const char *dq_json_scan_number(const char *p, const char *end, const char **what);
/* Length of the well-formed UTF-8 character at p (RFC 3629: no overlong forms, no surrogates), 0 when it is not one. */
size_t dq_utf8_len(const char *p, const char *end);
/* The four hexadecimal digits at p, or -1. */
int dq_json_hex4(const char *p, const char *end);
