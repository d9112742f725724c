/* SPDX-License-Identifier: Apache-2.0 */
#include "soak_board.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fault_wait.h"

#define PAYLOAD_HEAD "{\"n\": \"%012lld\", \"text\": \""

/* A job's byte. */
#define ACKNOWLEDGED 0x80
#define REFUSED      0x40
#define STARTS       0x3f

static soak_board *map(int fd, size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (at == MAP_FAILED)
        fault_die("the board cannot be mapped");
    return at;
}

/* The file has holes: a job costs its byte when it is made. */
int soak_board_create(int64_t n_max, soak_board **ret)
{
    size_t bytes = sizeof(soak_board) + (size_t)n_max;
    int fd = memfd_create("board", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0)
        fault_die("no memory for a board of %lld", (long long)n_max);
    *ret = map(fd, bytes);
    (*ret)->n_max = n_max;
    return fd;
}

soak_board *soak_board_attach(int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        fault_die("no board at descriptor %d", fd);
    return map(fd, (size_t)st.st_size);
}

/* ---- jobs ---- */

soak_kind soak_kind_of(int64_t number)
{
    if (number % 4096 == 7)
        return SOAK_DEAD;
    switch (number % 64) {
    case 1: return SOAK_FLAKY_1;
    case 2: return SOAK_FLAKY_2;
    case 3: return SOAK_SLOW;
    case 4:
    case 5: return SOAK_UNIQUE;
    case 6: return SOAK_DELAYED;
    default: return SOAK_PLAIN;
    }
}

static int starts_wanted(int64_t number)
{
    switch (soak_kind_of(number)) {
    case SOAK_FLAKY_1: return 2;
    case SOAK_FLAKY_2: return 3;
    default: return 1;
    }
}

void soak_payload_write(char out[SOAK_PAYLOAD], int64_t number)
{
    int len = snprintf(out, SOAK_PAYLOAD, PAYLOAD_HEAD, (long long)number);

    memset(out + len, 'x', (size_t)(SOAK_PAYLOAD - len - 2));
    memcpy(out + SOAK_PAYLOAD - 2, "\"}", 2);
}

int64_t soak_payload_read(dureq_str payload)
{
    int64_t number;

    if (payload.len != SOAK_PAYLOAD || dq_parse_i64(dureq_str_of(payload.ptr + 7, 12), 0, INT64_MAX, &number) < 0)
        return -1;
    return number;
}

/* ---- what becomes of them ---- */

void soak_note_start(soak_board *b, soak_who node, int64_t number)
{
    uint8_t was = atomic_load(&b->jobs[number]);

    while ((was & STARTS) != STARTS && !atomic_compare_exchange_weak(&b->jobs[number], &was, (uint8_t)(was + 1)))
        ;
    if ((was & STARTS) == 0)
        atomic_fetch_add(&b->ran, 1);
    atomic_fetch_add(&b->did[node], 1);
}

void soak_note_answer(soak_board *b, soak_who producer, int64_t number, int code)
{
    if (code == DUREQ_EUNKNOWN) {
        atomic_fetch_add(&b->unknown, 1);
        return;
    }
    atomic_fetch_or(&b->jobs[number], code == 0 ? ACKNOWLEDGED : REFUSED);
    if (code == 0) {
        atomic_fetch_add(&b->acknowledged, 1);
        atomic_fetch_add(&b->did[producer], 1);
    } else if (code != DUREQ_EDUPLICATE) {
        atomic_fetch_add(&b->failed, 1);
    }
}

int soak_starts(const soak_board *b, int64_t number)
{
    return atomic_load(&b->jobs[number]) & STARTS;
}

static void count_job(soak_tally *t, int64_t number, uint8_t byte)
{
    int starts = byte & STARTS;

    t->starts += starts;
    t->there += (byte & ACKNOWLEDGED) || starts > 0;
    t->again += DQ_MAX(starts - starts_wanted(number), 0);
    if (byte & ACKNOWLEDGED) {
        t->acknowledged++;
        t->lost += starts == 0;
    } else if (byte & REFUSED) {
        t->refused++;
        t->refused_and_started += starts > 0;
    } else {
        t->orphaned++;
        t->orphaned_and_there += starts > 0;
    }
}

soak_tally soak_board_tally(const soak_board *b)
{
    soak_tally t = {.made = DQ_MIN(atomic_load(&b->next), b->n_max)};

    for (int64_t i = 0; i < t.made; i++)
        count_job(&t, i, atomic_load(&b->jobs[i]));
    return t;
}
