/* SPDX-License-Identifier: Apache-2.0 */
#include <dureq/error.h>

static const struct error_row {
    int code;
    const char *name, *text;
    bool retryable;
} rows[] = {
#define X(num, name, text, retryable) {num, #name, text, retryable},
    DUREQ_ERROR_MAP(X)
#undef X
};

static const struct error_row *row_of(int code)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].code == code)
            return &rows[i];
    return NULL;
}

const char *dureq_errcode_name(int code)
{
    const struct error_row *row = row_of(code);

    if (row)
        return row->name;
    return code == DUREQ_OK ? "OK" : "E?";
}

const char *dureq_errcode_text(int code)
{
    const struct error_row *row = row_of(code);

    if (row)
        return row->text;
    return code == DUREQ_OK ? "success" : "unknown error";
}

bool dureq_errcode_is_retryable(int code)
{
    const struct error_row *row = row_of(code);

    return row && row->retryable;
}
