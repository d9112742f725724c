/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <stdlib.h>

#include "handler_spec.h"

/* TYPE=KIND:SPEC and its words: there are no more words than letters, and words that are quoted again are split to the same. */

static void quote(dq_buf *out, const char *word)
{
    dq_buf_append_char(out, '\'');
    for (; *word; word++)
        if (*word == '\'')
            dq_buf_append_text(out, "'\\''");
        else
            dq_buf_append_char(out, *word);
    dq_buf_append_text(out, "' ");
}

static void split(dureq_str text)
{
    DQ_BUF_AUTO quoted = {0};
    dq_arena arena = {0};
    dureq_error err = {0};
    const char **list = NULL, **again = NULL;
    size_t n = 0, n_again = 0;
    int rc = dq_words_split(&arena, text, &list, &n, &err);

    if (rc < 0) {
        assert(err.code == rc && err.msg[0]);
        dq_arena_deinit(&arena);
        return;
    }
    assert(n <= DQ_CONFIG_WORDS_MAX && n <= text.len);
    for (size_t i = 0; i < n; i++)
        quote(&quoted, list[i]);
    rc = dq_words_split(&arena, dq_buf_str(&quoted), &again, &n_again, &err);
    assert(rc == 0 && n_again == n);
    for (size_t i = 0; i < n; i++)
        assert(strcmp(list[i], again[i]) == 0);
    dq_arena_deinit(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dureq_str text = dureq_str_of((const char *)data, size);
    dq_handler_spec spec = {0};
    dq_arena arena = {0};
    dureq_error err = {0};
    int rc = dq_handler_spec_parse(&arena, text, &spec, &err);

    if (rc == 0)
        rc = dq_handler_spec_check(&spec, &err);
    if (rc == 0)
        assert(spec.type[0] && (spec.kind == DQ_HANDLER_EXEC ? spec.n_words > 0 : spec.builtin != NULL));
    else
        assert(err.code == rc && err.msg[0]);
    split(text);
    dq_arena_deinit(&arena);
    return 0;
}
