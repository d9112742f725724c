/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Starting programs without holding up the loop. One thread makes all children: it prepares what they inherit, waits until the
   new program has begun (or could not), and posts the answer to the loop. Children die with it, so it lives as long as the
   daemon does.

   A child gets descriptors 0 to 3 and nothing else, its own process group, default signals, an empty signal mask. */

#include <sys/types.h>

#include "base/buf.h"
#include "groups.h"
#include "io/loop.h"

/* How the children of one handler differ from the daemon. Read-only while spawns refer to it. */
typedef struct dq_spawn_profile {
    bool has_user; /* uid, gid and groups hold */
    uid_t uid;
    gid_t gid;
    gid_t *groups; /* owned */
    int n_groups;
    int64_t cpu_seconds; /* 0: none */
    int64_t
        memory_bytes; /* 0: none; of a run's control group where there is one with such limits, else of the data of each process */
    int64_t open_files;    /* 0: what the daemon was started with */
    int64_t max_processes; /* 0: none; of a run's control group, else of the user */
    const char *cwd;       /* NULL: the daemon's; borrowed */
    int nice;              /* 0: the daemon's */
} dq_spawn_profile;

/* Looks the user up (NULL: the daemon's own). DUREQ_ENOTFOUND, or DUREQ_EPERM when the daemon may not become that user. `ret_home`
   and `ret_name` get copies, freed with dq_free; they are NULL when nothing is known. */
int dq_spawn_profile_set_user(dq_spawn_profile *p, const char *user, char **ret_name, char **ret_home, dureq_error *err);
void dq_spawn_profile_deinit(dq_spawn_profile *p);

typedef struct dq_spawn {
    dq_message done; /* fn is the owner's; runs on the loop */
    dq_list link;

    /* In; borrowed until done. */
    void (*before)(struct dq_spawn *s); /* NULL, or what the spawner's thread does first: it may wait a moment */
    const dq_spawn_profile *profile;
    const char *program;
    char **argv, **envp;
    dureq_str input;          /* standard input */
    const char *context_path; /* NULL: no file */
    dureq_str context;        /* what is in it */
    const dq_groups *groups;  /* NULL: no control group for it */
    uint64_t group_no;

    /* Out. With a failure there is no child, no open descriptor and no file. */
    bool has_group;          /* it was made: the receiver's to end, with a failure as well */
    int sys_errno;           /* 0: the program runs */
    const char *failed_step; /* "execve" ... */
    pid_t pid;
    int pid_fd, out_fd, err_fd, ctl_fd; /* the receiver's to close; the pipes do not block */
} dq_spawn;

typedef struct dq_spawner dq_spawner;

int dq_spawner_create(dq_loop *loop, dq_spawner **ret, dureq_error *err);
/* Loop thread. `done` is posted once, later. */
void dq_spawner_submit(dq_spawner *s, dq_spawn *spawn);
/* Waits for what was submitted: all is posted when this returns. Kills every child that is left. NULL is fine. */
void dq_spawner_destroy(dq_spawner *s);

/* Remembers the soft limit of open files for the children and raises the daemon's own to the hard one. Once, before threads. */
void dq_spawn_raise_open_files(void);
/* How many children at a time the descriptors of this process suffice for, of `wanted`; what it has and would need. */
int64_t dq_spawn_children_max(int64_t wanted, int64_t *ret_has, int64_t *ret_needs);
