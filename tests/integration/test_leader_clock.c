/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules and time: through a year, when the server's clock is set, when all nodes are restarted, when time zones get other rules. */
#include "test_schedules.h"
#include "test_zones.h"

#include <dureq/schedule.h>

#include "base/date.h"
#include "client/schedule.h"
#include "model/id.h"

#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DAY_S    86400
#define LEASE_MS 200 /* a heartbeat finds that the clock was set */

static test_board board;

static dureq_node *start(const char *node_id)
{
    dureq_node_options o = rig_node_options(node_id);

    o.lease_ms = LEASE_MS;
    dureq_node *n = rig_node_create(&o);
    rig_handle(n, "t", test_board_run, &board, NULL);
    rig_start(n);
    return n;
}

static void stop_nodes(void)
{
    while (rig.n_nodes > 0)
        dureq_node_destroy(rig.nodes[--rig.n_nodes]);
}

static void forget_runs(void)
{
    for (int i = 0; i < TEST_SEEN_MAX; i++)
        atomic_store(&board.items[i].done, false);
    atomic_store(&board.n, 0);
}

static int compare_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

/* The occurrences of that schedule that handlers saw, in the order of time; each run is one. How many. */
static size_t seen_of(const char *id, int64_t *ret, size_t room)
{
    int n = atomic_load(&board.n);
    size_t found = 0;

    for (int i = 0; i < n; i++)
        if (atomic_load(&board.items[i].done) && strcmp(board.items[i].schedule, id) == 0) {
            EXPECT_TRUE(found < room);
            ret[found++] = board.items[i].at_ms;
        }
    qsort(ret, found, sizeof *ret, compare_times);
    return found;
}

/* All that came round is dispatched, and handlers saw it. */
static bool is_settled(const char *id)
{
    const dureq_schedule_info *info = test_schedule_get(id);

    return info->next_at_ms > rig_server_ms() && test_board_count(&board, id, 0) == info->n_dispatched;
}

/* ---- a year ---- */

static bool is_long(void)
{
    return getenv("DUREQ_TEST_LONG") != NULL;
}

/* By the C library, in the zone of the test: one a day, at the same time of day; how many were put off by a gap. */
static int judge_year(const int64_t *at_ms, size_t n)
{
    int n_gaps = 0, day_before = -1, year_before = 0;

    for (size_t i = 0; i < n; i++) {
        time_t at = (time_t)(at_ms[i] / 1000);
        struct tm tm;

        EXPECT_TRUE(localtime_r(&at, &tm) != NULL);
        EXPECT_NOTE("occurrence %lld, %04d-%02d-%02d %02d:%02d", (long long)at, tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                    tm.tm_hour, tm.tm_min);
        if (i > 0)
            EXPECT_TRUE(tm.tm_year == year_before ? tm.tm_yday == day_before + 1 : tm.tm_yday == 0);
        day_before = tm.tm_yday;
        year_before = tm.tm_year;
        if (tm.tm_hour == 3 && tm.tm_min == 0 && tm.tm_sec == 0)
            n_gaps++; /* 02:30 does not exist */
        else
            EXPECT_TRUE(tm.tm_hour == 2 && tm.tm_min == 30 && tm.tm_sec == 0);
    }
    return n_gaps;
}

SCENARIO(a_daily_schedule_is_at_the_same_local_time_through_a_year)
{
    static const dureq_at_time half_past_two = {2, 30, 0};
    static int64_t at_ms[TEST_SEEN_MAX];
    dureq_schedule s = dureq_schedule_init();
    int64_t step_days = is_long() ? 1 : 10;
    dureq_job_id id;
    size_t n;

    s.type = DUREQ_SCHEDULE_DAILY;
    s.at_times = &half_past_two;
    s.n_at_times = 1;
    s.timezone = "America/New_York";
    s.catchup_window_ms = INT64_C(40) * DAY_S * 1000; /* whatever a step passes over comes round */
    s.max_backfill_per_tick = 100;
    forget_runs();
    (void)start("n");
    id = test_schedule(&s, "t", NULL);
    for (int64_t days = 0; days < 366; days += step_days) {
        rig_step_clock(step_days * DAY_S);
        EXPECT_NOTE("day %lld", (long long)days);
        RIG_UNTIL(is_settled(id.text));
    }
    EXPECT_I64(0, test_schedule_get(id.text)->n_skipped);
    n = seen_of(id.text, at_ms, TEST_SEEN_MAX);
    EXPECT_TRUE(n >= 366 && n <= 367 + (size_t)step_days);
    test_zone_use("America/New_York");
    EXPECT_I64(1, judge_year(at_ms, n));
}

