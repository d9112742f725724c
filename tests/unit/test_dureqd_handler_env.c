/* SPDX-License-Identifier: Apache-2.0 */
#include "handler_env.h"

#include "expect.h"

#include "exec_args.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static dq_arena arena;
static dq_buf warnings;

static void forget(void)
{
    dq_buf_deinit(&warnings);
    dq_arena_deinit(&arena);
}

/* "A=1|B=2|" */
static const char *joined(const char *const *vars)
{
    static dq_buf out;

    dq_buf_clear(&out);
    for (; vars && *vars; vars++)
        dq_buf_append_fmt(&out, "%s|", *vars);
    return out.ptr ? out.ptr : "";
}

static const char *parsed(const char *text)
{
    dq_env_list list = {0};
    dureq_error err = {0};

    if (dq_env_parse(&arena, "f", dureq_str_from(text), &list, &warnings, &err) < 0)
        return joined((const char *const[]){err.msg, NULL});
    return joined(list.vars);
}

TEST(names_are_those_of_a_shell)
{
    EXPECT_TRUE(dq_env_is_name(DQ_STR_LIT("_a9")));
    EXPECT_FALSE(dq_env_is_name(DQ_STR_LIT("9a")));
    EXPECT_FALSE(dq_env_is_name(DQ_STR_LIT("a-b")));
    EXPECT_FALSE(dq_env_is_name((dureq_str){0}));
    EXPECT_TRUE(dq_env_is_own(DQ_STR_LIT("DUREQ_RUN_ID")));
    EXPECT_TRUE(dq_env_is_own(DQ_STR_LIT("DUREQ_HEADER_X")));
    EXPECT_FALSE(dq_env_is_own(DQ_STR_LIT("DUREQ_REDIS_URL")));
    EXPECT_FALSE(dq_env_is_own(DQ_STR_LIT("RUN_ID")));
}

/* What put_context of exec_args.c says is all reserved: a name that is new there must be new here, too. */
TEST(every_name_of_the_context_is_reserved)
{
    static const dureq_header headers[] = {{"x-y", {"1", 1}}};
    static const char *const none[] = {NULL};
    dq_exec_facts f = {.job_id = "a",
                       .run_id = "b",
                       .task_type = "c",
                       .queue = "d",
                       .node_id = "e",
                       .content_type = "f",
                       .priority = 1,
                       .attempt = 1,
                       .max_attempts = 1,
                       .deadline_at_ms = 1,
                       .enqueued_at_ms = 1,
                       .schedule_id = "g",
                       .scheduled_at_ms = 1,
                       .headers = headers,
                       .n_headers = 1,
                       .traceparent = DQ_STR_LIT("t")};
    char **vars = NULL;

    EXPECT_RC(0, dq_exec_build_env(&arena, none, &f, "/c", &vars, NULL));
    for (; *vars; vars++) {
        dureq_str rest = dureq_str_from(*vars);

        EXPECT_TRUE(dq_env_is_own(dq_str_cut(&rest, '=')));
    }
    forget();
}

TEST(a_file_has_a_variable_a_line)
{
    EXPECT_TEXT("A=1|B= x y|", parsed("A=1\nB=' x y'\n"));
    EXPECT_TEXT("A=|B=2|", parsed("# first\n\n  A=\n\texport B=2\n"));
    EXPECT_TEXT("A=1|", parsed("\xEF\xBB\xBF"
                               "A=1"));
    EXPECT_TEXT("A=b c|", parsed("A= b c \r\n"));
    EXPECT_TEXT("A=a#b|B=c \\n $HOME|", parsed("A=a#b\nB=c \\n $HOME\n"));
    EXPECT_TEXT("A=\"\\$x\n|", parsed("A=\"\\\"\\\\\\$x\\n\" # done\n"));
    EXPECT_TEXT("A=\\n\"|", parsed("A='\\n\"'"));
    EXPECT_TEXT("A=--\nb\nc--|B=1|", parsed("A=\"--\nb\nc--\"\nB=1"));
    EXPECT_TEXT("A=2|", parsed("A=1\nA=2\n"));
    EXPECT_TEXT("A==x=|", parsed("A==x=\n"));
    EXPECT_TEXT("", parsed(""));
    forget();
}

