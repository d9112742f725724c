/* SPDX-License-Identifier: Apache-2.0 */
/* schedule preview, schedule explain: what a definition means, without a server; and the table of all schedule commands. */
#include <stdio.h>

#include "base/clock.h"
#include "base/date.h"
#include "client/schedule.h"
#include "ctl.h"
#include "model/schedule.h"
#include "schedule.h"

#define N_DEFAULT 10

void ctl_asked_deinit(ctl_asked *a)
{
    dq_json_deinit(&a->doc);
    dq_arena_deinit(&a->arena);
}

static int no_memory(void)
{
    return ctl_fail(CTL_FAILED, "out of memory");
}

/* ---- values of options ---- */

/* One number of two digits at most; -1 for anything else. */
static int32_t small_number(dureq_str s)
{
    int64_t v;

    return s.len >= 1 && s.len <= 2 && dq_parse_i64(s, 0, 99, &v) == 0 ? (int32_t)v : -1;
}

static bool clock_time(dureq_str s, dureq_at_time *ret)
{
    dureq_str hour = dq_str_cut(&s, ':'), minute = dq_str_cut(&s, ':');

    *ret = (dureq_at_time){small_number(hour), small_number(minute), s.ptr ? small_number(s) : 0};
    return ret->hour >= 0 && ret->hour < 24 && ret->minute >= 0 && ret->minute < 60 && ret->second >= 0 && ret->second < 60;
}

static size_t count_items(dureq_str list)
{
    size_t n = 1;

    for (size_t i = 0; i < list.len; i++)
        n += list.ptr[i] == ',';
    return n;
}

/* "09:00,18:00" */
static int take_times(ctl_asked *a, const char *option, dureq_str list)
{
    dureq_at_time *times = dq_arena_alloc(&a->arena, count_items(list) * sizeof *times);
    size_t n = 0;

    if (!times)
        return no_memory();
    do {
        dureq_str item = dq_str_cut(&list, ',');

        if (!clock_time(item, &times[n++]))
            return ctl_usage("--%s takes times such as 09:00,18:30:15, not '" DQ_STR_FMT "'", option, DQ_STR_ARG(item));
    } while (list.ptr);
    a->s.at_times = times;
    a->s.n_at_times = n;
    return 0;
}

static int32_t weekday_of(dureq_str s)
{
    static const char *const names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

    for (size_t i = 0; i < DQ_ARRAY_LEN(names); i++)
        if (s.len == 3 && (s.ptr[0] | 32) == names[i][0] && (s.ptr[1] | 32) == names[i][1] && (s.ptr[2] | 32) == names[i][2])
            return (int32_t)i;
    return -1;
}

static int32_t day_of_month(dureq_str s)
{
    int32_t day = small_number(s);

    return day >= 1 && day <= 31 ? day : -1;
}

/* "mon,fri@10:00" */
static int take_days(ctl_asked *a, const char *option, const char *text, int32_t (*day_of)(dureq_str), const char *takes)
{
    dureq_str times = dureq_str_from(text), list = dq_str_cut(&times, '@');
    int32_t *days = dq_arena_alloc(&a->arena, count_items(list) * sizeof *days);
    size_t n = 0;

    if (!days)
        return no_memory();
    do {
        dureq_str item = dq_str_cut(&list, ',');

        days[n] = day_of(item);
        if (days[n++] < 0)
            return ctl_usage("--%s takes %s, an @ and times of day, not '" DQ_STR_FMT "'", option, takes, DQ_STR_ARG(item));
    } while (list.ptr);
    a->s.included_days = days;
    a->s.n_included_days = n;
    if (!times.ptr)
        return ctl_usage("--%s takes %s, an @ and times of day: '@09:00' is missing", option, takes);
    return take_times(a, option, times);
}

