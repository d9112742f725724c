/* SPDX-License-Identifier: Apache-2.0 */
#include "store/keys.h"

#include "expect.h"
#include "test_file.h"

#include <glob.h>
#include <stdlib.h>

static dq_keys make_keys(const char *prefix, unsigned n_shards)
{
    dq_keys k;

    EXPECT_RC(0, dq_keys_init(&k, dureq_str_from(prefix), n_shards));
    return k;
}

TEST(a_key_is_one_argument_that_begins_with_the_hash_tag_of_its_shard)
{
    dq_keys k = make_keys("dq", 16);
    DQ_BUF_AUTO out = {0};

    dq_keys_arg(&out, &k, 0, "sh", (dureq_str){0});
    dq_keys_arg(&out, &k, 7, "u:", DQ_STR_LIT("invoice:1"));
    dq_keys_arg(&out, &k, 15, "due:h", (dureq_str){0});
    EXPECT_STR_TEXT("$9\r\n{dq:0}:sh\r\n"
                    "$18\r\n{dq:7}:u:invoice:1\r\n"
                    "$13\r\n{dq:15}:due:h\r\n",
                    dq_buf_str(&out));
    dq_keys_deinit(&k);
}

TEST(a_suffix_may_be_any_bytes)
{
    dq_keys k = make_keys("a:b", 1);
    DQ_BUF_AUTO out = {0};

    dq_keys_arg(&out, &k, 0, "b:", DQ_STR_LIT("\0\r\n}"));
    EXPECT_STR(DQ_STR_LIT("$14\r\n{a:b:0}:b:\0\r\n}\r\n"), dq_buf_str(&out));
    dq_keys_deinit(&k);
}

TEST(a_number_as_suffix_is_decimal)
{
    dq_keys k = make_keys("p", 2);
    DQ_BUF_AUTO out = {0};

    dq_keys_arg_u64(&out, &k, 1, "l:", 0);
    dq_keys_arg_u64(&out, &k, 1, "l:", 10);
    dq_keys_arg_u64(&out, &k, 1, "l:", UINT64_MAX);
    EXPECT_STR_TEXT("$9\r\n{p:1}:l:0\r\n"
                    "$10\r\n{p:1}:l:10\r\n"
                    "$28\r\n{p:1}:l:18446744073709551615\r\n",
                    dq_buf_str(&out));
    dq_keys_deinit(&k);
}

/* The prefix is no view: whoever gave it may be gone. */
TEST(keys_have_a_prefix_of_their_own)
{
    char prefix[] = "mine";
    dq_keys k = make_keys(prefix, 1);
    DQ_BUF_AUTO out = {0};

    memset(prefix, 'x', 4);
    dq_keys_arg(&out, &k, 0, "q", (dureq_str){0});
    EXPECT_STR_TEXT("$10\r\n{mine:0}:q\r\n", dq_buf_str(&out));
    EXPECT_TEXT("mine", k.prefix);
    dq_keys_deinit(&k);
    EXPECT_PTR(NULL, k.base);
    dq_keys_deinit(&k);
}

/* Data lie where this said when they were written. */
TEST(the_home_shard_of_a_key_never_changes)
{
    dq_keys k = make_keys("dq", 16), one = make_keys("dq", 1);

    EXPECT_U64(dq_hash_bytes("invoice:4711", 12) % 16, dq_keys_shard_of(&k, DQ_STR_LIT("invoice:4711")));
    EXPECT_U64(3, dq_keys_shard_of(&k, DQ_STR_LIT("invoice:4711")));
    EXPECT_U64(0, dq_keys_shard_of(&one, DQ_STR_LIT("invoice:4711")));
    for (int i = 0; i < 1000; i++) {
        char key[16];
        int len = snprintf(key, sizeof(key), "%d", i);

        EXPECT_TRUE(dq_keys_shard_of(&k, dureq_str_of(key, (size_t)len)) < 16);
    }
    dq_keys_deinit(&k);
    dq_keys_deinit(&one);
}