/* ---- the server's clock is set ---- */

/* Each is one run or in one recorded skip: those that there were up to the next one. */
static void expect_accounted_for(const char *id, int64_t interval_ms)
{
    const dureq_schedule_info *info = test_schedule_get(id);
    int64_t created_ms = info->created_at_ms - info->created_at_ms % 1000;

    EXPECT_I64((info->next_at_ms - created_ms) / interval_ms - 1, info->n_dispatched + info->n_skipped);
}

static void expect_none_twice(const char *id)
{
    static int64_t at_ms[TEST_SEEN_MAX];
    size_t n = seen_of(id, at_ms, TEST_SEEN_MAX);

    for (size_t i = 1; i < n; i++) {
        EXPECT_NOTE("occurrence %lld", (long long)at_ms[i]);
        EXPECT_TRUE(at_ms[i] > at_ms[i - 1]);
    }
}

SCENARIO(when_the_servers_clock_is_set_nothing_comes_twice_and_nothing_is_lost)
{
    static const int64_t steps_s[] = {40, -15, 55, -300, 330, 3600, -1800, 1830, -7200, 7260, 600};
    dureq_schedule s = test_every(1000);
    dureq_job_id id;

    forget_runs();
    (void)start("a");
    (void)start("b");
    id = test_schedule(&s, "t", NULL);
    RIG_UNTIL(test_board_count(&board, id.text, 0) >= 1);
    for (size_t i = 0; i < sizeof steps_s / sizeof *steps_s; i++) {
        EXPECT_NOTE("step %zu: %lld s", i, (long long)steps_s[i]);
        rig_step_clock(steps_s[i]);
        RIG_UNTIL(is_settled(id.text));
        expect_accounted_for(id.text, 1000);
        expect_none_twice(id.text);
    }
    /* Up to a minute late each fires; of what was missed only the newest: five steps on were longer, net of the steps back. */
    EXPECT_TRUE(test_schedule_records(id.text, "skipped", "missed") >= 1);
    EXPECT_TRUE(test_board_count(&board, id.text, 0) > 100);
}

/* ---- all nodes are restarted ---- */

static void expect_on_anchor(const char *id, int64_t first_ms, int64_t interval_ms)
{
    static int64_t at_ms[TEST_SEEN_MAX];
    size_t n = seen_of(id, at_ms, TEST_SEEN_MAX);

    EXPECT_TRUE(n > 0);
    for (size_t k = 0; k < n; k++) {
        EXPECT_NOTE("occurrence %zu", k);
        EXPECT_I64(first_ms + (int64_t)k * interval_ms, at_ms[k]);
    }
}

#define RESTARTS      4
#define RESTARTS_LONG 40 /* one every three seconds: two minutes */

SCENARIO(intervals_stay_on_their_anchor_while_every_node_is_restarted)
{
    dureq_schedule s = test_every(1000), t = test_every(2000);
    int restarts = is_long() ? RESTARTS_LONG : RESTARTS;
    int64_t now_ms = rig_server_ms();
    dureq_job_id created, anchored;

    forget_runs();
    t.starts_at_ms = now_ms - now_ms % 1000 + 1000;
    created = test_schedule(&s, "t", NULL);
    anchored = test_schedule(&t, "t", NULL);
    for (int i = 0; i <= restarts; i++) {
        int before = test_board_count(&board, created.text, 0);
        char name[24];

        for (int k = 0; k < 2; k++) {
            (void)snprintf(name, sizeof name, "n%d.%d", i, k);
            (void)start(name);
        }
        RIG_UNTIL(test_board_count(&board, created.text, 0) >= before + (is_long() ? 3 : 1));
        if (i < restarts)
            stop_nodes();
    }
    RIG_UNTIL(test_board_count(&board, anchored.text, 0) >= 2);
    RIG_OK(dureq_client_pause_schedule(rig.client, created.text, &err));
    RIG_OK(dureq_client_pause_schedule(rig.client, anchored.text, &err));
    RIG_UNTIL(test_board_count(&board, created.text, 0) == test_schedule_get(created.text)->n_dispatched);
    RIG_UNTIL(test_board_count(&board, anchored.text, 0) == test_schedule_get(anchored.text)->n_dispatched);
    int64_t created_ms = test_schedule_get(created.text)->created_at_ms;
    expect_on_anchor(created.text, created_ms - created_ms % 1000 + 1000, 1000);
    expect_on_anchor(anchored.text, t.starts_at_ms, 2000);
    EXPECT_I64(0, test_schedule_get(created.text)->n_skipped + test_schedule_get(anchored.text)->n_skipped);
}

