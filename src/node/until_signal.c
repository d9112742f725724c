/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for the signal that ends a service. The signal handler writes to a pipe and does nothing else; the thread that waits reads it.
   Once the stop has begun a helper thread reads on, so that a second signal cuts it short. The pipe is made once and kept: a signal
   handler may still be about to write when the wait is over. */
#include <dureq/node.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/mutex.h"

static const int signals[] = {SIGTERM, SIGINT};

static atomic_bool taken;           /* a node of this process waits: guards the pipe */
static int pipe_ends[2] = {-1, -1}; /* neither blocks */

typedef struct waiter {
    dureq_node *node;
    struct sigaction before[DQ_ARRAY_LEN(signals)];
    sigset_t mask_before;
} waiter;

static void on_signal(int sig)
{
    int saved = errno;
    ssize_t done = write(pipe_ends[1], "!", 1);

    (void)sig;
    (void)done; /* a full pipe says it already */
    errno = saved;
}

/* The signals reach this thread even where the program had them blocked in it. */
static void take_signals(waiter *w)
{
    struct sigaction ours = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigset_t wanted;

    (void)sigemptyset(&ours.sa_mask);
    (void)sigemptyset(&wanted);
    for (size_t i = 0; i < DQ_ARRAY_LEN(signals); i++) {
        (void)sigaction(signals[i], &ours, &w->before[i]);
        (void)sigaddset(&wanted, signals[i]);
    }
    (void)pthread_sigmask(SIG_UNBLOCK, &wanted, &w->mask_before);
}

static void give_signals_back(waiter *w)
{
    (void)pthread_sigmask(SIG_SETMASK, &w->mask_before, NULL);
    for (size_t i = 0; i < DQ_ARRAY_LEN(signals); i++)
        (void)sigaction(signals[i], &w->before[i], NULL);
}

static int make_pipe(dureq_error *err)
{
    char old[64];

    if (pipe_ends[0] < 0 && pipe2(pipe_ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return dq_fail_errno(err, DUREQ_EIO, errno, "a pipe could not be made");
    while (read(pipe_ends[0], old, sizeof old) > 0)
        ; /* of an earlier wait */
    return 0;
}

/* True: a signal came. False: 'q', by which we say that the stop is through. */
static bool wait_for_signal(void)
{
    struct pollfd p = {.fd = pipe_ends[0], .events = POLLIN};
    char c;

    while (read(pipe_ends[0], &c, 1) != 1)
        (void)poll(&p, 1, -1);
    return c != 'q';
}

static void *second_signal(void *arg)
{
    waiter *w = arg;

    while (wait_for_signal())
        dureq_node_stop_now(w->node);
    return NULL;
}

static int stop_and_listen(waiter *w, dureq_error *err)
{
    pthread_t listener;
    int rc = dq_thread_start(&listener, "dq-signal", 0, second_signal, w, err);

    if (rc < 0) { /* without it the stop only has its deadline */
        (void)dureq_node_stop(w->node, NULL);
        return rc;
    }
    rc = dureq_node_stop(w->node, err);
    while (write(pipe_ends[1], "q", 1) < 0)
        (void)sched_yield(); /* full of signals, which are being read */
    (void)pthread_join(listener, NULL);
    return rc;
}

int dureq_node_run_until_signal(dureq_node *node, dureq_error *err)
{
    waiter w = {.node = node};
    int rc;

    if (!node || !dureq_node_client(node))
        return dq_fail(err, DUREQ_ECONFLICT, "the node is not started");
    if (atomic_exchange(&taken, true))
        return dq_fail(err, DUREQ_ECONFLICT, "another node of this process waits for a signal already");
    rc = make_pipe(err);
    if (rc == 0) {
        take_signals(&w);
        (void)wait_for_signal();
        rc = stop_and_listen(&w, err);
        give_signals_back(&w);
    }
    atomic_store(&taken, false);
    return rc;
}
