/* SPDX-License-Identifier: Apache-2.0 */
#include "man.h"

#include <dureq/dureq.h>

/* Text that roff prints as it is: a '-' that can be copied into a shell, no '.' or "'" that begins a request. */
static void put(dq_buf *out, dureq_str text)
{
    bool begins = true;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (begins && (c == '.' || c == '\''))
            dq_buf_append_text(out, "\\&");
        if (c == '\\')
            dq_buf_append_text(out, "\\e");
        else if (c == '-')
            dq_buf_append_text(out, "\\-");
        else if (c == '\'')
            dq_buf_append_text(out, "\\(aq");
        else if (c == '"')
            dq_buf_append_text(out, "\\(dq");
        else if (c == '^' || c == '~' || c == '`')
            dq_buf_append_text(out, c == '^' ? "\\(ha" : c == '~' ? "\\(ti" : "\\(ga");
        else
            dq_buf_append(out, &c, 1);
        begins = c == '\n';
    }
}

static void put_text(dq_buf *out, const char *text)
{
    put(out, dureq_str_from(text));
}

/* A blank line would be a paragraph. */
static void put_line(dq_buf *out, const char *text)
{
    put_text(out, text);
    if (*text && text[strlen(text) - 1] != '\n')
        dq_buf_append_text(out, "\n");
}

void dq_man_begin(dq_buf *out, const char *name, int section, const char *summary)
{
    dq_buf_append_fmt(out, ".TH ");
    for (const char *p = name; *p; p++) {
        char upper = *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;

        dq_buf_append(out, &upper, 1);
    }
    dq_buf_append_fmt(out, " %d \"\" \"dureq %s\"\n.nh\n.ad l\n.SH NAME\n%s \\- ", section, dureq_version(), name);
    put_line(out, summary);
}

void dq_man_section(dq_buf *out, const char *title)
{
    dq_buf_append_fmt(out, ".SH %s\n", title);
}

void dq_man_usage(dq_buf *out, const char *program, const char *args)
{
    dq_buf_append_fmt(out, ".B %s\n", program);
    put_line(out, args);
}

void dq_man_item(dq_buf *out, const char *term, const char *text)
{
    dq_buf_append_text(out, ".TP\n.B ");
    put_line(out, term);
    put_line(out, text);
}

void dq_man_text(dq_buf *out, const char *text)
{
    dq_buf_append_text(out, ".PP\n");
    put_line(out, text);
}

void dq_man_lines(dq_buf *out, const char *lines)
{
    if (!lines || !*lines)
        return;
    dq_buf_append_text(out, ".RS 4\n.nf\n");
    put_line(out, lines);
    dq_buf_append_text(out, ".fi\n.RE\n");
}
