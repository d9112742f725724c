/* SPDX-License-Identifier: Apache-2.0 */
/* Definitions of workflows: what is good comes out as it was meant, what is not is told with all its faults and their places. */
#include "expect.h"
#include "flow/flow.h"

#include <time.h>

typedef struct checked {
    dq_json doc;
    dq_flow flow;
    dq_flow_faults faults;
    int rc;
} checked;

static void check(checked *c, dureq_str json)
{
    *c = (checked){0};
    EXPECT_RC(0, dq_json_parse(json, &c->doc, NULL));
    c->rc = dq_flow_from_json(&c->doc, 0, 1000, &c->flow, &c->faults);
}

static void drop(checked *c)
{
    dq_flow_deinit(&c->flow);
    dq_flow_faults_deinit(&c->faults);
    dq_json_deinit(&c->doc);
}

/* "path: text" of each fault, a line each. */
static void faults_text(const checked *c, dq_buf *out)
{
    for (size_t i = 0; i < c->faults.n; i++)
        dq_buf_append_fmt(out, "%s: %s\n", c->faults.items[i].path, c->faults.items[i].text);
}

/* T(...) are the members of a second task beside {"name":"a","task_type":"t"}; W(...) those of the definition beside both. */
#define T(members) "{\"name\":\"w\",\"tasks\":[{\"name\":\"a\",\"task_type\":\"t\"},{" members "}]}"
#define B(members) T("\"name\":\"b\",\"task_type\":\"t\"," members)
#define W(members) "{\"name\":\"w\",\"tasks\":[{\"name\":\"a\",\"task_type\":\"t\"}]," members "}"

