/* SPDX-License-Identifier: Apache-2.0 */
/* Every option that takes a value, with values that it does not take: what is said names the option as it was given, and what it takes. */
#include "test_ctl.h"

#include "base/buf.h"

typedef enum kind {
    LENGTH,      /* a duration */
    WHEN,        /* a time */
    WHEN_BEFORE, /* a time that is past */
    NUMBER,
    WORD, /* one of a list, or of a form of its own */
    NAME, /* up to 128 of [A-Za-z0-9_.:-] */
    KEY,  /* up to 256 bytes */
    ANY,  /* whatever is not empty */
} kind;

#define NO_JOB "00000000000000000000"

static const struct option {
    const char *command[6];
    const char *name;
    kind kind;
    const char *takes; /* of a NUMBER and a WORD */
} options[] = {
    {{"enqueue", "t", "1"}, "--at", WHEN, NULL},
    {{"enqueue", "t", "1"}, "--content-type", ANY, NULL},
    {{"enqueue", "t", "1"}, "--delay", LENGTH, NULL},
    {{"enqueue", "t", "1"}, "--dlq-after", NUMBER, "1 to 10000"},
    {{"enqueue", "t", "1"}, "--header", WORD, "name=value"},
    {{"enqueue", "t", "1"}, "--heartbeat-timeout", LENGTH, NULL},
    {{"enqueue", "t", "1"}, "--initial-delay", LENGTH, NULL},
    {{"enqueue", "t"}, "--lines", ANY, NULL},
    {{"enqueue", "t", "1"}, "--max-attempts", NUMBER, "1 to 10000"},
    {{"enqueue", "t", "1"}, "--max-delay", LENGTH, NULL},
    {{"enqueue"}, "--ndjson", ANY, NULL},
    {{"enqueue", "t", "1"}, "--priority", NUMBER, "1 to 10"},
    {{"enqueue", "t", "1"}, "--queue", NAME, NULL},
    {{"enqueue", "t", "1"}, "--request-id", KEY, NULL},
    {{"enqueue", "t", "1"}, "--retention", LENGTH, NULL},
    {{"enqueue", "t", "1"}, "--schedule-to-start-timeout", LENGTH, NULL},
    {{"enqueue", "t", "1"}, "--tag", NAME, NULL},
    {{"enqueue", "t", "1"}, "--timeout", LENGTH, NULL},
    {{"enqueue", "t", "1", "--unique-key", "k"}, "--unique-for", LENGTH, NULL},
    {{"enqueue", "t", "1"}, "--unique-key", KEY, NULL},
    {{"enqueue", "t", "1", "--wait"}, "--wait-timeout", LENGTH, NULL},
    {{"job", "list"}, "--cursor", WORD, "is not one that a page gave"},
    {{"job", "list"}, "--limit", NUMBER, "1 to 1000"},
    {{"job", "list"}, "--queue", ANY, NULL},
    {{"job", "list"}, "--since", WHEN_BEFORE, NULL},
    {{"job", "list"}, "--status", WORD, "takes pending, scheduled, running"},
    {{"job", "list"}, "--tag", ANY, NULL},
    {{"job", "list"}, "--text", ANY, NULL},
    {{"job", "list"}, "--type", WORD, "takes a name, or its beginning and '*' at the end"},
    {{"job", "list"}, "--unique-key", ANY, NULL},
    {{"job", "list"}, "--until", WHEN_BEFORE, NULL},
    {{"job", "cancel"}, "--since", WHEN_BEFORE, NULL},
    {{"job", "cancel"}, "--status", WORD, "takes pending, scheduled, running"},
    {{"job", "cancel", NO_JOB}, "--reason", ANY, NULL},
    {{"job", "delete"}, "--status", WORD, "takes pending, scheduled, running"},
    {{"job", "pause"}, "--until", WHEN_BEFORE, NULL},
    {{"job", "resume"}, "--since", WHEN_BEFORE, NULL},
    {{"job", "retry"}, "--since", WHEN_BEFORE, NULL},
    {{"job", "run"}, "--since", WHEN_BEFORE, NULL},
    {{"job", "reschedule", NO_JOB}, "--at", WHEN, NULL},
    {{"job", "reschedule", NO_JOB}, "--delay", LENGTH, NULL},
    {{"job", "result", NO_JOB}, "--wait", LENGTH, NULL},
    {{"job", "wait", NO_JOB}, "--timeout", LENGTH, NULL},
    {{"events"}, "--job", ANY, NULL},
    {{"events"}, "--types", ANY, NULL},
    {{"events"}, "--workflow", ANY, NULL},
    {{"dlq", "list"}, "--cursor", WORD, "is not one that a page gave"},
    {{"dlq", "list"}, "--group", WORD, "takes error or type, not"},
    {{"dlq", "list"}, "--limit", NUMBER, "1 to 1000"},
    {{"dlq", "list"}, "--since", WHEN_BEFORE, NULL},
    {{"dlq", "purge"}, "--until", WHEN_BEFORE, NULL},
    {{"dlq", "redrive"}, "--since", WHEN_BEFORE, NULL},
    {{"queue", "purge", "low"}, "--type", WORD, "takes a name, or its beginning and '*' at the end"},
    {{"queue", "set", "q"}, "--max-len", NUMBER, "0 to 1099511627776"},
    {{"queue", "set", "q"}, "--priorities", WORD, "takes a range of 1 to 10 such as 4-7, not"},
    {{"queue", "set", "q"}, "--retention", LENGTH, NULL},
    {{"queue", "set", "q"}, "--weight", NUMBER, "1 to 1000"},
    {{"stats"}, "--by", WORD, "takes minute, hour or day, not"},
    {{"stats"}, "--days", NUMBER, "1 to 90"},
    {{"stats"}, "--last", NUMBER, "1 to 1440"},
    {{"stats"}, "--queue", ANY, NULL},
    {{"stats"}, "--type", WORD, "takes a name, or its beginning and '*' at the end"},
    {{"stats"}, "--watch", LENGTH, NULL},
    {{"redis"}, "--section", WORD, "takes a section of INFO such as memory, not"},
    {{"bench"}, "--batch", NUMBER, "1 to 65536"},
    {{"bench"}, "--concurrency", NUMBER, "1 to 65536"},
    {{"bench"}, "--jobs", NUMBER, "1 to 100000000"},
    {{"bench"}, "--payload", NUMBER, "16 to 1048576"},
    {{"schedule", "preview"}, "--cron", WORD, "column"},
    {{"schedule", "preview"}, "--daily", WORD, "takes times such as 09:00,18:30:15, not"},
    {{"schedule", "preview"}, "--weekly", WORD, "takes days from sun to sat, an @ and times of day, not"},
    {{"schedule", "preview"}, "--monthly", WORD, "takes days from 1 to 31, an @ and times of day, not"},
    {{"schedule", "preview"}, "--every", LENGTH, NULL},
    {{"schedule", "preview"}, "--definition", WORD, "not a JSON value"},
    {{"schedule", "preview", "--daily", "9:00"}, "--each", NUMBER, "1 to "},
    {{"schedule", "preview", "--daily", "9:00"}, "--ends-at", WHEN, NULL},
    {{"schedule", "preview", "--daily", "9:00"}, "--from", WHEN, NULL},
    {{"schedule", "preview", "--daily", "9:00"}, "--gap", WORD, "takes after or skip, not"},
    {{"schedule", "preview", "--daily", "9:00"}, "-n", NUMBER, "1 to 10000"},
    {{"schedule", "preview", "--daily", "9:00"}, "--overlap-hour", WORD, "takes first or both, not"},
    {{"schedule", "preview", "--daily", "9:00"}, "--starts-at", WHEN, NULL},
    {{"schedule", "preview", "--daily", "9:00"}, "--timezone", WORD, "a time zone's name is one such as"},
    {{"schedule", "explain"}, "--every", LENGTH, NULL},
    {{"schedule", "create", "t", "--every", "1h"}, "--overlap", WORD, "takes ALLOW_ALL, SKIP, BUFFER_ONE, BUFFER_ALL or REPLACE"},
    {{"schedule", "create", "t", "--every", "1h"}, "--catchup", LENGTH, NULL},
    {{"schedule", "create", "t", "--every", "1h"}, "--max-backfill", NUMBER, "1 to 100"},
    {{"schedule", "create", "t", "--every", "1h"}, "--misfire", WORD, "takes fire or skip, not"},
    {{"schedule", "create", "t", "--every", "1h"}, "--jitter", LENGTH, NULL},
    {{"schedule", "create", "t", "--every", "1h"}, "--max-occurrences", NUMBER, "1 to 2147483647"},
    {{"schedule", "create", "t", "--every", "1h"}, "--priority", NUMBER, "1 to 10"},
    {{"schedule", "create", "t", "--every", "1h"}, "--timeout", LENGTH, NULL},
    {{"schedule", "create", "t", "--every", "1h"}, "--unique-key", KEY, NULL},
    {{"schedule", "put", "t", "--every", "1h"}, "--key", KEY, NULL},
    {{"schedule", "list"}, "--limit", NUMBER, "1 to 1000"},
    {{"schedule", "list"}, "--cursor", WORD, "is not one that a page gave"},
    {{"schedule", "trigger", NO_JOB}, "--policy", WORD, "takes ALLOW_ALL, SKIP, BUFFER_ONE, BUFFER_ALL or REPLACE"},
    {{"schedule", "backfill", NO_JOB, "--to=now"}, "--from", WHEN_BEFORE, NULL},
    {{"schedule", "backfill", NO_JOB, "--from=1h"}, "--to", WHEN_BEFORE, NULL},
    {{"queue", "list"}, "--context", ANY, NULL},
    {{"token", "create", "--role=admin"}, "--name", ANY, NULL},
    {{"token", "create", "--name=n"}, "--role", WORD, "takes viewer, operator or admin"},
    {{"token", "create", "--name=n", "--role=admin"}, "--expires-in", LENGTH, NULL},
    {{"token", "create", "--name=n", "--role=viewer"}, "--queues", WORD, "takes names of 1 to 128 of [A-Za-z0-9_.:-]"},
    {{"token", "create", "--name=n", "--role=viewer"}, "--types", WORD, "takes names of 1 to 128 of [A-Za-z0-9_.:-]"},
    {{"batch", "cancel", NO_JOB}, "--reason", ANY, NULL},
    {{"batch", "list"}, "--cursor", WORD, "is none"},
    {{"batch", "list"}, "--limit", NUMBER, "1 to 1000"},
    {{"batch", "list"}, "--status", WORD, "takes running, completed, failed"},
    {{"batch", "items", NO_JOB}, "--limit", NUMBER, "1 to 1000"},
    {{"batch", "items", NO_JOB}, "--offset", NUMBER, "0 to 100000000"},
    {{"batch", "items", NO_JOB}, "--status", WORD, "takes pending, running"},
    {{"batch", "results", NO_JOB}, "--limit", NUMBER, "1 to 1000"},
    {{"batch", "results", NO_JOB}, "--offset", NUMBER, "0 to 100000000"},
    {{"batch", "results", NO_JOB}, "--status", WORD, "takes pending, running"},
    {{"batch", "start", "--type=t", "--items=/dev/null"}, "--name", ANY, NULL},
    {{"batch", "start", "--type=t", "--items=/dev/null"}, "--chunk-size", NUMBER, "1 to 100000"},
    {{"batch", "start", "--type=t", "--items=/dev/null"}, "--failure-policy", WORD, "takes \"continue_on_error\" or"},
    {{"batch", "start", "--type=t", "--wait"}, "--items", ANY, NULL},
    {{"batch", "start", "--items=/dev/null"}, "--type", ANY, NULL},
    {{"batch", "start", "--type=t", "--items=/dev/null", "--wait"}, "--wait-timeout", LENGTH, NULL},
    {{"batch", "wait", NO_JOB}, "--timeout", LENGTH, NULL},
    {{"workflow", "cancel", NO_JOB}, "--reason", ANY, NULL},
    {{"workflow", "list"}, "--cursor", WORD, "is none"},
    {{"workflow", "list"}, "--limit", NUMBER, "1 to 1000"},
    {{"workflow", "list"}, "--status", WORD, "takes running, suspended, completed, failed"},
    {{"workflow", "start", "-", "--wait"}, "--wait-timeout", LENGTH, NULL},
    {{"queue", "list"}, "--call-timeout", LENGTH, NULL},
    {{"queue", "list"}, "--color", WORD, "takes auto, always or never, not"},
    {{"queue", "list"}, "--output", WORD, "takes table, json, ndjson or csv, not"},
};

