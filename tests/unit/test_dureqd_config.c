/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* argv whose texts may be overwritten, as main's. */
typedef struct argv_copy {
    char *words[16];
    int n;
} argv_copy;

static void copy_args(argv_copy *a, const char *const *words)
{
    *a = (argv_copy){0};
    for (; *words; words++)
        a->words[a->n++] = dq_strdup(*words);
}

static void free_args(argv_copy *a)
{
    for (int i = 0; i < a->n; i++)
        dq_free(a->words[i]);
}

static int load(dq_config *cfg, const char *const *words, char *const *envp, dureq_error *err)
{
    dq_config_cli cli;
    argv_copy a;
    int rc;

    assert_int_equal(dq_config_init(cfg, err), 0);
    copy_args(&a, words);
    rc = dq_config_load(cfg, a.n, a.words, envp, &cli, err);
    free_args(&a);
    return rc;
}

static void defaults_are_those_of_the_documents(void **state)
{
    dq_config cfg;
    dureq_error err = {0};

    (void)state;
    assert_int_equal(dq_config_init(&cfg, &err), 0);
    assert_int_equal(cfg.concurrency, 100);
    assert_int_equal(cfg.lease_ms, 5000);
    assert_int_equal(cfg.drain_timeout_ms, 30000);
    assert_string_equal(cfg.prefix, "dureq");
    assert_int_equal(cfg.max_payload_bytes, 1024 * 1024);
    assert_null(cfg.redis_url);
    assert_true(dq_config_has_mode(&cfg, "queue"));
    dq_config_deinit(&cfg);
}

static void a_flag_beats_the_environment_beats_the_file(void **state)
{
    char env_lease[] = "DUREQ_LEASE_MS=7s", env_conc[] = "DUREQ_CONCURRENCY=7";
    char *envp[] = {env_lease, env_conc, NULL};
    const char *words[] = {"--concurrency", "9", NULL};
    const char *file = "dureqd:\n  concurrency: 5\n  leaseMs: 5s\n  max_crashes: 8\n";
    dq_config_cli cli;
    dq_config cfg;
    dureq_error err = {0};
    argv_copy a;

    (void)state;
    assert_int_equal(dq_config_init(&cfg, &err), 0);
    copy_args(&a, words);
    assert_int_equal(dq_config_load_args(&cfg, a.n, a.words, &cli, &err), 0);
    assert_int_equal(dq_config_load_text(&cfg, "f", dureq_str_from(file), &err), 0);
    assert_int_equal(dq_config_load_env(&cfg, envp, &err), 0);
    assert_int_equal(cfg.concurrency, 9);
    assert_int_equal(cfg.lease_ms, 7000);
    assert_int_equal(cfg.max_crashes, 8);
    free_args(&a);
    dq_config_deinit(&cfg);
}

typedef struct bad_args {
    const char *words[6];
    int code;
    const char *msg;
} bad_args;

