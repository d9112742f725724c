/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the programs of a handler find in their environment, besides the context of a run. Values are secret: none is in a message. */

#include "config.h"

#define DQ_ENV_VARS_MAX  4096
#define DQ_ENV_BYTES_MAX (1024 * 1024) /* of all together: half of what Linux takes with the usual stack */

bool dq_env_is_name(dureq_str name); /* [A-Za-z_][A-Za-z0-9_]* */
/* Whether dureqd sets it itself, now or in a later version: of its context, or of a header. */
bool dq_env_is_own(dureq_str name);

/* Replaces the one of that name. DUREQ_ETOOLARGE beyond the limits, or for a variable that Linux does not take. */
int dq_env_put(dq_arena *arena, dq_env_list *list, dureq_str name, dureq_str value, dureq_error *err);

/* Lines NAME=value, put one after the other; `path` is for messages. Own names are left out, with a line in `warnings`. DUREQ_EPARSE
   with "path:line: what". */
int dq_env_parse(dq_arena *arena, const char *path, dureq_str text, dq_env_list *ret, dq_buf *warnings, dureq_error *err);
/* The same of a regular file. */
int dq_env_read_file(dq_arena *arena, const char *path, dq_env_list *ret, dq_buf *warnings, dureq_error *err);

/* Of passEnv: a name in which '*' stands for anything. */
bool dq_env_is_pattern(dureq_str pattern);
/* A pattern that does not begin with their name passes on nothing of dureqd's own settings, nor what is between it and its service
   manager. */
bool dq_env_passes(const char *pattern, dureq_str name);

/* All of it for a spec, NULL-ended: what is passed on of `envp`, then HOME, USER and LOGNAME, then the file, then `env`; of two with one name
   the later. `user` and `home` may be NULL. */
int dq_env_assemble(dq_arena *arena, const dq_handler_spec *spec, char *const *envp, const char *user, const char *home,
                    const char *const **ret, dureq_error *err);