/* Every fault of each, in the order of the text. */
static const struct {
    const char *json, *faults;
} invalid[] = {
    /* the definition */
    {"[]", ": a workflow is an object, not an array\n"},
    {"{}", ": field 'name' is missing\n: field 'tasks' is missing\n"},
    {"{\"name\":\"w\",\"tasks\":[]}", "tasks: takes 1 to 100000 tasks, not 0\n"},
    {"{\"name\":\"w\",\"tasks\":null}", ": field 'tasks' is missing\n"},
    {"{\"name\":\"w\",\"tasks\":{}}", "tasks: takes an array of tasks, not an object\n"},
    {"{\"name\":\"\",\"tasks\":[{\"name\":\"a\",\"task_type\":\"t\"}]}",
     "name: takes a text of 1 to 128 bytes without control characters that does not begin with \"__\", not \"\"\n"},
    {"{\"name\":7,\"tasks\":[3]}",
     "name: takes a text of 1 to 128 bytes without control characters that does not begin with \"__\", not 7\n"
     "tasks[0]: a task is an object, not a number\n"},
    {W("\"execution_timeout\":30"), "execution_timeout: takes a duration such as \"30s\", not 30\n"},
    {W("\"execution_timeout\":\"-3s\""), "execution_timeout: takes a duration such as \"30s\", not \"-3s\"\n"},
    {W("\"default_priority\":11"), "default_priority: takes a whole number from 1 to 10, not 11\n"},
    {W("\"max_running\":0"), "max_running: takes a whole number from 1 to 100000, not 0\n"},
    {W("\"on_failure\":\"stop\""), "on_failure: takes \"finish\" or \"cancel\", not \"stop\"\n"},
    {W("\"retry_policy\":3"), "retry_policy: field 'retry_policy' takes an object, not a number\n"},
    {W("\"retry_policy\":{\"max_attempts\":-1}"),
     "retry_policy: field 'retry_policy.max_attempts' takes a whole number from 0 to 10000, not -1\n"},
    {W("\"tags\":[\"a b\"]"), "tags: a tag has a character outside [A-Za-z0-9_.:-]\n"},
    {W("\"retention\":\"x\""), "retention: field 'retention' takes a duration such as \"30s\", not \"x\"\n"},
    {W("\"unique_key\":\"\""), "unique_key: field 'unique_key' takes a string of 1 to 256 bytes, not \"\"\n"},
    {W("\"request_id\":1"), "request_id: field 'request_id' takes a string of 1 to 256 bytes, not 1\n"},
    {W("\"signal_timeout\":\"1s\""), "signal_timeout: is not supported by this version: it belongs to signals\n"},
    {W("\"nmae\":1"), "nmae: is no field that is known here\n"},
    {W("\"max_running\":1,\"max_running\":2"), "max_running: is given twice\n"},
    {W("\"hooks\":[]"), "hooks: takes an object, not an array\n"},
    {W("\"hooks\":{\"on_end\":{}}"), "hooks.on_end: is no field that is known here\n"},
    {W("\"hooks\":{\"on_exit\":{}}"), "hooks.on_exit: field 'task_type' is missing\n"},
    {W("\"hooks\":{\"on_exit\":\"t\"}"), "hooks.on_exit: a hook is an object, not a string\n"},
    {W("\"hooks\":{\"on_init\":{\"task_type\":\"a b\",\"timeout\":5}}"),
     "hooks.on_init.task_type: task_type has a character outside [A-Za-z0-9_.:-]\n"
     "hooks.on_init.timeout: takes a duration such as \"30s\", not 5\n"},
    /* a task */
    {T(""), "tasks[1]: field 'name' is missing\ntasks[1]: field 'task_type' is missing\n"},
    {T("\"name\":\"b\""), "tasks[1]: field 'task_type' is missing\n"},
    {T("\"name\":\"__hook:x\",\"task_type\":\"t\""),
     "tasks[1].name: takes a text of 1 to 128 bytes without control characters that does not "
     "begin with \"__\", not \"__hook:x\"\n"},
    {T("\"name\":\"a\\nb\",\"task_type\":\"t\""),
     "tasks[1].name: takes a text of 1 to 128 bytes without control characters that does not begin with \"__\", not \"a\\nb\"\n"},
    {T("\"name\":\"a\",\"task_type\":\"t\""), "tasks[1].name: 'a' is the name of tasks[0] already\n"},
    {T("\"name\":\"\\u0061\",\"task_type\":\"t\""), "tasks[1].name: 'a' is the name of tasks[0] already\n"},
    {B("\"priority\":1.5"), "tasks[1].priority: takes a whole number from -1000000 to 1000000, not 1.5\n"},
    {B("\"allow_failure\":\"yes\""), "tasks[1].allow_failure: takes true or false, not \"yes\"\n"},
    {B("\"run_if\":\"always\""), "tasks[1].run_if: takes \"all_success\", \"all_done\" or \"any_failed\", not \"always\"\n"},
    {B("\"run_if\":\"any_failed\""), "tasks[1].run_if: \"any_failed\" needs depends_on: without it the task never runs\n"},
    {B("\"result_reuse\":\"maybe\""), "tasks[1].result_reuse: takes \"always\" or \"never\", not \"maybe\"\n"},
    {B("\"type\":\"loop\""), "tasks[1].type: takes \"static\", or nothing, not \"loop\"\n"},
    {T("\"name\":\"b\",\"type\":\"condition\",\"condition_routes\":{\"0\":\"a\"}"),
     "tasks[1].type: \"condition\" is not supported by this version: it belongs to conditions\n"
     "tasks[1].condition_routes: is not supported by this version: it belongs to conditions\n"},
    {T("\"name\":\"b\",\"type\":\"subflow\""),
     "tasks[1].type: \"subflow\" is not supported by this version: it belongs to sub-flows\n"},
    {B("\"max_iterations\":5"), "tasks[1].max_iterations: is not supported by this version: it belongs to loops\n"},
    {T("\"name\":\"b\",\"child_workflow_def\":{\"name\":\"c\",\"tasks\":[]}"),
     "tasks[1].child_workflow_def: is not supported by this version: it belongs to child workflows\n"},
    {T("\"name\":\"b\",\"wait_for_signal\":{\"name\":\"go\"}"),
     "tasks[1].wait_for_signal: is not supported by this version: it belongs to signals\n"},
    {T("\"name\":\"b\",\"sleep\":{\"for\":\"1h\"}"), "tasks[1].sleep: is not supported by this version: it belongs to timers\n"},
    {B("\"compensate\":{\"task_type\":\"u\"}"),
     "tasks[1].compensate: is not supported by this version: it belongs to compensation\n"},
    {B("\"version\":\"2\""), "tasks[1].version: field 'version' is not supported by this version\n"},
    {B("\"concurrency_keys\":[]"), "tasks[1].concurrency_keys: field 'concurrency_keys' is not supported by this version\n"},
    {B("\"unique_key\":\"k\",\"request_id\":\"r\",\"schedule\":{}"),
     "tasks[1].unique_key: is an option of the workflow, not of its parts\n"
     "tasks[1].request_id: is an option of the workflow, not of its parts\n"
     "tasks[1].schedule: is an option of the workflow, not of its parts\n"},
    {B("\"timeout\":30,\"queue\":\"a b\",\"dlq_after\":-1"),
     "tasks[1].timeout: field 'timeout' takes a duration such as \"30s\", not 30\n"
     "tasks[1].queue: queue has a character outside [A-Za-z0-9_.:-]\n"
     "tasks[1].dlq_after: field 'dlq_after' takes a whole number from 0 to 10000, not -1\n"},
    {B("\"delay\":\"1s\",\"run_at\":\"2026-11-23T20:00:00Z\""), "tasks[1].run_at: delay_ms and run_at_ms exclude each other\n"},
    {B("\"payload_base64\":\"*\""), "tasks[1]: field 'payload_base64' takes a string of base64 with its padding\n"},
    {B("\"headers\":{\"a b\":\"c\"}"), "tasks[1].headers: a header's name has a character outside [A-Za-z0-9_.:-]\n"},
    /* what tasks mean together */
    {B("\"depends_on\":\"a\""), "tasks[1].depends_on: takes an array of names of tasks, not \"a\"\n"},
    {B("\"depends_on\":[1,\"x\",\"b\",\"a\",\"a\"]"), "tasks[1].depends_on[0]: is the name of a task, not a number\n"
                                                      "tasks[1].depends_on[1]: 'x' is no task of this workflow\n"
                                                      "tasks[1].depends_on[2]: is the task itself\n"
                                                      "tasks[1].depends_on[4]: names a task a second time\n"},
    {B("\"result_from\":\"a\""), "tasks[1].result_from: is not in depends_on of this task\n"},
    {B("\"result_from\":\"x\""), "tasks[1].result_from: 'x' is no task of this workflow\n"},
    {B("\"result_from\":{}"),
     "tasks[1].result_from: takes the name of a task in depends_on, or an array of them, not an object\n"},
    {B("\"depends_on\":[\"a\"],\"result_from\":[\"a\",\"a\"]"), "tasks[1].result_from[1]: names a task a second time\n"},
    {B("\"preconditions\":{}"), "tasks[1].preconditions: takes an array of objects, not an object\n"},
    {B("\"preconditions\":[7]"), "tasks[1].preconditions[0]: is an object, not a number\n"},
    {B("\"preconditions\":[{\"type\":\"upstream_output\",\"task\":\"a\",\"path\":\"x\"}]"),
     "tasks[1].preconditions[0]: is not in depends_on of this task\n"},
    {B("\"depends_on\":[\"a\"],\"preconditions\":[{\"type\":\"input\",\"task\":\"a\",\"path\":\"a..b\",\"expected\":[]}]"),
     "tasks[1].preconditions[0].type: takes \"upstream_output\", not \"input\"\n"
     "tasks[1].preconditions[0].path: takes a path such as \"status\" or \"$.items[0].state\", not \"a..b\"\n"
     "tasks[1].preconditions[0].expected: takes a string, a number, true or false, not an array\n"},
    {B("\"preconditions\":[{}]"),
     "tasks[1].preconditions[0]: field 'path' is missing\ntasks[1].preconditions[0]: field 'task' is missing\n"},
    {"{\"name\":\"w\",\"tasks\":[{\"name\":\"a\",\"task_type\":\"t\",\"depends_on\":[\"b\"]},{\"name\":\"b\",\"task_type\":\"t\","
     "\"depends_on\":[\"a\"]},{\"name\":\"c\",\"task_type\":\"t\",\"depends_on\":[\"b\"]},{\"name\":\"d\",\"task_type\":\"t\","
     "\"depends_on\":[\"e\"]},{\"name\":\"e\",\"task_type\":\"t\",\"depends_on\":[\"d\",\"c\"]}]}",
     "tasks[0].depends_on: is a cycle of 2: 'a' needs 'b' needs 'a'\ntasks[3].depends_on: is a cycle of 2: 'd' needs 'e' needs 'd'\n"},
};