static int take_gap(ctl_asked *a)
{
    if (a->gap && dureq_gap_parse(dureq_str_from(a->gap), &a->s.gap) < 0)
        return ctl_usage("--gap takes after or skip, not '%s'", a->gap);
    if (a->overlap_hour && dureq_overlap_hour_parse(dureq_str_from(a->overlap_hour), &a->s.overlap_hour) < 0)
        return ctl_usage("--overlap-hour takes first or both, not '%s'", a->overlap_hour);
    return 0;
}

/* ---- the definition ---- */

static int take_what(ctl_asked *a)
{
    if (a->cron) {
        a->s.type = DUREQ_SCHEDULE_CRON;
        a->s.cron_expr = a->cron;
    } else if (a->daily) {
        a->s.type = DUREQ_SCHEDULE_DAILY;
        return take_times(a, "daily", dureq_str_from(a->daily));
    } else if (a->weekly) {
        a->s.type = DUREQ_SCHEDULE_WEEKLY;
        return take_days(a, "weekly", a->weekly, weekday_of, "days from sun to sat");
    } else if (a->monthly) {
        a->s.type = DUREQ_SCHEDULE_MONTHLY;
        return take_days(a, "monthly", a->monthly, day_of_month, "days from 1 to 31");
    } else {
        a->s.type = DUREQ_SCHEDULE_DURATION;
        if (dq_parse_duration_ms(dureq_str_from(a->every), &a->s.interval_ms) < 0 || a->s.interval_ms < 1000)
            return ctl_usage("--every takes a duration of whole seconds, at least 1s, such as 30s or 1h30m, not '%s'", a->every);
    }
    return 0;
}

static int take_definition(ctl_asked *a)
{
    dureq_error err = {0};
    int rc = dq_json_parse(dureq_str_from(a->definition), &a->doc, &err);

    if (a->timezone || a->each || a->starts_at || a->ends_at || a->gap || a->overlap_hour || ctl_asked_fires(a))
        return ctl_usage("--definition stands alone: its fields say what the other options say");
    if (rc == 0)
        rc = dq_schedule_from_json(&a->doc, 0, &a->arena, &a->s, &err);
    return rc < 0 ? ctl_usage("--definition: %s", err.msg) : 0;
}

bool ctl_asked_fires(const ctl_asked *a)
{
    return a->overlap || a->misfire || a->catchup || a->max_backfill || a->max_occurrences || a->jitter || a->pause_on_failure;
}

static int take_firing(ctl_asked *a)
{
    int64_t backfill = a->s.max_backfill_per_tick, occurrences = a->s.max_occurrences;
    int rc;

    if (a->overlap && dureq_overlap_parse(dureq_str_from(a->overlap), &a->s.overlap_policy) < 0)
        return ctl_usage("--overlap takes ALLOW_ALL, SKIP, BUFFER_ONE, BUFFER_ALL or REPLACE, not '%s'", a->overlap);
    if (a->misfire && dureq_misfire_parse(dureq_str_from(a->misfire), &a->s.misfire) < 0)
        return ctl_usage("--misfire takes fire or skip, not '%s'", a->misfire);
    rc = ctl_duration("catchup", a->catchup, &a->s.catchup_window_ms);
    if (rc == 0)
        rc = ctl_duration("jitter", a->jitter, &a->s.jitter_ms);
    if (rc == 0)
        rc = ctl_i64("max-backfill", a->max_backfill, 1, DUREQ_BACKFILL_MAX, &backfill);
    if (rc == 0)
        rc = ctl_i64("max-occurrences", a->max_occurrences, 1, INT32_MAX, &occurrences);
    a->s.max_backfill_per_tick = (int32_t)backfill;
    a->s.max_occurrences = (int32_t)occurrences;
    a->s.pause_on_failure = a->s.pause_on_failure || a->pause_on_failure;
    return rc;
}

int ctl_asked_kinds(const ctl_asked *a)
{
    return !!a->cron + !!a->daily + !!a->weekly + !!a->monthly + !!a->every + !!a->definition;
}