/* ---- jitter ---- */

static int64_t due_ms_of(const char *id, const dureq_schedule *s, int64_t created_ms, int64_t at_ms)
{
    unsigned char packed[DQ_ID_BYTES];
    dq_calendar c;
    dq_id parsed;
    int64_t due_ms;

    EXPECT_RC(0, dq_id_parse(dureq_str_from(id), &parsed));
    dq_id_pack(&parsed, packed);
    EXPECT_RC(0, dq_schedule_open(&c, s, created_ms, NULL, NULL));
    due_ms = dq_calendar_due_ms(&c, dureq_str_of(packed, sizeof packed), at_ms / 1000);
    dq_calendar_deinit(&c);
    return due_ms;
}

SCENARIO(an_occurrence_is_dispatched_at_its_time_and_its_jitter_whoever_leads)
{
    dureq_schedule s = test_every(300000);
    int64_t least_ms = INT64_MAX, most_ms = 0;
    dureq_job_id id;

    s.jitter_ms = 200000;
    forget_runs();
    (void)start("n0");
    id = test_schedule(&s, "t", NULL);
    for (int i = 0; i < 8; i++) {
        const dureq_schedule_info *info = test_schedule_get(id.text);
        int64_t at_ms = info->next_at_ms, due_ms = due_ms_of(id.text, &s, info->created_at_ms, at_ms);
        char name[24];

        EXPECT_NOTE("occurrence %d, put off by %lld ms", i, (long long)(due_ms - at_ms));
        EXPECT_TRUE(due_ms >= at_ms && due_ms < at_ms + s.jitter_ms);
        rig_step_clock((due_ms - rig_server_ms()) / 1000 - 1); /* a second or two before */
        RIG_UNTIL(test_board_count(&board, id.text, at_ms) == 1);
        info = test_schedule_get(id.text);
        EXPECT_I64(at_ms, info->records[0].first_ms);
        EXPECT_TRUE(info->records[0].at_ms >= due_ms);
        least_ms = due_ms - at_ms < least_ms ? due_ms - at_ms : least_ms;
        most_ms = due_ms - at_ms > most_ms ? due_ms - at_ms : most_ms;
        stop_nodes();
        (void)snprintf(name, sizeof name, "n%d", i + 1);
        (void)start(name);
    }
    EXPECT_TRUE(most_ms - least_ms > 10000);
}

/* ---- time zones get other rules ---- */

static char root[64];

