/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Processes that were started by what is tested, and that write their numbers to a file. */

#include <stdbool.h>
#include <sys/types.h>

/* The first `most` numbers in the file; 0 when there is none. How many. */
int test_pids_read(const char *path, pid_t *pids, int most);
/* Until n numbers are there, or the end of the test. n. */
int test_pids_wait(const char *path, pid_t *pids, int n);
bool test_pid_is_gone(pid_t pid); /* or a zombie, which does nothing any more */
/* Until all of them are gone. */
void test_pids_wait_gone(const pid_t *pids, int n);
/* Until no child of this process is a zombie: each that ended was reaped. */
void test_pids_wait_reaped(void);
