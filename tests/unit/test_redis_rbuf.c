/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/rbuf.h"

#include "base/buf.h"
#include "base/random.h"

#include "expect.h"

/* What a connection does with an inbox: bytes come in as far as there is room, and are consumed from the front. */
static size_t receive(dq_inbox *in, const char *bytes, size_t len)
{
    size_t room = dq_inbox_reserve(in);
    size_t n = DQ_MIN(room, len);

    if (n) {
        memcpy(in->buf->data + in->end, bytes, n);
        dq_inbox_added(in, n);
    }
    return n;
}

static void receive_all(dq_inbox *in, const char *bytes, size_t len)
{
    for (size_t done = 0; done < len;) {
        size_t n = receive(in, bytes + done, len - done);

        EXPECT_TRUE(n > 0);
        done += n;
    }
}

static dureq_str unread(const dq_inbox *in)
{
    return in->buf ? dureq_str_of(in->buf->data + in->start, in->end - in->start) : (dureq_str){0};
}

TEST(a_buffer_lives_as_long_as_somebody_holds_it)
{
    dq_rbuf *b = dq_rbuf_create(100);

    EXPECT_FALSE(dq_rbuf_is_shared(b));
    dq_rbuf_ref(b);
    EXPECT_TRUE(dq_rbuf_is_shared(b));
    dq_rbuf_unref(b);
    EXPECT_FALSE(dq_rbuf_is_shared(b));
    memset(b->data, 'x', b->cap); /* ASan: still there, all of it */
    EXPECT_U64(100, b->cap);
    dq_rbuf_unref(b); /* LeakSanitizer: gone */
    dq_rbuf_unref(NULL);
}

TEST(an_empty_inbox_makes_room_for_a_good_read)
{
    dq_inbox in = {0};

    EXPECT_TRUE(dq_inbox_reserve(&in) >= 16 * 1024);
    EXPECT_U64(0, in.end - in.start);
    dq_inbox_clear(&in);
    EXPECT_PTR(NULL, in.buf);
    dq_inbox_clear(&in);
}

TEST(there_is_always_room_for_a_good_read_however_much_is_unread)
{
    static char bytes[5000];
    dq_inbox in = {0};

    for (int i = 0; i < 1000; i++) {
        EXPECT_TRUE(dq_inbox_reserve(&in) >= 16 * 1024);
        receive_all(&in, bytes, sizeof(bytes));
    }
    EXPECT_U64(1000 * sizeof(bytes), in.end - in.start);
    dq_inbox_clear(&in);
}

TEST(unread_bytes_stay_in_order_while_others_hold_the_old_buffers)
{
    enum { HELD = 8 };
    dq_inbox in = {0};
    dq_rbuf *held[HELD] = {0};
    uint32_t next_in = 0, next_out = 0;
    dq_rng rng;

    dq_rng_seed(&rng, 21);
    for (int round = 0; round < 20000; round++) {
        uint32_t numbers[3000];
        size_t n = dq_rng_below(&rng, round % 500 ? 200 : 3000), slot = dq_rng_below(&rng, HELD);
        size_t n_unread, n_read;

        for (size_t i = 0; i < n; i++)
            numbers[i] = next_in++;
        receive_all(&in, (const char *)numbers, n * sizeof(numbers[0]));
        n_unread = unread(&in).len / sizeof(uint32_t);
        n_read = dq_rng_below(&rng, 4) ? dq_rng_below(&rng, n_unread + 1) : n_unread;
        for (size_t i = 0; i < n_read; i++) {
            uint32_t v;

            memcpy(&v, in.buf->data + in.start, sizeof(v));
            EXPECT_NOTE("round %d", round);
            EXPECT_U64(next_out, v);
            next_out++;
            in.start += sizeof(v);
        }
        dq_rbuf_unref(held[slot]);
        held[slot] = NULL;
        if (in.buf && dq_rng_below(&rng, 2)) {
            held[slot] = in.buf;
            dq_rbuf_ref(held[slot]);
        }
    }
    for (size_t i = 0; i < HELD; i++)
        dq_rbuf_unref(held[i]);
    EXPECT_U64(next_in - next_out, unread(&in).len / sizeof(uint32_t));
    dq_inbox_clear(&in);
}

