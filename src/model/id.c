/* SPDX-License-Identifier: Apache-2.0 */
#include "model/id.h"

#include <inttypes.h>
#include <stdio.h>

static const char digits[] = "0123456789abcdefghijklmnopqrstuv";

#define MS_BITS 44 /* of the 48 that are packed; the text has room for no more */

void dq_id_pack(const dq_id *id, unsigned char out[DQ_ID_BYTES])
{
    uint64_t low = (uint64_t)id->seq << 28 | (uint64_t)id->lane << 10 | id->shard; /* 56 bits */

    for (int i = 0; i < 6; i++)
        out[i] = (unsigned char)(id->ms >> (40 - 8 * i));
    for (int i = 0; i < 7; i++)
        out[6 + i] = (unsigned char)(low >> (48 - 8 * i));
}

static void set_low(dq_id *id, uint64_t low)
{
    id->seq = (uint32_t)(low >> 28);
    id->lane = (uint32_t)(low >> 10) & DQ_LANE_MAX;
    id->shard = (uint16_t)(low & DQ_SHARD_MAX);
}

bool dq_id_unpack(dureq_str bytes, dq_id *ret)
{
    const unsigned char *p = (const unsigned char *)bytes.ptr;
    uint64_t ms = 0, low = 0;

    if (bytes.len != DQ_ID_BYTES)
        return false;
    for (int i = 0; i < 6; i++)
        ms = ms << 8 | p[i];
    for (int i = 6; i < DQ_ID_BYTES; i++)
        low = low << 8 | p[i];
    if (ms >> MS_BITS)
        return false;
    ret->ms = ms;
    set_low(ret, low);
    return true;
}

/* 100 bits as 20 digits of 5: the 44 of the time, then the 56 others. */
void dq_id_to_text(const dq_id *id, dureq_job_id *out)
{
    uint64_t low = (uint64_t)id->seq << 28 | (uint64_t)id->lane << 10 | id->shard;
    uint64_t high = id->ms << 6 | low >> 50; /* first 50 bits */
    uint64_t rest = low & ((1ULL << 50) - 1);

    for (int i = 9; i >= 0; i--) {
        out->text[i] = digits[high & 31];
        out->text[10 + i] = digits[rest & 31];
        high >>= 5;
        rest >>= 5;
    }
    memset(out->text + DUREQ_JOB_ID_LEN, 0, sizeof out->text - DUREQ_JOB_ID_LEN);
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'v' ? c - 'a' + 10 : -1;
}

int dq_id_parse(dureq_str text, dq_id *ret)
{
    uint64_t high = 0, rest = 0;

    if (text.len != DUREQ_JOB_ID_LEN)
        return DUREQ_EINVAL;
    for (int i = 0; i < 10; i++) {
        int a = digit_of(text.ptr[i]), b = digit_of(text.ptr[10 + i]);

        if (a < 0 || b < 0)
            return DUREQ_EINVAL;
        high = high << 5 | (unsigned)a;
        rest = rest << 5 | (unsigned)b;
    }
    ret->ms = high >> 6;
    set_low(ret, (high & 63) << 50 | rest);
    return 0;
}

bool dq_id_from_entry(dureq_str entry, uint32_t lane, uint16_t shard, dq_id *ret)
{
    uint64_t part[2] = {0, 0};
    int which = 0;

    for (size_t i = 0; i < entry.len; i++) {
        char c = entry.ptr[i];

        if (c == '-' && which == 0 && i > 0) {
            which = 1;
            continue;
        }
        if (c < '0' || c > '9' || part[which] >= 1ULL << MS_BITS)
            return false;
        part[which] = part[which] * 10 + (unsigned)(c - '0');
    }
    if (which == 0 || entry.ptr[entry.len - 1] == '-' || part[0] >> MS_BITS || part[1] > DQ_ID_SEQ_MAX)
        return false;
    *ret = (dq_id){.ms = part[0], .seq = (uint32_t)part[1], .lane = lane, .shard = shard};
    return true;
}

size_t dq_id_entry(const dq_id *id, char out[32])
{
    return (size_t)snprintf(out, 32, "%" PRIu64 "-%" PRIu32, id->ms, id->seq);
}
