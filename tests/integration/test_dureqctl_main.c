/* SPDX-License-Identifier: Apache-2.0 */
/* What every command has in common: finding the server, global options, help, usage errors, exit codes. */
#include "test_ctl.h"

#include "base/buf.h"
#include "fault_wait.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int end_well(dureq_run *run, void *userdata)
{
    (void)run;
    (void)userdata;
    return DUREQ_OUTCOME_DONE;
}

/* ---- help and usage ---- */

SCENARIO(the_overview_lists_every_command_with_examples)
{
    static const char *const names[] = {
        "enqueue",    "job audit",      "job cancel",   "job delete", "job events",  "job get",     "job list",     "job logs",
        "job pause",  "job reschedule", "job result",   "job resume", "job retry",   "job run",     "job steps",    "job update",
        "job wait",   "job watch",      "dlq list",     "dlq purge",  "dlq redrive", "run get",     "run list",     "run requeue",
        "key delete", "key get",        "queue delete", "queue list", "queue pause", "queue purge", "queue resume", "queue set",
        "node drain", "node list",      "node undrain", "doctor",     "redis",       "stats",       "bench"};

    CTL(0, "help");
    for (size_t i = 0; i < DQ_ARRAY_LEN(names); i++) {
        char line[64];

        (void)snprintf(line, sizeof line, "\n  %s ", names[i]);
        EXPECT_HAS(line, ctl_out());
    }
    EXPECT_HAS("Exit codes: 0 done, 1 failed, 2 usage", ctl_out());
    EXPECT_HAS("Examples:", ctl_out());
    EXPECT_TEXT("", ctl_err());
    CTL(0, "--help");
    EXPECT_HAS("Usage: dureqctl", ctl_out());
}

SCENARIO(help_tells_one_command_or_a_group_of_them)
{
    CTL(0, "help", "enqueue");
    EXPECT_HAS("Usage: dureqctl enqueue TYPE", ctl_out());
    EXPECT_HAS("Examples:", ctl_out());
    CTL(0, "job", "list", "--help");
    EXPECT_HAS("Usage: dureqctl job list [FILTERS]", ctl_out());
    EXPECT_HAS("--status S[,S]", ctl_out());
    CTL(0, "help", "job");
    EXPECT_HAS("job get", ctl_out());
    EXPECT_TEXT("", ctl_err());
    CTL(0, "bench", "-h");
    EXPECT_HAS("Usage: dureqctl bench", ctl_out());
}

SCENARIO(without_a_command_it_tells_what_there_is_and_fails)
{
    EXPECT_I64(2, ctl_run((const char *const[]){NULL}));
    EXPECT_TEXT("", ctl_out());
    EXPECT_HAS("Usage: dureqctl", ctl_err());
}

SCENARIO(wrong_use_is_named_and_ends_with_2)
{
    static const struct {
        const char *args[5], *said;
    } rows[] = {
        {{"frobnicate"}, "unknown command 'frobnicate'"},
        {{"job", "gte"}, "unknown command 'job gte'"},
        {{"jbo", "list"}, "unknown command 'jbo list': did you mean 'job list'?"},
        {{"enqeue", "x"}, "unknown command 'enqeue x': did you mean 'enqueue'?"},
        {{"job", "lst"}, "unknown command 'job lst': did you mean 'job list'?"},
        {{"job", "list", "--quue", "x"}, "unknown option '--quue': did you mean '--queue'?"},
        {{"enqueue", "t", "-5"}, "unknown option '-5' (a value that begins with '-' stands after '--')"},
        {{"enqueue", "t", "{a:1}"}, "the payload begins like JSON and is none; quote it for the shell, or give --text"},
        {{"job", "update", "x", "[1,"}, "the payload begins like JSON and is none"},
        {{"stats", "--nothing"}, "unknown option '--nothing'"},
        {{"stats", "-x"}, "unknown option '-x'"},
        {{"stats", "more"}, "'stats' takes no 'more'"},
        {{"stats", "--days"}, "option '--days' needs a value"},
        {{"stats", "--days", "0"}, "--days takes a whole number from 1 to 90, not '0'"},
        {{"stats", "--days="}, "option '--days' needs a value"},
        {{"doctor", "--repair=yes"}, "option '--repair' takes no value"},
        {{"stats", "--output"}, "option '--output' needs a value"},
        {{"stats", "--server"}, "option '--server' needs a value"},
        {{"--prefix=", "stats"}, "option '--prefix' needs a value"},
        {{"stats", "-o", "xml"}, "--output takes table, json, ndjson or csv, not 'xml'"},
        {{"stats", "--call-timeout", "soon"}, "--call-timeout takes a duration such as 30s, 5m or 1h30m, not 'soon'"},
        {{"stats", "--call-timeout", "-1s"}, "--call-timeout takes a duration"},
        {{"stats", "--call-timeout", "0s"}, "--call-timeout takes a duration"},
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        EXPECT_NOTE("row %zu", i);
        EXPECT_I64(2, ctl_run(rows[i].args));
        EXPECT_TEXT("", ctl_out());
        EXPECT_HAS(rows[i].said, ctl_err());
    }
}

