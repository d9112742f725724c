/* SPDX-License-Identifier: Apache-2.0 */
#include "store/script.h"

#include "base/buf.h"
#include "expect.h"
#include "model/id.h"
#include "model/job.h"
#include "store/scripts.h"
#include "test_file.h"

#include <glob.h>
#include <stdlib.h>

/* Of src/store/lua; the caller's. */
static char *read_lua(const char *file)
{
    const char *root = getenv("DUREQ_TEST_SOURCE");
    char path[1024];

    if (!root)
        skip(); /* not run by the build */
    (void)snprintf(path, sizeof(path), "%s/src/store/lua/%s", root, file);
    return test_file_read(path);
}

static int64_t number_of(const char *lua, const char *name)
{
    char line[64];
    const char *at;

    (void)snprintf(line, sizeof(line), "local %s = ", name);
    at = strstr(lua, line);
    return at ? strtoll(at + strlen(line), NULL, 10) : -1;
}

TEST(numbers_that_scripts_and_c_know_are_the_same)
{
    char *base = read_lua("include/base.lua");

    EXPECT_I64(DQ_ROW_OVERHEAD, number_of(base, "ROW_OVERHEAD"));
    EXPECT_I64(DQ_LIST_BYTES, number_of(base, "LIST_BYTES"));
    EXPECT_I64(DQ_ID_SEQ_DUE, number_of(base, "ID_SEQ_DUE"));
    EXPECT_I64(DQ_RETENTION_DEFAULT_MS, number_of(base, "RETENTION_DEFAULT_MS"));
    EXPECT_I64(DQ_RETENTION_DEFAULT_MS, dq_retention_class(DQ_RETENTION_DEFAULT_MS)); /* scripts do not round it */
    EXPECT_I64(DQ_HISTORY_DEFAULT_BYTES, number_of(base, "HISTORY_DEFAULT_BYTES"));
    EXPECT_I64(DQ_PRODUCER_KEPT_MS, number_of(base, "PRODUCER_KEPT_MS"));
    EXPECT_I64(DQ_REQUEST_WINDOW_MS, number_of(base, "REQUEST_WINDOW_MS"));
    dq_free(base);
}

/* As a word of its own. */
static bool says(const char *text, const char *number)
{
    size_t len = strlen(number);

    for (const char *at = strstr(text, number); at; at = strstr(at + 1, number))
        if (!strchr("0123456789.", at[len]) && (at == text || !strchr("0123456789.", at[-1])))
            return true;
    return false;
}

/* What Redis gets has numbers where their names stood; what we read has names. */
TEST(a_number_that_has_a_name_stands_in_one_place)
{
    static const char *const numbers[] = {"110", "134217728", "604800000", "172800000"};
    static const char *const folders[] = {"src/store/lua/*.lua", "src/store/lua/include/*.lua"};
    const char *root = getenv("DUREQ_TEST_SOURCE");

    if (!root)
        skip(); /* not run by the build */
    for (size_t n = 0; n < DQ_ARRAY_LEN(numbers); n++) {
        size_t n_files = 0;

        for (size_t f = 0; f < DQ_ARRAY_LEN(folders); f++) {
            char path[1024];
            glob_t files;

            (void)snprintf(path, sizeof(path), "%s/%s", root, folders[f]);
            EXPECT_I64(0, glob(path, 0, NULL, &files));
            for (size_t i = 0; i < files.gl_pathc; i++) {
                char *text = test_file_read(files.gl_pathv[i]);

                n_files += says(text, numbers[n]);
                dq_free(text);
            }
            globfree(&files);
        }
        EXPECT_NOTE("number %s", numbers[n]);
        EXPECT_U64(1, n_files);
    }
}

TEST(a_name_of_a_number_costs_a_script_nothing)
{
    const dq_script *s = &dq_scripts[DQ_SCRIPT_COMPLETE];

    EXPECT_TRUE(says(s->text, "110"));
    EXPECT_PTR(NULL, strstr(s->text, "ROW_OVERHEAD"));
    EXPECT_PTR(NULL, strstr(s->text, "=110"));
    EXPECT_PTR(NULL, strstr(s->text, "= 110"));
}

TEST_MAIN()