/* The line, and nothing of what is in it. */
TEST(a_fault_of_a_file_tells_its_line_alone)
{
    EXPECT_TEXT("f:2: not NAME=value, with a name of [A-Za-z0-9_]|", parsed("A=1\nhunter2\n"));
    EXPECT_TEXT("f:1: not NAME=value, with a name of [A-Za-z0-9_]|", parsed("=hunter2"));
    EXPECT_TEXT("f:1: not NAME=value, with a name of [A-Za-z0-9_]|", parsed("a-b=hunter2"));
    EXPECT_TEXT("f:1: not NAME=value, with a name of [A-Za-z0-9_]|", parsed("A =hunter2"));
    EXPECT_TEXT("f:2: a quote is never closed|", parsed("\nA='hunter2\n\n"));
    EXPECT_TEXT("f:2: there is more after the closing quote|", parsed("A='x\ny'hunter2\n"));
    EXPECT_TEXT("f:1: a quote is never closed|", parsed("A=\"hunter2\\\""));
    forget();
}

TEST(what_dureqd_sets_itself_is_left_out_with_a_word)
{
    DQ_BUF_AUTO many = {0};

    EXPECT_TEXT("A=1|DUREQ_REDIS_URL=u|", parsed("A=1\nDUREQ_JOB_ID=hunter2\nDUREQ_REDIS_URL=u\n"));
    EXPECT_TEXT("f:2: DUREQ_JOB_ID has no effect: dureqd sets it itself\n", warnings.ptr);
    forget();
    for (int i = 0; i < 1000; i++)
        dq_buf_append_text(&many, "DUREQ_JOB_ID=\n");
    EXPECT_TEXT("", parsed(many.ptr));
    EXPECT_TRUE(strstr(warnings.ptr, "f:10: ") && !strstr(warnings.ptr, "f:11: "));
    EXPECT_TRUE(strstr(warnings.ptr, "f: 990 more have no effect: dureqd sets them itself\n") != NULL);
    forget();
}

TEST(a_nul_and_what_is_too_much_are_refused)
{
    DQ_BUF_AUTO text = {0};
    dq_env_list list = {0};
    dureq_error err = {0};

    EXPECT_RC(DUREQ_EPARSE, dq_env_parse(&arena, "f", dureq_str_of("A=\0b", 4), &list, &warnings, &err));
    for (int i = 0; i <= DQ_ENV_VARS_MAX; i++)
        dq_buf_append_fmt(&text, "A%d=\n", i);
    EXPECT_RC(DUREQ_ETOOLARGE, dq_env_parse(&arena, "f", dq_buf_str(&text), &list, &warnings, &err));
    EXPECT_TEXT("f:4097: more than 4096 variables", err.msg);
    dq_buf_clear(&text);
    dq_buf_append_text(&text, "A=");
    memset(dq_buf_reserve(&text, DQ_EXEC_ARG_MAX), 'x', DQ_EXEC_ARG_MAX);
    text.len += DQ_EXEC_ARG_MAX - 3;
    list = (dq_env_list){0};
    EXPECT_RC(0, dq_env_parse(&arena, "f", dq_buf_str(&text), &list, &warnings, &err));
    text.len++;
    EXPECT_RC(DUREQ_ETOOLARGE, dq_env_parse(&arena, "f", dq_buf_str(&text), &list, &warnings, &err));
    list = (dq_env_list){.bytes = DQ_ENV_BYTES_MAX - 3};
    EXPECT_RC(DUREQ_ETOOLARGE, dq_env_put(&arena, &list, DQ_STR_LIT("A"), DQ_STR_LIT("1"), &err));
    forget();
}

TEST(only_a_regular_file_is_read)
{
    char dir[] = "/tmp/dureq-env-XXXXXX";
    DQ_BUF_AUTO path = {0};
    dq_env_list list = {0};
    dureq_error err = {0};

    EXPECT_TRUE(mkdtemp(dir) != NULL);
    dq_buf_append_fmt(&path, "%s/pipe", dir);
    EXPECT_I64(0, mkfifo(path.ptr, 0600));
    EXPECT_RC(DUREQ_EINVAL, dq_env_read_file(&arena, path.ptr, &list, &warnings, &err));
    EXPECT_RC(DUREQ_EINVAL, dq_env_read_file(&arena, dir, &list, &warnings, &err));
    EXPECT_RC(DUREQ_ENOTFOUND, dq_env_read_file(&arena, "/no/such/file", &list, &warnings, &err));
    (void)unlink(path.ptr);
    (void)rmdir(dir);
    forget();
}