static int init_some(void *arg)
{
    dq_keys k;
    int rc = dq_keys_init(&k, DQ_STR_LIT("dq"), 5);

    (void)arg;
    if (rc == 0)
        dq_keys_deinit(&k);
    return rc;
}

TEST(without_memory_keys_are_not_made_and_nothing_is_left)
{
    EXPECT_I64(8, expect_survives_nomem(init_some, NULL));
}

/* ---- the documentation ---- */

static bool is_documented(const char *doc, const char *name, size_t len)
{
    for (const char *p = strstr(doc, "`K "); p; p = strstr(p + 1, "`K "))
        if (strncmp(p + 3, name, len) == 0 && (p[3 + len] == '`' || p[3 + len] == '<'))
            return true;
    return false;
}

/* Every text between quotes in the calls of one function in a file. Returns how many. */
static int check_names(const char *source, const char *function, const char *doc)
{
    int n = 0;

    for (const char *p = strstr(source, function); p; p = strstr(p + 1, function)) {
        const char *end = strchr(p, ';');
        const char *from = end ? memchr(p, '"', (size_t)(end - p)) : NULL;

        while (from) {
            const char *to = memchr(from + 1, '"', (size_t)(end - from - 1));

            EXPECT_TRUE(to != NULL);
            EXPECT_NOTE("key name '%.*s'", (int)(to - from - 1), from + 1);
            EXPECT_TRUE(is_documented(doc, from + 1, (size_t)(to - from - 1)));
            n++;
            from = memchr(to + 1, '"', (size_t)(end - to - 1));
        }
    }
    return n;
}

/* Names after `mark` in one script, up to a quote, a blank or the upper case that stands for a suffix. Returns how many. */
static int check_script_names(const char *script, const char *mark, const char *doc)
{
    static const char *const asked[] = {"x", "y",
                                        "*"}; /* shard_init asks what the user may do with them: there are no such keys */
    int n = 0;

    for (const char *p = strstr(script, mark); p; p = strstr(p, mark)) {
        p += strlen(mark);
        size_t len = strcspn(p, "' \nABCDEFGHIJKLMNOPQRSTUVWXYZ");
        bool is_asked = false;

        for (size_t i = 0; i < DQ_ARRAY_LEN(asked); i++)
            is_asked = is_asked || dq_str_eq_text(dureq_str_of(p, len), asked[i]);
        EXPECT_NOTE("key name '%.*s'", (int)len, p);
        EXPECT_TRUE(is_asked || is_documented(doc, p, len));
        n++;
    }
    return n;
}

static bool has_row(const char *table, const char *name, size_t len)
{
    for (const char *row = strstr(table, "\n| "); row; row = strstr(row + 1, "\n| ")) {
        const char *end = strstr(row + 3, " |");

        for (const char *at = strchr(row, '`'); at && at < end; at = strchr(at + 1, '`'))
            if (strncmp(at + 1, name, len) == 0 && at[1 + len] == '`')
                return true;
    }
    return false;
}

/* Each text between quotes that follows `mark` at once, or after others and commas, is the name of a row. Returns how many. */
static int check_rows(const char *script, const char *mark, const char *table)
{
    int n = 0;

    for (const char *p = strstr(script, mark); p; p = strstr(p, mark)) {
        p += strlen(mark);
        for (bool more = true; more; n++) {
            size_t len = strcspn(p, "'");

            EXPECT_NOTE("row of '%.*s'", (int)len, p);
            EXPECT_TRUE(has_row(table, p, len));
            more = strncmp(p + len, "', '", 4) == 0;
            p += len + (more ? 4 : 0);
        }
    }
    return n;
}

/* A part of the document: from a text to a line that begins with another; the caller's. */
static char *part_of(const char *doc, const char *from, const char *to)
{
    const char *begin = strstr(doc, from), *end = begin ? strstr(begin, to) : NULL;
    dq_buf part = {0};

    if (!begin)
        fail_msg("the document has no '%s'", from);
    dq_buf_append(&part, begin, end ? (size_t)(end - begin) : strlen(begin));
    return dq_buf_take(&part);
}

