/* SPDX-License-Identifier: Apache-2.0 */
#include "test_pids.h"

#include "fault_wait.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_MS 30000

typedef struct pid_wait {
    const char *path;
    pid_t *pids;
    const pid_t *ending;
    int n;
} pid_wait;

int test_pids_read(const char *path, pid_t *pids, int most)
{
    FILE *file = fopen(path, "r");
    int n = 0, pid;

    if (!file)
        return 0;
    while (n < most && fscanf(file, "%d", &pid) == 1)
        pids[n++] = pid;
    (void)fclose(file);
    return n;
}

static bool are_there(void *userdata)
{
    const pid_wait *w = userdata;

    return test_pids_read(w->path, w->pids, w->n) == w->n;
}

int test_pids_wait(const char *path, pid_t *pids, int n)
{
    assert_true(fault_wait(WAIT_MS, are_there, &(pid_wait){.path = path, .pids = pids, .n = n}));
    return n;
}

/* 'X' when there is none. */
static char state_of(pid_t pid, pid_t *ret_parent)
{
    char path[40], state = 'X';
    int parent = 0;
    FILE *file;

    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    file = fopen(path, "r");
    if (!file)
        return 'X';
    if (fscanf(file, "%*d (%*[^)]) %c %d", &state, &parent) != 2)
        state = 'X';
    (void)fclose(file);
    if (ret_parent)
        *ret_parent = parent;
    return state;
}

bool test_pid_is_gone(pid_t pid)
{
    char state = state_of(pid, NULL);

    return state == 'Z' || state == 'X';
}

static bool are_gone(void *userdata)
{
    const pid_wait *w = userdata;

    for (int i = 0; i < w->n; i++)
        if (!test_pid_is_gone(w->ending[i]))
            return false;
    return true;
}

static bool has_no_zombie(void *userdata)
{
    DIR *dir = opendir("/proc");
    bool found = false;

    (void)userdata;
    assert_non_null(dir);
    for (struct dirent *e = readdir(dir); e && !found; e = readdir(dir)) {
        pid_t pid = (pid_t)strtol(e->d_name, NULL, 10), parent = 0;

        found = pid > 0 && state_of(pid, &parent) == 'Z' && parent == getpid();
    }
    (void)closedir(dir);
    return !found;
}

void test_pids_wait_reaped(void)
{
    assert_true(fault_wait(WAIT_MS, has_no_zombie, NULL));
}

void test_pids_wait_gone(const pid_t *pids, int n)
{
    assert_true(fault_wait(WAIT_MS, are_gone, &(pid_wait){.ending = pids, .n = n}));
}