int ctl_asked_take(ctl_asked *a)
{
    int64_t each = 0;
    int rc = a->definition ? take_definition(a) : ctl_asked_kinds(a) ? take_what(a) : 0;

    if (rc == 0)
        rc = take_gap(a);
    if (rc == 0)
        rc = take_firing(a);
    if (rc == 0)
        rc = ctl_i64("each", a->each, 1, DUREQ_REGULAR_INTERVAL_MAX, &each);
    if (rc == 0)
        rc = ctl_time("starts-at", a->starts_at, /*is_past=*/false, &a->s.starts_at_ms);
    if (rc == 0)
        rc = ctl_time("ends-at", a->ends_at, /*is_past=*/false, &a->s.ends_at_ms);
    if (each)
        a->s.regular_interval = (int32_t)each;
    if (a->timezone)
        a->s.timezone = a->timezone;
    return rc;
}

static int take_options(ctl_asked *a)
{
    int rc = ctl_asked_take(a);

    if (rc == 0)
        rc = ctl_i64("n", a->n, 1, DUREQ_PREVIEW_MAX, &a->count);
    if (rc == 0)
        rc = ctl_time("from", a->from, /*is_past=*/false, &a->from_ms);
    return rc;
}

size_t ctl_definition_option_list(ctl_asked *a, ctl_option *out)
{
    const ctl_option list[CTL_DEFINITION_OPTIONS] = {
        {.name = "cron", .value = &a->cron},
        {.name = "daily", .value = &a->daily},
        {.name = "definition", .value = &a->definition},
        {.name = "each", .value = &a->each},
        {.name = "ends-at", .value = &a->ends_at},
        {.name = "every", .value = &a->every},
        {.name = "gap", .value = &a->gap},
        {.name = "monthly", .value = &a->monthly},
        {.name = "overlap-hour", .value = &a->overlap_hour},
        {.name = "starts-at", .value = &a->starts_at},
        {.name = "timezone", .value = &a->timezone},
        {.name = "weekly", .value = &a->weekly},
    };

    memcpy(out, list, sizeof list);
    return CTL_DEFINITION_OPTIONS;
}

void ctl_lengthen(int argc, char **argv, char letter, const char *option)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (argv[i][0] == '-' && argv[i][1] == letter && !argv[i][2])
            argv[i] = (char *)option;
}

static int read_asked(ctl_asked *a, int argc, char **argv)
{
    ctl_option options[CTL_DEFINITION_OPTIONS + 2];
    size_t n_options = ctl_definition_option_list(a, options);
    int n, rc;

    options[n_options++] = (ctl_option){.name = "from", .value = &a->from};
    options[n_options++] = (ctl_option){.name = "n", .value = &a->n};
    ctl_lengthen(argc, argv, 'n', "--n");
    rc = ctl_options(argc, argv, options, n_options, &n);
    if (rc != 0)
        return rc;
    if (n)
        return ctl_usage("'schedule %s' takes no '%s': put a cron expression in quotes after --cron", argv[0], argv[1]);
    n = ctl_asked_kinds(a);
    if (n != 1)
        return ctl_usage("'schedule %s' needs one of --cron, --daily, --weekly, --monthly, --every and --definition%s", argv[0],
                         n ? ", not several" : "");
    return take_options(a);
}

/* A definition has fields, of which the message speaks; the others have options. */
static int tell_wrong(const ctl_asked *a, const dureq_error *err)
{
    DQ_BUF_AUTO text = {0};

    if (a->definition)
        return ctl_usage("--definition: %s", err->msg);
    ctl_own_words(err->msg, &text);
    return ctl_usage("%s", text.ptr ? text.ptr : err->msg);
}

