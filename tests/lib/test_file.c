/* SPDX-License-Identifier: Apache-2.0 */
#include "test_file.h"

#include "base/buf.h"
#include "expect.h"

#include <stdio.h>

char *test_file_read(const char *path)
{
    FILE *f = fopen(path, "r");
    dq_buf b = {0};
    char part[4096];
    size_t n;

    if (!f)
        fail_msg("cannot open %s", path);
    for (n = fread(part, 1, sizeof(part), f); n > 0; n = fread(part, 1, sizeof(part), f))
        dq_buf_append(&b, part, n);
    (void)fclose(f);
    return dq_buf_take(&b);
}
