/* SPDX-License-Identifier: Apache-2.0 */
/* TZif files (RFC 9636):

       header  "TZif" version 15 x 0, six counts       the part with 32-bit times, which is passed over
       data    ...
       header  again                                   the part with 64-bit times
       data    times[n] types[n] {offset dst name}[m] names leaps ...
       footer  "\n" rule "\n"                          what holds after the last time; empty: the last type for ever

   Of a slim file the times end where the rule begins to be enough; of a fat one they go on to 2037. Only changes of the offset are kept:
   names and whether it is called daylight saving time move no clock. */

#include "calendar/zone.h"

#include <stdatomic.h>

#include "base/buf.h"
#include "base/date.h"
#include "calendar/zone_rule.h"

#define OFFSET_MAX_S (26 * 3600)
#define TIME_MAX     (INT64_C(1) << 55) /* a thousand million years: no sum with an offset overflows */

typedef struct change {
    int64_t at;
    int32_t offset; /* from then on */
} change;

struct dq_zone {
    atomic_int n_refs;
    char name[DQ_ZONE_NAME_MAX + 1];
    bool has_rule;
    dq_zone_rule rule;
    int64_t rule_from; /* before it the changes count */
    int32_t offset;    /* before the first change */
    size_t n_changes;
    change changes[]; /* in order, each another offset than the one before */
};

/* ---- names ---- */

int dq_zone_name_check(dureq_str name, dureq_error *err)
{
    static const char *const machine[] = {"localtime", "Local", "local", "posixrules"};

    for (size_t i = 0; i < DQ_ARRAY_LEN(machine); i++)
        if (dq_str_eq_text(name, machine[i]))
            return dq_fail(err, DUREQ_EINVAL, "time zone '%s' is another one on each machine: name one such as 'Europe/Berlin'",
                           machine[i]);
    if (name.len == 0 || name.len > DQ_ZONE_NAME_MAX)
        return dq_fail(err, DUREQ_EINVAL, "a time zone's name takes 1 to %d bytes", DQ_ZONE_NAME_MAX);
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool begins = i == 0 || name.ptr[i - 1] == '/';

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (!begins && ((c >= '0' && c <= '9') || strchr("_+-/", c))))
            if (c != '\0')
                continue;
        return dq_fail(err, DUREQ_EINVAL, "a time zone's name is one such as 'Europe/Berlin' or 'UTC'");
    }
    return 0;
}

/* ---- parts of the file ---- */

typedef struct counts {
    uint32_t ut, std, leaps, times, types, chars;
} counts;

static int read_header(dq_reader *r, counts *ret, char *ret_version, dureq_error *err)
{
    dureq_str magic = dq_read_bytes(r, 4);

    *ret_version = (char)dq_read_u8(r);
    (void)dq_read_bytes(r, 15);
    ret->ut = (uint32_t)dq_read_be(r, 4);
    ret->std = (uint32_t)dq_read_be(r, 4);
    ret->leaps = (uint32_t)dq_read_be(r, 4);
    ret->times = (uint32_t)dq_read_be(r, 4);
    ret->types = (uint32_t)dq_read_be(r, 4);
    ret->chars = (uint32_t)dq_read_be(r, 4);
    if (r->bad || !dq_str_eq_text(magic, "TZif"))
        return dq_fail(err, DUREQ_EPARSE, "it is no time zone file");
    if (ret->ut > 256 || ret->std > 256 || ret->types > 256 || ret->times > DQ_ZONE_FILE_MAX || ret->leaps > DQ_ZONE_FILE_MAX ||
        ret->chars > DQ_ZONE_FILE_MAX)
        return dq_fail(err, DUREQ_EPARSE, "its counts are beyond all bounds");
    return 0;
}

/* Bytes of a data part whose times have `size` bytes. */
static size_t data_len(const counts *n, size_t size)
{
    return n->times * (size + 1) + n->types * (size_t)6 + n->chars + n->leaps * (size + 4) + n->std + n->ut;
}

typedef struct data {
    counts n;
    dureq_str times, kinds, types;
} data;

