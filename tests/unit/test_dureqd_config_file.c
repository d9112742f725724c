/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"
#include "schedule_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const char full[] =
    "# all there is\n"
    "dureqd:\n"
    "  mode: [queue, scheduler]\n"
    "  nodeId: box-1\n"
    "  drainTimeoutMs: 10s\n"
    "log: {level: debug, format: json}\n"
    "redis:\n"
    "  url: redis://h\n"
    "  poolSize: 10\n"
    "queues:\n"
    "  high: {weight: 6, priorities: [8, 10]}\n"
    "  low:\n"
    "handlers:\n"
    "  - type: file.sha256\n"
    "    exec: /usr/bin/sha256sum {payload}\n"
    "    concurrency: 2\n"
    "    timeout: 1m\n"
    "    grace: 2s\n"
    "    env: {A: 1, B_2: ' x', C: '', DUREQ_JOB_ID: mine, A_URL: 'redis://h'}\n"
    "    passEnv: [LANG*, DUREQ_QUEUE]\n"
    "    maxProcesses: 7\n"
    "    retryPolicy: {maxAttempts: 5, initialDelay: none, jitter: 0, nonRetryableErrors: [gone, 'bad input']}\n"
    "    limits: {user: nobody, cpuSeconds: 10, memory: 256MiB, openFiles: 64, outputBytes: 10MiB}\n"
    "  - {type: 'x.*', exec: [/bin/echo, 'a b', '{payload}']}\n"
    "  - {type: y, builtin: echo}\n"
    "schedules:\n"
    "  - key: nightly\n"
    "    schedule: {type: CRON, cron_expr: '0 3 * * *', timezone: Europe/Berlin}\n"
    "    task_type: t\n"
    "    payload: {n: 5, s: '5', yes: true, none: ~, list: [a, 1.5]}\n";

static void a_full_file_is_read(void **state)
{
    dq_config cfg;
    dureq_error err = {0};
    const dq_handler_spec *h;
    int rc;

    (void)state;
    assert_int_equal(dq_config_init(&cfg, &err), 0);
    rc = dq_config_load_text(&cfg, "f.yaml", dureq_str_from(full), &err);
    assert_string_equal(err.msg, "");
    assert_int_equal(rc, 0);

    assert_int_equal(cfg.n_schedules, 1);
    assert_string_equal(cfg.schedules[0].key, "nightly");
    assert_string_equal(
        cfg.schedules[0].body.ptr,
        "{\"schedule\":{\"type\":\"CRON\",\"cron_expr\":\"0 3 * * *\",\"timezone\":\"Europe/Berlin\"},\"task_type\":\"t\","
        "\"payload\":{\"n\":5,\"s\":\"5\",\"yes\":true,\"none\":null,\"list\":[\"a\",1.5]}}");
    assert_string_equal(cfg.mode, "queue,scheduler");
    assert_string_equal(cfg.node_id, "box-1");
    assert_int_equal(cfg.log_level, DUREQ_LOG_DEBUG);
    assert_int_equal(cfg.log_format, DQ_LOG_JSON);
    assert_int_equal(cfg.drain_timeout_ms, 10000);
    assert_string_equal(cfg.warnings.ptr, "redis.poolSize has no effect: connections are pipelined here, there is no pool\n"
                                          "f.yaml:19:35: env.DUREQ_JOB_ID has no effect: dureqd sets it itself\n"
                                          "f.yaml:20:22: passEnv: DUREQ_QUEUE has no effect: dureqd sets it itself\n");
    assert_int_equal(cfg.n_queues, 2);
    assert_int_equal(cfg.queues[0].options.weight, 6);
    assert_int_equal(cfg.queues[0].options.priority_max, 10);
    assert_int_equal(cfg.n_handlers, 3);

    h = &cfg.handlers[0];
    assert_int_equal(h->n_words, 2);
    assert_int_equal(h->timeout_ms, 60000);
    assert_int_equal(h->grace_ms, 2000);
    assert_int_equal(h->env.n, 4);
    assert_string_equal(h->env.vars[0], "A=1");
    assert_string_equal(h->env.vars[1], "B_2= x");
    assert_string_equal(h->env.vars[2], "C=");
    assert_string_equal(h->env.vars[3], "A_URL=redis://h");
    assert_int_equal(h->n_pass_env, 2);
    assert_string_equal(h->pass_env[0], "LANG*");
    assert_int_equal(h->max_processes, 7);
    assert_int_equal(h->retry_policy->max_attempts, 5);
    assert_int_equal(h->retry_policy->initial_delay_ms, -1);
    assert_true(h->retry_policy->jitter == -1);
    assert_int_equal(h->retry_policy->n_non_retryable_errors, 2);
    assert_string_equal(h->limits.user, "nobody");
    assert_int_equal(h->limits.memory_bytes, 256 << 20);
    assert_string_equal(cfg.handlers[1].words[1], "a b");
    assert_string_equal(cfg.handlers[2].builtin, "echo");
    dq_config_deinit(&cfg);
}

