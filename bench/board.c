/* SPDX-License-Identifier: Apache-2.0 */
#include "board.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NUMBER_AT  6 /* {"i":" */
#define NUMBER_LEN 16

static size_t size_of(int64_t n)
{
    return sizeof(board) + (size_t)n * sizeof(board_job);
}

static int map(int fd, size_t len, board **ret, dureq_error *err)
{
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    int saved = errno;

    close(fd);
    if (p == MAP_FAILED)
        return dq_fail_errno(err, DUREQ_EIO, saved, "cannot map the board");
    *ret = p;
    return 0;
}

int board_create(const char *dir, int64_t n, board **ret, char *ret_path, size_t cap, dureq_error *err)
{
    int fd, rc;

    snprintf(ret_path, cap, "%s/board", dir);
    fd = open(ret_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return dq_fail_errno(err, DUREQ_EIO, errno, "cannot make %s", ret_path);
    if (ftruncate(fd, (off_t)size_of(n)) < 0) {
        int saved = errno;

        close(fd);
        return dq_fail_errno(err, DUREQ_EIO, saved, "cannot size %s", ret_path);
    }
    rc = map(fd, size_of(n), ret, err);
    if (rc < 0)
        return rc;

    (*ret)->n = n;
    return 0;
}

int board_open(const char *path, board **ret, dureq_error *err)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return dq_fail_errno(err, DUREQ_EIO, errno, "cannot open %s", path);
    if (fstat(fd, &st) < 0 || st.st_size < (off_t)sizeof(board)) {
        close(fd);
        return dq_fail(err, DUREQ_EPROTO, "%s is no board", path);
    }
    return map(fd, (size_t)st.st_size, ret, err);
}

void board_close(board *b)
{
    if (b)
        munmap(b, size_of(b->n));
}

void board_clear(board *b)
{
    memset(b->jobs, 0, (size_t)b->n * sizeof(board_job));
    atomic_store(&b->n_started, 0);
}

void board_write_payload(char *out, size_t len)
{
    static const char head[] = "{\"i\":\"0000000000000000\",\"x\":\"";
    size_t n = sizeof(head) - 1;

    memset(out, 'x', len);
    memcpy(out, head, n);
    memcpy(out + len - 2, "\"}", 2);
}

void board_write_number(char *payload, int64_t i)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t v = (uint64_t)i;

    for (int at = NUMBER_LEN - 1; at >= 0; at--, v >>= 4)
        payload[NUMBER_AT + at] = digits[v & 15];
}

int64_t board_read_number(dureq_str payload)
{
    uint64_t v = 0;

    if (payload.len < NUMBER_AT + NUMBER_LEN)
        return -1;
    for (int at = 0; at < NUMBER_LEN; at++) {
        char c = payload.ptr[NUMBER_AT + at];

        if (c >= '0' && c <= '9')
            v = v << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            v = v << 4 | (uint64_t)(c - 'a' + 10);
        else
            return -1;
    }
    return (int64_t)v;
}