static const bad_args bad_args_cases[] = {
    {{"--concurrency"}, DUREQ_EINVAL, "--concurrency needs a value"},
    {{"--lease-ms=3600001"},
     DUREQ_EINVAL,
     "--lease-ms: dureqd.leaseMs takes milliseconds or a duration such as 30s, from 200ms to 1h0m0s, not '3600001'"},
    {{"--concurrency=0"}, DUREQ_EINVAL, "--concurrency: dureqd.concurrency takes a whole number from 1 to 65536, not '0'"},
    {{"--dead-retention=0"},
     DUREQ_EINVAL,
     "--dead-retention: dureqd.deadRetention takes milliseconds or a duration such as 30s, from 1s to 878400h0m0s, or -1, not '0'"},
    {{"--stats-days-retention=-1"}, DUREQ_EINVAL, NULL},
    {{"--nothing"}, DUREQ_EINVAL, "unknown argument '--nothing'"},
    {{"--mode=queue,nap"}, DUREQ_EINVAL, "--mode: dureqd.mode: there is no 'nap'"},
    {{"--builtins=http_webhook"},
     DUREQ_EUNSUPPORTED,
     "--builtins: dureqd.builtins: http_webhook is not supported by this version"},
    {{"--redis", "ftp://x"}, DUREQ_EINVAL, NULL},
    {{"--mode="}, DUREQ_EINVAL, "--mode: dureqd.mode is empty: the node would do nothing"},
    {{"--handler", "a=exec:/bin/true", "--handler=a=builtin:echo"},
     DUREQ_EDUPLICATE,
     "a handler for 'a' was already given at --handler"},
    {{"--handler", "a=process:/bin/true"}, DUREQ_EUNSUPPORTED, "handlers of kind 'process' are not supported by this version"},
    {{"--handler", "a=webhook:https://h/"}, DUREQ_EUNSUPPORTED, "handlers of kind 'webhook' are not supported by this version"},
    {{"--handler", "a=plugin:/x.so"}, DUREQ_EUNSUPPORTED, "handlers of kind 'plugin' are not supported by this version"},
    {{"--handler", "a=shell:ls"}, DUREQ_EINVAL, "unknown handler kind 'shell'; known are exec and builtin"},
    {{"--handler", "a b=exec:ls"}, DUREQ_EINVAL, NULL},
    {{"--handler", "a=exec:ls {payload:$.x}"},
     DUREQ_EUNSUPPORTED,
     "handler 'a': '{payload:$.x}' is not supported by this version; {payload} is"},
    {{"--handler", "a=exec:"}, DUREQ_EINVAL, "handler 'a' names no program"},
    {{"--handler", "a=exec:{payload}"}, DUREQ_EINVAL, "handler 'a': the program cannot come from the payload"},
    {{"--handler", "a=builtin:"}, DUREQ_EINVAL, NULL},
    {{"--handler", "a"}, DUREQ_EINVAL, NULL},
    {{"--grpc-address=:9090"}, DUREQ_EUNSUPPORTED, NULL},
    {{"--config=/nowhere/dureqd.yaml"},
     DUREQ_ENOTFOUND,
     "cannot open the configuration '/nowhere/dureqd.yaml': No such file or directory"},
};

static void wrong_arguments_are_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(bad_args_cases); i++) {
        const bad_args *c = &bad_args_cases[i];
        dureq_error err = {0};
        dq_config cfg;
        int rc = load(&cfg, c->words, NULL, &err);

        if (rc != c->code)
            print_error("case %zu: %s\n", i, err.msg);
        assert_int_equal(rc, c->code);
        if (c->msg)
            assert_string_equal(err.msg, c->msg);
        dq_config_deinit(&cfg);
    }
}

static void a_secret_argument_is_overwritten(void **state)
{
    const char *words[] = {"--redis-password", "hunter2", NULL};
    dq_config_cli cli;
    dq_config cfg;
    dureq_error err = {0};
    argv_copy a;

    (void)state;
    assert_int_equal(dq_config_init(&cfg, &err), 0);
    copy_args(&a, words);
    assert_int_equal(dq_config_load_args(&cfg, a.n, a.words, &cli, &err), 0);
    assert_string_equal(cfg.redis_password, "hunter2");
    assert_string_equal(a.words[1], "xxxxxxx");
    free_args(&a);
    dq_config_deinit(&cfg);
}

static const struct url_case {
    const char *words[8], *url;
} url_cases[] = {
    {{"--redis=redis://h"}, "redis://h:6379/0"},
    {{"--redis=redis://u:p@h:7/2", "--redis-password=a b@", "--redis-db=3"}, "redis://u:a%20b%40@h:7/3"},
    {{"--redis=rediss://[::1]?ca=/a/b&insecure=1", "--redis-username=joe"}, "rediss://joe@[::1]:6379/0?ca=/a/b&insecure=1"},
    {{"--redis=unix:///run/r.sock?db=4"}, "unix:///run/r.sock?db=4"},
    {{NULL}, NULL},
};

