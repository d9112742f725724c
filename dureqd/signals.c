/* SPDX-License-Identifier: Apache-2.0 */
#include "signals.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static int stop_fd = -1; /* tells of those that end us; never read, so that it takes none away. Made once, before threads */

static void end_now(int sig)
{
    (void)raise(sig); /* its handler is gone: SA_RESETHAND */
    _exit(128 + sig); /* process 1 of a container, which has no such default */
}

static void set_of_stops(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
}

void dq_signals_first(void)
{
    struct sigaction end = {.sa_handler = end_now, .sa_flags = (int)SA_RESETHAND | SA_NODEFER};
    sigset_t hup;

    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGCHLD, SIG_DFL); /* ignored ones could not be waited for */
    sigemptyset(&end.sa_mask);
    (void)sigaction(SIGTERM, &end, NULL);
    (void)sigaction(SIGINT, &end, NULL);
    sigemptyset(&hup);
    sigaddset(&hup, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &hup, NULL);
    set_of_stops(&hup);
    (void)sigprocmask(SIG_UNBLOCK, &hup, NULL); /* whoever started us may have them blocked */
}

int dq_signals_take(int *ret_fd, dureq_error *err)
{
    sigset_t stops, all;

    set_of_stops(&stops);
    all = stops;
    sigaddset(&all, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &all, NULL);
    stop_fd = signalfd(-1, &stops, SFD_CLOEXEC | SFD_NONBLOCK);
    *ret_fd = stop_fd < 0 ? -1 : signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
    if (*ret_fd < 0)
        return dq_fail_errno(err, DUREQ_EIO, errno, "cannot watch signals: %s", strerror(errno));
    return 0;
}

bool dq_signals_stop_waits(void)
{
    struct pollfd p = {.fd = stop_fd, .events = POLLIN};

    return poll(&p, 1, 0) > 0;
}

int dq_signals_poll(int fd, int timeout_ms)
{
    struct pollfd p[] = {{.fd = fd, .events = POLLIN}, {.fd = stop_fd, .events = POLLIN}};

    if (poll(p, 2, timeout_ms) <= 0)
        return 0;
    return p[0].revents ? 1 : -1;
}
