/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The scene of a soak, and what befalls it. After each fault all processes must be at work again. */

#include "base/random.h"
#include "fault_node.h"
#include "redis_server.h"
#include "soak_board.h"

typedef struct soak_scene {
    test_redis *server;
    const char *url;
    soak_board *board;
    int board_fd;
    fault_node processes[SOAK_N_PROCESSES];
    int n_producers; /* started so far */
    dq_rng rng;
} soak_scene;

void soak_scene_spawn(soak_scene *s, soak_who who);

typedef struct soak_fault {
    const char *name;
    void (*strike)(soak_scene *s, struct soak_fault *f); /* comes back when what was broken is started again */
    bool takes_jobs;                                     /* what a node ran must run elsewhere */
    int n;
    int n_aside;          /* in which the machine stood still; the figures are of the others */
    int64_t n_jobs;       /* that nodes ran then, of those that take a while */
    int64_t elsewhere_ms; /* longest, until all of them ran elsewhere */
    int64_t loading_ms;   /* longest, until a server that was started again had read its file and answered */
    int64_t at_work_ms;   /* longest from then until each process did something */
} soak_fault;

#define SOAK_N_FAULTS 7
extern soak_fault soak_faults[SOAK_N_FAULTS];

/* The order: each once, in an order by chance, and so on. */
void soak_fault_next(soak_scene *s);
void soak_faults_reset(void); /* what was counted */
