/* SPDX-License-Identifier: Apache-2.0 */
#include "expect.h"

#include "config_yaml.h"
#include "exec_args.h"
#include "exec_outcome.h"
#include "handler_spec.h"

/* What the daemon reads and what it hands to programs, with the n-th allocation failing, for all n. The file is in test_dureqd_config_file. libyaml's own
   allocations are not among those that fail. */

static int load(dq_config *cfg, dureq_error *err)
{
    char words[][64] = {"--concurrency=7",         "--redis-url", "redis://h:1",
                        "--redis-password=secret", "--handler",   "a=exec:/bin/echo 'x y' {payload}"};
    char vars[][64] = {"DUREQ_LEASE_MS=3s", "DUREQ_REDIS_USERNAME=u", "DUREQ_BUILTINS=echo,noop"};
    char *argv[DQ_ARRAY_LEN(words)], *envp[DQ_ARRAY_LEN(vars) + 1] = {NULL}, *url = NULL;
    dq_config_cli cli;
    int rc;

    for (size_t i = 0; i < DQ_ARRAY_LEN(words); i++)
        argv[i] = words[i];
    for (size_t i = 0; i < DQ_ARRAY_LEN(vars); i++)
        envp[i] = vars[i];
    rc = dq_config_load(cfg, DQ_ARRAY_LEN(words), argv, envp, &cli, err);
    if (rc == 0)
        rc = dq_config_redis_url(cfg, &url, err);
    if (rc == 0)
        EXPECT_TEXT("redis://u:secret@h:1/0", url);
    dq_free(url);
    return rc;
}

static int load_all(void *arg)
{
    dureq_error err = {0};
    dq_config cfg;
    int rc = dq_config_init(&cfg, &err);

    (void)arg;
    if (rc < 0)
        return rc;
    rc = load(&cfg, &err);
    dq_config_deinit(&cfg);
    if (rc < 0 && rc != DUREQ_ENOMEM)
        print_error("%s\n", err.msg);
    return rc;
}

TEST(arguments_and_environment)
{
    EXPECT_TRUE(expect_survives_nomem(load_all, NULL) >= 3);
}

static int parse_handler(void *arg)
{
    dq_arena arena = {0};
    dq_handler_spec spec = {0};
    dureq_error err = {0};
    int rc = dq_handler_spec_parse(&arena, DQ_STR_LIT("a.*=exec:/bin/sh -c \"echo 'x'\" {payload}"), &spec, &err);

    (void)arg;
    if (rc == 0)
        EXPECT_I64(4, (int64_t)spec.n_words);
    dq_arena_deinit(&arena);
    return rc;
}

TEST(a_handler_command)
{
    EXPECT_TRUE(expect_survives_nomem(parse_handler, NULL) >= 1);
}

static int read_line(void *arg)
{
    dq_exec_said said = {0};
    dq_exec_line line = {0};
    dureq_error err = {0};
    int rc = dq_exec_line_read(
        DQ_STR_LIT("{\"outcome\": \"retry\", \"after\": \"3s\", \"error\": \"later\", \"log\": \"a line\", \"payload\": [1]}"),
        &said, &line, &err);

    (void)arg;
    if (rc == 0) {
        EXPECT_STR_TEXT("later", dq_buf_str(&said.error));
        EXPECT_STR_TEXT("a line\n", dq_buf_str(&line.log));
        EXPECT_STR_TEXT("[1]", dq_buf_str(&said.payload));
        EXPECT_I64(3000, said.after_ms);
    }
    if (rc == DUREQ_ENOMEM) {
        dq_exec_verdict v;

        dq_exec_judge(&(dq_exec_end){.said = &said}, &v);
        EXPECT_I64(DUREQ_OUTCOME_RETRY, v.outcome); /* not done, as exit code 0 alone would be */
        EXPECT_HAS("out of memory", v.msg);
    }
    dq_exec_line_deinit(&line);
    dq_exec_said_deinit(&said);
    return rc;
}

TEST(a_line_on_descriptor_3)
{
    EXPECT_TRUE(expect_survives_nomem(read_line, NULL) >= 2);
}

static int build(void *arg)
{
    static const char *const words[] = {"/bin/echo", "<{payload}>"};
    static const char *const base[] = {"PATH=/bin", NULL};
    const dureq_header header = {"x-a", DQ_STR_LIT("b")};
    const dq_exec_facts facts = {.job_id = "id",
                                 .task_type = "t",
                                 .content_type = "application/json",
                                 .headers = &header,
                                 .n_headers = 1,
                                 .payload = DQ_STR_LIT("\"te\\u0078t\""),
                                 .attempt = 1};
    dq_arena arena = {0};
    dureq_error err = {0};
    DQ_BUF_AUTO context = {0};
    char **argv, **envp;
    int rc = dq_exec_build_argv(&arena, words, 2, &facts, &argv, &err);

    (void)arg;
    if (rc == 0)
        EXPECT_TEXT("<text>", argv[1]);
    if (rc == 0)
        rc = dq_exec_build_env(&arena, base, &facts, "/ctx", &envp, &err);
    if (rc == 0) {
        dq_exec_build_context(&facts, &context);
        rc = dq_buf_finish(&context, &err);
    }
    dq_arena_deinit(&arena);
    return rc;
}

/* Whatever comes after a lost line: only another outcome takes its place. */
TEST(a_lost_outcome_stays_lost_until_another_one_is_said)
{
    dq_exec_said said = {0};
    dq_exec_line line = {0};

    dq_alloc_fail_at(1);
    EXPECT_RC(DUREQ_ENOMEM, dq_exec_line_read(DQ_STR_LIT("{\"outcome\": \"fail\"}"), &said, &line, NULL));
    dq_alloc_fail_at(0);
    EXPECT_RC(0, dq_exec_line_read(DQ_STR_LIT("{\"heartbeat\": true}"), &said, &line, NULL));
    EXPECT_TRUE(said.has_outcome && said.no_memory);
    EXPECT_RC(0, dq_exec_line_read(DQ_STR_LIT("{\"outcome\": \"fail\"}"), &said, &line, NULL));
    EXPECT_TRUE(said.has_outcome && !said.no_memory);
    EXPECT_I64(DUREQ_OUTCOME_FAIL, said.outcome);
    dq_exec_said_deinit(&said);
}

TEST(arguments_and_context_of_a_program)
{
    EXPECT_TRUE(expect_survives_nomem(build, NULL) >= 3);
}

TEST_MAIN()