static int drop(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void write_version(const char *version)
{
    char path[100];

    (void)snprintf(path, sizeof path, "%s/tzdata.zi", root);
    FILE *f = fopen(path, "wb");
    EXPECT_TRUE(f != NULL && fprintf(f, "# version %s\n", version) > 0 && fclose(f) == 0);
}

static void use_root(void)
{
    (void)snprintf(root, sizeof root, "/tmp/dureq-clock-XXXXXX");
    EXPECT_TRUE(mkdtemp(root) != NULL);
    EXPECT_TRUE(test_zone_write(root, "Xanadu", "ABC-1") && test_zone_write(root, "Arden", "ABC-1"));
    write_version("first");
    EXPECT_I64(0, setenv("TZDIR", root, 1));
}

static void leave_root(void)
{
    (void)unsetenv("TZDIR");
    (void)nftw(root, drop, 8, FTW_DEPTH | FTW_PHYS);
}

/* Each day at the local time that it is then, where it is an hour later than in UTC. */
static dureq_job_id daily_at(int64_t at_ms, const char *zone, dureq_at_time *room)
{
    dureq_schedule s = dureq_schedule_init();
    int64_t local = at_ms / 1000 + 3600;

    *room = (dureq_at_time){(int32_t)(local / 3600 % 24), (int32_t)(local / 60 % 60), 0};
    s.type = DUREQ_SCHEDULE_DAILY;
    s.at_times = room;
    s.n_at_times = 1;
    s.timezone = zone;
    return test_schedule(&s, "t", NULL);
}

/* The shard's leaders went through their schedules with the zones of that version. */
static bool version_is(const char *version)
{
    for (int i = 0; i < rig.shards; i++) {
        char key[80];

        (void)snprintf(key, sizeof key, "{%s:%d}:sh", rig.prefix, i);
        char *told = test_redis_command(rig.server, "HGET", key, "zv", NULL);
        bool is_it = strstr(told, version) != NULL;

        free(told);
        if (is_it)
            return true;
    }
    return false;
}

/* The leader has computed it: asked of Redis, since who reads a schedule that is not computed yet finds its next time himself. */
static bool is_in_place(const dureq_job_id *id, int64_t at_ms)
{
    static const char lua[] = "local id = string.gsub(ARGV[2], '..', function(h) return string.char(tonumber(h, 16)) end) "
                              "return redis.call('ZSCORE', ARGV[1] .. 'sch', id)";
    char base[80], hex[2 * DQ_ID_BYTES + 1], want[24];
    unsigned char packed[DQ_ID_BYTES];
    dq_id parsed;

    EXPECT_RC(0, dq_id_parse(dureq_str_from(id->text), &parsed));
    dq_id_pack(&parsed, packed);
    for (int i = 0; i < DQ_ID_BYTES; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", packed[i]);
    (void)snprintf(base, sizeof base, "{%s:%u}:", rig.prefix, (unsigned)parsed.shard);
    (void)snprintf(want, sizeof want, "%lld", (long long)at_ms);
    char *told = test_redis_command(rig.server, "EVAL", lua, "0", base, hex, NULL);
    bool is_it = strstr(told, want) != NULL;

    free(told);
    return is_it;
}

#define HOUR_MS INT64_C(3600000)

SCENARIO(what_has_not_come_round_moves_with_the_rules_of_its_zone)
{
    int64_t at_ms = (rig_server_ms() / 60000 + 1) * 60000 + 20 * HOUR_MS;
    dureq_at_time room[2];
    dureq_job_id moves, stays;

    use_root();
    forget_runs();
    (void)start("n");
    moves = daily_at(at_ms, "Xanadu", &room[0]);
    stays = daily_at(at_ms, "Arden", &room[1]);
    RIG_UNTIL(test_schedule_get(moves.text)->next_at_ms == at_ms && test_schedule_get(stays.text)->next_at_ms == at_ms);
    EXPECT_TRUE(test_zone_write(root, "Xanadu", "ABC-6"));
    rig_step_clock(61); /* a minute later they are looked at */
    RIG_UNTIL(test_schedule_get(moves.text)->next_at_ms == at_ms - 5 * HOUR_MS);
    EXPECT_I64(at_ms, test_schedule_get(stays.text)->next_at_ms);

    /* The time that the old rules had does not come round as well, nor does that of later rules which is past. */
    rig_step_clock((at_ms - 5 * HOUR_MS - rig_server_ms()) / 1000 + 1);
    RIG_UNTIL(test_board_count(&board, moves.text, at_ms - 5 * HOUR_MS) == 1);
    EXPECT_TRUE(test_zone_write(root, "Xanadu", "ABC-7"));
    rig_step_clock(61);
    RIG_UNTIL(test_schedule_get(moves.text)->next_at_ms == at_ms + 18 * HOUR_MS);
    rig_step_clock(5 * 3600);
    RIG_UNTIL(test_board_count(&board, stays.text, at_ms) == 1);
    EXPECT_I64(1, test_schedule_get(moves.text)->n_dispatched);
    EXPECT_I64(1, test_board_count(&board, moves.text, 0));
    leave_root();
}

SCENARIO(a_leader_with_newer_zone_files_computes_all_again)
{
    int64_t at_ms = (rig_server_ms() / 60000 + 1) * 60000 + 20 * HOUR_MS;
    dureq_at_time room;
    dureq_job_id id;

    use_root();
    forget_runs();
    (void)start("old");
    id = daily_at(at_ms, "Xanadu", &room);
    RIG_UNTIL(test_schedule_get(id.text)->next_at_ms == at_ms);
    rig_step_clock(61);
    stop_nodes();
    (void)start("same"); /* as there are schedules now, it notes its version */
    RIG_UNTIL(version_is("first"));
    stop_nodes();
    EXPECT_TRUE(test_zone_write(root, "Xanadu", "ABC-6"));
    write_version("second");
    (void)start("new");
    RIG_UNTIL(test_schedule_get(id.text)->next_at_ms == at_ms - 5 * HOUR_MS);
    RIG_UNTIL(version_is("second"));
    leave_root();
}

/* On the same shard as another one; those that are not are deleted. */
static dureq_job_id daily_beside(const dureq_job_id *other, int64_t at_ms, const char *zone, dureq_at_time *room)
{
    dq_id a, b;

    EXPECT_RC(0, dq_id_parse(dureq_str_from(other->text), &a));
    for (;;) {
        dureq_job_id id = daily_at(at_ms, zone, room);

        EXPECT_RC(0, dq_id_parse(dureq_str_from(id.text), &b));
        if (a.shard == b.shard)
            return id;
        RIG_OK(dureq_client_delete_schedule(rig.client, id.text, &err));
    }
}

/* The leader before found all as they should be, so this one has opened no file but those of what came since. */
SCENARIO(a_leader_notices_newer_files_of_zones_that_it_has_not_read)
{
    int64_t at_ms = (rig_server_ms() / 60000 + 1) * 60000 + 20 * HOUR_MS;
    dureq_job_id unread, read;
    dureq_at_time room[2];

    use_root();
    forget_runs();
    (void)start("old");
    unread = daily_at(at_ms, "Xanadu", &room[0]);
    RIG_UNTIL(is_in_place(&unread, at_ms));
    stop_nodes();
    (void)start("same");
    RIG_UNTIL(version_is("first") && is_in_place(&unread, at_ms));
    stop_nodes();
    (void)start("third");
    read = daily_beside(&unread, at_ms, "Arden", &room[1]);
    RIG_UNTIL(is_in_place(&read, at_ms));
    EXPECT_TRUE(test_zone_write(root, "Xanadu", "ABC-6") && test_zone_write(root, "Arden", "ABC-6"));
    write_version("second");
    rig_step_clock(61);
    RIG_UNTIL(is_in_place(&read, at_ms - 5 * HOUR_MS));
    RIG_UNTIL(is_in_place(&unread, at_ms - 5 * HOUR_MS));
    RIG_UNTIL(version_is("second"));
    leave_root();
}

SCENARIO(a_leader_whose_zone_files_say_no_version_computes_all_again)
{
    int64_t at_ms = (rig_server_ms() / 60000 + 1) * 60000 + 20 * HOUR_MS;
    dureq_at_time room;
    dureq_job_id id;
    char path[100];

    use_root();
    (void)snprintf(path, sizeof path, "%s/tzdata.zi", root);
    EXPECT_I64(0, unlink(path));
    forget_runs();
    (void)start("old");
    id = daily_at(at_ms, "Xanadu", &room);
    RIG_UNTIL(is_in_place(&id, at_ms));
    stop_nodes();
    EXPECT_TRUE(test_zone_write(root, "Xanadu", "ABC-6"));
    (void)start("new");
    RIG_UNTIL(is_in_place(&id, at_ms - 5 * HOUR_MS));
    leave_root();
}

SCENARIO(a_change_repairs_one_whose_zone_is_gone)
{
    int64_t at_ms = (rig_server_ms() / 60000 + 1) * 60000 + 20 * HOUR_MS;
    dureq_schedule every = test_every(1000);
    dureq_at_time room;
    dureq_job_id id;
    char path[100];

    use_root();
    forget_runs();
    (void)start("old");
    id = daily_at(at_ms, "Xanadu", &room);
    RIG_UNTIL(is_in_place(&id, at_ms));
    stop_nodes();
    (void)snprintf(path, sizeof path, "%s/Xanadu", root);
    EXPECT_I64(0, unlink(path));
    (void)start("new");
    RIG_OK(dureq_client_edit_schedule(rig.client, id.text, &every, NULL, &err));
    RIG_UNTIL(test_board_count(&board, id.text, 0) >= 2);
    EXPECT_I64(0, test_schedule_get(id.text)->n_skipped); /* what the old one had next was yet to come */
    leave_root();
}

RIG_MAIN_WITH(rig_group_start_own_clock)