/* Reads the arguments and opens the calendar; 0, or an exit code after saying why. */
static int open_asked(ctl_asked *a, int argc, char **argv, dq_calendar *ret)
{
    dureq_error err = {0};
    int64_t after;
    int rc;

    a->s = dureq_schedule_init();
    a->count = N_DEFAULT;
    a->from_ms = dq_wall_ms();
    rc = read_asked(a, argc, argv);
    if (rc != 0)
        return rc;
    rc = dq_schedule_open(ret, &a->s, a->from_ms, NULL, &err);
    if (rc < 0)
        return rc == DUREQ_EINVAL ? tell_wrong(a, &err) : ctl_fail(ctl_exit_of(rc), "%s", err.msg);
    after = dq_floor_div(a->from_ms, 1000) - (a->s.type == DUREQ_SCHEDULE_IMMEDIATE);
    rc = dq_calendar_check_fires(ret, after, &err);
    if (rc == 0)
        return 0;
    dq_calendar_deinit(ret);
    return tell_wrong(a, &err);
}

/* ---- preview ---- */

static void print_row(const ctl *c, const dq_calendar *cal, int64_t at)
{
    static const char *const weekdays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    int64_t local = at + dq_zone_offset_at(cal->zone, at);
    char text[DQ_CALENDAR_TEXT_MAX], utc[DQ_CALENDAR_TEXT_MAX];

    dq_calendar_format(cal->zone, at, text);
    dq_calendar_format(NULL, at, utc);
    if (c->format == CTL_NDJSON)
        printf("\"%s\"\n", text);
    else if (c->format == CTL_CSV)
        ctl_print_csv_row(c, (const char *const[]){text, utc}, 2);
    else
        printf("%-25s  %s  %s\n", text, weekdays[dq_weekday_of_days(dq_floor_div(local, DQ_DAY_S))], utc);
}

static void print_occurrences(const ctl *c, const dq_calendar *cal, const int64_t *at, size_t n)
{
    if (c->format == CTL_JSON) {
        char text[DQ_CALENDAR_TEXT_MAX];

        for (size_t i = 0; i < n; i++) {
            dq_calendar_format(cal->zone, at[i], text);
            printf("%s\"%s\"", i ? "," : "[", text);
        }
        fputs("]\n", stdout);
        return;
    }
    if (c->format == CTL_CSV)
        ctl_print_csv_row(c, (const char *const[]){"time", "utc"}, 2);
    else if (c->format == CTL_TABLE)
        printf("%-25s  %s  %s\n", "TIME", "DAY", "UTC");
    for (size_t i = 0; i < n; i++)
        print_row(c, cal, at[i]);
}

static int preview(ctl *c, int argc, char **argv)
{
    DQ_CLEANUP(ctl_asked_deinit) ctl_asked a = {0};
    dq_calendar cal;
    int64_t *at;
    int rc = open_asked(&a, argc, argv, &cal);

    if (rc != 0)
        return rc;
    at = dq_calloc((size_t)a.count, sizeof *at);
    if (at)
        print_occurrences(c, &cal, at, dq_schedule_list(&cal, a.from_ms, (size_t)a.count, at));
    dq_calendar_deinit(&cal);
    if (!at)
        return no_memory();
    dq_free(at);
    return CTL_DONE;
}

/* ---- explain ---- */

static int explain(ctl *c, int argc, char **argv)
{
    DQ_CLEANUP(ctl_asked_deinit) ctl_asked a = {0};
    DQ_BUF_AUTO text = {0};
    DQ_BUF_AUTO json = {0};
    dq_json_writer w = dq_json_writer_of(&json);
    dq_calendar cal;
    int rc = open_asked(&a, argc, argv, &cal);

    if (rc != 0)
        return rc;
    dq_calendar_explain(&cal, dq_floor_div(a.from_ms, 1000), &text);
    dq_calendar_deinit(&cal);
    dq_json_begin_object(&w);
    dq_json_key(&w, "text");
    dq_json_put_str(&w, dq_buf_str(&text));
    dq_json_end_object(&w);
    if (dq_buf_failed(&text) || dq_buf_failed(&json))
        return no_memory();
    if (c->format == CTL_CSV) {
        ctl_print_csv_row(c, (const char *const[]){"text"}, 1);
        ctl_print_csv_row(c, (const char *const[]){text.ptr}, 1);
    } else {
        printf("%s\n", c->format == CTL_TABLE ? text.ptr : json.ptr);
    }
    return CTL_DONE;
}