static void the_url_takes_user_password_and_database(void **state)
{
    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(url_cases); i++) {
        dureq_error err = {0};
        char *url = NULL;
        dq_config cfg;

        assert_int_equal(load(&cfg, url_cases[i].words, NULL, &err), 0);
        assert_int_equal(dq_config_redis_url(&cfg, &url, &err), 0);
        if (url_cases[i].url)
            assert_string_equal(url, url_cases[i].url);
        else
            assert_null(url);
        dq_free(url);
        dq_config_deinit(&cfg);
    }
}

static void switches_need_no_value(void **state)
{
    const char *alone[] = {"--allow-eviction", "--check", NULL}, *off[] = {"--allow-eviction", "false", NULL};
    dureq_error err = {0};
    dq_config cfg;

    (void)state;
    assert_int_equal(load(&cfg, alone, NULL, &err), 0);
    assert_true(cfg.allow_eviction);
    dq_config_deinit(&cfg);
    assert_int_equal(load(&cfg, off, NULL, &err), 0);
    assert_false(cfg.allow_eviction);
    dq_config_deinit(&cfg);
}

static void retentions_are_lengths_or_for_ever(void **state)
{
    const char *words[] = {"--dead-retention=90d", "--audit-retention=-1", "--stats-hours-retention", "48h", NULL};
    dureq_error err = {0};
    dq_config cfg;

    (void)state;
    assert_int_equal(load(&cfg, words, NULL, &err), 0);
    assert_int_equal(cfg.dead_retention_ms, 90 * 86400000LL);
    assert_int_equal(cfg.audit_retention_ms, -1);
    assert_int_equal(cfg.stats_hours_retention_ms, 2 * 86400000LL);
    assert_int_equal(cfg.stats_minutes_retention_ms, 2 * 86400000LL);
    assert_int_equal(cfg.stats_days_retention_ms, 400 * 86400000LL);
    dq_config_deinit(&cfg);
}

static void the_help_names_every_setting(void **state)
{
    DQ_BUF_AUTO help = {0};

    (void)state;
    dq_config_print_help("dureqd", &help);
    for (size_t i = 0; i < dq_config_n_rows; i++) {
        const dq_config_row *row = &dq_config_rows[i];
        char flag[DQ_CONFIG_NAME_TEXT_MAX];

        dq_config_flag_name(row, flag);
        if (row->type != DQ_CONFIG_REFUSED && row->type != DQ_CONFIG_IGNORED)
            assert_non_null(strstr(help.ptr, flag));
        if (i > 0)
            assert_true(strcmp(dq_config_rows[i - 1].name, row->name) < 0);
    }
}

static void read_document(dq_buf *out)
{
    const char *root = getenv("DUREQ_TEST_SOURCE");
    DQ_BUF_AUTO path = {0};
    FILE *f;

    dq_buf_append_fmt(&path, "%s/docs/configuration.md", root ? root : ".");
    f = fopen(path.ptr, "r");
    assert_non_null(f);
    for (size_t n = 1; n > 0; out->len += n)
        n = fread(dq_buf_reserve(out, 4096), 1, 4096, f);
    dq_buf_append_char(out, '\0');
    (void)fclose(f);
}

static void the_document_holds_the_table(void **state)
{
    DQ_BUF_AUTO doc = {0};
    DQ_BUF_AUTO want = {0};

    (void)state;
    read_document(&doc);
    dq_buf_append_text(&want, "<!-- settings -->\n");
    dq_config_print_markdown(&want);
    dq_buf_append_text(&want, "<!-- /settings -->\n");
    if (!strstr(doc.ptr, want.ptr))
        print_error("docs/configuration.md lacks the table as it is now:\n%s", want.ptr);
    assert_non_null(strstr(doc.ptr, want.ptr));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_documents),
        cmocka_unit_test(a_flag_beats_the_environment_beats_the_file),
        cmocka_unit_test(wrong_arguments_are_told),
        cmocka_unit_test(a_secret_argument_is_overwritten),
        cmocka_unit_test(the_url_takes_user_password_and_database),
        cmocka_unit_test(switches_need_no_value),
        cmocka_unit_test(retentions_are_lengths_or_for_ever),
        cmocka_unit_test(the_help_names_every_setting),
        cmocka_unit_test(the_document_holds_the_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
