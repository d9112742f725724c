/* SPDX-License-Identifier: Apache-2.0 */
/* Preloaded into a redis-server whose wall clock a test sets: adds to it what the file named by DUREQ_TEST_CLOCK holds, a number of seconds
   (int64_t). Monotonic clocks go on as they do. (libfaketime cannot be used: the server's allocator reads the clock before it is ready.) */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SEEN_BY_ALL __attribute__((visibility("default")))

static const volatile int64_t *ahead_s; /* NULL: not opened yet */

__attribute__((constructor)) static void open_clock(void)
{
    const char *path = getenv("DUREQ_TEST_CLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *ahead_s, PROT_READ, MAP_SHARED, fd, 0);

    if (at == MAP_FAILED)
        _exit(126);
    close(fd);
    ahead_s = at;
}

SEEN_BY_ALL int clock_gettime(clockid_t id, struct timespec *ts)
{
    long rc = syscall(SYS_clock_gettime, id, ts);

    if (rc == 0 && ahead_s && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        ts->tv_sec += *ahead_s;
    return (int)rc;
}

SEEN_BY_ALL int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    struct timespec ts;

    (void)zone;
    clock_gettime(CLOCK_REALTIME, &ts);
    *tv = (struct timeval){.tv_sec = ts.tv_sec, .tv_usec = ts.tv_nsec / 1000};
    return 0;
}

SEEN_BY_ALL time_t time(time_t *ret)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    if (ret)
        *ret = ts.tv_sec;
    return ts.tv_sec;
}
