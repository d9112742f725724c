/* SPDX-License-Identifier: Apache-2.0 */
/* The commands queue and node. */
#include "test_ctl.h"

static int nothing(dureq_run *task, void *userdata)
{
    (void)task;
    (void)userdata;
    return 0;
}

SCENARIO(queues_are_listed_heaviest_first)
{
    const char *high, *low;

    (void)rig_enqueue("t", "1", NULL);
    CTL(0, "queue", "list");
    EXPECT_U64(4, ctl_out_lines());
    high = strstr(ctl_out(), "\nhigh ");
    low = strstr(ctl_out(), "\nlow ");
    EXPECT_TRUE(high && low && high < low);
    CTL(0, "queue", "list", "-o", "csv");
    EXPECT_HAS("name,weight,pending,running,oldest_age,paused,max_len,unhandled_types\r\n", ctl_out());
    EXPECT_HAS("\r\nnormal,3,1,0,", ctl_out());
}

SCENARIO(types_that_wait_with_no_node_are_named)
{
    dureq_job_options in_high = {.struct_size = sizeof in_high, .queue = "high"};
    const char *line;

    (void)rig_node("n", "mail.*", nothing, NULL);
    for (int i = 0; i < 3; i++)
        (void)rig_enqueue("mial.send", "1", NULL);
    (void)rig_enqueue("other", "1", NULL);
    (void)rig_enqueue("other", "1", &in_high);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(rig_enqueue("mail.send", "1", NULL).text)->state);
    CTL(0, "queue", "list");
    EXPECT_HAS("  WITHOUT A NODE\n", ctl_out());
    line = strstr(ctl_out(), "\nnormal ");
    EXPECT_TRUE(line && strstr(line, "  mial.send, other\n"));
    CTL(0, "queue", "list", "-o", "json");
    EXPECT_HAS("\"unhandled\":4,\"unhandled_types\":[\"mial.send\",\"other\"]", ctl_out());
    EXPECT_HAS("\"unhandled\":1,\"unhandled_types\":[\"other\"]", ctl_out());
    EXPECT_HAS("\"unhandled\":0}", ctl_out());

    CTL(0, "doctor");
    EXPECT_HAS("No fault.\n", ctl_out());
    EXPECT_HAS("Notice: 4 jobs of queue normal wait, with no live node that handles their types: mial.send, other.\n", ctl_out());
    EXPECT_HAS("Notice: 1 job of queue high waits, with no live node that handles its type: other.\n", ctl_out());
    CTL(0, "doctor", "-o", "csv");
    EXPECT_HAS("notice,,,\"4 jobs of queue normal", ctl_out());
    CTL(0, "doctor", "-o", "ndjson");
    EXPECT_HAS("{\"notice\":\"unhandled_types\",\"queue\":\"high\",\"jobs\":1,\"task_types\":[\"other\"]}", ctl_out());

    (void)rig_node("m", "mial.*", nothing, NULL);
    (void)rig_node("o", "other", nothing, NULL);
    RIG_UNTIL(rig_counts().pending == 0);
    CTL(0, "queue", "list", "-o", "json");
    EXPECT_TRUE(!strstr(ctl_out(), "unhandled_types"));
    CTL(0, "doctor");
    EXPECT_TRUE(!strstr(ctl_out(), "Notice"));
}

SCENARIO(a_queue_is_made_and_changed_option_by_option)
{
    CTL(0, "queue", "set", "bulk", "--weight", "2", "--max-len", "100", "--retention", "1h");
    EXPECT_HAS("weight", ctl_out());
    CTL(0, "queue", "set", "bulk", "--weight", "4", "-o", "json");
    EXPECT_HAS("\"name\":\"bulk\"", ctl_out());
    EXPECT_HAS("\"weight\":4", ctl_out());
    EXPECT_HAS("\"max_len\":100", ctl_out());
    CTL(0, "enqueue", "t", "1", "--queue", "bulk");
}

SCENARIO(bad_values_of_a_queue_are_named)
{
    CTL_FAILS(2, "queue set takes one name", "queue", "set");
    CTL_FAILS(2, "queue set takes one name", "queue", "set", "");
    CTL_FAILS(2, "--weight takes a whole number from 1 to 1000, not '0'", "queue", "set", "q", "--weight", "0");
    CTL_FAILS(2, "--max-len takes a whole number from 0", "queue", "set", "q", "--max-len", "-1");
    CTL_FAILS(2, "--retention takes a duration such as 30s, 5m or 1h30m, not '-5s'", "queue", "set", "q", "--retention", "-5s");
    CTL_FAILS(2, "--priorities takes a range of 1 to 10 such as 4-7, not '4-11'", "queue", "set", "q", "--priorities", "4-11");
    CTL_FAILS(2, "--priorities takes a range of 1 to 10 such as 4-7, not '7-4'", "queue", "set", "q", "--priorities", "7-4");
    CTL_FAILS(2, "queue", "queue", "set", "a b");
    CTL_FAILS(2, "'pause' needs a name", "queue", "pause");
    CTL_FAILS(2, "'list' takes no 'x'", "queue", "list", "x");
    CTL(0, "queue", "list", "-o", "ndjson");
    EXPECT_U64(3, ctl_out_lines());
}

