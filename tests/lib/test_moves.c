/* SPDX-License-Identifier: Apache-2.0 */
#include "test_moves.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"

#define STATES_MAX 32

static void read_document(dq_buf *text)
{
    const char *root = getenv("DUREQ_TEST_SOURCE");
    char path[4096], chunk[4096];
    size_t n;
    FILE *f;

    if (!root)
        fail_msg("DUREQ_TEST_SOURCE is not set: run by meson test");
    (void)snprintf(path, sizeof path, "%s/docs/state-machines.md", root);
    f = fopen(path, "r");
    if (!f)
        fail_msg("cannot open %s", path);
    for (n = fread(chunk, 1, sizeof chunk, f); n > 0; n = fread(chunk, 1, sizeof chunk, f))
        dq_buf_append(text, chunk, n);
    (void)fclose(f);
    assert_false(text->failed);
}

static unsigned number_of(dureq_str name, const char *const *names, size_t n_names)
{
    for (unsigned i = 0; i < n_names; i++)
        if (dq_str_eq_text(name, names[i]))
            return i;
    fail_msg("'" DQ_STR_FMT "' is no state", DQ_STR_ARG(name));
    return 0;
}

static size_t read_moves(dureq_str rest, const char *const *names, size_t n_names, bool moves[STATES_MAX][STATES_MAX])
{
    size_t n = 0;

    (void)dq_str_cut(&rest, '\n');
    while (rest.len) {
        dureq_str line = dq_str_cut(&rest, '\n');

        (void)dq_str_cut(&line, '|');
        dureq_str from = dq_str_trim(dq_str_cut(&line, '|')), to = dq_str_trim(dq_str_cut(&line, '|'));
        if (from.len == 0 || dq_str_eq_text(from, "from") || from.ptr[0] == '-')
            continue;
        unsigned a = number_of(from, names, n_names), b = number_of(to, names, n_names);
        if (moves[a][b])
            fail_msg("%s to %s is there twice", names[a], names[b]);
        moves[a][b] = true;
        n++;
    }
    return n;
}

void test_moves_compare(const char *machine, const char *const *names, size_t n_names, bool (*can)(unsigned from, unsigned to),
                        size_t least)
{
    bool moves[STATES_MAX][STATES_MAX] = {{false}};
    char mark[64];
    DQ_BUF_AUTO text = {0};

    assert_true(n_names <= STATES_MAX);
    read_document(&text);
    (void)snprintf(mark, sizeof mark, "<!-- moves: %s -->", machine);
    const char *start = strstr(text.ptr, mark);
    const char *end = start ? strstr(start, "<!-- end -->") : NULL;
    if (!end)
        fail_msg("docs/state-machines.md has no table of %s", machine);
    assert_true(read_moves(dureq_str_of(start, (size_t)(end - start)), names, n_names, moves) >= least);
    for (unsigned from = 0; from < n_names; from++)
        for (unsigned to = 0; to < n_names; to++)
            if (can(from, to) != moves[from][to])
                fail_msg("%s: %s to %s: the document says %s, the table not", machine, names[from], names[to],
                         moves[from][to] ? "yes" : "no");
}