SCENARIO(a_queue_that_is_nearly_one_is_hinted_at)
{
    static const char *const verbs[] = {"pause", "resume", "purge"};

    CTL_FAILS(3, "no queue 'nomral': did you mean 'normal'?", "job", "list", "--queue", "nomral");
    CTL_FAILS(3, "no queue 'hihg': did you mean 'high'?", "stats", "--by", "hour", "--queue", "hihg");
    CTL_FAILS(3, "no queue 'hihg': did you mean 'high'?", "job", "cancel", "--queue", "hihg", "--yes");
    for (size_t i = 0; i < DQ_ARRAY_LEN(verbs); i++)
        CTL_FAILS(3, "queue 'nomral' is not defined: did you mean 'normal'?", "queue", verbs[i], "nomral");
    CTL_FAILS(3, "no queue 'something.else'\n", "job", "list", "--queue", "something.else");
}

SCENARIO(every_command_refuses_an_option_it_does_not_know)
{
    static const char *const words[][2] = {
        {"job", "audit"},  {"job", "cancel"},  {"job", "delete"},  {"job", "events"}, {"job", "get"},      {"job", "list"},
        {"job", "logs"},   {"job", "pause"},   {"job", "result"},  {"job", "resume"}, {"job", "retry"},    {"job", "run"},
        {"job", "update"}, {"job", "wait"},    {"job", "watch"},   {"dlq", "list"},   {"dlq", "purge"},    {"dlq", "redrive"},
        {"run", "get"},    {"run", "list"},    {"run", "requeue"}, {"key", "delete"}, {"key", "get"},      {"queue", "list"},
        {"queue", "set"},  {"queue", "purge"}, {"node", "list"},   {"node", "drain"}, {"enqueue", "type"}, {"job", "reschedule"},
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(words); i++) {
        EXPECT_NOTE("%s %s", words[i][0], words[i][1]);
        CTL_FAILS(2, "unknown option '--nothing'", words[i][0], words[i][1], "--nothing", "x");
    }
}

SCENARIO(a_group_alone_is_its_help_and_words_have_aliases)
{
    static const char *const lists[] = {"jobs", "queues", "nodes", "runs"};

    CTL(0, "job");
    EXPECT_HAS("job cancel", ctl_out());
    EXPECT_TEXT("", ctl_err());
    for (size_t i = 0; i < DQ_ARRAY_LEN(lists); i++)
        CTL(0, lists[i], "-o", "json");
    CTL(0, "jobs", "--status", "dead");
    CTL(0, "queue", "ls");
    EXPECT_HAS("normal", ctl_out());
    CTL_FAILS(2, "needs at least one id", "job", "rm");
    CTL(0, "version");
    CTL(0, "-V");
    EXPECT_HAS("dureqctl ", ctl_out());
    CTL_FAILS(3, "did you mean 'normal'?", "enqueue", "t", "1", "--queue", "normla");
}

