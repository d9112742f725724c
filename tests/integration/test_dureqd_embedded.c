/* SPDX-License-Identifier: Apache-2.0 */
#include "embedded.h"

#include "base/buf.h"
#include "base/clock.h"

#include <dirent.h>
#include <glob.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_US (20 * 1000000)

typedef struct fixture {
    dq_loop *loop;
    char dir[64];
    dq_log log;
    dq_buf events; /* one event a line */
    bool give_up;
    dq_embedded_options options;
} fixture;

static void on_log(const dureq_log_record *r, void *userdata)
{
    fixture *f = userdata;

    dq_buf_append_fmt(&f->events, "%s %s\n", r->event, r->text);
}

static int set_up(void **state)
{
    fixture *f = dq_calloc(1, sizeof *f);

    *state = f;
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/dureqd-state-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    assert_int_equal(dq_loop_create(&f->loop, NULL), 0);
    f->log = (dq_log){.fn = on_log, .userdata = f, .level = DUREQ_LOG_DEBUG};
    f->options = (dq_embedded_options){
        .program = "redis-server", .dir = f->dir, .appendfsync = "everysec", .log = &f->log, .give_up = &f->give_up};
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    char command[128];

    (void)snprintf(command, sizeof command, "rm -rf '%s'", f->dir);
    assert_int_equal(system(command), 0);
    dq_loop_destroy(f->loop);
    dq_buf_deinit(&f->events);
    dq_free(f);
    return 0;
}

static void path_of(const fixture *f, const char *name, dq_buf *out)
{
    dq_buf_append_fmt(out, "%s/%s", f->dir, name);
}

static bool has_event(const fixture *f, const char *text)
{
    return f->events.ptr && strstr(f->events.ptr, text);
}

/* The number after "pid=" of the last "embedded.ready". */
static pid_t server_pid(const fixture *f)
{
    const char *at = NULL;

    for (const char *p = f->events.ptr; p; p = strstr(p + 1, "embedded.ready pid="))
        at = p;
    assert_non_null(at);
    return atoi(strstr(at, "pid=") + 4);
}

static void turn_until_event(fixture *f, const char *text)
{
    int64_t until_us = dq_mono_us() + WAIT_US;

    while (!has_event(f, text)) {
        assert_true(dq_mono_us() < until_us);
        dq_loop_run_once(f->loop, /*block=*/true);
    }
}

