/* SPDX-License-Identifier: Apache-2.0 */
#include "calendar/zone.h"

#include <stdlib.h>
#include <time.h>

#include "base/base.h"
#include "base/buf.h"
#include "base/date.h"
#include "expect.h"
#include "test_zones.h"

/* Every zone of the system's tzdata against the C library. A tenth of them in the short form; all with DUREQ_TEST_WHOLE=1. */

#define YEAR_S 31556952
#define FROM   (-70 * (int64_t)YEAR_S) /* 1900 */
#define UNTIL  (208 * (int64_t)YEAR_S) /* 2178 */
#define LOOKS  3000

static size_t step(void)
{
    return getenv("DUREQ_TEST_WHOLE") ? 1 : 10;
}

/* The C library's offset in the zone of TZ. */
static int64_t libc_offset(int64_t at)
{
    time_t t = (time_t)at;
    struct tm tm;

    EXPECT_TRUE(localtime_r(&t, &tm) != NULL);
    return tm.tm_gmtoff;
}

static void offsets_of(const char *name, dq_zone *zone, void *data)
{
    uint64_t *random = data;

    test_zone_use(name);
    EXPECT_NOTE("zone %s", name);
    EXPECT_TRUE(zone != NULL);
    for (int i = 0; i < LOOKS; i++) {
        int64_t at = FROM + (UNTIL - FROM) / LOOKS * i;

        *random = *random * 6364136223846793005u + 1442695040888963407u;
        at += (int64_t)(*random >> 33) % ((UNTIL - FROM) / LOOKS);
        EXPECT_NOTE("zone %s at %lld", name, (long long)at);
        EXPECT_I64(libc_offset(at), dq_zone_offset_at(zone, at));
    }
}

TEST(offsets_of_every_zone_are_those_of_the_c_library)
{
    uint64_t random = 1;

    EXPECT_TRUE(test_zones_each(step(), offsets_of, &random) >= 300 / step());
}

/* Around a change the instants of a local time are, by brute force, those of which the C library says so. */
static void check_local(const int64_t *offsets, size_t n_offsets, const dq_zone *zone, int64_t local)
{
    dq_zone_instants got = dq_zone_instants_of(zone, local);
    int64_t first = INT64_MAX, last = INT64_MIN;
    int n = 0;

    for (size_t i = 0; i < n_offsets; i++) {
        int64_t at = local - offsets[i];

        if (libc_offset(at) != offsets[i])
            continue;
        n++;
        first = DQ_MIN(first, at);
        last = DQ_MAX(last, at);
    }
    EXPECT_I64(n, got.n);
    EXPECT_TRUE(got.until > local);
    if (n == 0) { /* the first instant after the gap */
        EXPECT_TRUE(got.first + libc_offset(got.first) > local);
        EXPECT_TRUE(got.first - 1 + libc_offset(got.first - 1) < local);
        return;
    }
    EXPECT_I64(first, got.first);
    EXPECT_I64(last, got.last);
}

static void check_change(const char *name, const dq_zone *zone, int64_t at)
{
    static const int64_t around[] = {-90000, -7200, -3601, -3600, -3599, -1800, -2,   -1,   0,
                                     1,      2,     1799,  1800,  3599,  3600,  3601, 90000};
    int64_t offsets[16];
    size_t n = 0;

    for (int64_t u = at - 2 * DQ_DAY_S - 1; u <= at + 2 * DQ_DAY_S; u += 1800) {
        int64_t offset = libc_offset(u);
        size_t i = 0;

        while (i < n && offsets[i] != offset)
            i++;
        if (i == n && n < DQ_ARRAY_LEN(offsets))
            offsets[n++] = offset;
    }
    for (size_t i = 0; i < DQ_ARRAY_LEN(around); i++)
        for (int side = 0; side < 2; side++) {
            EXPECT_NOTE("zone %s, change at %lld, local time %lld s from it, side %d", name, (long long)at, (long long)around[i],
                        side);
            check_local(offsets, n, zone, at + libc_offset(at - side) + around[i]);
        }
}

static void changes_of(const char *name, dq_zone *zone, void *data)
{
    int64_t at = FROM;
    int64_t *n = data;

    test_zone_use(name);
    EXPECT_NOTE("zone %s", name);
    EXPECT_TRUE(zone != NULL);
    for (;;) {
        dq_zone_span s = dq_zone_span_at(zone, at);

        EXPECT_TRUE(s.end > at && s.start <= at);
        if (s.end > UNTIL)
            break;
        EXPECT_NOTE("zone %s, change at %lld", name, (long long)s.end);
        EXPECT_I64(libc_offset(s.end - 1), s.offset);
        EXPECT_TRUE(libc_offset(s.end) != s.offset);
        EXPECT_I64(s.offset, dq_zone_span_at(zone, s.end).offset_before);
        EXPECT_I64(s.end, dq_zone_span_at(zone, s.end).start);
        check_change(name, zone, s.end);
        at = s.end;
        (*n)++;
    }
}