#define FROM_HELP "  --from TIME              as if it were created then; now unless given\n"

const ctl_command ctl_schedule_commands[] = {
    {"schedule apply", "-f FILE|- [--prune]", "Have the schedules of a file",
     "The file is YAML or JSON: a list, or a mapping that has it as 'schedules', as dureqd.yaml does. Each has a key,\n"
     "and what the body of PUT /api/schedules has: schedule, task_type, payload and so on. What is so already stays.\n"
     "  --prune   delete schedules with a key that the file does not name; those without a key stay\n",
     ctl_schedule_apply},
    {"schedule backfill", "ID --from TIME --to TIME [--policy P]", "Start the jobs of a time that is past",
     "Each occurrence from one time to another, both included, at once.\n"
     "  --policy P   instead of the schedule's: ALLOW_ALL, SKIP, BUFFER_ONE, BUFFER_ALL or REPLACE\n",
     ctl_schedule_backfill},
    {"schedule create", "TYPE [PAYLOAD|-] --cron EXPR | --daily TIMES | ... [options]", "Start a job again and again",
     CTL_DEFINITION_HELP CTL_FIRING_HELP CTL_SCHEDULED_JOB_HELP
     "\n"
     "Prints the schedule's id.\n"
     "\n"
     "Example: dureqctl schedule create report.build nightly --cron '0 3 * * *' --timezone Europe/Berlin --overlap SKIP\n",
     ctl_schedule_create},
    {"schedule delete", "ID...", "Forget schedules; jobs that they started go on", NULL, ctl_schedule_delete},
    {"schedule edit", "ID [TYPE [PAYLOAD|-]] [options]", "Change a schedule",
     CTL_DEFINITION_HELP CTL_FIRING_HELP CTL_SCHEDULED_JOB_HELP
     "\n"
     "What is not named stays. With TYPE the job is the one given here, with all its options.\n",
     ctl_schedule_edit},
    {"schedule explain", "--cron EXPR | --daily TIMES | ... [options]", "Say in a sentence what a schedule means",
     CTL_DEFINITION_HELP FROM_HELP
     "No server is needed.\n\nExample: dureqctl schedule explain --cron '0 9 L * *' --timezone Europe/Berlin\n",
     explain},
    {"schedule get", "ID | --key K", "Show a schedule, and what it did and left out", NULL, ctl_schedule_get},
    {"schedule list", "[--limit N] [--cursor C]", "List schedules, those that come round next first", NULL, ctl_schedule_list},
    {"schedule pause", "ID...", "Let nothing of a schedule start", NULL, ctl_schedule_pause},
    {"schedule preview", "--cron EXPR | --daily TIMES | ... [options] [-n N]", "List the next times of a schedule",
     CTL_DEFINITION_HELP FROM_HELP "  -n N                     how many; 10 unless given, at most 10000\n"
                                   "No server is needed. As JSON an array of times in the schedule's zone.\n"
                                   "\n"
                                   "Example: dureqctl schedule preview --cron '30 2 * * *' --timezone America/New_York -n 5\n",
     preview},
    {"schedule put", "--key K TYPE [PAYLOAD|-] --cron EXPR | --daily TIMES | ... [options]",
     "Have a schedule as it is given here",
     "Made when there is none of that key, changed when it is another; else nothing is done. For scripts that may run again.\n" CTL_DEFINITION_HELP
         CTL_FIRING_HELP CTL_SCHEDULED_JOB_HELP,
     ctl_schedule_put},
    {"schedule resume", "ID...", "Let a schedule go on", "What it missed is treated as after an outage: see docs/schedules.md.\n",
     ctl_schedule_resume},
    {"schedule trigger", "ID [--policy P]", "Start one job of a schedule now",
     "Its others come round as before.\n"
     "  --policy P   instead of the schedule's: ALLOW_ALL, SKIP, BUFFER_ONE, BUFFER_ALL or REPLACE\n",
     ctl_schedule_trigger},
    {NULL, NULL, NULL, NULL, NULL},
};
