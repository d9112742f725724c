/* SPDX-License-Identifier: Apache-2.0 */
#include "expect.h"

#include "line_cut.h"

/* What a program writes, in pieces; the lines and why others are none, each after a bar. */
static const struct cut_case {
    const char *pieces[5];
    const char *told;
} cut_cases[] = {
    {{"one\ntwo\n"}, "|one|two"},
    {{"on", "e\nt", "wo"}, "|one|two"},
    {{"one", "\n"}, "|one"},
    {{"\n", "\n\n"}, "|||"},
    {{"12345678\n123456789\n1\n"}, "|12345678|(long)|1"},
    {{"12345678", "9\n1"}, "|(long)|1"},
    {{"1234567", "89", "0\n", "last"}, "|(long)|last"},
    {{"123456789"}, "|(long)"},
    {{NULL}, ""},
};

static void tell(dq_line_end end, dureq_str line, dq_buf *out)
{
    if (end == DQ_LINE_NONE)
        return;
    dq_buf_append_char(out, '|');
    if (end == DQ_LINE_WHOLE)
        dq_buf_append_str(out, line);
    else
        dq_buf_append_text(out, end == DQ_LINE_LONG ? "(long)" : "(lost)");
}

/* With `fails` the allocations of that piece fail. */
static void cut(const char *const *pieces, int fails, dq_buf *out)
{
    dq_line_cut c = {.max = 8};
    dureq_str line = {0};
    dq_line_end end;

    for (int i = 0; i < 5 && pieces[i]; i++)
        for (dureq_str bytes = dureq_str_from(pieces[i]); bytes.len > 0;) {
            if (i == fails)
                dq_alloc_fail_at(1);
            end = dq_line_cut_take(&c, &bytes, &line);
            dq_alloc_fail_at(0);
            tell(end, line, out);
        }
    end = dq_line_cut_last(&c, &line);
    tell(end, line, out);
    dq_line_cut_deinit(&c);
}

TEST(lines_are_the_same_however_they_come)
{
    for (size_t i = 0; i < DQ_ARRAY_LEN(cut_cases); i++) {
        DQ_BUF_AUTO told = {0};

        EXPECT_NOTE("case %zu", i);
        cut(cut_cases[i].pieces, /*fails=*/-1, &told);
        EXPECT_STR_TEXT(cut_cases[i].told, dq_buf_str(&told));
    }
}

/* Its end must not pass for a line, and a last one without a newline is missed, too. */
TEST(a_line_for_which_there_was_no_memory_is_told_as_lost)
{
    DQ_BUF_AUTO first = {0};
    DQ_BUF_AUTO last = {0};

    cut((const char *const[]){"on", "e\ntwo\n", NULL}, /*fails=*/0, &first);
    EXPECT_STR_TEXT("|(lost)|two", dq_buf_str(&first));
    cut((const char *const[]){"one\n", "two", NULL}, /*fails=*/1, &last);
    EXPECT_STR_TEXT("|one|(lost)", dq_buf_str(&last));
}

TEST_MAIN()