TEST(a_star_stands_for_anything)
{
    static const struct {
        const char *pattern, *name;
        bool passes;
    } cases[] = {
        {"AWS_*", "AWS_REGION", true},
        {"AWS_*", "AWS_", true},
        {"AWS_*", "XAWS_", false},
        {"*_URL", "DB_URL", true},
        {"*_URL", "DB_URLS", false},
        {"A*B*C", "AxBxBxC", true},
        {"A*B*C", "AxCxB", false},
        {"A", "A", true},
        {"A", "AB", false},
        {"**", "A", true},
        {"*", "DUREQ_REDIS_PASSWORD", false},
        {"*", "NOTIFY_SOCKET", false},
        {"*", "WATCHDOG_USEC", false},
        {"DUREQ_REDIS_*", "DUREQ_REDIS_PASSWORD", true},
        {"DUREQ_*", "DUREQ_RUN_ID", false},
        {"DUREQ_RUN_ID", "DUREQ_RUN_ID", false},
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(cases); i++)
        if (dq_env_passes(cases[i].pattern, dureq_str_from(cases[i].name)) != cases[i].passes)
            fail_msg("%s, %s", cases[i].pattern, cases[i].name);
    EXPECT_TRUE(dq_env_is_pattern(DQ_STR_LIT("A*_9")));
    EXPECT_FALSE(dq_env_is_pattern(DQ_STR_LIT("A?")));
    EXPECT_FALSE(dq_env_is_pattern(DQ_STR_LIT("")));
}

/* The daemon's < the user's < envFile < env. */
TEST(the_more_explicit_wins)
{
    static const char *const envp[] = {"PATH=/bin", "HOME=/daemon",       "A=daemon", "B=daemon", "C=daemon",
                                       "D=daemon",  "BASH_FUNC_x%%=() {", "junk",     NULL};
    const char *pass[] = {"*", "A"};
    dq_handler_spec spec = {.pass_env = pass, .n_pass_env = 2};
    const char *const *vars = NULL;

    EXPECT_RC(0, dq_env_put(&arena, &spec.file_env, DQ_STR_LIT("B"), DQ_STR_LIT("file"), NULL));
    EXPECT_RC(0, dq_env_put(&arena, &spec.file_env, DQ_STR_LIT("C"), DQ_STR_LIT("file"), NULL));
    EXPECT_RC(0, dq_env_put(&arena, &spec.env, DQ_STR_LIT("C"), DQ_STR_LIT("env"), NULL));
    EXPECT_RC(0, dq_env_put(&arena, &spec.env, DQ_STR_LIT("USER"), DQ_STR_LIT("me"), NULL));
    EXPECT_RC(0, dq_env_assemble(&arena, &spec, (char *const *)envp, "nobody", "/nowhere", &vars, NULL));
    EXPECT_TEXT("PATH=/bin|HOME=/nowhere|A=daemon|B=file|C=env|D=daemon|USER=me|LOGNAME=nobody|", joined(vars));
    spec = (dq_handler_spec){0};
    EXPECT_RC(0, dq_env_assemble(&arena, &spec, (char *const *)envp, NULL, NULL, &vars, NULL));
    EXPECT_TEXT("PATH=/bin|", joined(vars));
    EXPECT_RC(0, dq_env_assemble(&arena, &spec, NULL, NULL, NULL, &vars, NULL));
    EXPECT_TRUE(vars != NULL && vars[0] == NULL);
    forget();
}

TEST(a_failed_allocation_is_an_error)
{
    int rc = DUREQ_ENOMEM;

    for (long n = 1; rc != 0; n++) {
        dq_env_list list = {0};

        dq_alloc_fail_at(n);
        rc = dq_env_parse(&arena, "f", DQ_STR_LIT("A=1\nB='2'\nDUREQ_JOB_ID=3\n"), &list, &warnings, NULL);
        dq_alloc_fail_at(0);
        EXPECT_TRUE(rc == 0 || rc == DUREQ_ENOMEM);
        forget();
    }
}

TEST_MAIN()