SCENARIO(a_paused_queue_starts_nothing_until_it_is_resumed)
{
    dureq_job_id id;

    CTL(0, "queue", "pause", "normal", "low");
    EXPECT_TEXT("paused normal\npaused low\n", ctl_out());
    (void)rig_node("n", "t", nothing, NULL);
    id = rig_enqueue("t", "1", NULL);
    CTL(0, "queue", "list", "-o", "csv");
    EXPECT_HAS("true", ctl_out());
    EXPECT_I64(DUREQ_JOB_PENDING, rig_state(id.text));
    CTL(0, "queue", "resume", "normal");
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
}

SCENARIO(all_names_are_tried_and_the_first_failure_is_the_code)
{
    (void)rig_enqueue("t", "1", NULL);
    (void)rig_enqueue("t", "2", NULL);
    CTL(3, "queue", "purge", "nowhere", "normal", "low");
    EXPECT_TEXT("purged normal: 2 jobs\npurged low: 0 jobs\n", ctl_out());
    EXPECT_HAS("queue 'nowhere' is not defined", ctl_err());
    EXPECT_I64(0, rig_counts().pending);
    CTL(3, "node", "drain", "nobody");
    EXPECT_HAS("nobody", ctl_err());
}

SCENARIO(a_purge_of_a_type_leaves_the_others)
{
    (void)rig_enqueue("mail.a", "1", NULL);
    (void)rig_enqueue("mail.b", "2", NULL);
    (void)rig_enqueue("fax", "3", NULL);
    CTL(0, "queue", "purge", "normal", "--type", "mail.*", "--dry-run");
    EXPECT_HAS("Would purge 2 jobs.\n", ctl_out());
    EXPECT_I64(3, rig_counts().pending);
    CTL(0, "queue", "purge", "normal", "--type", "mail.*");
    EXPECT_TEXT("purged normal: 2 jobs\n", ctl_out());
    EXPECT_I64(1, rig_counts().pending);
    CTL_FAILS(2, "option '--type' needs a value that is not empty", "queue", "purge", "normal", "--type", "");
    CTL_FAILS(3, "no queue 'nowhere'", "queue", "purge", "nowhere", "--dry-run");
}

SCENARIO(a_queue_is_deleted_when_no_job_names_it)
{
    dureq_job_options in_bulk = {.struct_size = sizeof in_bulk, .queue = "bulk"};
    dureq_job_options later = {.struct_size = sizeof later, .queue = "bulk", .delay_ms = 3600000};
    dureq_job_id waiting, scheduled, other;

    CTL(0, "queue", "set", "bulk", "--weight", "2");
    waiting = rig_enqueue("t", "1", &in_bulk);
    scheduled = rig_enqueue("t", "2", &later);
    other = rig_enqueue("t", "3", NULL);
    CTL_FAILS(4, "queue 'bulk' is not empty: job ", "queue", "delete", "bulk");
    EXPECT_I64(DUREQ_JOB_PENDING, rig_state(waiting.text));
    CTL(0, "queue", "purge", "bulk");
    CTL_FAILS(4, "is scheduled", "queue", "delete", "bulk");
    waiting = rig_enqueue("t", "4", &in_bulk);
    CTL(0, "queue", "delete", "bulk", "--force");
    EXPECT_TEXT("deleted bulk: 2 jobs\n", ctl_out());
    CTL(3, "job", "get", waiting.text);
    CTL(3, "job", "get", scheduled.text);
    EXPECT_I64(DUREQ_JOB_PENDING, rig_state(other.text));
    CTL(3, "queue", "delete", "bulk");
    CTL(3, "enqueue", "t", "1", "--queue", "bulk");
    CTL_FAILS(2, "queue delete takes one name", "queue", "delete");
    CTL(0, "queue", "set", "bulk");
    CTL(0, "enqueue", "t", "1", "--queue", "bulk");
}

static bool is_draining(const char *word)
{
    return ctl_run((const char *const[]){"node", "list", "-o", "csv", NULL}) == 0 && strstr(ctl_out(), word);
}

SCENARIO(a_node_is_listed_drained_and_takes_work_again)
{
    dureq_job_id id;

    (void)rig_node("node-1", "t", nothing, NULL);
    RIG_UNTIL(is_draining("node-1,"));
    CTL(0, "node", "list");
    EXPECT_HAS("node-1", ctl_out());
    EXPECT_HAS("HEARTBEAT", ctl_out());
    CTL(0, "node", "list", "-o", "csv");
    EXPECT_HAS("node_id,started_at,last_heartbeat,draining,too_old,running_workers,max_concurrency,stuck_workers,task_types\r\n",
               ctl_out());
    EXPECT_HAS(",false,0,", ctl_out());
    CTL(0, "node", "drain", "node-1");
    EXPECT_TEXT("draining node-1\n", ctl_out());
    RIG_UNTIL(is_draining(",true,"));
    id = rig_enqueue("t", "1", NULL);
    EXPECT_I64(DUREQ_JOB_PENDING, rig_state(id.text));
    CTL(0, "node", "undrain", "node-1");
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
}

RIG_MAIN()
