/* SPDX-License-Identifier: Apache-2.0 */
#include "model/id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/random.h"

#define MS_MAX ((UINT64_C(1) << 44) - 1)

static void expect_same(const dq_id *a, const dq_id *b)
{
    assert_int_equal(a->ms, b->ms);
    assert_int_equal(a->seq, b->seq);
    assert_int_equal(a->lane, b->lane);
    assert_int_equal(a->shard, b->shard);
}

static dureq_str packed_of(const dq_id *id, unsigned char bytes[DQ_ID_BYTES])
{
    dq_id_pack(id, bytes);
    return dureq_str_of(bytes, DQ_ID_BYTES);
}

static void goes_through_all_forms(const dq_id *id)
{
    unsigned char bytes[DQ_ID_BYTES];
    char entry[32];
    dureq_job_id text;
    dq_id back;
    size_t len;

    assert_true(dq_id_unpack(packed_of(id, bytes), &back));
    expect_same(id, &back);
    dq_id_to_text(id, &text);
    assert_int_equal(strlen(text.text), DUREQ_JOB_ID_LEN);
    assert_int_equal(dq_id_parse(dureq_str_from(text.text), &back), 0);
    expect_same(id, &back);
    len = dq_id_entry(id, entry);
    assert_int_equal(strlen(entry), len);
    assert_true(dq_id_from_entry(dureq_str_from(entry), id->lane, id->shard, &back));
    expect_same(id, &back);
}

static dq_id random_id(dq_rng *rng)
{
    return (dq_id){.ms = dq_rng_below(rng, MS_MAX + 1),
                   .seq = (uint32_t)dq_rng_below(rng, (uint64_t)DQ_ID_SEQ_MAX + 1),
                   .lane = (uint32_t)dq_rng_below(rng, (uint64_t)DQ_LANE_MAX + 1),
                   .shard = (uint16_t)dq_rng_below(rng, DQ_SHARD_MAX + 1)};
}

static void ids_survive_every_form(void **state)
{
    static const dq_id edges[] = {
        {0, 0, 0, 0},
        {MS_MAX, DQ_ID_SEQ_MAX, DQ_LANE_MAX, DQ_SHARD_MAX},
        {1, 0, 0, 0},
        {0, 1, 0, 0},
        {0, 0, 1, 0},
        {0, 0, 0, 1},
        {1700000000000, DQ_ID_SEQ_DUE, 7, 255},
    };
    dq_rng rng;

    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(edges); i++)
        goes_through_all_forms(&edges[i]);
    dq_rng_seed(&rng, 1);
    for (int i = 0; i < 1000; i++) {
        dq_id id = random_id(&rng);

        goes_through_all_forms(&id);
    }
}

/* What docs/redis-keys.md draws: 44 bits of ms after four zero ones, 28 of sequence, 18 of lane, 10 of shard. */
static void the_packed_form_is_as_drawn(void **state)
{
    static const dq_id id = {.ms = 0x123456789ab, .seq = 0xfedcba9, .lane = 0x2aaaa, .shard = 0x155};
    static const unsigned char want[DQ_ID_BYTES] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xfe, 0xdc, 0xba, 0x9a, 0xaa, 0xa9, 0x55};
    unsigned char got[DQ_ID_BYTES];
    dureq_job_id text;

    (void)state;
    dq_id_pack(&id, got);
    assert_memory_equal(got, want, DQ_ID_BYTES);
    dq_id_to_text(&id, &text);
    assert_string_equal(text.text, "28q5cu4qnvmsnadalaal");
}

static int sign_of(int v)
{
    return (v > 0) - (v < 0);
}