SCENARIO(words_are_completed_from_the_tables_and_the_server)
{
    static const char *const shells[] = {"bash", "zsh", "fish"};

    (void)rig_node("n", "mail.send", end_well, NULL);
    for (size_t i = 0; i < DQ_ARRAY_LEN(shells); i++) {
        CTL(0, "completion", shells[i]);
        EXPECT_HAS("dureqctl complete-words --", ctl_out());
    }
    CTL(0, "complete-words", "--", "jo");
    EXPECT_TEXT("job\n", ctl_out());
    CTL(0, "complete-words", "--", "job", "re");
    EXPECT_TEXT("reschedule\nresult\nresume\nretry\n", ctl_out());
    CTL(0, "complete-words", "--", "job", "cancel", "--q");
    EXPECT_TEXT("--queue\n--quiet\n", ctl_out());
    CTL(0, "complete-words", "--", "job", "list", "--queue", "no");
    EXPECT_TEXT("normal\n", ctl_out());
    CTL(0, "complete-words", "--", "queue", "purge", "l");
    EXPECT_TEXT("low\n", ctl_out());
    CTL(0, "complete-words", "--", "enqueue", "mai");
    EXPECT_TEXT("mail.send\n", ctl_out());
    CTL(0, "complete-words", "--", "job", "list", "--type", "");
    EXPECT_TEXT("mail.send\n", ctl_out());
    ctl_reset();
    ctl_env("DUREQ_SERVER", "unix:///nowhere/redis.sock");
    CTL(0, "complete-words", "--", "job", "list", "--queue", "no");
    EXPECT_TEXT("", ctl_out());
    EXPECT_TEXT("", ctl_err());
    ctl_reset();
}

SCENARIO(the_version_is_told)
{
    CTL(0, "--version");
    EXPECT_HAS("dureqctl " DUREQ_VERSION "\n", ctl_out());
}

/* ---- finding the server ---- */

/* A directory of this scenario, gone with the group's server. */
static const char *own_dir(const char *name)
{
    static char path[300];

    (void)snprintf(path, sizeof path, "%s/%s.%s", test_redis_dir(rig.server), rig.prefix, name);
    EXPECT_I64(0, mkdir(path, 0700));
    return path;
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    EXPECT_TRUE(f != NULL);
    EXPECT_TRUE(fputs(text, f) >= 0);
    EXPECT_I64(0, fclose(f));
}

SCENARIO(an_option_beats_the_environment)
{
    ctl_reset();
    ctl_env("DUREQ_SERVER", "unix:///no/such/socket");
    ctl_env("DUREQ_PREFIX", "other");
    CTL(6, "stats");
    EXPECT_HAS("/no/such/socket", ctl_err());
    (void)rig_enqueue("t", "1", NULL);
    CTL(0, "stats", "--server", test_redis_url(rig.server), "-p", rig.prefix);
    EXPECT_HAS("pending", ctl_out());
    CTL(0, "stats", "-s", test_redis_url(rig.server), "--prefix=unused");
    EXPECT_TRUE(!strstr(ctl_out(), "pending"));
    ctl_reset();
}

SCENARIO(the_configuration_file_names_server_and_prefix)
{
    DQ_BUF_AUTO path = {0};
    DQ_BUF_AUTO text = {0};

    dq_buf_append_fmt(&path, "%s/dureqd.yaml", own_dir("conf"));
    dq_buf_append_fmt(&text, "dureqd:\n  prefix: %s\nredis:\n  url: %s\n", rig.prefix, test_redis_url(rig.server));
    write_file(path.ptr, text.ptr);
    (void)rig_enqueue("t", "1", NULL);
    ctl_reset();
    ctl_env("DUREQ_SERVER", NULL);
    ctl_env("DUREQ_PREFIX", NULL);
    ctl_env("DUREQ_CONFIG_PATH", path.ptr);
    CTL(0, "stats");
    EXPECT_HAS("pending", ctl_out());
    CTL(0, "bench", "--jobs", "10", "-o", "json");
    CTL(6, "stats", "-s", "unix:///no/such/socket");
    write_file(path.ptr, "dureqd:\n  prefix: [\n");
    CTL(2, "stats");
    EXPECT_HAS("dureqd.yaml:3:1: ", ctl_err());
    ctl_reset();
}