TEST(every_fault_of_an_invalid_definition_is_told_with_its_place)
{
    EXPECT_TRUE(DQ_ARRAY_LEN(invalid) >= 50);
    for (size_t i = 0; i < DQ_ARRAY_LEN(invalid); i++) {
        DQ_BUF_AUTO got = {0};
        checked c;

        EXPECT_NOTE("%s", invalid[i].json);
        check(&c, dureq_str_from(invalid[i].json));
        faults_text(&c, &got);
        EXPECT_RC(DUREQ_EINVAL, c.rc);
        EXPECT_STR_TEXT(invalid[i].faults, dq_buf_str(&got));
        drop(&c);
    }
}

TEST(lines_and_columns_are_those_of_the_text)
{
    checked c;

    check(&c,
          DQ_STR_LIT("{\n  \"name\": \"w\",\n  \"max_running\": 0,\n  \"tasks\": [\n    {\"name\": \"a\",\n     \"foo\": 1}]}"));
    EXPECT_U64(3, c.faults.n);
    EXPECT_U64(3, c.faults.items[0].line);
    EXPECT_U64(3, c.faults.items[0].column);
    EXPECT_U64(5, c.faults.items[1].line);
    EXPECT_U64(5, c.faults.items[1].column);
    EXPECT_TEXT("tasks[0].foo", c.faults.items[2].path);
    EXPECT_U64(6, c.faults.items[2].line);
    EXPECT_U64(6, c.faults.items[2].column);
    drop(&c);
}