/* Exit code 2, nothing on standard output, and a first line that names the option and has this part. */
static void expect_refused(const struct option *o, const char *value, const char *part)
{
    const char *args[10] = {0};
    char line[1200];
    size_t n = 0;
    int code;

    while (o->command[n]) {
        args[n] = o->command[n];
        n++;
    }
    args[n++] = o->name;
    args[n++] = value;
    EXPECT_NOTE("%s %s %s %.40s", args[0], n > 3 ? args[1] : "", o->name, value);
    code = ctl_run(args);
    (void)snprintf(line, sizeof line, "%.*s", (int)strcspn(ctl_err(), "\n"), ctl_err());
    EXPECT_HAS(o->name, line);
    EXPECT_HAS(part, line);
    EXPECT_TRUE(!strstr(line, "parameter '") && !strstr(line, "field '") && !strstr(line, "_ms"));
    EXPECT_TEXT("", ctl_out());
    EXPECT_I64(2, code);
}

static void expect_all_refused(const struct option *o, const char *const *values, size_t n, const char *part)
{
    for (size_t i = 0; i < n; i++)
        expect_refused(o, values[i], part);
}

static const char *long_text(void)
{
    static char text[300];

    memset(text, 'x', sizeof text - 1);
    return text;
}

SCENARIO(each_option_says_in_its_own_words_what_it_takes)
{
    static const char *const no_lengths[] = {"-1", "-1s", "1.5", "10", "abc", "1h30", "99999999999999999999", "5 parsecs"};
    static const char *const no_times[] = {"-1", "10", "abc", "25:00", "2026-02-30", "2026-12-01 10:61", "soon"};
    static const char *const no_numbers[] = {"-1", "99999999999999999999", "1.5", "abc", "1e3", "0x10", "2000000000000"};
    static const char *const no_words[] = {"a*b,@"};

    for (size_t i = 0; i < DQ_ARRAY_LEN(options); i++) {
        const struct option *o = &options[i];

        expect_refused(o, "", "needs a value");
        switch (o->kind) {
        case LENGTH:
            expect_all_refused(o, no_lengths, DQ_ARRAY_LEN(no_lengths), " takes a duration ");
            expect_refused(o, "99999999d",
                           strcmp(o->name, "--every") == 0 ? " takes "
                                                           : " takes a duration of at most 100 years, not '99999999d'");
            break;
        case WHEN:
        case WHEN_BEFORE:
            expect_all_refused(o, no_times, DQ_ARRAY_LEN(no_times),
                               o->kind == WHEN ? "1h (from now), 'tomorrow 10:00'" : "1h (ago), 'yesterday 10:00'");
            expect_refused(o, o->kind == WHEN ? "9999999d" : "3000-01-01", " takes a time before the year 2527, not '");
            expect_refused(o, o->kind == WHEN ? "1969-12-31T00:00:00Z" : "99999d", " takes a time after 1970, not '");
            break;
        case NUMBER: expect_all_refused(o, no_numbers, DQ_ARRAY_LEN(no_numbers), o->takes); break;
        case WORD: expect_all_refused(o, no_words, 1, o->takes); break;
        case NAME: expect_refused(o, long_text(), " is 299 bytes long: it takes 1 to 128 of [A-Za-z0-9_.:-]"); break;
        case KEY: expect_refused(o, long_text(), " is 299 bytes long: it takes 1 to 256 bytes"); break;
        case ANY: break;
        }
    }
}