TEST(local_times_around_every_change_are_those_of_brute_force)
{
    int64_t n = 0;

    (void)test_zones_each(step(), changes_of, &n);
    EXPECT_TRUE(n > 30000 / (int64_t)step());
}

/* Second by second over days in which something unusual happens. */
TEST(local_times_are_those_of_a_scan_over_each_second)
{
    static const struct {
        const char *zone;
        int64_t middle;
    } rows[] = {
        {"America/New_York", 1772953200},    /* 2026-03-08: 02:00 to 03:00 */
        {"America/New_York", 1793512800},    /* 2026-11-01: 02:00 to 01:00 */
        {"Australia/Lord_Howe", 1775314800}, /* 2026-04-05: back by half an hour */
        {"Pacific/Apia", 1325239200},        /* 2011-12-30 was left out */
        {"Africa/Casablanca", 1771120800},   /* negative saving time */
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        dq_zone *zone = test_zone_open(rows[i].zone);
        int64_t n_local = 4 * DQ_DAY_S, from, base = rows[i].middle - 2 * DQ_DAY_S;
        int64_t *first = dq_calloc((size_t)n_local, sizeof *first), *n = dq_calloc((size_t)n_local, sizeof *n);

        EXPECT_TRUE(zone != NULL && first && n);
        test_zone_use(rows[i].zone);
        from = base + libc_offset(rows[i].middle);
        for (int64_t u = base - 2 * DQ_DAY_S; u < base + 6 * DQ_DAY_S; u++) {
            int64_t local = u + dq_zone_offset_at(zone, u) - from;

            if (local < 0 || local >= n_local)
                continue;
            if (n[local]++ == 0)
                first[local] = u;
        }
        for (int64_t local = 0; local < n_local; local += 7) {
            dq_zone_instants got = dq_zone_instants_of(zone, from + local);

            EXPECT_NOTE("%s, local second %lld", rows[i].zone, (long long)local);
            EXPECT_I64(n[local], got.n);
            if (n[local])
                EXPECT_I64(first[local], got.first);
        }
        dq_free(first);
        dq_free(n);
        dq_zone_unref(zone);
    }
}

/* ---- files made here: slim and fat, rules that no zone of today has, and bytes that are none ---- */

static void put_header(dq_buf *b, char version, uint32_t times, uint32_t types, uint32_t leaps)
{
    dq_buf_append(b, "TZif", 4);
    dq_buf_append_char(b, version);
    for (int i = 0; i < 15; i++)
        dq_buf_append_char(b, 0);
    dq_buf_append_u32be(b, 0);
    dq_buf_append_u32be(b, 0);
    dq_buf_append_u32be(b, leaps);
    dq_buf_append_u32be(b, times);
    dq_buf_append_u32be(b, types);
    dq_buf_append_u32be(b, 4);
}

typedef struct made {
    char version;
    uint32_t n_times, n_types, leaps;
    int64_t times[4];
    unsigned char kinds[4];
    int32_t offsets[4];
    const char *footer;
} made;

static void make_file(const made *m, dq_buf *b)
{
    put_header(b, m->version, 0, 1, 0);
    dq_buf_append(b, "\0\0\0\0\0\0UTC\0", 10);
    put_header(b, m->version, m->n_times, m->n_types, m->leaps);
    for (uint32_t i = 0; i < m->n_times; i++)
        dq_buf_append_u64be(b, (uint64_t)m->times[i]);
    dq_buf_append(b, m->kinds, m->n_times);
    for (uint32_t i = 0; i < m->n_types; i++) {
        dq_buf_append_u32be(b, (uint32_t)m->offsets[i]);
        dq_buf_append(b, "\0\0", 2);
    }
    dq_buf_append(b, "ABC\0", 4);
    for (uint32_t i = 0; i < m->leaps * 12; i++)
        dq_buf_append_char(b, 0);
    dq_buf_append_text(b, m->footer);
}

static int parse(const made *m, dq_zone **ret, dureq_error *err)
{
    DQ_BUF_AUTO b = {0};

    make_file(m, &b);
    return dq_zone_parse(DQ_STR_LIT("Made/Up"), dq_buf_str(&b), ret, err);
}