SCENARIO(else_the_socket_in_the_state_directory_is_taken)
{
    const char *dir = own_dir("state");
    DQ_BUF_AUTO link = {0};

    ctl_reset();
    ctl_env("DUREQ_SERVER", NULL);
    ctl_env("DUREQ_STATE_DIR", dir);
    CTL(6, "stats");
    EXPECT_HAS("no server given, and none answers at unix://", ctl_err());
    EXPECT_HAS("/redis.sock: start dureqd, or give --server URL or DUREQ_SERVER", ctl_err());
    dq_buf_append_fmt(&link, "%s/redis.sock", dir);
    EXPECT_I64(0, symlink(test_redis_socket(rig.server), link.ptr));
    CTL(0, "stats");
    ctl_env("DUREQ_PREFIX", "a b"); /* not "none answers" */
    CTL(2, "stats");
    EXPECT_HAS("prefix takes 1 to 64 of [A-Za-z0-9_.-]", ctl_err());
    ctl_reset();
}

/* ---- servers that do not do ---- */

SCENARIO(a_bad_url_says_what_a_url_looks_like)
{
    CTL_FAILS(2, "redis://, rediss:// or unix://", "stats", "-s", "foo://host");
    CTL_FAILS(6, "http://127.0.0.1:1: ", "stats", "-s", "http://127.0.0.1:1");
    CTL_FAILS(2, "port", "stats", "-s", "redis://127.0.0.1:99999");
    CTL_FAILS(6, "redis://127.0.0.1:1: cannot connect", "stats", "-s", "redis://127.0.0.1:1");
    CTL_FAILS(2, "prefix takes 1 to 64 of [A-Za-z0-9_.-]", "stats", "-p", "a b");
}

static char *on_server(const char *a, const char *b, const char *c, const char *d)
{
    return test_redis_command(rig.server, a, b, c, d, NULL);
}

SCENARIO(an_eviction_policy_is_refused_unless_accepted)
{
    free(on_server("CONFIG", "SET", "maxmemory-policy", "allkeys-lru"));
    CTL(1, "stats");
    EXPECT_HAS("maxmemory-policy", ctl_err());
    EXPECT_HAS("noeviction", ctl_err());
    CTL(0, "stats", "--allow-eviction");
    free(on_server("CONFIG", "SET", "maxmemory-policy", "noeviction"));
    CTL(0, "stats");
}

SCENARIO(a_wrong_password_is_not_allowed)
{
    DQ_BUF_AUTO url = {0};

    free(test_redis_command(rig.server, "ACL", "SETUSER", "guarded", "on", ">secret", "~*", "&*", "+@all", NULL));
    dq_buf_append_fmt(&url, "unix://guarded:wrong@%s", test_redis_socket(rig.server));
    CTL(7, "stats", "-s", url.ptr);
    EXPECT_HAS("password", ctl_err());
    EXPECT_TRUE(!strstr(ctl_err(), "wrong@"));
    dq_buf_clear(&url);
    dq_buf_append_fmt(&url, "unix://guarded:secret@%s", test_redis_socket(rig.server));
    CTL(0, "stats", "-s", url.ptr);
    free(on_server("ACL", "DELUSER", "guarded", NULL));
}