static const struct bad_file {
    const char *text;
    int code;
    const char *msg;
} bad_files[] = {
    {"dureqd:\n  concurrency: many\n", DUREQ_EINVAL,
     "f:2:16: dureqd.concurrency takes a whole number from 1 to 65536, not 'many'"},
    {"dureqd:\n  mode: nap\n", DUREQ_EINVAL, "f:2:9: dureqd.mode: there is no 'nap'"},
    {"dureqd:\n  mode: []\n", DUREQ_EINVAL, "f:2:9: dureqd.mode is empty: the node would do nothing"},
    {"dureqd:\n  builtins: [echo, nap]\n", DUREQ_EINVAL, "f:2:13: dureqd.builtins: there is no 'nap'"},
    {"redis:\n  url: ftp://x\n", DUREQ_EINVAL, "f:2:8: redis.url: redis URL: must begin with redis://, rediss:// or unix://"},
    {"dureqd:\n  concurency: 3\n", DUREQ_EINVAL, "f:2:3: dureqd.concurency: there is no such key"},
    {"dureqd:\n\tconcurrency: 3\n", DUREQ_EPARSE, "f:2:1: found character that cannot start any token"},
    {"a: 1\n", DUREQ_EINVAL, "f:1:1: a: there is no such key; known are dureqd, handlers, log, queues, redis and schedules"},
    {"dureqd: [1]\n", DUREQ_EINVAL, "f:1:9: dureqd takes a mapping, not a list"},
    {"dureqd: {leaseMs: 5s, lease_ms: 6s}\n", DUREQ_EINVAL, "f:1:23: dureqd.lease_ms: said twice"},
    {"dureqd: {PASS=hunter2: 1, PASS=hunter2: 2}\n", DUREQ_EPARSE, "f:1:27: key 'PASS' is said twice, first in line 1"},
    {"dureqd: {PASS=hunter2: 1}\n", DUREQ_EINVAL, "f:1:10: dureqd.PASS: there is no such key"},
    {"dureqd: {leaseMs: 5s, leaseMs: 6s}\n", DUREQ_EPARSE, "f:1:23: key 'leaseMs' is said twice, first in line 1"},
    {"a: &x 1\nb: *x\n", DUREQ_EPARSE, "f:1:4: anchors are not supported here"},
    {"dureqd: {concurrency: !!int 3}\n", DUREQ_EPARSE, "f:1:23: tags are not supported here"},
    {"--- {}\n--- {}\n", DUREQ_EPARSE, "f:2:1: a second document in the file"},
    {"[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]", DUREQ_ETOOLARGE, "f:1:17: nested too deep"},
    {"handlers:\n  - type: a\n", DUREQ_EINVAL, "f:2:5: a handler needs one of exec and builtin"},
    {"handlers:\n  - exec: ls\n", DUREQ_EINVAL, "f:2:5: a handler needs its type"},
    {"handlers:\n  - {type: a, exec: ls, builtin: echo}\n", DUREQ_EINVAL, "f:2:25: handlers.builtin: a handler is of one kind"},
    {"handlers:\n  - {type: a, process: x}\n", DUREQ_EUNSUPPORTED,
     "f:2:24: handlers of kind 'process' are not supported by this version"},
    {"handlers:\n  - {type: a, webhook: {url: x}}\n", DUREQ_EUNSUPPORTED,
     "f:2:24: handlers of kind 'webhook' are not supported by this version"},
    {"handlers:\n  - {type: a, exec: ls, timeout: 30}\n", DUREQ_EINVAL, NULL},
    {"handlers:\n  - {type: a, exec: 'ls \"x'}\n", DUREQ_EPARSE, "f:2:21: a double quote is never closed"},
    {"handlers:\n  - {type: a, exec: ls, version: v1}\n", DUREQ_EINVAL, NULL},
    {"handlers:\n  - {type: a, builtin: echo, limits: {memory: 64MiB}}\n", DUREQ_EINVAL, NULL},
    {"handlers:\n  - {type: a, builtin: echo, cwd: /tmp}\n", DUREQ_EINVAL, NULL},
    {"handlers:\n  - {type: a, exec: ls, cwd: tmp}\n", DUREQ_EINVAL, "f:2:5: handler 'a': cwd 'tmp' is not an absolute path"},
    {"handlers:\n  - {type: a, exec: ls, nice: 20}\n", DUREQ_EINVAL, NULL},
    {"handlers:\n  - {type: a, exec: ls, env: [A=1]}\n", DUREQ_EINVAL, "f:2:30: env takes a mapping of variables, not a list"},
    {"handlers:\n  - {type: a, exec: ls, env: {A=hunter2: 1}}\n", DUREQ_EINVAL,
     "f:2:31: env takes names of [A-Za-z_][A-Za-z0-9_]*"},
    {"handlers:\n  - {type: a, exec: ls, env: {A: [hunter2]}}\n", DUREQ_EINVAL,
     "f:2:31: env.A: takes a text; an empty one is ''"},
    {"handlers:\n  - {type: a, exec: ls, env: {A: }}\n", DUREQ_EINVAL, "f:2:31: env.A: takes a text; an empty one is ''"},
    {"handlers:\n  - {type: a, exec: ls, envFile: [x]}\n", DUREQ_EINVAL, "f:2:34: envFile takes an absolute path, not a list"},
    {"handlers:\n  - {type: a, exec: ls, envFile: x}\n", DUREQ_EINVAL, "f:2:25: handlers.envFile: takes an absolute path"},
    {"handlers:\n  - {type: a, exec: ls, envFile: /no/file}\n", DUREQ_ENOTFOUND,
     "f:2:34: envFile: cannot open '/no/file': No such file or directory"},
    {"handlers:\n  - {type: a, exec: ls, passEnv: A}\n", DUREQ_EINVAL,
     "f:2:34: passEnv takes a list of names, not a single value"},
    {"handlers:\n  - {type: a, exec: ls, passEnv: [A, 'b?']}\n", DUREQ_EINVAL,
     "f:2:38: passEnv takes names of [A-Za-z0-9_], with '*' for anything"},
    {"handlers:\n  - {type: a, exec: ls, maxProcesses: 0}\n", DUREQ_EINVAL,
     "f:2:39: maxProcesses takes a whole number from 1 to 4194304, not '0'"},
    {"handlers:\n  - {type: a, builtin: echo, env: {A: 1}}\n", DUREQ_EINVAL, NULL},
    {"handlers:\n  - {type: a, builtin: echo, passEnv: [A]}\n", DUREQ_EINVAL, NULL},
    {"handlers:\n  - {type: a, builtin: echo, maxProcesses: 5}\n", DUREQ_EINVAL, NULL},
    {"handlers:\n  - {type: a, builtin: echo}\n  - {type: a, builtin: noop}\n", DUREQ_EDUPLICATE,
     "f:3:5: a handler for 'a' was already given at f:2:5"},
    {"queues: {'a b': {weight: 1}}\n", DUREQ_EINVAL, NULL},
    {"queues: {a: {weight: 0}}\n", DUREQ_EINVAL, "f:1:22: weight takes a whole number from 1 to 1000, not '0'"},
    {"queues: {a: {priorities: [3]}}\n", DUREQ_EINVAL, NULL},
    {"schedules: {a: 1}\n", DUREQ_EINVAL, "f:1:12: schedules takes a list"},
    {"schedules:\n  - 5\n", DUREQ_EINVAL, "f:2:5: a schedule is a mapping"},
    {"schedules:\n  - {task_type: t}\n", DUREQ_EINVAL, "f:2:5: a schedule needs a key, by which it is known"},
    {"schedules:\n  - {key: a, task_type: t}\n", DUREQ_EINVAL, "f:2:5: field 'schedule' is missing"},
    {"schedules:\n  - {key: a, schedule: {type: DURATION, interval: 1s}}\n", DUREQ_EINVAL, "f:2:5: field 'task_type' is missing"},
    {"schedules:\n  - {key: a, task_type: t, schedule: {type: IMMEDIATE}}\n", DUREQ_EINVAL,
     "f:2:5: type IMMEDIATE is one job, which nobody declares"},
    {"schedules:\n  - {key: a, task_type: t, schedule: {type: CRON, cron_expr: '0 25 * * *'}}\n", DUREQ_EINVAL,
     "f:2:5: cron_expr, column 3: hour takes 0 to 23, not '25'"},
    {"schedules:\n  - {key: a, task_type: t, colour: red, schedule: {type: DURATION, interval: 1s}}\n", DUREQ_EINVAL,
     "f:2:5: unknown field \"colour\""},
    {"schedules:\n  - {key: a, task_type: t, schedule: {type: DURATION, interval: 1s}}\n"
     "  - {key: a, task_type: t, schedule: {type: DURATION, interval: 1s}}\n",
     DUREQ_EINVAL, "f:3:5: key 'a' is said twice, first at f:2:5"},
    {"redis: {clusterAddrs: [a, b]}\n", DUREQ_EUNSUPPORTED, NULL},
    {"dureqd: {handlers: [echo]}\n", DUREQ_EUNSUPPORTED, NULL},
};