TEST(every_key_name_in_the_sources_is_documented)
{
    static const char *const functions[] = {"dq_keys_arg", "dq_call_key", "dq_plain_get", "dq_plain_list", "dq_plain_newest"};
    const char *root = getenv("DUREQ_TEST_SOURCE");
    char path[1024];
    glob_t files;
    char *doc;
    int n = 0;

    if (!root)
        skip(); /* not run by the build */
    (void)snprintf(path, sizeof(path), "%s/docs/redis-keys.md", root);
    doc = test_file_read(path);
    EXPECT_TRUE(is_documented(doc, "sh", 2));
    EXPECT_FALSE(is_documented(doc, "s", 1));
    (void)snprintf(path, sizeof(path), "%s/src/*/*.c", root);
    EXPECT_I64(0, glob(path, 0, NULL, &files));
    for (size_t i = 0; i < files.gl_pathc; i++) {
        char *source = test_file_read(files.gl_pathv[i]);

        for (size_t f = 0; f < DQ_ARRAY_LEN(functions); f++)
            n += check_names(source, functions[f], doc);
        dq_free(source);
    }
    EXPECT_TRUE(n > 30);
    globfree(&files);
    dq_free(doc);
}

/* What each_script is to do with one. */
typedef int (*script_fn)(const char *script, const char *doc);

static int each_script(script_fn fn, const char *doc)
{
    static const char *const folders[] = {"src/store/lua", "src/store/lua/include"};
    int n = 0;

    for (size_t f = 0; f < DQ_ARRAY_LEN(folders); f++) {
        char path[1024];
        glob_t files;

        (void)snprintf(path, sizeof(path), "%s/%s/*.lua", getenv("DUREQ_TEST_SOURCE"), folders[f]);
        EXPECT_I64(0, glob(path, 0, NULL, &files));
        for (size_t i = 0; i < files.gl_pathc; i++) {
            char *script = test_file_read(files.gl_pathv[i]);

            n += fn(script, doc);
            dq_free(script);
        }
        globfree(&files);
    }
    return n;
}

static char *read_doc(void)
{
    char path[1024];

    if (!getenv("DUREQ_TEST_SOURCE"))
        skip(); /* not run by the build */
    (void)snprintf(path, sizeof(path), "%s/docs/redis-keys.md", getenv("DUREQ_TEST_SOURCE"));
    return test_file_read(path);
}

static int check_keys(const char *script, const char *doc)
{
    return check_script_names(script, "K .. '", doc) + check_script_names(script, "{p:0}:", doc);
}

TEST(every_key_name_in_the_scripts_is_documented)
{
    char *doc = read_doc();

    EXPECT_TRUE(each_script(check_keys, doc) > 300);
    dq_free(doc);
}

static int check_state(const char *script, const char *table)
{
    static const char *const marks[] = {"GET', sh, '", "SET', sh, '", "INCRBY', sh, '", "EXISTS', sh, '", "DEL', sh, '"};
    int n = 0;

    for (size_t i = 0; i < DQ_ARRAY_LEN(marks); i++)
        n += check_rows(script, marks[i], table);
    return n;
}

TEST(every_field_of_the_small_state_is_documented)
{
    char *doc = read_doc(), *table = part_of(doc, "Fields of `K sh`", "\nChannels");

    EXPECT_TRUE(each_script(check_state, table) > 40);
    dq_free(table);
    dq_free(doc);
}

static int check_events(const char *script, const char *table)
{
    return check_rows(script, "event('", table) + check_rows(script, "event_with('", table) +
           check_rows(script, "kind = '", table);
}

TEST(every_kind_of_event_is_documented)
{
    char *doc = read_doc(), *table = part_of(doc, "### Events", "\n#");

    EXPECT_TRUE(each_script(check_events, table) > 15);
    EXPECT_FALSE(has_row(table, "Z", 1));
    dq_free(table);
    dq_free(doc);
}

TEST_MAIN()
