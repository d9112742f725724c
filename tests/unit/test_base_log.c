/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include "base/str.h"

#include "expect.h"

typedef struct sink {
    int n, line;
    dureq_log_level level;
    char event[32], text[2048], file[256];
} sink;

static void to_sink(const dureq_log_record *record, void *userdata)
{
    sink *s = userdata;

    s->n++;
    s->level = record->level;
    s->line = record->line;
    (void)snprintf(s->event, sizeof(s->event), "%s", record->event);
    (void)snprintf(s->text, sizeof(s->text), "%s", record->text);
    (void)snprintf(s->file, sizeof(s->file), "%s", record->file);
}

TEST(a_record_says_level_event_text_and_place)
{
    sink s = {0};
    dq_log log = {.fn = to_sink, .userdata = &s};
    int line = __LINE__ + 2;

    DQ_LOG(&log, DUREQ_LOG_WARN, "session.lost", "shard=%d why=%s", 3, "fenced");
    EXPECT_I64(1, s.n);
    EXPECT_I64(DUREQ_LOG_WARN, s.level);
    EXPECT_TEXT("session.lost", s.event);
    EXPECT_TEXT("shard=3 why=fenced", s.text);
    EXPECT_I64(line, s.line);
    EXPECT_HAS("test_base_log.c", s.file);
}

TEST(records_above_the_level_are_dropped)
{
    static const struct {
        int level, records;
    } rows[] = {
        {DUREQ_LOG_ERROR, 1}, {DUREQ_LOG_WARN, 2}, {DUREQ_LOG_INFO, 3}, {DUREQ_LOG_DEBUG, 4}, {0, 3}, /* 0: as info */
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        sink s = {0};
        dq_log log = {.fn = to_sink, .userdata = &s, .level = rows[i].level};

        EXPECT_NOTE("level %d", rows[i].level);
        DQ_LOG(&log, DUREQ_LOG_ERROR, "e", "x");
        DQ_LOG(&log, DUREQ_LOG_WARN, "w", "x");
        DQ_LOG(&log, DUREQ_LOG_INFO, "i", "x");
        DQ_LOG(&log, DUREQ_LOG_DEBUG, "d", "x");
        EXPECT_I64(rows[i].records, s.n);
    }
}

static int count_up(int *n)
{
    return ++*n;
}

TEST(a_dropped_record_does_not_evaluate_its_arguments)
{
    sink s = {0};
    dq_log log = {.fn = to_sink, .userdata = &s, .level = DUREQ_LOG_ERROR};
    int n = 0;

    DQ_LOG(&log, DUREQ_LOG_INFO, "x", "n=%d", count_up(&n));
    EXPECT_I64(0, n);
    DQ_LOG(&log, DUREQ_LOG_ERROR, "x", "n=%d", count_up(&n));
    EXPECT_I64(1, n);
}

TEST(without_a_receiver_logging_is_silent)
{
    dq_log silent = {0};

    DQ_LOG(&silent, DUREQ_LOG_ERROR, "x", "y");
    DQ_LOG((const dq_log *)NULL, DUREQ_LOG_ERROR, "x", "y");
    EXPECT_FALSE(dq_log_wants(&silent, DUREQ_LOG_ERROR));
    EXPECT_FALSE(dq_log_wants(NULL, DUREQ_LOG_ERROR));
}

TEST(a_record_is_one_line)
{
    sink s = {0};
    dq_log log = {.fn = to_sink, .userdata = &s};

    DQ_LOG(&log, DUREQ_LOG_ERROR, "x", "%s", "a\nb\r\nlevel=error event=forged");
    EXPECT_TEXT("a b  level=error event=forged", s.text);
}

TEST(a_record_of_any_length_is_cut_and_nul_ended)
{
    sink s = {0};
    dq_log log = {.fn = to_sink, .userdata = &s};

    DQ_LOG(&log, DUREQ_LOG_ERROR, "x", "%5000d", 1);
    EXPECT_U64(1023, strlen(s.text));
}

TEST_MAIN()
