/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUREQ_ERROR_H
#define DUREQ_ERROR_H

/* Codes, and the detail that comes with one. A dureq_error is the caller's own memory; the functions here are for any
   thread and give static texts.

   Example: what to do about a failure. DUREQ_EUNKNOWN is no reason to try again as long as twice is worse than never.

       static bool try_again(const dureq_error *err)
       {
           fprintf(stderr, "%s: %s\n", dureq_errcode_name(err->code), err->msg);
           return dureq_errcode_is_retryable(err->code);
       }
*/

#include <dureq/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Every code a call of this library can return. 0 is success, numbers are never reused.
   X(number, NAME, text, retryable): retryable means that the same call may succeed later
   without anything being changed by the caller. */
#define DUREQ_ERROR_MAP(X)                                                    \
    X(-1, EINVAL, "invalid argument", false)                                  \
    X(-2, ENOMEM, "out of memory", true)                                      \
    X(-3, ENOTFOUND, "no such object", false)                                 \
    X(-4, ECONFLICT, "not possible in this state", false)                     \
    X(-5, EDUPLICATE, "the key is held by a living job", false)               \
    X(-6, ELIMIT, "a limit is reached", true)                                 \
    X(-7, ETOOLARGE, "larger than the limit allows", false)                   \
    X(-8, ETIMEOUT, "timed out", true)                                        \
    X(-9, EUNAVAILABLE, "the server is away", true)                           \
    X(-10, EAUTH, "wrong user or password", false)                            \
    X(-11, EPERM, "not allowed", false)                                       \
    X(-12, EPROTO, "unexpected or damaged data", false)                       \
    X(-13, ETOOOLD, "the server is too old", false)                           \
    X(-14, ESCHEMA, "the data is of a newer schema than this program", false) \
    X(-15, EPOLICY, "the server's eviction policy may drop jobs", false)      \
    X(-16, EREDISOOM, "the server is out of memory", true)                    \
    X(-17, EREADONLY, "the server is a read-only replica", true)              \
    X(-18, ELOADING, "the server is loading its data", true)                  \
    X(-19, EBUSY, "the server is busy with a script", true)                   \
    X(-20, EMOVED, "the slot lives on another server", true)                  \
    X(-21, ENOSCRIPT, "the server does not know the script", true)            \
    X(-22, EWRONGTYPE, "a foreign key of another type is in the way", false)  \
    X(-23, EREDIS, "the server refused the command", false)                   \
    X(-24, EUNKNOWN, "the outcome of the call cannot be known", false)        \
    X(-25, ECANCELLED, "cancelled", false)                                    \
    X(-26, ECLOSED, "closed", false)                                          \
    X(-27, EFENCED, "this session lost its lease", false)                     \
    X(-28, EIO, "a system call failed", true)                                 \
    X(-29, EUNSUPPORTED, "not supported by this version", false)              \
    X(-30, EPARSE, "cannot be parsed", false)                                 \
    X(-31, EHANDLER, "the handler failed", false)                             \
    X(-32, EPAUSED, "paused", false)                                          \
    X(-33, ENOWRITE, "the server takes no writes for now", true)              \
    X(-34, EDEADLK, "it would wait for the thread that calls it", false)

typedef enum dureq_errcode {
    DUREQ_OK = 0,
#define X(num, name, text, retryable) DUREQ_##name = num,
    DUREQ_ERROR_MAP(X)
#undef X
} dureq_errcode;

#define DUREQ_ERROR_MSG_MAX 240

/* The detail of a failure: fixed size, no allocation, no destructor, copied by value. */
typedef struct dureq_error {
    int code;                      /* DUREQ_E...; 0 while nothing failed */
    int sys_errno;                 /* errno of the system call that failed, 0 when none did */
    char msg[DUREQ_ERROR_MSG_MAX]; /* one sentence, NUL-ended, no newline */
} dureq_error;

/* "ENOTFOUND" for DUREQ_ENOTFOUND, "OK" for 0, "E?" for a number of no meaning. */
DUREQ_API const char *dureq_errcode_name(int code);
/* One phrase for the code. */
DUREQ_API const char *dureq_errcode_text(int code);
DUREQ_API bool dureq_errcode_is_retryable(int code); /* as in the table; false for a number of no meaning */

#ifdef __cplusplus
}
#endif
#endif
