/* SPDX-License-Identifier: Apache-2.0 */
#include "model/scope.h"

#include "base/str.h"

static bool fits_one(dureq_str pattern, dureq_str name)
{
    if (pattern.len && pattern.ptr[pattern.len - 1] == '*')
        return dq_str_starts_with(name, dureq_str_of(pattern.ptr, pattern.len - 1));
    return dq_str_eq(pattern, name);
}

static bool is_among(const char *list, dureq_str name)
{
    dureq_str rest = dureq_str_from(list);

    if (!list)
        return true;
    while (rest.len) {
        dureq_str pattern = dq_str_cut(&rest, ',');

        if (pattern.len && fits_one(pattern, name))
            return true;
    }
    return false;
}

bool dq_scope_is_open(const dq_scope *scope)
{
    return !scope || (!scope->queues && !scope->types);
}

bool dq_scope_has_queue(const dq_scope *scope, dureq_str queue)
{
    return !scope || is_among(scope->queues, queue);
}

bool dq_scope_has_type(const dq_scope *scope, dureq_str type)
{
    return !scope || is_among(scope->types, type);
}

bool dq_scope_fits(const dq_scope *scope, dureq_str queue, dureq_str type)
{
    return dq_scope_has_queue(scope, queue) && dq_scope_has_type(scope, type);
}

int dq_scope_copy(const dq_scope *scope, dq_scope *ret)
{
    dq_scope copy = {.queues = scope->queues ? dq_strdup(scope->queues) : NULL,
                     .types = scope->types ? dq_strdup(scope->types) : NULL};

    if ((scope->queues && !copy.queues) || (scope->types && !copy.types)) {
        dq_scope_deinit(&copy);
        return DUREQ_ENOMEM;
    }
    *ret = copy;
    return 0;
}

void dq_scope_deinit(dq_scope *scope)
{
    dq_free(scope->queues);
    dq_free(scope->types);
    *scope = (dq_scope){0};
}