SCENARIO(a_user_without_the_permission_is_told_which_command)
{
    static const char *const rows[][2] = {{"-xadd", "'xadd'"}, {"-evalsha", "'evalsha'"}};
    DQ_BUF_AUTO url = {0};

    dq_buf_append_fmt(&url, "unix://limited:pw@%s", test_redis_socket(rig.server));
    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        EXPECT_NOTE("%s", rows[i][0]);
        free(test_redis_command(rig.server, "ACL", "SETUSER", "limited", "reset", "on", ">pw", "~*", "&*", "+@all", rows[i][0],
                                NULL));
        CTL_FAILS(7, rows[i][1], "enqueue", "mail", "1", "-s", url.ptr);
    }
    EXPECT_I64(0, rig_counts().pending);
    free(on_server("ACL", "DELUSER", "limited", NULL));
}

SCENARIO(a_server_that_stands_still_is_given_up_in_time)
{
    int64_t began;

    CTL(0, "stats");
    test_redis_freeze(rig.server);
    began = rig_mono_ms();
    CTL(6, "stats", "--call-timeout", "200ms");
    EXPECT_TRUE(rig_mono_ms() - began < 5000);
    test_redis_thaw(rig.server);
    CTL(0, "stats");
}

static void *thaw_later(void *arg)
{
    fault_pass(500); /* what is tested is a server that is late */
    test_redis_thaw(arg);
    return NULL;
}

SCENARIO(a_server_that_is_late_is_waited_for)
{
    pthread_t thread;

    test_redis_freeze(rig.server);
    EXPECT_I64(0, pthread_create(&thread, NULL, thaw_later, rig.server));
    CTL(0, "stats");
    EXPECT_I64(0, pthread_join(thread, NULL));
}

/* ---- writing ---- */

SCENARIO(output_that_cannot_be_written_is_a_failure)
{
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

    ctl_reset();
    ctl_stdout(full);
    CTL(1, "stats");
    EXPECT_HAS("cannot write the output", ctl_err());
    CTL(1, "help");
    ctl_reset();
    EXPECT_I64(0, close(full));
}

SCENARIO(a_reader_that_leaves_ends_it_quietly)
{
    int fds[2];

    ctl_reset();
    EXPECT_I64(0, pipe2(fds, O_CLOEXEC));
    EXPECT_I64(0, close(fds[0]));
    ctl_stdout(fds[1]);
    CTL(128 + SIGPIPE, "help");
    EXPECT_TEXT("", ctl_err());
    ctl_reset();
    EXPECT_I64(0, close(fds[1]));
}

/* ---- secrets ---- */

static bool process_shows(pid_t pid, const char *text)
{
    DQ_BUF_AUTO path = {0};
    char words[4096];
    ssize_t n;
    int fd;

    dq_buf_append_fmt(&path, "/proc/%d/cmdline", (int)pid);
    fd = open(path.ptr, O_RDONLY | O_CLOEXEC);
    EXPECT_TRUE(fd >= 0);
    n = read(fd, words, sizeof words);
    (void)close(fd);
    return n > 0 && memmem(words, (size_t)n, text, strlen(text));
}

SCENARIO(the_password_of_the_server_is_not_shown_in_the_process_list)
{
    static const char *const forms[][2] = {{"-s", NULL}, {"--server", NULL}, {"--server=", NULL}};

    for (size_t i = 0; i < DQ_ARRAY_LEN(forms); i++) {
        DQ_BUF_AUTO url = {0};
        const char *args[8] = {0};
        size_t n = 0;

        dq_buf_append_fmt(&url, "%sunix://default:seCret@%s", i == 2 ? "--server=" : "", test_redis_socket(rig.server));
        if (i < 2)
            args[n++] = forms[i][0];
        args[n++] = url.ptr;
        args[n++] = "enqueue";
        args[n++] = "t";
        args[n++] = "--lines";
        args[n++] = "-";
        ctl_reset();
        ctl_begin(args);
        RIG_UNTIL(process_shows(ctl_pid(), "--lines")); /* it is dureqctl by now */
        RIG_UNTIL(!process_shows(ctl_pid(), "seCret"));
        EXPECT_TRUE(process_shows(ctl_pid(), test_redis_socket(rig.server)));
        EXPECT_I64(0, ctl_end()); /* a server without passwords takes any */
    }
}

RIG_MAIN()
