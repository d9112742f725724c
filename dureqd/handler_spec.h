/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* TYPE=KIND:SPEC, and commands split into words. */

#include "config.h"

/* Split like a shell splits: blanks separate; '...' is literal; "..." keeps blanks, with \" \\ \$ \` escaped; outside quotes a
   backslash takes the next character as it is. Nothing is expanded. Words go to the arena. DUREQ_EPARSE on an open quote
   or a backslash at the end, DUREQ_ETOOLARGE beyond DQ_CONFIG_WORDS_MAX. An empty text gives no words. */
int dq_words_split(dq_arena *arena, dureq_str text, const char ***ret, size_t *ret_n, dureq_error *err);

/* "file.sha256=exec:/usr/bin/sha256sum -- {payload}": fills type, kind and words or builtin. */
int dq_handler_spec_parse(dq_arena *arena, dureq_str text, dq_handler_spec *ret, dureq_error *err);
/* What follows the '=': kind and its rest. Refuses the kinds of later versions by name. */
int dq_handler_spec_set_kind(dq_arena *arena, dureq_str kind, dureq_str rest, dq_handler_spec *ret, dureq_error *err);
/* Type and words together: names, "{payload...}" forms. */
int dq_handler_spec_check(const dq_handler_spec *spec, dureq_error *err);
bool dq_builtin_is_known(dureq_str name);
/* The program of words[0], through $PATH when it has no '/': absolute path in the arena. DUREQ_ENOTFOUND when there is none,
   DUREQ_EPERM when it is no executable file. */
int dq_program_find(dq_arena *arena, const char *word, const char *path_env, const char **ret, dureq_error *err);