static void faults_are_told_with_line_and_column(void **state)
{
    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(bad_files); i++) {
        dq_config cfg;
        dureq_error err = {0};
        int rc;

        assert_int_equal(dq_config_init(&cfg, &err), 0);
        rc = dq_config_load_text(&cfg, "f", dureq_str_from(bad_files[i].text), &err);
        if (rc != bad_files[i].code)
            print_error("case %zu: %d %s\n", i, rc, err.msg);
        assert_int_equal(rc, bad_files[i].code);
        if (bad_files[i].msg)
            assert_string_equal(err.msg, bad_files[i].msg);
        assert_int_equal(strncmp(err.msg, "f:", 2), 0);
        dq_config_deinit(&cfg);
    }
}

static void an_empty_file_changes_nothing(void **state)
{
    const char *texts[] = {"", "# nothing\n", "---\n", "dureqd:\nlog: ~\nqueues:\nhandlers:\n"};

    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(texts); i++) {
        dq_config cfg;
        dureq_error err = {0};

        assert_int_equal(dq_config_init(&cfg, &err), 0);
        assert_int_equal(dq_config_load_text(&cfg, "f", dureq_str_from(texts[i]), &err), 0);
        assert_int_equal(cfg.concurrency, 100);
        dq_config_deinit(&cfg);
    }
}

static void a_failed_allocation_is_an_error_and_no_leak(void **state)
{
    int rc = DUREQ_ENOMEM;

    (void)state;
    for (long n = 1; rc != 0; n++) {
        dq_config cfg;
        dureq_error err = {0};

        dq_alloc_fail_at(n);
        rc = dq_config_init(&cfg, &err);
        if (rc == 0) {
            rc = dq_config_load_text(&cfg, "f", dureq_str_from(full), &err);
            dq_config_deinit(&cfg);
        }
        dq_alloc_fail_at(0);
        assert_true(rc == 0 || rc == DUREQ_ENOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_file_is_read),
        cmocka_unit_test(faults_are_told_with_line_and_column),
        cmocka_unit_test(an_empty_file_changes_nothing),
        cmocka_unit_test(a_failed_allocation_is_an_error_and_no_leak),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