/* ---- none is left out above ---- */

static bool is_known(dureq_str option)
{
    static const char *const others[] = {
        "--wait",  "--text",   "--dry-run", "--yes",    "--force",          "--oldest", "--repair",  "--pause-on-failure",
        "--prune", "--all",                                                                          /* flags */
        "--quiet", "--prefix", "--server",  "--config", "--allow-eviction", "--help",   "--version", /* of all commands */
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(options); i++)
        if (dq_str_eq_text(option, options[i].name))
            return true;
    for (size_t i = 0; i < DQ_ARRAY_LEN(others); i++)
        if (dq_str_eq_text(option, others[i]))
            return true;
    return false;
}

/* What may begin with -- after a command, as the shell would complete it. */
static size_t expect_options_known(dureq_str command)
{
    const char *args[8] = {"complete-words", "--"};
    char words[64];
    size_t n = 2, n_seen = 0;
    dureq_str rest;

    (void)snprintf(words, sizeof words, DQ_STR_FMT, DQ_STR_ARG(command));
    for (char *at = words; *at && n < 6;) {
        args[n++] = at;
        at += strcspn(at, " ");
        if (*at)
            *at++ = '\0';
    }
    args[n] = "--";
    EXPECT_I64(0, ctl_run(args));
    for (rest = ctl_out_str(); rest.len; n_seen++) {
        dureq_str option = dq_str_cut(&rest, '\n');

        EXPECT_NOTE(DQ_STR_FMT " " DQ_STR_FMT, DQ_STR_ARG(command), DQ_STR_ARG(option));
        EXPECT_TRUE(is_known(option));
    }
    return n_seen;
}

SCENARIO(no_option_of_a_command_is_left_out_here)
{
    DQ_BUF_AUTO help = {0};
    dureq_str rest;
    size_t n = 0;

    CTL(0, "help");
    dq_buf_append_str(&help, ctl_out_str());
    rest = dq_buf_str(&help);
    while (rest.len) {
        dureq_str line = dq_str_cut(&rest, '\n');
        const char *gap = line.len > 4 ? memmem(line.ptr + 2, line.len - 2, "  ", 2) : NULL;

        if (dq_str_starts_with(line, DQ_STR_LIT("Options")))
            break;
        if (gap && line.ptr[0] == ' ' && line.ptr[2] >= 'a' && line.ptr[2] <= 'z')
            n += expect_options_known(dureq_str_of(line.ptr + 2, (size_t)(gap - line.ptr - 2)));
    }
    EXPECT_TRUE(n > 60);
}

RIG_MAIN()
