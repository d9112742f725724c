/* SPDX-License-Identifier: Apache-2.0 */
#include "fault_maker.h"

#include "fault_wait.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROLE      "--fault-maker"
#define LEDGER_FD 3

/* argv: role url prefix shards in_a_call */
static int role(char **argv)
{
    dureq_client_options o = dureq_client_options_init();
    fault_ledger *l = fault_ledger_attach(LEDGER_FD);
    int in_a_call = (int)strtol(argv[4], NULL, 10);
    dureq_client *c = NULL;
    dureq_error err = {0};
    bool full = false;

    o.redis_url = argv[1];
    o.prefix = argv[2];
    o.shards = (int)strtol(argv[3], NULL, 10);
    if (dureq_client_create(&o, &c, &err) < 0) {
        fprintf(stderr, "producer: %s\n", err.msg);
        return 1;
    }
    while (!full) {
        if (in_a_call > 1)
            (void)fault_ledger_enqueue_many(l, c, in_a_call, &full);
        else
            (void)fault_ledger_enqueue(l, c, &full);
        fault_pass(4);
    }
    dureq_client_destroy(c);
    return 0;
}

void fault_maker_main(int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[1], ROLE) == 0)
        exit(role(argv + 1));
}

static void exec_role(fault_ledger *l, const fault_maker_options *o, pid_t parent)
{
    char shards[16], in_a_call[16];
    const char *argv[] = {"fault-maker", ROLE, o->url, o->prefix, shards, in_a_call, NULL};
    int fd = fault_ledger_fd(l);

    (void)snprintf(shards, sizeof shards, "%d", o->shards);
    (void)snprintf(in_a_call, sizeof in_a_call, "%d", o->in_a_call);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (fd == LEDGER_FD) /* dup2 onto itself would leave close-on-exec set */
        fd = dup(fd);
    if (getppid() != parent || dup2(fd, LEDGER_FD) < 0)
        _exit(126);
    execv("/proc/self/exe", (char *const *)argv);
    _exit(127);
}

void fault_maker_spawn(fault_maker *m, fault_ledger *l, const fault_maker_options *o)
{
    pid_t parent = getpid();

    m->pid = fork();
    if (m->pid == 0)
        exec_role(l, o, parent);
    if (m->pid < 0)
        fault_die("fork: %s", strerror(errno));
}

void fault_maker_kill(fault_maker *m)
{
    if (!m->pid)
        return;
    (void)kill(m->pid, SIGKILL);
    while (waitpid(m->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    m->pid = 0;
}
