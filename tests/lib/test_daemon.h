/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* dureqd itself as a user starts it: its command line, what it prints, its exit code, and jobs through its own server. A failed
   expectation shows what it said. */

#include "base/buf.h"

#include <dureq/dureq.h>

#include <sys/types.h>

#define TEST_DAEMON_WAIT_MS 30000

/* A program whose standard output and error are read. It dies with the test. */
typedef struct test_child {
    pid_t pid; /* 0: reaped */
    int out_fd;
    dq_buf out; /* so far, NUL-ended */
} test_child;

const char *test_dureqd_path(void);
void test_child_exec(test_child *c, const char *const *argv);  /* ends with NULL; the program by its path */
void test_child_start(test_child *c, const char *const *args); /* dureqd with these */
bool test_child_read(test_child *c, int timeout_ms);           /* false at its end, or when nothing came in time */
bool test_child_said(const test_child *c, const char *text);
void test_child_wait_for(test_child *c, const char *text);
int test_child_end(test_child *c); /* waits for it: the exit code, or 128 + signal */
void test_child_free(test_child *c);

typedef struct test_daemon {
    test_child c;
    dq_buf state_dir, url;
    dureq_client *client;
} test_daemon;

/* One directory for all tests of a program: group fixtures. */
int test_daemon_make_dir(void **state);
int test_daemon_remove_dir(void **state);
void test_daemon_path(const char *name, dq_buf *out); /* in that directory; appended */

/* With a private server in the state directory `name`; until it is ready. `more` (NULL: none) are further arguments, ended by NULL. */
void test_daemon_start(test_daemon *d, const char *name, const char *handler);
void test_daemon_start_with(test_daemon *d, const char *name, const char *const *more);
/* By a shell that becomes it: the script's "$@" is the daemon and its arguments, as in "helper & exec \"$@\"". `wrap` (NULL: none) is
   put in front of the shell, ended by NULL. */
void test_daemon_start_by(test_daemon *d, const char *name, const char *const *wrap, const char *script, const char *const *more);
void test_daemon_connect(test_daemon *d);
void test_daemon_stop(test_daemon *d); /* SIGTERM, exit code 0, freed */
void test_daemon_free(test_daemon *d); /* when its child has ended */

dureq_job_id test_daemon_enqueue(test_daemon *d, const char *type, const char *payload);
void test_daemon_expect(test_daemon *d, const dureq_job_id *id, const char *result);        /* it completes with this result */
void test_daemon_expect_dead(test_daemon *d, const dureq_job_id *id, const char *in_error); /* it dies, its error has this */
void test_daemon_run(test_daemon *d, const char *type, const char *payload, const char *result);
void test_daemon_wait_running(test_daemon *d, const dureq_job_id *id);
