/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A file of the source tree as text. */

char *test_file_read(const char *path); /* NUL-ended, the caller's to dq_free; a file that cannot be read fails the test */
