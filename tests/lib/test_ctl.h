/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* dureqctl itself as a user calls it, on the rig's server and prefix: arguments in, exit code and both outputs back. It sees no
   environment but what stands here, ends within a limit, and a failed expectation shows what it said.

       CTL(0, "enqueue", "mail", "{}");
       EXPECT_HAS("mail", ctl_out());
       CTL(3, "job", "get", "0");  */

#include "test_rig.h"

/* Standard output and error of the last call, NUL-ended, valid until the next. */
const char *ctl_out(void);
const char *ctl_err(void);
dureq_str ctl_out_str(void);
/* The output without what ends its last line; for ids and the like. Valid until the next but 15. */
const char *ctl_line(void);
/* Lines of the output. */
size_t ctl_out_lines(void);

/* For the next calls of this scenario: an environment variable (NULL: not there), and what standard input gives (a view, NULL:
   /dev/null). Both are forgotten by ctl_reset, which each scenario calls first when it uses them. */
void ctl_reset(void);
void ctl_env(const char *name, const char *value);
void ctl_input(dureq_str text);
/* Standard output of the next calls goes there instead; -1: to ctl_out. Borrowed. */
void ctl_stdout(int fd);

/* Runs it; the exit code, or 128 and the signal. Arguments end with NULL, and there may be none. */
int ctl_run(const char *const *args);

/* The next calls see a terminal of that width as their outputs, until ctl_reset; what they write there is in ctl_out, lines ended by
   \r\n. */
void ctl_terminal(int columns);

/* One that runs while the test goes on: its input is what ctl_feed gives it, until ctl_end, which gives its exit code. */
void ctl_begin(const char *const *args);
void ctl_feed(const char *text);
void ctl_read_some(void); /* what it wrote meanwhile, added to ctl_out and ctl_err; waits up to 100 ms for it */
void ctl_signal(int sig);
pid_t ctl_pid(void);
int ctl_end(void);

#define CTL(code_, ...) ctl_expect((code_), (const char *const[]){__VA_ARGS__, NULL}, __FILE__, __LINE__)
void ctl_expect(int code, const char *const *args, const char *file, int line);

/* The code, nothing on standard output, and this part of what is told on standard error. */
#define CTL_FAILS(code_, part, ...)    \
    do {                               \
        CTL((code_), __VA_ARGS__);     \
        EXPECT_TEXT("", ctl_out());    \
        EXPECT_HAS((part), ctl_err()); \
    } while (0)
