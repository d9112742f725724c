/* SPDX-License-Identifier: Apache-2.0 */
/* A zone's file is looked at (one stat) each time the zone is asked for: packages replace files by renaming, so another inode, size or
   time of change means another file. Only names that exist are kept, so the cache is never larger than tzdata. */

#include "io/zones.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/map.h"

#define DIR_MAX   512
#define DEPTH_MAX 4 /* folders below each other: tzdata has three */

typedef struct entry {
    dq_zone *zone; /* its name is the key */
    struct stat file;
} entry;

struct dq_zones {
    char dir[DIR_MAX];
    dq_map entries;
    uint64_t n_changes;
    char version[DQ_ZONES_VERSION_MAX];
};

static const char *system_dir(void)
{
    static const char *const dirs[] = {"/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/usr/share/lib/zoneinfo", "/etc/zoneinfo"};
    const char *named = getenv("TZDIR");

    if (named && *named)
        return named;
    for (size_t i = 0; i < DQ_ARRAY_LEN(dirs); i++)
        if (access(dirs[i], X_OK) == 0)
            return dirs[i];
    return dirs[0];
}

int dq_zones_create(const char *dir, dq_zones **ret, dureq_error *err)
{
    dq_zones *z;

    if (!dir)
        dir = system_dir();
    if (strlen(dir) >= DIR_MAX)
        return dq_fail(err, DUREQ_EINVAL, "the path of the time zone files is longer than %d bytes", DIR_MAX - 1);
    z = dq_calloc(1, sizeof *z);
    if (!z)
        return dq_fail_nomem(err);
    memcpy(z->dir, dir, strlen(dir) + 1);
    *ret = z;
    return 0;
}

static void entry_destroy(entry *e)
{
    dq_zone_unref(e->zone);
    dq_free(e);
}

void dq_zones_destroy(dq_zones *z)
{
    size_t i = 0;

    if (!z)
        return;
    for (;;) {
        entry *e = dq_map_next(&z->entries, &i);

        if (!e)
            break;
        entry_destroy(e);
    }
    dq_map_deinit(&z->entries);
    dq_free(z);
}

/* ---- the name that was meant ---- */