static void it_starts_private_and_stops(void **state)
{
    fixture *f = *state;
    DQ_BUF_AUTO socket_path = {0};
    DQ_BUF_AUTO url = {0};
    struct stat st;
    dq_embedded *e = NULL;
    dureq_error err = {0};
    pid_t pid;

    path_of(f, "redis.sock", &socket_path);
    dq_buf_append_fmt(&url, "unix://%s", socket_path.ptr);
    assert_int_equal(dq_embedded_start(f->loop, &f->options, &e, &err), 0);
    assert_string_equal(dq_embedded_url(e), url.ptr);
    assert_int_equal(dq_embedded_ping(socket_path.ptr), 1);
    assert_int_equal(stat(socket_path.ptr, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    pid = server_pid(f);
    assert_int_equal(kill(pid, 0), 0);

    dq_embedded_stop(e);
    assert_int_equal(kill(pid, 0), -1);
    assert_int_equal(dq_embedded_ping(socket_path.ptr), -1);
    assert_true(has_event(f, "embedded.stopped"));
}

static void it_is_started_again_when_it_dies(void **state)
{
    fixture *f = *state;
    dq_embedded *e = NULL;
    pid_t pid;

    assert_int_equal(dq_embedded_start(f->loop, &f->options, &e, NULL), 0);
    pid = server_pid(f);
    dq_buf_clear(&f->events);
    assert_int_equal(kill(pid, SIGKILL), 0);
    turn_until_event(f, "embedded.died");
    turn_until_event(f, "embedded.ready");
    assert_true(server_pid(f) != pid);
    dq_embedded_stop(e);
}

/* The file of which the server has written last. */
static void tear_file(const fixture *f, off_t bytes)
{
    DQ_BUF_AUTO pattern = {0};
    struct stat st;
    glob_t found;

    path_of(f, "appendonlydir/*.incr.aof", &pattern);
    assert_int_equal(glob(pattern.ptr, 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    assert_int_equal(stat(found.gl_pathv[0], &st), 0);
    assert_int_equal(truncate(found.gl_pathv[0], st.st_size - bytes), 0);
    globfree(&found);
}

static void expect_answer(dq_embedded *e, const char *command, const char *answer)
{
    char reply[256];

    assert_true(dq_embedded_ask(dq_embedded_url(e) + strlen("unix://"), command, reply, sizeof reply));
    assert_string_equal(reply, answer);
}

/* At any byte of the last transaction. What was there before is there, and what came after the start outlasts the next. */
static void a_file_torn_within_a_transaction_is_written_anew(void **state)
{
    fixture *f = *state;
    dq_embedded *e = NULL;

    for (off_t bytes = 1; bytes < 60; bytes += 9) {
        char command[64], answer[64];

        dq_buf_clear(&f->events);
        assert_int_equal(dq_embedded_start(f->loop, &f->options, &e, NULL), 0);
        (void)snprintf(command, sizeof command, "SET before%d 1\r\n", (int)bytes);
        expect_answer(e, command, "+OK\r\n");
        expect_answer(e, "EVAL \"redis.call('SET','x',1) redis.call('SET','y',1) return 1\" 0\r\n",
                      ":1\r\n"); /* a transaction in the file */
        dq_embedded_stop(e);
        tear_file(f, bytes);

        dq_buf_clear(&f->events);
        assert_int_equal(dq_embedded_start(f->loop, &f->options, &e, NULL), 0);
        assert_true(has_event(f, "embedded.rewritten"));
        expect_answer(e, "MGET x y\r\n", "*2\r\n$-1\r\n$-1\r\n");
        (void)snprintf(command, sizeof command, "SET behind%d 2\r\n", (int)bytes);
        expect_answer(e, command, "+OK\r\n");
        dq_embedded_stop(e);

        dq_buf_clear(&f->events);
        assert_int_equal(dq_embedded_start(f->loop, &f->options, &e, NULL), 0);
        assert_false(has_event(f, "embedded.rewritten"));
        (void)snprintf(command, sizeof command, "MGET before%d behind%d x\r\n", (int)bytes, (int)bytes);
        (void)snprintf(answer, sizeof answer, "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$-1\r\n");
        expect_answer(e, command, answer);
        dq_embedded_stop(e);
    }
}

static void two_daemons_do_not_share_a_directory(void **state)
{
    fixture *f = *state;
    dq_embedded *first = NULL, *second = NULL;
    dureq_error err = {0};

    assert_int_equal(dq_embedded_start(f->loop, &f->options, &first, NULL), 0);
    assert_int_equal(dq_embedded_start(f->loop, &f->options, &second, &err), DUREQ_ECONFLICT);
    assert_non_null(strstr(err.msg, "is in use by another dureqd"));
    dq_embedded_stop(first);
    assert_int_equal(dq_embedded_start(f->loop, &f->options, &second, NULL), 0);
    dq_embedded_stop(second);
}

static void a_missing_program_is_told(void **state)
{
    fixture *f = *state;
    dq_embedded *e = NULL;
    dureq_error err = {0};

    f->options.program = "no-such-redis-server";
    assert_int_equal(dq_embedded_start(f->loop, &f->options, &e, &err), DUREQ_ENOTFOUND);
    assert_non_null(strstr(err.msg, "'no-such-redis-server' is in no directory of PATH; install redis-server 7.0 or newer"));
}

static void make_script(const fixture *f, const char *name, const char *text, dq_buf *path)
{
    FILE *file;

    path_of(f, name, path);
    file = fopen(path->ptr, "w");
    assert_non_null(file);
    assert_true(fprintf(file, "#!/bin/sh\n%s\n", text) > 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path->ptr, 0755), 0);
}

static const struct program_case {
    const char *script;
    int code;
    const char *part;
} program_cases[] = {
    {"echo 'Redis server v=6.2.14 sha=0 malloc=libc bits=64 build=1'", DUREQ_ETOOOLD, "is Redis 6.2, too old"},
    {"echo 'Valkey server v=7.1.0 sha=0'", DUREQ_ETOOOLD, "is Valkey 7.1, too old"},
    {"echo hello", DUREQ_EINVAL, "is no redis-server"},
    {"case $1 in --version) echo 'Redis server v=7.2.4 sha=0';; *) echo 'Fatal error, no mood'; exit 1;; esac",
     DUREQ_EUNAVAILABLE, "did not come up: Fatal error, no mood"},
    {"case $1 in --version) echo 'Redis server v=7.2.4 sha=0';; *) echo one; printf 'no newline'; exit 1;; esac",
     DUREQ_EUNAVAILABLE, "did not come up: no newline"},
};

static void a_program_that_will_not_do_is_told(void **state)
{
    fixture *f = *state;

    for (size_t i = 0; i < DQ_ARRAY_LEN(program_cases); i++) {
        DQ_BUF_AUTO path = {0};
        dq_embedded *e = NULL;
        dureq_error err = {0};

        make_script(f, "fake", program_cases[i].script, &path);
        f->options.program = path.ptr;
        assert_int_equal(dq_embedded_start(f->loop, &f->options, &e, &err), program_cases[i].code);
        if (!strstr(err.msg, program_cases[i].part))
            print_error("%s\n", err.msg);
        assert_non_null(strstr(err.msg, program_cases[i].part));
    }
}

static void a_start_that_is_no_longer_wanted_ends(void **state)
{
    fixture *f = *state;
    DQ_BUF_AUTO path = {0};
    dq_embedded *e = NULL;

    make_script(f, "fake", "case $1 in --version) echo 'Redis server v=7.2.4 sha=0';; *) exec sleep 100;; esac", &path);
    f->options.program = path.ptr;
    f->give_up = true;
    assert_int_equal(dq_embedded_start(f->loop, &f->options, &e, NULL), DUREQ_ECANCELLED);
}

static void a_state_directory_must_be_usable(void **state)
{
    fixture *f = *state;
    DQ_BUF_AUTO path = {0};
    DQ_BUF_AUTO under = {0};
    dq_embedded *e = NULL;
    dureq_error err = {0};

    make_script(f, "file", "", &path);
    dq_buf_append_fmt(&under, "%s/sub/dir", path.ptr);
    f->options.dir = under.ptr;
    assert_int_equal(dq_embedded_start(f->loop, &f->options, &e, &err), DUREQ_EIO);
    dq_buf_clear(&under);
    path_of(f, "a/b/c", &under);
    while (under.len < 120)
        dq_buf_append_char(&under, 'x');
    f->options.dir = under.ptr;
    assert_int_equal(dq_embedded_start(f->loop, &f->options, &e, &err), DUREQ_EINVAL);
    assert_non_null(strstr(err.msg, "too long for a socket"));
    f->options.dir = "state";
    assert_int_equal(dq_embedded_start(f->loop, &f->options, &e, &err), DUREQ_EINVAL);
}

static const struct version_case {
    const char *line;
    int version;
    bool valkey;
} version_cases[] = {
    {"Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64", 70015, false},
    {"Valkey server v=8.1.0-rc1 sha=0", 80100, true},
    {"Redis server v=255.255.255 sha=0", 255 * 10000 + 255 * 100 + 99, false},
    {"Redis server v=7 sha=0", -1, false},
    {"Redis server", -1, false},
    {"KeyDB server v=6.3.4", -1, false},
    {"", -1, false},
};

static void versions_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(version_cases); i++) {
        bool valkey = false;

        assert_int_equal(dq_embedded_parse_version(dureq_str_from(version_cases[i].line), &valkey), version_cases[i].version);
        assert_int_equal(valkey, version_cases[i].valkey);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_starts_private_and_stops, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_is_started_again_when_it_dies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_torn_within_a_transaction_is_written_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(two_daemons_do_not_share_a_directory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_missing_program_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_program_that_will_not_do_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_start_that_is_no_longer_wanted_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_state_directory_must_be_usable, set_up, tear_down),
        cmocka_unit_test(versions_are_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
