/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of workflows. */
#include "test_ctl.h"

#include "json/json.h"

#define GOOD                                                                                               \
    "{\"name\":\"w\",\"tasks\":[{\"name\":\"a\",\"task_type\":\"t\"},{\"name\":\"b\",\"task_type\":\"t\"," \
    "\"depends_on\":[\"a\"]}]}"
#define BAD "{\"name\":\"w\",\n \"max_running\":0,\n \"tasks\":[{\"name\":\"a\",\"task_type\":\"t\",\"x\":1}]}"

SCENARIO(a_definition_is_checked_without_a_server)
{
    ctl_reset();
    ctl_env("DUREQ_SERVER", "unix:///nonexistent/dureq.sock");
    ctl_input(DQ_STR_LIT(GOOD));
    CTL(0, "workflow", "validate", "-");
    EXPECT_TEXT("w: 2 tasks, 1 dependency, 2 layers\n", ctl_out());
    CTL(0, "workflow", "validate", "-", "-o", "json");
    EXPECT_TEXT("{\"valid\":true,\"name\":\"w\",\"tasks\":2,\"dependencies\":1,\"layers\":2}\n", ctl_out());
    ctl_reset();
}

SCENARIO(each_fault_of_a_definition_is_a_line_with_its_place)
{
    ctl_reset();
    ctl_input(DQ_STR_LIT(BAD));
    CTL(1, "workflow", "validate", "-");
    EXPECT_TEXT("", ctl_out());
    EXPECT_TEXT("-:2:2: max_running: takes a whole number from 1 to 100000, not 0\n"
                "-:3:39: tasks[0].x: is no field that is known here\n",
                ctl_err());
    CTL(1, "workflow", "validate", "-", "-o", "json");
    EXPECT_TRUE(dq_json_valid(ctl_out_str()));
    EXPECT_HAS("{\"valid\":false,\"details\":[{\"path\":\"max_running\",\"line\":2,\"column\":2,\"error\":", ctl_out());
    ctl_reset();
}

SCENARIO(what_cannot_be_read_is_told)
{
    ctl_reset();
    CTL_FAILS(2, "takes one file", "workflow", "validate");
    CTL_FAILS(2, "takes one file", "workflow", "validate", "a", "b");
    CTL_FAILS(1, "cannot open /nonexistent/w.json", "workflow", "validate", "/nonexistent/w.json");
    ctl_input(DQ_STR_LIT("{\"name\": \n 'w'}"));
    CTL_FAILS(1, "-: line 2, column 2", "workflow", "validate", "-");
    ctl_reset();
}

RIG_MAIN()