/* To the data part with 64-bit times; what follows it is the footer. */
static int read_data(dq_reader *r, data *ret, dureq_error *err)
{
    char version;
    int rc = read_header(r, &ret->n, &version, err);

    if (rc < 0)
        return rc;
    if (version < '2')
        return dq_fail(err, DUREQ_EUNSUPPORTED, "it is of version 1, which has no 64-bit times");
    (void)dq_read_bytes(r, data_len(&ret->n, 4));
    rc = read_header(r, &ret->n, &version, err);
    if (rc < 0)
        return rc;
    if (ret->n.leaps)
        return dq_fail(err, DUREQ_EUNSUPPORTED, "it counts leap seconds, which Unix time does not");
    ret->times = dq_read_bytes(r, (size_t)ret->n.times * 8);
    ret->kinds = dq_read_bytes(r, ret->n.times);
    ret->types = dq_read_bytes(r, ret->n.types * (size_t)6);
    (void)dq_read_bytes(r, ret->n.chars + (size_t)ret->n.std + ret->n.ut);
    if (r->bad || ret->n.types == 0)
        return dq_fail(err, DUREQ_EPARSE, "it is cut off");
    return 0;
}

static int offset_of_type(const data *d, unsigned type, int32_t *ret, dureq_error *err)
{
    dq_reader r;

    if (type >= d->n.types)
        return dq_fail(err, DUREQ_EPARSE, "it names a type that it does not have");
    r = dq_reader_of(dureq_str_of(d->types.ptr + type * (size_t)6, 4));
    *ret = (int32_t)(uint32_t)dq_read_be(&r, 4);
    if (*ret < -OFFSET_MAX_S || *ret > OFFSET_MAX_S)
        return dq_fail(err, DUREQ_EPARSE, "it has an offset of more than 26 hours");
    return 0;
}

static int read_changes(dq_zone *z, const data *d, dureq_error *err)
{
    dq_reader times = dq_reader_of(d->times), kinds = dq_reader_of(d->kinds);
    int64_t before = INT64_MIN;
    int32_t offset;
    int rc = offset_of_type(d, 0, &z->offset, err);

    offset = z->offset;
    for (uint32_t i = 0; i < d->n.times && rc == 0; i++) {
        int64_t at = (int64_t)dq_read_be(&times, 8);
        int32_t next = 0;

        if ((i > 0 && at <= before) || at > TIME_MAX)
            return dq_fail(err, DUREQ_EPARSE, "its times are out of order");
        before = at;
        rc = offset_of_type(d, dq_read_u8(&kinds), &next, err);
        if (rc < 0 || next == offset)
            continue;
        offset = next;
        if (at < -TIME_MAX) /* "since the beginning of time" */
            z->offset = next;
        else
            z->changes[z->n_changes++] = (change){at, next};
    }
    return rc;
}

static int read_footer(dq_zone *z, dq_reader *r, const data *d, dureq_error *err)
{
    dureq_str rest = dq_read_rest(r), rule;
    dq_reader times = dq_reader_of(d->times);

    if (rest.len < 2 || rest.ptr[0] != '\n' || !memchr(rest.ptr + 1, '\n', rest.len - 1))
        return dq_fail(err, DUREQ_EPARSE, "its footer is cut off");
    rest = dureq_str_of(rest.ptr + 1, rest.len - 1);
    rule = dq_str_cut(&rest, '\n');
    if (rule.len == 0)
        return 0;
    if (dq_zone_rule_parse(rule, &z->rule) < 0)
        return dq_fail(err, DUREQ_EPARSE, "its footer is no rule: '%.*s'", (int)DQ_MIN(rule.len, (size_t)60), rule.ptr);
    z->has_rule = true;
    z->rule_from = INT64_MIN;
    for (uint32_t i = 0; i < d->n.times; i++)
        z->rule_from = (int64_t)dq_read_be(&times, 8);
    if (z->rule_from < -TIME_MAX)
        z->rule_from = INT64_MIN;
    return 0;
}

/* ---- making one ---- */

static int create(dureq_str name, size_t n_changes, dq_zone **ret, dureq_error *err)
{
    dq_zone *z = dq_calloc(1, sizeof *z + n_changes * sizeof z->changes[0]);

    if (!z)
        return dq_fail_nomem(err);
    atomic_init(&z->n_refs, 1);
    memcpy(z->name, name.ptr, DQ_MIN(name.len, (size_t)DQ_ZONE_NAME_MAX));
    *ret = z;
    return 0;
}

int dq_zone_parse(dureq_str name, dureq_str bytes, dq_zone **ret, dureq_error *err)
{
    DQ_CLEANUP(dq_zone_unref_p) dq_zone *z = NULL;
    dq_reader r = dq_reader_of(bytes);
    data d;
    int rc;

    if (bytes.len > DQ_ZONE_FILE_MAX)
        return dq_fail(err, DUREQ_EPARSE, "it has more than %d bytes", DQ_ZONE_FILE_MAX);
    rc = read_data(&r, &d, err);
    if (rc == 0)
        rc = create(name, d.n.times, &z, err);
    if (rc == 0)
        rc = read_changes(z, &d, err);
    if (rc == 0)
        rc = read_footer(z, &r, &d, err);
    if (rc < 0)
        return rc;
    *ret = DQ_TAKE(z);
    return 0;
}