TEST(a_rule_alone_says_the_offset_at_every_instant)
{
    static const struct {
        const char *rule;
        int64_t at;
        int32_t offset;
    } rows[] = {
        {"\nEST5EDT,M3.2.0,M11.1.0\n", 1772953199, -18000},
        {"\nEST5EDT,M3.2.0,M11.1.0\n", 1772953200, -14400},
        {"\nEST5EDT,M3.2.0,M11.1.0\n", 1793512799, -14400},
        {"\nEST5EDT,M3.2.0,M11.1.0\n", 1793512800, -18000},
        {"\nIST-1GMT0,M10.5.0,M3.5.0/1\n", 1774745999, 0},    /* Dublin: winter is the exception */
        {"\nIST-1GMT0,M10.5.0,M3.5.0/1\n", 1774746000, 3600}, /* 2026-03-29 01:00Z */
        {"\n<-02>2<-01>,M3.5.0/-1,M10.5.0/0\n", 1774745999, -7200},
        {"\n<-02>2<-01>,M3.5.0/-1,M10.5.0/0\n", 1774746000, -3600}, /* Nuuk: the Saturday at 23:00 */
        {"\nXXX3EDT4,0/0,J365/23\n", 1767236400, -14400},           /* saving time all the year, at each boundary */
        {"\nXXX3EDT4,0/0,J365/23\n", 1767236399, -14400},
        {"\nXXX3EDT4,0/0,J365/23\n", 1767236401, -14400},
        {"\nXXX3EDT4,0/0,J365/23\n", 1780000000, -14400},
        {"\n<+03>-3\n", 1780000000, 10800},
        {"\nAAA0BBB,M1.1.0/167,M6.1.0/-167\n", 1768085999, 0}, /* first Sunday, 4 January, and 167 h */
        {"\nAAA0BBB,M1.1.0/167,M6.1.0/-167\n", 1768086000, 3600},
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        made m = {.version = '3', .n_types = 1, .footer = rows[i].rule};
        dq_zone *zone = NULL;
        dureq_error err = {0};

        EXPECT_NOTE("%s at %lld", rows[i].rule, (long long)rows[i].at);
        EXPECT_RC(0, parse(&m, &zone, &err));
        EXPECT_I64(rows[i].offset, dq_zone_offset_at(zone, rows[i].at));
        dq_zone_unref(zone);
    }
}

TEST(saving_time_all_the_year_never_changes)
{
    made m = {.version = '3', .n_types = 1, .footer = "\nXXX3EDT4,0/0,J365/23\n"};
    dq_zone *zone = NULL;
    dureq_error err = {0};

    EXPECT_RC(0, parse(&m, &zone, &err));
    for (int64_t at = 1700000000; at < 1900000000; at += 864013)
        EXPECT_FALSE(dq_zone_changes_between(zone, at, INT64_MAX));
    dq_zone_unref(zone);
}

/* Where listed times end in the middle of a year, the rule goes on from there. */
TEST(a_rule_begins_where_the_listed_times_end)
{
    made m = {.version = '2',
              .n_times = 2,
              .n_types = 3,
              .times = {1600000000, 1770000000},
              .kinds = {1, 2},
              .offsets = {100, -18000, -18000},
              .footer = "\nEST5EDT,M3.2.0,M11.1.0\n"};
    dq_zone *zone = NULL;
    dureq_error err = {0};
    dq_zone_span s;

    EXPECT_RC(0, parse(&m, &zone, &err));
    EXPECT_I64(100, dq_zone_offset_at(zone, INT64_MIN / 4));
    s = dq_zone_span_at(zone, 1769999999);
    EXPECT_I64(1600000000, s.start);
    EXPECT_I64(1772953200, s.end);
    s = dq_zone_span_at(zone, 1770000001);
    EXPECT_I64(1600000000, s.start);
    EXPECT_I64(1772953200, s.end);
    EXPECT_I64(100, s.offset_before);
    EXPECT_I64(1, dq_zone_instants_of(zone, 1600000000 + 200).n);
    EXPECT_I64(2, dq_zone_instants_of(zone, 1600000000).n);
    dq_zone_unref(zone);
}

