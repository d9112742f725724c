/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Words of enumerations: tables by number, in which a number that has no word is NULL. */

#include "base/str.h"

int dq_word_find(const char *const *words, size_t n, dureq_str text); /* its number; -1: none of them */
const char *dq_word_at(const char *const *words, size_t n, size_t i); /* "unknown" for what is none */

/* <type>_to_str and <type>_parse, which the public headers promise, over such a table. */
#define DQ_DEFINE_WORDS(type, words)                              \
    const char *type##_to_str(type v)                             \
    {                                                             \
        return dq_word_at(words, DQ_ARRAY_LEN(words), (size_t)v); \
    }                                                             \
    int type##_parse(dureq_str text, type *ret)                   \
    {                                                             \
        int i = dq_word_find(words, DQ_ARRAY_LEN(words), text);   \
                                                                  \
        if (i < 0)                                                \
            return DUREQ_EINVAL;                                  \
        *ret = (type)i;                                           \
        return 0;                                                 \
    }
