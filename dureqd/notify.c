/* SPDX-License-Identifier: Apache-2.0 */
#include "notify.h"

#include "base/str.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void dq_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    size_t n = path ? strlen(path) : 0;
    int fd;

    if (n < 2 || n >= sizeof addr.sun_path || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(addr.sun_path, path, n);
    if (path[0] == '@')
        addr.sun_path[0] = '\0'; /* of the abstract name space */
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&addr,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
    (void)close(fd);
}

int64_t dq_notify_watchdog_every_us(void)
{
    int64_t usec, pid;

    if (dq_parse_i64(dureq_str_from(getenv("WATCHDOG_USEC")), 1, INT64_MAX, &usec) < 0)
        return 0;
    if (getenv("WATCHDOG_PID") &&
        (dq_parse_i64(dureq_str_from(getenv("WATCHDOG_PID")), 1, INT32_MAX, &pid) < 0 || pid != getpid()))
        return 0;
    return usec / 2;
}
