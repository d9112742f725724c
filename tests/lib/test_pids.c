/* SPDX-License-Identifier: Apache-2.0 */
#include "test_pids.h"

#include "fault_wait.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

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

bool test_pid_is_gone(pid_t pid)
{
    char path[40], state = 'X';
    FILE *file;

    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    file = fopen(path, "r");
    if (!file)
        return true;
    if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
        state = 'X';
    (void)fclose(file);
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

void test_pids_wait_gone(const pid_t *pids, int n)
{
    assert_true(fault_wait(WAIT_MS, are_gone, &(pid_wait){.ending = pids, .n = n}));
}