/* Whoever holds a buffer has views into it: they must not change. */
TEST(bytes_that_were_handed_out_never_move_or_change)
{
    static char bytes[3000];
    dq_inbox in = {0};
    dq_rbuf *held;
    const char *view;

    memset(bytes, 'a', sizeof(bytes));
    receive_all(&in, bytes, sizeof(bytes));
    held = in.buf;
    dq_rbuf_ref(held);
    view = held->data + in.start;
    in.start += 2000;

    memset(bytes, 'b', sizeof(bytes));
    for (int i = 0; i < 200; i++) {
        receive_all(&in, bytes, sizeof(bytes));
        in.start = i % 2 ? in.end : in.start;
    }
    EXPECT_TRUE(in.buf != held);
    for (size_t i = 0; i < 3000; i++)
        EXPECT_I64('a', view[i]);
    dq_rbuf_unref(held);
    dq_inbox_clear(&in);
}

TEST(a_buffer_of_our_own_is_used_again_when_it_is_read_empty)
{
    static char bytes[40000];
    dq_inbox in = {0};
    dq_rbuf *first;

    receive_all(&in, bytes, sizeof(bytes));
    first = in.buf;
    dq_alloc_fail_at(1); /* no allocation from here on */
    for (int i = 0; i < 100; i++) {
        in.start = in.end;
        EXPECT_TRUE(dq_inbox_reserve(&in) > sizeof(bytes));
        EXPECT_PTR(first, in.buf);
        receive_all(&in, bytes, sizeof(bytes));
    }
    EXPECT_I64(0, dq_alloc_count());
    dq_alloc_fail_at(0);
    dq_inbox_clear(&in);
}

TEST(reads_that_fill_the_buffer_make_the_next_one_larger_up_to_a_limit)
{
    static char bytes[256 * 1024];
    dq_inbox in = {0};
    size_t first_cap;

    (void)dq_inbox_reserve(&in);
    first_cap = in.buf->cap;
    for (int i = 0; i < 50; i++) {
        size_t room = dq_inbox_reserve(&in);

        for (size_t done = 0; done < room;)
            done += receive(&in, bytes, DQ_MIN(room - done, sizeof(bytes)));
        in.start = in.end;
    }
    EXPECT_TRUE(in.buf->cap > first_cap);
    EXPECT_TRUE(in.want <= 2 * 1024 * 1024);
    dq_inbox_clear(&in);
    EXPECT_TRUE(in.want > first_cap); /* what was learned outlives the connection */
}

TEST(a_huge_buffer_is_given_back_once_it_is_read_empty)
{
    static char bytes[8 * 1024 * 1024];
    dq_inbox in = {0};

    receive_all(&in, bytes, sizeof(bytes));
    EXPECT_TRUE(in.buf->cap >= sizeof(bytes));
    in.start = in.end;
    EXPECT_TRUE(dq_inbox_reserve(&in) > 0);
    EXPECT_TRUE(in.buf->cap <= 2 * 1024 * 1024);
    dq_inbox_clear(&in);
}

/* Each byte may move a few times, not once a read: else a reply of many megabytes costs the square of its size. */
TEST(a_large_reply_is_copied_a_few_times_only)
{
    static char bytes[16 * 1024];
    size_t total = 32 * 1024 * 1024;
    dq_inbox in = {0};

    dq_alloc_fail_at(1000000); /* counts */
    for (size_t done = 0; done < total; done += sizeof(bytes))
        receive_all(&in, bytes, sizeof(bytes));
    EXPECT_TRUE(dq_alloc_count() <= 16); /* doubling: 64 KiB to 64 MiB */
    EXPECT_U64(total, unread(&in).len);
    dq_inbox_clear(&in);
}

TEST(without_memory_there_is_no_room_and_nothing_is_lost)
{
    dq_inbox in = {0};
    static char bytes[60000];
    size_t room;

    dq_alloc_fail_at(1);
    room = dq_inbox_reserve(&in);
    dq_alloc_fail_at(0);
    EXPECT_U64(0, room);
    EXPECT_PTR(NULL, in.buf);

    memset(bytes, 'q', sizeof(bytes));
    receive_all(&in, bytes, sizeof(bytes));
    dq_alloc_fail_at(1);
    room = dq_inbox_reserve(&in);
    dq_alloc_fail_at(0);
    EXPECT_U64(0, room);
    EXPECT_STR(dureq_str_of(bytes, sizeof(bytes)), unread(&in));
    EXPECT_TRUE(dq_inbox_reserve(&in) > 0);
    EXPECT_STR(dureq_str_of(bytes, sizeof(bytes)), unread(&in));
    dq_inbox_clear(&in);
}

TEST_MAIN()
