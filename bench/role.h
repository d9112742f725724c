/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Roles: this program as a process of its own, so that the processor time of a producer, a node or the floor is a process's.

   A row starts a role with arguments and then talks to it in lines: "name key=value ..." on its standard input, answered by
   "ok key=value ..." or "error text" on its standard output. Values are numbers. A role ends when its input does, and dies with
   the row. */

#include <sys/types.h>

#include "base/base.h"
#include "base/clock.h"

#define ROLE_KEYS_MAX 24

typedef struct role_words {
    char name[24];
    struct {
        char key[24];
        double value;
    } pair[ROLE_KEYS_MAX];
    size_t n;
} role_words;

double role_get(const role_words *w, const char *key, double otherwise);
void role_put(role_words *w, const char *key, double value);
void role_parse(char *line, role_words *ret); /* writes into the line */

/* ---- the role's side ---- */

typedef struct role_command {
    const char *name; /* NULL ends a list */
    int (*fn)(void *role, const role_words *question, role_words *answer, dureq_error *err);
} role_command;

/* Says "ok" for the start, then answers lines until the input ends. Every role knows "usage": cpu_us, rss_kb, anon_kb. */
int role_serve(const role_command *commands, void *role);
int role_fail_start(const dureq_error *err); /* answers the start with an error; returns the exit code */

int64_t role_cpu_us(void);               /* of this process so far */
void role_sleep_until_us(int64_t at_us); /* of dq_mono_us */

/* Options of a role: "--name=value". NULL when absent. */
const char *role_option(int argc, char **argv, const char *name);
int64_t role_option_i64(int argc, char **argv, const char *name, int64_t otherwise);

int role_producer_main(int argc, char **argv);
int role_node_main(int argc, char **argv);
int role_api_main(int argc, char **argv);
int role_floor_main(int argc, char **argv);

/* ---- the row's side ---- */

typedef struct role_proc {
    pid_t pid;   /* 0: none */
    int in, out; /* its standard input and output */
    char what[24];
} role_proc;

/* Starts `role` with options ended by NULL and waits until it is ready. */
int role_start(role_proc *p, const char *role, const char *const *options, dureq_error *err);
/* One question and its answer; `answer` may be NULL. The question is a line without its end. */
int role_ask(role_proc *p, role_words *answer, dureq_error *err, const char *fmt, ...) DUREQ_PRINTF(4, 5);
/* The same in two steps, to let several roles work at a time. */
int role_tell(role_proc *p, dureq_error *err, const char *fmt, ...) DUREQ_PRINTF(3, 4);
int role_wait(role_proc *p, role_words *answer, dureq_error *err);
void role_kill(role_proc *p); /* SIGKILL, reaped */
/* Closes its input and waits for its end. *ret_cpu_us (may be NULL): of its whole life, by wait4. None is fine. */
void role_stop(role_proc *p, int64_t *ret_cpu_us);
void role_deinit(role_proc *p); /* kills what still lives */

#define ROLE_AUTO DQ_CLEANUP(role_deinit) role_proc