int dq_zone_create_utc(dq_zone **ret, dureq_error *err)
{
    return create(DQ_STR_LIT("UTC"), 0, ret, err);
}

dq_zone *dq_zone_ref(dq_zone *z)
{
    atomic_fetch_add_explicit(&z->n_refs, 1, memory_order_relaxed);
    return z;
}

/* Release, and acquire before the memory goes: nobody's last look at the zone may come after that. */
void dq_zone_unref(dq_zone *z)
{
    if (z && atomic_fetch_sub_explicit(&z->n_refs, 1, memory_order_acq_rel) == 1)
        dq_free(z);
}

const char *dq_zone_name(const dq_zone *z)
{
    return z->name;
}

/* ---- looking up ---- */

/* How many changes are at or before this instant. */
static size_t count_until(const dq_zone *z, int64_t at)
{
    size_t low = 0, high = z->n_changes;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (z->changes[mid].at <= at)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static int32_t offset_after(const dq_zone *z, size_t n)
{
    return n ? z->changes[n - 1].offset : z->offset;
}

static dq_zone_span span_of_changes(const dq_zone *z, size_t n)
{
    return (dq_zone_span){
        .start = n ? z->changes[n - 1].at : INT64_MIN,
        .end = n < z->n_changes ? z->changes[n].at : INT64_MAX,
        .offset = offset_after(z, n),
        .offset_before = offset_after(z, n ? n - 1 : 0),
    };
}

/* Where the file's times end and its rule begins, both may have the same offset: their spans are one then. */
static dq_zone_span join(const dq_zone *z, dq_zone_span listed)
{
    dq_zone_span ruled = dq_zone_rule_span_at(&z->rule, z->rule_from);

    if (ruled.offset == listed.offset) {
        listed.end = ruled.end;
        return listed;
    }
    listed.end = z->rule_from;
    return listed;
}

dq_zone_span dq_zone_span_at(const dq_zone *z, int64_t at)
{
    dq_zone_span last, span;

    if (!z->has_rule || at < z->rule_from) {
        span = span_of_changes(z, count_until(z, at));
        return z->has_rule && span.end == INT64_MAX ? join(z, span) : span;
    }
    span = dq_zone_rule_span_at(&z->rule, at);
    if (z->rule_from == INT64_MIN || span.start > z->rule_from)
        return span;
    last = span_of_changes(z, count_until(z, z->rule_from - 1));
    if (last.offset == span.offset) {
        last.end = span.end;
        return last;
    }
    span.start = z->rule_from;
    span.offset_before = last.offset;
    return span;
}

int32_t dq_zone_offset_at(const dq_zone *z, int64_t at)
{
    return dq_zone_span_at(z, at).offset;
}

bool dq_zone_changes_between(const dq_zone *z, int64_t from, int64_t until)
{
    return dq_zone_span_at(z, from).end < until;
}

/* ---- local time to instants ---- */

/* Adds what one span has for this local time. */
static void look_at_span(const dq_zone_span *s, int64_t local, dq_zone_instants *ret)
{
    int64_t at = local - s->offset;

    if (at < s->start || at >= s->end)
        return;
    if (ret->n++ == 0) {
        ret->first = at;
        ret->until = s->end == INT64_MAX ? INT64_MAX : s->end + s->offset;
    }
    ret->last = at;
}

/* The spans within 26 hours, since no offset is more: each that has the local time names it. None does when clocks were set forward over
   it, by the first change that does so. */
dq_zone_instants dq_zone_instants_of(const dq_zone *z, int64_t local)
{
    dq_zone_instants ret = {0};
    int64_t gap_at = 0, gap_until = 0;
    bool in_gap = false;
    dq_zone_span s = dq_zone_span_at(z, local - OFFSET_MAX_S);

    for (;;) {
        int64_t begins = s.start == INT64_MIN ? INT64_MIN : s.start + s.offset;

        look_at_span(&s, local, &ret);
        if (!in_gap && begins != INT64_MIN && local >= s.start + s.offset_before && local < begins) {
            in_gap = true;
            gap_at = s.start;
            gap_until = begins;
        }
        if (s.end > local + OFFSET_MAX_S)
            break;
        s = dq_zone_span_at(z, s.end);
    }
    if (ret.n == 0) {
        ret.first = ret.last = gap_at;
        ret.until = in_gap ? gap_until : local + 1;
    }
    return ret;
}