TEST(a_diamond_is_put_in_order)
{
    checked c;
    const dq_flow_task *t;

    check(&c, DQ_STR_LIT(
                  "{\"name\":\"w\",\"tasks\":[{\"name\":\"d\",\"task_type\":\"t\",\"depends_on\":[\"b\",\"c\"],\"result_from\":"
                  "[\"c\"]},{\"name\":\"b\",\"task_type\":\"t\",\"depends_on\":[\"a\"]},{\"name\":\"c\",\"task_type\":\"t\","
                  "\"depends_on\":[\"a\"],\"result_from\":\"a\"},{\"name\":\"a\",\"task_type\":\"t\"}]}"));
    EXPECT_RC(0, c.rc);
    t = c.flow.tasks;
    EXPECT_U64(4, c.flow.n_tasks);
    EXPECT_U64(4, c.flow.n_edges);
    EXPECT_U64(3, c.flow.n_layers);
    EXPECT_U64(2, t[0].layer);
    EXPECT_U64(1, t[1].layer);
    EXPECT_U64(0, t[3].layer);
    EXPECT_U64(2, t[3].n_outs);
    EXPECT_U64(1, c.flow.outs[t[3].outs_at]);
    EXPECT_U64(2, c.flow.outs[t[3].outs_at + 1]);
    EXPECT_TRUE(t[0].inputs_are_map);
    EXPECT_U64(1, t[0].n_inputs);
    EXPECT_U64(2, c.flow.inputs[t[0].inputs_at]);
    EXPECT_FALSE(t[2].inputs_are_map);
    EXPECT_U64(3, c.flow.inputs[t[2].inputs_at]);
    EXPECT_U64(3, c.flow.order[0]);
    EXPECT_U64(0, c.flow.order[3]);
    drop(&c);
}

TEST(every_field_is_taken)
{
    checked c;
    const dq_flow_task *t;

    check(
        &c,
        DQ_STR_LIT(
            "{\"name\":\"nightly report\",\"execution_timeout\":\"1h\",\"retry_policy\":{\"max_attempts\":4},"
            "\"default_priority\":8,\"max_running\":10,\"on_failure\":\"cancel\",\"tags\":[\"x\"],\"retention\":\"1h\","
            "\"unique_key\":\"k\",\"request_id\":\"r\",\"input\":{\"day\":1},"
            "\"hooks\":{\"on_init\":{\"task_type\":\"i\"},\"on_success\":{\"task_type\":\"s\",\"payload\":1,\"timeout\":\"9s\"},"
            "\"on_failure\":{\"task_type\":\"f\"},\"on_exit\":null},\"tasks\":["
            "{\"name\":\"a b\",\"task_type\":\"t\",\"type\":\"\",\"result_from\":\"\",\"depends_on\":null},"
            "{\"name\":\"c\",\"task_type\":\"u\",\"payload\":{\"n\":1},\"depends_on\":[\"a b\"],\"run_if\":\"any_failed\","
            "\"priority\":-3,\"allow_failure\":true,\"result_reuse\":\"never\",\"timeout\":\"5s\",\"preconditions\":"
            "[{\"type\":\"upstream_output\",\"task\":\"a b\",\"path\":\"$.x[2].y\",\"expected\":\"ok\"}]}]}"));
    EXPECT_RC(0, c.rc);
    EXPECT_STR_TEXT("nightly report", c.flow.name);
    EXPECT_I64(3600000, c.flow.execution_timeout_ms);
    EXPECT_I64(4, c.flow.max_attempts);
    EXPECT_I64(8, c.flow.default_priority);
    EXPECT_I64(10, c.flow.max_running);
    EXPECT_TRUE(c.flow.cancels_on_failure);
    EXPECT_STR_TEXT("k", c.flow.options.unique_key);
    EXPECT_STR_TEXT("r", c.flow.options.request_id);
    EXPECT_U64(1, c.flow.options.n_tags);
    EXPECT_STR_TEXT("{\"day\":1}", dq_json_raw(&c.doc, c.flow.input));
    EXPECT_TEXT("i", c.flow.hooks[DQ_FLOW_ON_INIT].spec.task_type);
    EXPECT_I64(9000, c.flow.hooks[DQ_FLOW_ON_SUCCESS].timeout_ms);
    EXPECT_TRUE(c.flow.hooks[DQ_FLOW_ON_EXIT].spec.task_type == NULL);
    t = &c.flow.tasks[1];
    EXPECT_TEXT("u", t->spec.task_type);
    EXPECT_STR_TEXT("{\"n\":1}", t->spec.payload);
    EXPECT_I64(5000, t->options.timeout_ms);
    EXPECT_I64(-3, t->priority);
    EXPECT_TRUE(t->allow_failure && t->never_reused);
    EXPECT_I64(DQ_FLOW_ANY_FAILED, t->run_if);
    EXPECT_U64(0, t->preconditions[0].task);
    EXPECT_STR_TEXT("x[2].y", t->preconditions[0].path);
    EXPECT_STR_TEXT("\"ok\"", t->preconditions[0].expected);
    drop(&c);
}