TEST(bytes_that_are_no_zone_say_why)
{
    static const struct {
        made m;
        int rc;
        const char *says;
    } rows[] = {
        {{.version = '\0', .n_types = 1, .footer = ""}, DUREQ_EUNSUPPORTED, "version 1"},
        {{.version = '2', .n_types = 1, .leaps = 1, .footer = "\n\n"}, DUREQ_EUNSUPPORTED, "leap seconds"},
        {{.version = '2', .n_types = 0, .footer = "\n\n"}, DUREQ_EPARSE, "cut off"},
        {{.version = '2', .n_types = 1, .footer = ""}, DUREQ_EPARSE, "footer"},
        {{.version = '2', .n_types = 1, .footer = "\nEST5"}, DUREQ_EPARSE, "footer"},
        {{.version = '2', .n_types = 1, .footer = "\nEST5EDT\n"}, DUREQ_EPARSE, "no rule"},
        {{.version = '2', .n_types = 1, .footer = "\nEST5EDT,M13.1.0,M1.1.0\n"}, DUREQ_EPARSE, "no rule"},
        {{.version = '2', .n_types = 1, .footer = "\nEST5EDT,M3.2.0/168,M11.1.0\n"}, DUREQ_EPARSE, "no rule"},
        {{.version = '2', .n_types = 1, .footer = "\nEST5EDT,M3.2.0,M11.1.0x\n"}, DUREQ_EPARSE, "no rule"},
        {{.version = '2', .n_types = 1, .footer = "\nES5\n"}, DUREQ_EPARSE, "no rule"},
        {{.version = '2', .n_types = 1, .footer = "\n<+0330-3:30\n"}, DUREQ_EPARSE, "no rule"},
        {{.version = '2', .n_types = 1, .offsets = {100000}, .footer = "\n\n"}, DUREQ_EPARSE, "26 hours"},
        {{.version = '2', .n_times = 2, .n_types = 1, .times = {5, 5}, .footer = "\n\n"}, DUREQ_EPARSE, "out of order"},
        {{.version = '2', .n_times = 1, .n_types = 1, .times = {INT64_MAX}, .footer = "\n\n"}, DUREQ_EPARSE, "out of order"},
        {{.version = '2', .n_times = 1, .n_types = 1, .kinds = {1}, .footer = "\n\n"}, DUREQ_EPARSE, "does not have"},
        {{.version = '2', .n_types = 300, .footer = "\n\n"}, DUREQ_EPARSE, "bounds"},
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        DQ_BUF_AUTO b = {0};
        dq_zone *zone = NULL;
        dureq_error err = {0};

        EXPECT_NOTE("row %zu", i);
        put_header(&b, rows[i].m.version, 0, 1, 0);
        if (rows[i].m.n_types > 4) { /* only the counts: there are no such types */
            dq_buf_append(&b, "\0\0\0\0\0\0UTC\0", 10);
            put_header(&b, rows[i].m.version, 0, rows[i].m.n_types, 0);
            EXPECT_RC(rows[i].rc, dq_zone_parse(DQ_STR_LIT("Made/Up"), dq_buf_str(&b), &zone, &err));
        } else {
            EXPECT_RC(rows[i].rc, parse(&rows[i].m, &zone, &err));
        }
        EXPECT_HAS(rows[i].says, err.msg);
        EXPECT_PTR(NULL, zone);
    }
}

/* Both forms of a zone say the same: New York with its rule alone from 2007 on, and the system's file. */
TEST(a_slim_file_says_what_a_fat_one_says)
{
    made m = {.version = '2',
              .n_times = 1,
              .n_types = 2,
              .times = {1173596400},
              .kinds = {1},
              .offsets = {-18000, -14400},
              .footer = "\nEST5EDT,M3.2.0,M11.1.0\n"};
    dq_zone *slim = NULL, *fat = test_zone_open("America/New_York");
    dureq_error err = {0};

    EXPECT_RC(0, parse(&m, &slim, &err));
    EXPECT_TRUE(fat != NULL);
    for (int64_t at = 1173596400; at < UNTIL; at += 35 * 3600 + 17) {
        dq_zone_span a = dq_zone_span_at(slim, at), b = dq_zone_span_at(fat, at);

        EXPECT_I64(b.offset, a.offset);
        EXPECT_I64(b.end, a.end);
        EXPECT_I64(b.start, a.start);
    }
    dq_zone_unref(slim);
    dq_zone_unref(fat);
}

TEST(a_name_leads_nowhere_else)
{
    static const char *const good[] = {"UTC",       "Europe/Berlin", "America/Argentina/Buenos_Aires",
                                       "Etc/GMT+5", "EST5EDT",       "America/Port-au-Prince"};
    static const char *const bad[] = {"",     "/etc/passwd", "../x",  "Europe//Berlin", "Europe/../x", "a b", "Europe/Berlin\n",
                                      ":UTC", "localtime",   "Local", "posixrules",     "1x",          ".x",  "Europe/.x"};

    for (size_t i = 0; i < DQ_ARRAY_LEN(good); i++)
        EXPECT_RC(0, dq_zone_name_check(dureq_str_from(good[i]), NULL));
    for (size_t i = 0; i < DQ_ARRAY_LEN(bad); i++) {
        EXPECT_NOTE("'%s'", bad[i]);
        EXPECT_RC(DUREQ_EINVAL, dq_zone_name_check(dureq_str_from(bad[i]), NULL));
    }
    EXPECT_RC(DUREQ_EINVAL, dq_zone_name_check(DQ_STR_LIT("UTC\0"), NULL));
}

TEST_MAIN()
