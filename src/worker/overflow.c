/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/overflow.h"

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/base.h"

#define ALT_STACK_BYTES (64 * 1024)  /* enough for a crash reporter that walks the stack */
#define BELOW_BYTES     (128 * 1024) /* a fault so far below the stack is still taken for an overflow of it */

static pthread_once_t installed = PTHREAD_ONCE_INIT;
static _Thread_local uintptr_t stack_low; /* lowest address of this thread's stack; 0: not watched */
static _Thread_local size_t stack_bytes;
static _Thread_local const char *working_on;

/* Only what may be called in a signal handler. */
static size_t put(char *out, size_t at, size_t cap, const char *text)
{
    while (*text && at < cap)
        out[at++] = *text++;
    return at;
}

static size_t put_number(char *out, size_t at, size_t cap, size_t n)
{
    char digits[24];
    size_t i = sizeof digits - 1;

    digits[i] = '\0';
    do {
        digits[--i] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    return put(out, at, cap, digits + i);
}

static void tell(void)
{
    char line[320];
    size_t at = put(line, 0, sizeof line, "dureq: a handler");

    if (working_on) {
        at = put(line, at, sizeof line, " of task type '");
        at = put(line, at, sizeof line, working_on);
        at = put(line, at, sizeof line, "'");
    }
    at = put(line, at, sizeof line, " overflowed its stack of ");
    at = put_number(line, at, sizeof line, stack_bytes / 1024);
    at = put(line, at, sizeof line, " KiB: give its node a larger stack_size\n");
    if (write(STDERR_FILENO, line, at) < 0)
        return; /* nobody to tell */
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
    uintptr_t at = (uintptr_t)info->si_addr;
    struct sigaction by_system = {.sa_handler = SIG_DFL};

    (void)context;
    if (stack_low && at < stack_low + 4096 && at + BELOW_BYTES >= stack_low)
        tell();
    (void)sigaction(sig, &by_system, NULL); /* on return the instruction faults again, now for the system */
    if (info->si_code <= 0)
        (void)raise(sig); /* sent by a process: no instruction will fault */
}

static void install(void)
{
    struct sigaction ours = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    struct sigaction before;

    (void)sigemptyset(&ours.sa_mask);
    if (sigaction(SIGSEGV, NULL, &before) == 0 && !(before.sa_flags & SA_SIGINFO) && before.sa_handler == SIG_DFL)
        (void)sigaction(SIGSEGV, &ours, NULL);
}

static void learn_stack(void)
{
    pthread_attr_t attr;
    void *low = NULL;

    if (pthread_getattr_np(pthread_self(), &attr) != 0)
        return;
    if (pthread_attr_getstack(&attr, &low, &stack_bytes) == 0)
        stack_low = (uintptr_t)low;
    (void)pthread_attr_destroy(&attr);
}

void *dq_overflow_watch(void)
{
    stack_t has, ours = {.ss_size = ALT_STACK_BYTES};

    if (sigaltstack(NULL, &has) != 0 || !(has.ss_flags & SS_DISABLE))
        return NULL;
    ours.ss_sp = mmap(NULL, ALT_STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (ours.ss_sp == MAP_FAILED)
        return NULL;
    if (sigaltstack(&ours, NULL) != 0) {
        (void)munmap(ours.ss_sp, ALT_STACK_BYTES);
        return NULL;
    }
    learn_stack();
    (void)pthread_once(&installed, install);
    return ours.ss_sp;
}

void dq_overflow_unwatch(void *watch)
{
    stack_t none = {.ss_flags = SS_DISABLE};

    if (!watch)
        return;
    (void)sigaltstack(&none, NULL);
    (void)munmap(watch, ALT_STACK_BYTES);
}

void dq_overflow_note(const char *task_type)
{
    working_on = task_type;
}
