/* SPDX-License-Identifier: Apache-2.0 */
/* Random cron expressions against a scan over every minute of ten years, in zones with daylight saving time. The scan knows the
   expression as the generator made it, not as the parser reads it, and the zone as the C library has it. 100 expressions; 2,000 with
   DUREQ_TEST_WHOLE=1, from another start with DUREQ_TEST_SEED=N. */

#include "calendar/calendar.h"

#include <stdlib.h>
#include <time.h>

#include "base/date.h"
#include "expect.h"
#include "test_zones.h"

#define FROM      INT64_C(1767225600) /* 2026-01-01 */
#define N_MINUTES (10 * 366 * 1440)
#define N_LOCAL   (N_MINUTES + 4 * 1440) /* local minutes from two days before */
#define LOCAL_OF  (FROM - 2 * DQ_DAY_S)
#define TAKEN_MAX 20000 /* occurrences compared one by one; of more, those around random instants */
#define SHORT_MAX 50000 /* occurrences scanned for in the short form; then the horizon is nearer */
#define LIST_MAX  6000000

/* ---- the zone, minute by minute ---- */

static int32_t first_of[N_LOCAL], last_of[N_LOCAL]; /* UTC minutes from FROM; first: after the gap where there is none */
static bool exists[N_LOCAL];

static void fill_zone(const char *name)
{
    int64_t offset = 0, reached = -1;

    test_zone_use(name);
    memset(exists, 0, sizeof exists);
    for (int64_t u = -2 * 1440; u < N_MINUTES + 2 * 1440; u++) {
        int64_t local;

        if (u % 15 == 0) {
            time_t t = (time_t)(FROM + u * 60);
            struct tm tm;

            EXPECT_TRUE(localtime_r(&t, &tm) != NULL);
            offset = tm.tm_gmtoff / 60;
        }
        local = u + offset + 2 * 1440;
        if (local < 0 || local >= N_LOCAL)
            continue;
        for (int64_t missing = reached + 1; reached >= 0 && missing < local; missing++)
            first_of[missing] = last_of[missing] = (int32_t)u;
        if (!exists[local])
            first_of[local] = (int32_t)u;
        exists[local] = true;
        last_of[local] = (int32_t)u;
        reached = DQ_MAX(reached, local);
    }
}

/* ---- random expressions ---- */

static uint64_t randomness = 1;

static int pick(int n)
{
    randomness = randomness * 6364136223846793005u + 1442695040888963407u;
    return (int)((randomness >> 33) % (uint64_t)n);
}

typedef enum kind { RANGE, LAST, NEAR, LAST_WORKDAY, LAST_OF, NTH_OF } kind;

typedef struct item {
    kind kind;
    int from, to, step;
} item;

typedef struct field {
    bool star;
    int n;
    item items[3];
    char text[64];
} field;

enum { SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY, N_FIELDS };

static const int lows[] = {0, 0, 0, 1, 1, 0}, highs[] = {59, 59, 23, 31, 12, 6};

static void add(field *f, item i, const char *fmt, int a, int b, int c)
{
    size_t len = strlen(f->text);

    len += (size_t)snprintf(f->text + len, sizeof f->text - len, "%s", f->n ? "," : "");
    f->items[f->n++] = i;
    switch (fmt[0]) {
    case '*': (void)snprintf(f->text + len, sizeof f->text - len, c > 1 ? "*/%d" : "*", c); break;
    case '/': (void)snprintf(f->text + len, sizeof f->text - len, "%d/%d", a, c); break;
    case '-': (void)snprintf(f->text + len, sizeof f->text - len, c > 1 ? "%d-%d/%d" : "%d-%d", a, b, c); break;
    case '1': (void)snprintf(f->text + len, sizeof f->text - len, "%d", a); break;
    case 'L': (void)snprintf(f->text + len, sizeof f->text - len, a ? "L-%d" : "L", a); break;
    case 'W': (void)snprintf(f->text + len, sizeof f->text - len, "%dW", a); break;
    case 'w': (void)snprintf(f->text + len, sizeof f->text - len, "LW"); break;
    case 'l': (void)snprintf(f->text + len, sizeof f->text - len, "%dL", a); break;
    case '#': (void)snprintf(f->text + len, sizeof f->text - len, "%d#%d", a, b); break;
    default: (void)snprintf(f->text + len, sizeof f->text - len, "?"); break;
    }
}

static void add_special(field *f, int id)
{
    int n;

    if (id == DAY) {
        switch (pick(4)) {
        case 0: add(f, (item){LAST, 0, 0, 0}, "L", 0, 0, 0); return;
        case 1:
            n = 1 + pick(10);
            add(f, (item){LAST, n, 0, 0}, "L", n, 0, 0);
            return;
        case 2:
            n = 1 + pick(31);
            add(f, (item){NEAR, n, 0, 0}, "W", n, 0, 0);
            return;
        default: add(f, (item){LAST_WORKDAY, 0, 0, 0}, "w", 0, 0, 0); return;
        }
    }
    n = pick(8);
    if (pick(2)) {
        add(f, (item){LAST_OF, n % 7, 0, 0}, "l", n, 0, 0);
    } else {
        int nth = 1 + pick(5);

        add(f, (item){NTH_OF, n % 7, nth, 0}, "#", n, nth, 0);
    }
}