/* n tasks, each of which depends on the `width` before it. */
static void big_definition(dq_buf *out, int n, int width)
{
    dq_buf_append_text(out, "{\"name\":\"big\",\"tasks\":[");
    for (int i = 0; i < n; i++) {
        dq_buf_append_fmt(out, "%s{\"name\":\"t%d\",\"task_type\":\"t\",\"depends_on\":[", i ? "," : "", i);
        for (int k = 1; k <= width && k <= i; k++)
            dq_buf_append_fmt(out, "%s\"t%d\"", k > 1 ? "," : "", i - k);
        dq_buf_append_text(out, "]}");
    }
    dq_buf_append_text(out, "]}");
}

TEST(a_chain_of_the_most_tasks_is_read)
{
    DQ_BUF_AUTO json = {0};
    checked c;

    big_definition(&json, DQ_FLOW_TASKS_MAX, 1);
    check(&c, dq_buf_str(&json));
    EXPECT_RC(0, c.rc);
    EXPECT_U64(DQ_FLOW_TASKS_MAX, c.flow.n_layers);
    drop(&c);
}

TEST(more_tasks_or_edges_than_are_taken_are_refused)
{
    DQ_BUF_AUTO tasks = {0};
    DQ_BUF_AUTO edges = {0};
    checked c;

    big_definition(&tasks, DQ_FLOW_TASKS_MAX + 1, 0);
    check(&c, dq_buf_str(&tasks));
    EXPECT_RC(DUREQ_EINVAL, c.rc);
    EXPECT_TEXT("takes 1 to 100000 tasks, not 100001", c.faults.items[0].text);
    drop(&c);
    big_definition(&edges, 10100, 100); /* 10,100 * 100 - 5,050 */
    check(&c, dq_buf_str(&edges));
    EXPECT_RC(DUREQ_EINVAL, c.rc);
    EXPECT_TEXT("have 1004950 dependencies: at most 1000000 are taken", c.faults.items[0].text);
    drop(&c);
}

TEST(faults_beyond_a_thousand_are_counted)
{
    DQ_BUF_AUTO json = {0};
    checked c;

    dq_buf_append_text(&json, "{\"name\":\"w\",\"tasks\":[0");
    for (int i = 1; i < 1500; i++)
        dq_buf_append_text(&json, ",0");
    dq_buf_append_text(&json, "]}");
    check(&c, dq_buf_str(&json));
    EXPECT_U64(DQ_FLOW_FAULTS_MAX, c.faults.n);
    EXPECT_U64(500, c.faults.n_more);
    drop(&c);
}

static int check_without_memory(void *arg)
{
    static const char *const texts[] = {B("\"depends_on\":[\"a\"],\"result_from\":\"\\u0061\",\"preconditions\":[{\"type\":"
                                          "\"upstream_output\",\"task\":\"a\",\"path\":\"x\"}]"),
                                        B("\"depends_on\":[\"b\",\"x\"],\"foo\":1")};
    dureq_str text = dureq_str_from(texts[*(int *)arg]);
    dq_flow_faults faults = {0};
    dq_flow flow = {0};
    dq_json doc;
    int rc = dq_json_parse(text, &doc, NULL);

    if (rc < 0)
        return rc;
    rc = dq_flow_from_json(&doc, 0, 1000, &flow, &faults);
    dq_flow_deinit(&flow);
    dq_flow_faults_deinit(&faults);
    dq_json_deinit(&doc);
    return rc == DUREQ_EINVAL && *(int *)arg == 1 ? 0 : rc;
}

TEST(running_out_of_memory_is_told)
{
    for (int i = 0; i < 2; i++)
        EXPECT_TRUE(expect_survives_nomem(check_without_memory, &i) > 3);
}

TEST_MAIN()
