/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "handler_env.h"

/* A file of variables, whatever is in it: every variable taken is one, no name is there twice, and no message quotes the file. An input may
   begin with a pattern of passEnv and a NUL. */

static void check_list(const dq_env_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        dureq_str rest = dureq_str_from(list->vars[i]), name = dq_str_cut(&rest, '=');

        assert(rest.ptr && dq_env_is_name(name) && !dq_env_is_own(name));
        for (size_t k = 0; k < i; k++)
            assert(strncmp(list->vars[k], name.ptr, name.len) != 0 || list->vars[k][name.len] != '=');
    }
    assert(list->n == 0 || !list->vars[list->n]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dureq_str text = dureq_str_of((const char *)data, size), pattern = {0};
    dq_arena arena = {0};
    dq_env_list list = {0};
    dureq_error err = {0};
    DQ_BUF_AUTO warnings = {0};

    if (size > 0 && memchr(data, '\0', size))
        pattern = dq_str_cut(&text, '\0');
    if (dq_env_parse(&arena, "f", text, &list, &warnings, &err) == 0)
        check_list(&list);
    else
        assert(strncmp(err.msg, "f:", 2) == 0);
    if (pattern.len > 0 && dq_env_is_pattern(pattern)) {
        const char *p = dq_arena_dup(&arena, pattern);

        for (size_t i = 0; i < list.n; i++)
            (void)dq_env_passes(p, dureq_str_of(list.vars[i], strcspn(list.vars[i], "=")));
        assert(dq_env_passes(p, pattern) || memchr(pattern.ptr, '*', pattern.len) || dq_env_is_own(pattern));
    }
    dq_arena_deinit(&arena);
    return 0;
}