static void add_item(field *f, int id)
{
    int low = lows[id], high = highs[id], a = low + pick(high - low + 1), b = a + pick(high - a + 1),
        step = 1 + pick((high - low) / 2);

    if ((id == DAY || id == WEEKDAY) && pick(3) == 0) {
        add_special(f, id);
        return;
    }
    switch (pick(4)) {
    case 0: add(f, (item){RANGE, a, a, 1}, "1", a, 0, 0); break;
    case 1: add(f, (item){RANGE, a, b, step}, "-", a, b, step); break;
    case 2: add(f, (item){RANGE, a, high, step}, "/", a, 0, step); break;
    default: add(f, (item){RANGE, a, b, 1}, "-", a, b, 1); break;
    }
}

static void make_field(field *f, int id)
{
    int low = lows[id], high = highs[id], step;

    memset(f, 0, sizeof *f);
    switch (pick(4)) {
    case 0:
        f->star = true;
        add(f, (item){RANGE, low, high, 1}, (id == DAY || id == WEEKDAY) && pick(2) ? "?" : "*", 0, 0, 1);
        return;
    case 1:
        if (id == MINUTE || pick(3) == 0) {
            step = 1 + pick((high - low) / 2);
            f->star = true;
            add(f, (item){RANGE, low, high, step}, "*", 0, 0, step);
            return;
        }
        break;
    default: break;
    }
    for (int n = 1 + pick(id == MINUTE || id == HOUR ? 3 : 2); n > 0; n--)
        add_item(f, id);
}

/* ---- what the expression means, by the book ---- */

static int workday_near(int64_t first, int len, int day)
{
    int weekday = dq_weekday_of_days(first + day - 1);

    if (weekday == 6)
        return day > 1 ? day - 1 : 3;
    if (weekday == 0)
        return day < len ? day + 1 : day - 2;
    return day;
}

static bool fits(const field *f, int value, int64_t first, int len, int day)
{
    int weekday = dq_weekday_of_days(first + day - 1);

    for (int i = 0; i < f->n; i++) {
        const item *it = &f->items[i];

        switch (it->kind) {
        case RANGE:
            for (int v = it->from; v <= it->to; v += it->step)
                if (v == value)
                    return true;
            break;
        case LAST:
            if (day == len - it->from)
                return true;
            break;
        case NEAR:
            if (it->from <= len && day == workday_near(first, len, it->from))
                return true;
            break;
        case LAST_WORKDAY:
            if (day == workday_near(first, len, len))
                return true;
            break;
        case LAST_OF:
            if (weekday == it->from && day + 7 > len)
                return true;
            break;
        case NTH_OF:
            if (weekday == it->from && (day - 1) / 7 + 1 == it->to)
                return true;
            break;
        }
    }
    return false;
}

static bool day_fits(const field *f, int64_t days)
{
    dq_date d = dq_date_of_days(days);
    int64_t first = days - d.day + 1;
    int len = dq_days_in_month(d.year, d.month);
    bool by_day = fits(&f[DAY], d.day, first, len, d.day);
    bool by_weekday = fits(&f[WEEKDAY], dq_weekday_of_days(days), first, len, d.day);

    if (!fits(&f[MONTH], d.month, first, len, d.day))
        return false;
    return !f[DAY].star && !f[WEEKDAY].star ? by_day || by_weekday : by_day && by_weekday;
}

static int64_t *list;
static size_t n_list;

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static int seconds[60], n_seconds;

static void add_minute(int64_t at_minute, bool is_gap)
{
    for (int i = 0; i < (is_gap ? 1 : n_seconds); i++)
        list[n_list++] = FROM + at_minute * 60 + (is_gap ? 0 : seconds[i]);
}

/* Returns until when the list is whole. */
static int64_t scan(const field *f, bool skips_gap, bool takes_both)
{
    size_t cap = getenv("DUREQ_TEST_WHOLE") ? LIST_MAX : SHORT_MAX;
    static int minutes[1440];
    bool elapsed = f[HOUR].star;
    int n_minutes = 0;
    size_t n = 0;

    for (int m = 0; m < 1440; m++)
        if (fits(&f[MINUTE], m % 60, 0, 31, 1) && fits(&f[HOUR], m / 60, 0, 31, 1))
            minutes[n_minutes++] = m;
    n_list = 0;
    n_seconds = 0;
    for (int s = 0; s < 60; s++)
        if (fits(&f[SECOND], s, 0, 31, 1))
            seconds[n_seconds++] = s;
    for (int64_t day = 0; day < N_LOCAL / 1440 - 3; day++) {
        if (!day_fits(f, dq_floor_div(LOCAL_OF, DQ_DAY_S) + day))
            continue;
        for (int m = 0; m < n_minutes && n_list + 200 < cap; m++) {
            int64_t local = day * 1440 + minutes[m];

            if (!exists[local]) {
                if (!skips_gap && !elapsed)
                    add_minute(first_of[local], true);
                continue;
            }
            add_minute(first_of[local], false);
            if ((takes_both || elapsed) && last_of[local] != first_of[local])
                add_minute(last_of[local], false);
        }
    }
    qsort(list, n_list, sizeof *list, compare);
    for (size_t i = 0; i < n_list; i++)
        if (n == 0 || list[i] != list[n - 1])
            list[n++] = list[i];
    n_list = n;
    return n_list + 200 < cap ? INT64_MAX : list[n_list - 1] - 2 * DQ_DAY_S;
}

