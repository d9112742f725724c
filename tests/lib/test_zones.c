/* SPDX-License-Identifier: Apache-2.0 */
#include "test_zones.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "io/zones.h"

#define ROOT      "/usr/share/zoneinfo"
#define NAMES_MAX 2000

static char names[NAMES_MAX][DQ_ZONE_NAME_MAX + 1];
static size_t n_names;

static int add(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    const char *name = path + strlen(ROOT) + 1;

    (void)st;
    (void)ftw;
    if (type != FTW_F || name[0] < 'A' || name[0] > 'Z' || strchr(name, '.') || strlen(name) > DQ_ZONE_NAME_MAX)
        return 0;
    if (n_names == NAMES_MAX)
        return -1;
    memcpy(names[n_names++], name, strlen(name) + 1);
    return 0;
}

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

dq_zone *test_zone_open(const char *name)
{
    dq_zones *zones;
    dq_zone *zone = NULL;
    dureq_error err = {0};

    if (dq_zones_create(ROOT, &zones, &err) < 0)
        return NULL;
    if (dq_zones_get(zones, dureq_str_from(name), &zone, &err) < 0)
        fprintf(stderr, "%s: %s\n", name, err.msg);
    dq_zones_destroy(zones);
    return zone;
}

void test_zone_use(const char *name)
{
    (void)setenv("TZ", name, 1);
    tzset();
}

size_t test_zones_each(size_t step, void (*fn)(const char *name, dq_zone *zone, void *data), void *data)
{
    size_t n = 0;

    n_names = 0;
    if (nftw(ROOT, add, 16, 0) != 0)
        return 0;
    qsort(names, n_names, sizeof names[0], compare);
    for (size_t i = 0; i < n_names; i += step) {
        dq_zone *zone = test_zone_open(names[i]);

        fn(names[i], zone, data);
        dq_zone_unref(zone);
        n++;
    }
    return n;
}

bool test_zone_write(const char *dir, const char *name, const char *rule)
{
    static const char header[44] = "TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\4";
    static const char type[10] = "\0\0\0\0\0\0ABC";
    char path[200], other[220];
    bool failed = false;

    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    (void)snprintf(other, sizeof other, "%s.new", path);
    FILE *f = fopen(other, "wb");
    if (!f)
        return false;
    for (int i = 0; i < 2; i++)
        failed = fwrite(header, 1, sizeof header, f) != sizeof header || fwrite(type, 1, sizeof type, f) != sizeof type || failed;
    failed = fprintf(f, "\n%s\n", rule) < 0 || failed;
    failed = fclose(f) != 0 || failed;
    return !failed && rename(other, path) == 0;
}