static char folded(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* How many letters must be changed, put in or taken out to make one text the other; case does not count. Both have at most
   DQ_ZONE_NAME_MAX. */
static int distance(dureq_str a, dureq_str b)
{
    int row[DQ_ZONE_NAME_MAX + 1];

    for (size_t k = 0; k <= b.len; k++)
        row[k] = (int)k;
    for (size_t i = 0; i < a.len; i++) {
        int diagonal = row[0];

        row[0] = (int)i + 1;
        for (size_t k = 0; k < b.len; k++) {
            int changed = diagonal + (folded(a.ptr[i]) != folded(b.ptr[k]));

            diagonal = row[k + 1];
            row[k + 1] = DQ_MIN(changed, DQ_MIN(row[k], row[k + 1]) + 1);
        }
    }
    return row[b.len];
}

typedef struct guess {
    dureq_str wanted;
    int distance;
    char name[DQ_ZONE_NAME_MAX + 1];
} guess;

/* "Berlin" is as good as "Europe/Berlin"; of equally near names the first in the alphabet is taken, whatever the order on disk. */
static void consider(guess *g, dureq_str name)
{
    dureq_str place = name;
    int d = distance(g->wanted, name);

    while (place.len && memchr(place.ptr, '/', place.len))
        (void)dq_str_cut(&place, '/');
    if (place.len < name.len && !memchr(g->wanted.ptr, '/', g->wanted.len))
        d = DQ_MIN(d, distance(g->wanted, place));
    if (d > g->distance || (d == g->distance && dq_str_cmp(name, dureq_str_from(g->name)) >= 0))
        return;
    g->distance = d;
    memcpy(g->name, name.ptr, name.len);
    g->name[name.len] = '\0';
}

/* Zones begin with a capital; other files there do not, nor do the folders that have every zone once more. */
static void walk(const char *path, size_t root_len, int depth, guess *g)
{
    DIR *dir = depth < DEPTH_MAX ? opendir(path) : NULL;

    if (!dir)
        return;
    for (;;) {
        struct dirent *d = readdir(dir);
        char below[DIR_MAX + 2 * DQ_ZONE_NAME_MAX];
        struct stat st;
        int len;

        if (!d)
            break;
        if (d->d_name[0] < 'A' || d->d_name[0] > 'Z')
            continue;
        len = snprintf(below, sizeof below, "%s/%s", path, d->d_name);
        if (len < 0 || (size_t)len >= sizeof below || stat(below, &st) < 0) /* too long for a zone */
            continue;
        if (S_ISDIR(st.st_mode))
            walk(below, root_len, depth + 1, g);
        else if (dq_zone_name_check(dureq_str_from(below + root_len + 1), NULL) == 0)
            consider(g, dureq_str_from(below + root_len + 1));
    }
    (void)closedir(dir);
}

static int fail_unknown(const dq_zones *z, dureq_str name, dureq_error *err)
{
    guess g = {.wanted = name, .distance = (int)DQ_MAX(name.len / 3, (size_t)1)};

    g.name[0] = '\x7f'; /* after all names */
    if (access(z->dir, X_OK) < 0)
        return dq_fail(err, DUREQ_EINVAL, "time zone '" DQ_STR_FMT "' cannot be looked up: there is no '%s' (install tzdata)",
                       DQ_STR_ARG(name), z->dir);
    walk(z->dir, strlen(z->dir), 0, &g);
    if (g.name[0] == '\x7f')
        return dq_fail(err, DUREQ_EINVAL, "unknown time zone '" DQ_STR_FMT "'", DQ_STR_ARG(name));
    return dq_fail(err, DUREQ_EINVAL, "unknown time zone '" DQ_STR_FMT "': the nearest is '%s'", DQ_STR_ARG(name), g.name);
}

/* ---- files ---- */

/* At most one byte more than a zone file may have, which the parser then refuses. */
static int read_all(int fd, dq_buf *out, dureq_error *err)
{
    while (out->len <= DQ_ZONE_FILE_MAX) {
        char *room = dq_buf_reserve(out, 4096);
        ssize_t n;

        if (!room)
            return dq_fail_nomem(err);
        n = read(fd, room, 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return dq_fail_errno(err, DUREQ_EIO, errno, "it cannot be read");
        if (n == 0)
            break;
        out->len += (size_t)n;
    }
    return 0;
}

static int load(const char *path, dureq_str name, entry *ret, dureq_error *err)
{
    DQ_BUF_AUTO bytes = {0};
    dureq_error why = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc; /* O_NONBLOCK: a pipe there must not stop us */

    if (fd < 0)
        return dq_fail_errno(err, DUREQ_EIO, errno, "time zone file '%s' cannot be opened", path);
    if (fstat(fd, &ret->file) < 0)
        rc = dq_fail_errno(&why, DUREQ_EIO, errno, "it cannot be read");
    else
        rc = read_all(fd, &bytes, &why);
    (void)close(fd);
    if (rc == 0)
        rc = dq_zone_parse(name, dq_buf_str(&bytes), &ret->zone, &why);
    return rc < 0 ? dq_fail_errno(err, rc, why.sys_errno, "time zone file '%s': %s", path, why.msg) : 0;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static int keep(dq_zones *z, const entry *loaded, dureq_error *err)
{
    entry *e = dq_malloc(sizeof *e);

    if (!e || dq_map_put(&z->entries, dureq_str_from(dq_zone_name(loaded->zone)), e) < 0) {
        dq_free(e);
        return dq_fail_nomem(err);
    }
    *e = *loaded;
    return 0;
}

/* For a name that was not asked for before. */
static int get_new(dq_zones *z, const char *path, dureq_str name, dq_zone **ret, dureq_error *err)
{
    entry e = {0};
    int rc = load(path, name, &e, err);

    if (rc == 0)
        rc = keep(z, &e, err);
    if (rc < 0) {
        dq_zone_unref(e.zone);
        return rc;
    }
    *ret = dq_zone_ref(e.zone);
    return 0;
}

/* The map's key lies in the zone, so another zone is another entry. */
static void replace(dq_zones *z, entry *old, const entry *loaded)
{
    dureq_str name = dureq_str_from(dq_zone_name(old->zone));
    dq_zone *old_zone = old->zone;

    (void)dq_map_remove(&z->entries, name);
    *old = *loaded;
    z->n_changes++;
    if (dq_map_put(&z->entries, dureq_str_from(dq_zone_name(old->zone)), old) < 0)
        entry_destroy(old); /* no memory: it is read again when it is asked for */
    dq_zone_unref(old_zone);
}

int dq_zones_get(dq_zones *z, dureq_str name, dq_zone **ret, dureq_error *err)
{
    char path[DIR_MAX + DQ_ZONE_NAME_MAX + 2];
    struct stat st;
    entry *known, fresh = {0};
    int rc = dq_zone_name_check(name, err);

    if (rc < 0)
        return rc;
    (void)snprintf(path, sizeof path, "%s/" DQ_STR_FMT, z->dir, DQ_STR_ARG(name));
    known = dq_map_get(&z->entries, name);
    if (stat(path, &st) < 0 || !S_ISREG(st.st_mode)) {
        if (!known && dq_str_eq_text(name, "UTC"))
            return dq_zone_create_utc(ret, err);
        if (!known)
            return fail_unknown(z, name, err);
    } else if (!known) {
        return get_new(z, path, name, ret, err);
    } else if (!same_file(&st, &known->file) && load(path, name, &fresh, NULL) == 0) {
        *ret = dq_zone_ref(fresh.zone);
        replace(z, known, &fresh);
        return 0;
    }
    *ret = dq_zone_ref(known->zone);
    return 0;
}

/* ---- what changed ---- */

static bool has_changed(const dq_zones *z, const entry *e)
{
    char path[DIR_MAX + DQ_ZONE_NAME_MAX + 2];
    struct stat st;

    (void)snprintf(path, sizeof path, "%s/%s", z->dir, dq_zone_name(e->zone));
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && !same_file(&st, &e->file);
}

/* A walk goes over none that is replaced meanwhile, so they are gathered before. */
static size_t gather_changed(const dq_zones *z, dq_zone **ret, size_t room)
{
    size_t n = 0, i = 0;

    for (const entry *e = dq_map_next(&z->entries, &i); e && n < room; e = dq_map_next(&z->entries, &i))
        if (has_changed(z, e))
            ret[n++] = dq_zone_ref(e->zone);
    return n;
}

void dq_zones_look(dq_zones *z)
{
    dq_zone *changed[64], *now;
    size_t n = gather_changed(z, changed, DQ_ARRAY_LEN(changed)); /* more are found with the next look */

    for (size_t i = 0; i < n; i++) {
        if (dq_zones_get(z, dureq_str_from(dq_zone_name(changed[i])), &now, NULL) == 0)
            dq_zone_unref(now);
        dq_zone_unref(changed[i]);
    }
}

uint64_t dq_zones_changes(const dq_zones *z)
{
    return z->n_changes;
}

/* tzdata.zi begins with "# version 2025b"; some systems have a file +VERSION instead. */
static dureq_str first_line(const char *dir, const char *name, char room[DQ_ZONES_VERSION_MAX])
{
    char path[DIR_MAX + 32];
    ssize_t n;
    int fd;

    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    n = fd < 0 ? -1 : read(fd, room, DQ_ZONES_VERSION_MAX);
    if (fd >= 0)
        (void)close(fd);
    dureq_str text = dureq_str_of(room, n > 0 ? (size_t)n : 0);
    return dq_str_trim(dq_str_cut(&text, '\n'));
}

dureq_str dq_zones_version(dq_zones *z)
{
    dureq_str line = first_line(z->dir, "tzdata.zi", z->version), prefix = DQ_STR_LIT("# version ");

    if (dq_str_starts_with(line, prefix))
        return dureq_str_of(line.ptr + prefix.len, line.len - prefix.len);
    return first_line(z->dir, "+VERSION", z->version);
}

/* ---- calendars ---- */

/* Says which field named the zone. */
static int get_zone(dq_zones *zones, const dq_calendar *c, bool is_in_cron, dq_zone **ret, dureq_error *err)
{
    dureq_error why = {0};
    int rc = dq_zones_get(zones, c->zone_name, ret, &why);

    if (rc == 0 || rc == DUREQ_ENOMEM)
        return rc < 0 ? dq_fail_nomem(err) : 0;
    if (is_in_cron)
        return dq_fail_errno(err, rc, why.sys_errno, "cron_expr, column %zu: %s", c->cron.zone_column, why.msg);
    return dq_fail_errno(err, rc, why.sys_errno, "timezone: %s", why.msg);
}

int dq_zones_open_calendar(dq_zones *z, const dureq_schedule *s, int64_t created_at_ms, dq_calendar *ret, dureq_error *err)
{
    DQ_CLEANUP(dq_zone_unref_p) dq_zone *zone = NULL;
    dq_calendar c;
    int rc = dq_calendar_compile(&c, s, created_at_ms, err);

    if (rc == 0)
        rc = get_zone(z, &c, !s->timezone, &zone, err);
    if (rc < 0)
        return rc;
    dq_calendar_use_zone(&c, zone);
    *ret = c;
    return 0;
}