static void both_forms_sort_alike(void **state)
{
    dq_rng rng;

    (void)state;
    dq_rng_seed(&rng, 2);
    for (int i = 0; i < 1000; i++) {
        dq_id a = random_id(&rng), b = random_id(&rng);
        unsigned char pa[DQ_ID_BYTES], pb[DQ_ID_BYTES];
        dureq_job_id ta, tb;

        if (i % 2)
            b.ms = a.ms;
        dq_id_pack(&a, pa);
        dq_id_pack(&b, pb);
        dq_id_to_text(&a, &ta);
        dq_id_to_text(&b, &tb);
        assert_int_equal(sign_of(memcmp(pa, pb, DQ_ID_BYTES)), sign_of(strcmp(ta.text, tb.text)));
        if (a.ms != b.ms)
            assert_int_equal(strcmp(ta.text, tb.text) < 0, a.ms < b.ms);
    }
}

static void bad_texts_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "0",
        "0000000000000000000",
        "000000000000000000000",
        "0000000000000000000w",
        "A0000000000000000000",
        "00000-00000000000000",
        " 0000000000000000000",
        "0000000000000000000\n",
        ("000000000\xc3\xa9"
         "000000000"),
    };
    dq_id id;

    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(bad); i++)
        assert_int_equal(dq_id_parse(dureq_str_from(bad[i]), &id), DUREQ_EINVAL);
    assert_int_equal(dq_id_parse(dureq_str_of("0000000000\0000000000", 20), &id), DUREQ_EINVAL);
    assert_int_equal(dq_id_parse(dureq_str_of(NULL, 0), &id), DUREQ_EINVAL);
}

static void every_changed_character_is_another_id_or_none(void **state)
{
    char text[DUREQ_JOB_ID_LEN];
    dq_id good, id;

    (void)state;
    assert_int_equal(dq_id_parse(DQ_STR_LIT("28q5cu4qnvmsnadalaal"), &good), 0);
    for (size_t i = 0; i < sizeof text; i++)
        for (int c = 0; c < 256; c++) {
            bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'v');
            dureq_job_id back;

            memcpy(text, "28q5cu4qnvmsnadalaal", sizeof text);
            text[i] = (char)c;
            assert_int_equal(dq_id_parse(dureq_str_of(text, sizeof text), &id), digit ? 0 : DUREQ_EINVAL);
            if (!digit)
                continue;
            dq_id_to_text(&id, &back);
            assert_memory_equal(back.text, text, sizeof text);
        }
}

static void packed_bytes_are_thirteen_in_range(void **state)
{
    static const unsigned char bytes[DQ_ID_BYTES + 1] = {0};
    unsigned char late[DQ_ID_BYTES] = {0x10};
    dq_id id;

    (void)state;
    for (size_t len = 0; len <= sizeof bytes; len++)
        assert_int_equal(dq_id_unpack(dureq_str_of(bytes, len), &id), len == DQ_ID_BYTES);
    assert_false(dq_id_unpack(dureq_str_of(late, sizeof late), &id));
}

static void bad_entries_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "-",
        "5",
        "5-",
        "-5",
        "5--5",
        "5-5-5",
        "+5-1",
        "5-+1",
        " 5-1",
        "5-1 ",
        "a-1",
        "1-a",
        "1.0-1",
        "17592186044416-0",                      /* 2^44 ms */
        "1-268435456",                           /* 2^28 */
        "1-99999999999999999999999999999999999", /* nothing may wrap around */
        "99999999999999999999999999999999999-1",
        "18446744073709551617-1",
    };
    dq_id id;

    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(bad); i++)
        if (dq_id_from_entry(dureq_str_from(bad[i]), 1, 1, &id))
            fail_msg("'%s' was taken", bad[i]);
    assert_true(dq_id_from_entry(DQ_STR_LIT("17592186044415-268435455"), DQ_LANE_MAX, DQ_SHARD_MAX, &id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_survive_every_form),
        cmocka_unit_test(the_packed_form_is_as_drawn),
        cmocka_unit_test(both_forms_sort_alike),
        cmocka_unit_test(bad_texts_are_refused),
        cmocka_unit_test(every_changed_character_is_another_id_or_none),
        cmocka_unit_test(packed_bytes_are_thirteen_in_range),
        cmocka_unit_test(bad_entries_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
