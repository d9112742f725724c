/* SPDX-License-Identifier: Apache-2.0 */
#include "store/script.h"

#include "base/buf.h"
#include "expect.h"
#include "model/id.h"
#include "model/job.h"
#include "model/place.h"
#include "store/scripts.h"
#include "store/store.h"
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

    EXPECT_I64(DQ_SCRIPTS_VERSION, number_of(base, "SCRIPTS_VERSION"));
    EXPECT_I64(DQ_ROW_OVERHEAD, number_of(base, "ROW_OVERHEAD"));
    EXPECT_I64(DQ_LIST_BYTES, number_of(base, "LIST_BYTES"));
    EXPECT_I64(DQ_LANE_MAX, number_of(base, "LANE_MAX"));
    EXPECT_I64(DQ_ID_SEQ_DUE, number_of(base, "ID_SEQ_DUE"));
    EXPECT_I64(DQ_RETENTION_DEFAULT_MS, number_of(base, "RETENTION_DEFAULT_MS"));
    EXPECT_I64(DQ_RETENTION_DEFAULT_MS, dq_retention_class(DQ_RETENTION_DEFAULT_MS)); /* scripts do not round it */
    EXPECT_I64(DQ_HISTORY_DEFAULT_BYTES, number_of(base, "HISTORY_DEFAULT_BYTES"));
    EXPECT_I64(DQ_PRODUCER_KEPT_MS, number_of(base, "PRODUCER_KEPT_MS"));
    EXPECT_I64(DQ_LOG_MAX, number_of(base, "LOG_MAX"));
    EXPECT_I64(DQ_REQUEST_WINDOW_MS, number_of(base, "REQUEST_WINDOW_MS"));
    EXPECT_I64(DUREQ_STEPS_MAX, number_of(base, "STEPS_MAX"));
    EXPECT_I64(DUREQ_STEPS_BYTES_MAX, number_of(base, "STEPS_BYTES_MAX"));
    dq_free(base);
}

TEST(states_and_outcomes_have_the_numbers_of_the_public_interface)
{
    char *states = read_lua("include/states.lua");
    const struct {
        const char *name;
        int64_t value;
    } all[] = {
#define X(num, name, text) {"STATE_" #name, num},
        DUREQ_JOB_STATE_MAP(X)
#undef X
            {"OUTCOME_DONE", DUREQ_OUTCOME_DONE},
        {"OUTCOME_SKIP", DUREQ_OUTCOME_SKIP},
        {"OUTCOME_CANCELLED", DUREQ_OUTCOME_CANCELLED},
        {"OUTCOME_CRASHED", DUREQ_OUTCOME_CRASHED},
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(all); i++) {
        EXPECT_NOTE("%s", all[i].name);
        EXPECT_I64(all[i].value, number_of(states, all[i].name));
    }
    dq_free(states);
}

/* The row of a place in places.lua says its states; as bits. */
static unsigned states_in(const char *lua, const char *name)
{
    static const char *const words[] = {
#define X(num, name, text) [num] = "STATE_" #name,
        DUREQ_JOB_STATE_MAP(X)
#undef X
    };
    char begin[48];
    unsigned states = 0;

    (void)snprintf(begin, sizeof(begin), "{ name = '%s'", name);
    const char *row = strstr(lua, begin), *end = row ? strchr(row, '}') : NULL;
    for (size_t i = 0; end && i < DQ_ARRAY_LEN(words); i++) {
        const char *at = strstr(row, words[i]);

        states |= at && at < end ? 1u << i : 0;
    }
    return states;
}

TEST(places_are_the_same_in_scripts_and_c)
{
    char *lua = read_lua("include/places.lua"), order[64] = "local sets = { ";

    for (int p = 0; p < DQ_N_PLACES; p++) {
        const dq_place_row *place = &dq_places[p];

        if (!place->records)
            continue;
        EXPECT_NOTE("%s", place->name);
        EXPECT_U64(place->states, states_in(lua, place->name));
        (void)snprintf(order + strlen(order), sizeof(order) - strlen(order), "places.%s, ", place->name);
    }
    (void)snprintf(order + strlen(order) - 2, 3, " }");
    EXPECT_TRUE(strstr(lua, order) != NULL);
    dq_free(lua);
}

static int64_t flag_of(const char *lua, const char *name)
{
    int64_t bit = number_of(lua, name);

    return bit < 0 ? 0 : 1LL << bit;
}

TEST(flags_of_envelopes_are_the_same_in_scripts_and_c)
{
    char *envelope = read_lua("include/envelope.lua");

    EXPECT_I64(DQ_J_CTYPE, flag_of(envelope, "J_CTYPE"));
    EXPECT_I64(DQ_J_PRIORITY, flag_of(envelope, "J_PRIORITY"));
    EXPECT_I64(DQ_J_TIMEOUT, flag_of(envelope, "J_TIMEOUT"));
    EXPECT_I64(DQ_J_S2S, flag_of(envelope, "J_S2S"));
    EXPECT_I64(DQ_J_DLQ_AFTER, flag_of(envelope, "J_DLQ_AFTER"));
    EXPECT_I64(DQ_J_RETENTION, flag_of(envelope, "J_RETENTION"));
    EXPECT_I64(DQ_J_RETRY, flag_of(envelope, "J_RETRY"));
    EXPECT_I64(DQ_J_UNIQUE, flag_of(envelope, "J_UNIQUE"));
    EXPECT_I64(DQ_J_REQUEST, flag_of(envelope, "J_REQUEST"));
    EXPECT_I64(DQ_J_HEADERS, flag_of(envelope, "J_HEADERS"));
    EXPECT_I64(DQ_J_TAGS, flag_of(envelope, "J_TAGS"));
    EXPECT_I64(DQ_J_TRACE, flag_of(envelope, "J_TRACE"));
    EXPECT_I64(DQ_J_BLOB, flag_of(envelope, "J_BLOB"));
    EXPECT_I64(DQ_J_MORE, flag_of(envelope, "J_MORE"));
    dq_free(envelope);
}

/* A turn's script goes out as text with each call: of the end of a job it takes what ends a batch, not what ends one by one. */
TEST(what_a_script_does_not_use_of_its_parts_does_not_go_out)
{
    const dq_script *turn = &dq_scripts[DQ_SCRIPT_WORKER_CYCLE], *cancel = &dq_scripts[DQ_SCRIPT_JOB_CANCEL];

    EXPECT_TRUE(strstr(cancel->text, "UNLINK") != NULL);
    EXPECT_PTR(NULL, strstr(turn->text, "UNLINK"));
    EXPECT_TRUE(strstr(turn->text, "'ho:'") != NULL);
    EXPECT_PTR(NULL, strstr(turn->text, "'ob'"));
    EXPECT_TRUE(turn->len < 2800);
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
