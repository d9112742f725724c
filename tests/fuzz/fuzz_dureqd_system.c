/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "builtins.h"
#include "orphans.h"

/* Who owns a state directory is read by the file's own. */
#include "../../dureqd/embedded_check.c" /* NOLINT(bugprone-suspicious-include) */

/* What the daemon reads of programs and of the system, each from the same bytes: the environment and the state of a process in /proc, the version that
   redis-server prints, the file that names the process a state directory is of, the payload of the built-in sleep. */

static void read_process(dureq_str text)
{
    dureq_str run = dq_orphans_run_in(text);
    int64_t ticks = dq_orphans_start_in(text);

    assert(run.len == 0 || (run.ptr >= text.ptr + 13 && run.ptr + run.len <= text.ptr + text.len));
    assert(run.len == 0 || (!memchr(run.ptr, '\0', run.len) && memcmp(run.ptr - 13, "DUREQ_RUN_ID=", 13) == 0));
    (void)dq_orphans_is_context_in(text, "/run/dureqd-a");
    assert(ticks >= -1 && (ticks < 0 || memchr(text.ptr, ')', text.len)));
}

static void read_version(dureq_str text)
{
    bool valkey = false;
    int version = dq_embedded_parse_version(text, &valkey);

    assert(version >= -1 && version <= 999 * 10000 + 999 * 100 + 99);
    assert(!valkey || dq_str_starts_with(text, DQ_STR_LIT("Valkey")));
}

/* A number that a process may have, and the next one's own after whatever stood there. */
static void read_lock_file(dureq_str text)
{
    static int fd = -1;
    int64_t owner;

    if (fd < 0)
        fd = memfd_create("lock", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, 0) < 0 || (text.len > 0 && pwrite(fd, text.ptr, text.len, 0) != (ssize_t)text.len))
        abort();
    owner = read_owner(fd);
    assert(owner >= 0 && owner <= INT32_MAX);
    write_owner(fd);
    assert(read_owner(fd) == getpid());
}

static int read_sleep(dureq_str text, long n)
{
    DQ_BUF_AUTO message = {0};
    dureq_error err = {0};
    int64_t ms = -1;
    int rc;

    dq_alloc_fail_at(n);
    rc = dq_builtin_parse_sleep(text, &ms, &message, &err);
    dq_alloc_fail_at(0);
    assert(rc == 0 ? ms > 0 : err.code == rc && err.msg[0]);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dureq_str text = dureq_str_of((const char *)data, size);
    int rc;

    read_process(text);
    read_version(text);
    read_lock_file(text);
    rc = read_sleep(text, 0);
    for (long n = 1; n <= 8; n++) {
        int short_rc = read_sleep(text, n);

        assert(short_rc == rc || short_rc == DUREQ_ENOMEM);
    }
    return 0;
}
