/* SPDX-License-Identifier: Apache-2.0 */
#include "io/zones.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "expect.h"
#include "test_zones.h"

/* A folder of zone files that the test changes. */

static char root[64];

static int drop(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void remove_root(void)
{
    (void)nftw(root, drop, 8, FTW_DEPTH | FTW_PHYS);
}

static dq_zones *open_root(void)
{
    dq_zones *zones = NULL;

    (void)snprintf(root, sizeof root, "/tmp/dureq-zones-XXXXXX");
    EXPECT_TRUE(mkdtemp(root) != NULL);
    EXPECT_RC(0, dq_zones_create(root, &zones, NULL));
    return zones;
}

static void write_zone(const char *name, const char *rule)
{
    EXPECT_TRUE(test_zone_write(root, name, rule));
}

static int32_t offset_of(dq_zones *zones, const char *name)
{
    dq_zone *zone = NULL;
    dureq_error err = {0};
    int32_t offset;

    EXPECT_RC(0, dq_zones_get(zones, dureq_str_from(name), &zone, &err));
    offset = dq_zone_offset_at(zone, 1780000000);
    dq_zone_unref(zone);
    return offset;
}

TEST(a_zone_is_read_again_when_its_file_changes)
{
    dq_zones *zones = open_root();
    dq_zone *before = NULL, *same = NULL;

    write_zone("Xanadu", "ABC-1");
    EXPECT_RC(0, dq_zones_get(zones, DQ_STR_LIT("Xanadu"), &before, NULL));
    EXPECT_RC(0, dq_zones_get(zones, DQ_STR_LIT("Xanadu"), &same, NULL));
    EXPECT_PTR(before, same);
    EXPECT_TEXT("Xanadu", dq_zone_name(before));
    dq_zone_unref(same);
    write_zone("Xanadu", "ABC-2");
    EXPECT_I64(7200, offset_of(zones, "Xanadu"));
    EXPECT_I64(3600, dq_zone_offset_at(before, 1780000000)); /* who holds the old one goes on with it */
    dq_zone_unref(before);
    dq_zones_destroy(zones);
    remove_root();
}

TEST(a_look_counts_the_zones_that_changed)
{
    dq_zones *zones = open_root();

    write_zone("Arden", "ABC-1");
    write_zone("Xanadu", "ABC-1");
    (void)offset_of(zones, "Arden");
    (void)offset_of(zones, "Xanadu");
    dq_zones_look(zones);
    EXPECT_U64(0, dq_zones_changes(zones));
    write_zone("Xanadu", "ABC-2");
    write_zone("Other", "ABC-2"); /* which nobody asked for */
    dq_zones_look(zones);
    EXPECT_U64(1, dq_zones_changes(zones));
    dq_zones_look(zones);
    EXPECT_U64(1, dq_zones_changes(zones));
    write_zone("Arden", "ABC-3");
    EXPECT_I64(10800, offset_of(zones, "Arden")); /* read again because it was asked for: a change all the same */
    dq_zones_look(zones);
    EXPECT_U64(2, dq_zones_changes(zones));
    write_zone("Arden", "no rule");
    dq_zones_look(zones);
    EXPECT_U64(2, dq_zones_changes(zones));
    dq_zones_destroy(zones);
    remove_root();
}

static void write_text(const char *name, const char *text)
{
    char path[200];

    (void)snprintf(path, sizeof path, "%s/%s", root, name);
    FILE *f = fopen(path, "wb");
    EXPECT_TRUE(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
}

TEST(the_version_of_the_files_is_what_they_say)
{
    dq_zones *zones = open_root();

    EXPECT_STR_TEXT("", dq_zones_version(zones));
    write_text("+VERSION", "2024a\n");
    EXPECT_STR_TEXT("2024a", dq_zones_version(zones));
    write_text("tzdata.zi", "# version 2025b\n# ddeps\n");
    EXPECT_STR_TEXT("2025b", dq_zones_version(zones));
    dq_zones_destroy(zones);
    remove_root();
}

TEST(a_zone_whose_file_went_away_or_broke_goes_on_as_it_was)
{
    dq_zones *zones = open_root();
    char path[200];

    write_zone("Xanadu", "ABC-1");
    EXPECT_I64(3600, offset_of(zones, "Xanadu"));
    write_zone("Xanadu", "no rule");
    EXPECT_I64(3600, offset_of(zones, "Xanadu"));
    (void)snprintf(path, sizeof path, "%s/Xanadu", root);
    EXPECT_I64(0, unlink(path));
    EXPECT_I64(3600, offset_of(zones, "Xanadu"));
    write_zone("Xanadu", "ABC-3");
    EXPECT_I64(10800, offset_of(zones, "Xanadu"));
    dq_zones_destroy(zones);
    remove_root();
}

static void expect_refused(dq_zones *zones, const char *name, int rc, const char *says)
{
    dq_zone *zone = NULL;
    dureq_error err = {0};

    EXPECT_NOTE("'%s'", name);
    EXPECT_RC(rc, dq_zones_get(zones, dureq_str_from(name), &zone, &err));
    EXPECT_HAS(says, err.msg);
    EXPECT_PTR(NULL, zone);
}

TEST(an_unknown_zone_is_refused_with_the_nearest_name)
{
    dq_zones *zones = open_root();
    char dir[200];

    (void)snprintf(dir, sizeof dir, "%s/America", root);
    EXPECT_I64(0, mkdir(dir, 0700));
    write_zone("America/New_York", "EST5");
    write_zone("America/Newport", "EST5");
    write_zone("UTC", "UTC0");
    (void)snprintf(dir, sizeof dir, "%s/Xanadu", root);
    expect_refused(zones, "America/New_Yrk", DUREQ_EINVAL,
                   "unknown time zone 'America/New_Yrk': the nearest is 'America/New_York'");
    expect_refused(zones, "america/new_york", DUREQ_EINVAL, "'America/New_York'");
    expect_refused(zones, "New_York", DUREQ_EINVAL, "'America/New_York'");
    expect_refused(zones, "utc", DUREQ_EINVAL, "'UTC'");
    expect_refused(zones, "Mars/Olympus", DUREQ_EINVAL, "unknown time zone 'Mars/Olympus'");
    expect_refused(zones, "America", DUREQ_EINVAL, "unknown time zone"); /* a folder */
    expect_refused(zones, "../etc/passwd", DUREQ_EINVAL, "such as 'Europe/Berlin'");
    write_zone("Xanadu", "no rule");
    expect_refused(zones, "Xanadu", DUREQ_EPARSE, "its footer is no rule");
    dq_zones_destroy(zones);
    remove_root();
}

TEST(without_tzdata_there_is_utc_and_the_rest_says_what_is_missing)
{
    dq_zones *zones = open_root();

    remove_root();
    EXPECT_I64(0, offset_of(zones, "UTC"));
    expect_refused(zones, "Europe/Berlin", DUREQ_EINVAL, "install tzdata");
    dq_zones_destroy(zones);
}

static int get_both(void *arg)
{
    dq_zones *zones = NULL;
    dq_zone *a = NULL, *b = NULL;
    dureq_error err = {0};
    int rc = dq_zones_create(root, &zones, &err);

    (void)arg;
    if (rc == 0)
        rc = dq_zones_get(zones, DQ_STR_LIT("Xanadu"), &a, &err);
    if (rc == 0)
        rc = dq_zones_get(zones, DQ_STR_LIT("UTC"), &b, &err);
    dq_zone_unref(a);
    dq_zone_unref(b);
    dq_zones_destroy(zones);
    return rc;
}

TEST(without_memory_a_zone_is_refused_and_nothing_is_lost)
{
    dq_zones *zones = open_root();

    write_zone("Xanadu", "ABC-1");
    EXPECT_TRUE(expect_survives_nomem(get_both, NULL) >= 4);
    dq_zones_destroy(zones);
    remove_root();
}

/* A changed file that cannot be kept for want of memory is read again the next time. */
TEST(without_memory_a_changed_zone_is_still_handed_out)
{
    for (long n = 1; n < 8; n++) {
        dq_zones *zones = open_root();
        dq_zone *zone = NULL;

        EXPECT_NOTE("allocation %ld", n);
        write_zone("Xanadu", "ABC-1");
        EXPECT_I64(3600, offset_of(zones, "Xanadu"));
        write_zone("Xanadu", "ABC-2");
        dq_alloc_fail_at(n);
        EXPECT_RC(0, dq_zones_get(zones, DQ_STR_LIT("Xanadu"), &zone, NULL));
        dq_alloc_fail_at(0);
        dq_zone_unref(zone);
        EXPECT_I64(7200, offset_of(zones, "Xanadu"));
        dq_zones_destroy(zones);
        remove_root();
    }
}

TEST_MAIN()