/* ---- comparison ---- */

static void check_from(const dq_calendar *c, size_t i, size_t count, int64_t horizon)
{
    int64_t after = i ? list[i - 1] : FROM - 1;

    while (i < n_list && list[i] < FROM)
        i++;
    after = DQ_MAX(after, FROM - 1);
    for (; count > 0; count--, i++) {
        int64_t at = INT64_MAX;
        bool found = dq_calendar_next(c, after, &at);

        if (i >= n_list || list[i] >= horizon) {
            EXPECT_TRUE(!found || at >= horizon);
            return;
        }
        if (!found || list[i] != at) /* printing is what costs */
            EXPECT_I64(list[i], at);
        after = at;
    }
}

static void check_expression(const char *zone_name, dq_zone *zone)
{
    field f[N_FIELDS];
    char text[512];
    bool has_seconds = pick(4) == 0;
    dureq_schedule s = dureq_schedule_init();
    int64_t horizon = FROM + (int64_t)(10 * 365) * DQ_DAY_S - 5 * DQ_DAY_S, newest = 0;
    dq_calendar c;
    dureq_error err = {0};

    for (int id = 0; id < N_FIELDS; id++)
        make_field(&f[id], id);
    if (!has_seconds) {
        memset(&f[SECOND], 0, sizeof f[SECOND]);
        add(&f[SECOND], (item){RANGE, 0, 0, 1}, "1", 0, 0, 0);
    } else if (f[SECOND].star || f[SECOND].n > 1) { /* not millions of them */
        memset(&f[SECOND], 0, sizeof f[SECOND]);
        add(&f[SECOND], (item){RANGE, 7, 59, 26}, "/", 7, 0, 26);
    }
    (void)snprintf(text, sizeof text, "%s%s%s %s %s %s %s", has_seconds ? f[SECOND].text : "", has_seconds ? " " : "",
                   f[MINUTE].text, f[HOUR].text, f[DAY].text, f[MONTH].text, f[WEEKDAY].text);
    s.type = DUREQ_SCHEDULE_CRON;
    s.cron_expr = text;
    s.timezone = zone_name;
    s.gap = pick(2) ? DUREQ_GAP_SKIP : DUREQ_GAP_AFTER;
    s.overlap_hour = pick(2) ? DUREQ_OVERLAP_HOUR_BOTH : DUREQ_OVERLAP_HOUR_FIRST;
    EXPECT_NOTE("'%.150s' in %.40s, gap %d, overlap_hour %d", text, zone_name, (int)s.gap, (int)s.overlap_hour);
    if (dq_calendar_compile(&c, &s, FROM * 1000, &err) < 0)
        print_error("%s\n", err.msg);
    EXPECT_RC(0, err.code);
    dq_calendar_use_zone(&c, zone);
    horizon = DQ_MIN(horizon, scan(f, s.gap == DUREQ_GAP_SKIP, s.overlap_hour == DUREQ_OVERLAP_HOUR_BOTH));
    check_from(&c, 0, TAKEN_MAX, horizon);
    for (int i = 0; i < 200 && n_list > 1; i++) {
        size_t at = (size_t)pick((int)n_list - 1) + 1;

        if (list[at - 1] < FROM || list[at] >= horizon)
            continue;
        check_from(&c, at, 2, horizon);
        if (i < 20) {
            EXPECT_TRUE(dq_calendar_newest(&c, list[at] - 1, &newest));
            EXPECT_I64(list[at - 1], newest);
        }
    }
    dq_calendar_deinit(&c);
}

TEST(random_expressions_have_the_times_of_a_scan)
{
    static const char *const zones[] = {"America/New_York", "Australia/Lord_Howe", "Europe/Dublin"};
    const char *seed = getenv("DUREQ_TEST_SEED");
    int n = getenv("DUREQ_TEST_WHOLE") ? 2000 : 100;

    list = dq_malloc(LIST_MAX * sizeof *list);
    EXPECT_TRUE(list != NULL);
    for (size_t z = 0; z < DQ_ARRAY_LEN(zones); z++) {
        dq_zone *zone = test_zone_open(zones[z]);

        EXPECT_TRUE(zone != NULL);
        randomness = seed ? strtoull(seed, NULL, 10) : 1;
        fill_zone(zones[z]);
        for (int i = 0; i < n; i++)
            check_expression(zones[z], zone);
        dq_zone_unref(zone);
    }
    dq_free(list);
}

TEST_MAIN()
