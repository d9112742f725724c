/* SPDX-License-Identifier: Apache-2.0 */
#include "test_report.h"

#include "fault_wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define FILE_MAX (1 << 20)

static void read_file(const char *path, dq_buf *ret)
{
    FILE *f = fopen(path, "re");
    char *room = dq_buf_reserve(ret, FILE_MAX);

    if (!f || !room)
        fault_die("%s cannot be read", path);
    ret->len = fread(room, 1, FILE_MAX, f);
    (void)fclose(f);
}

static void write_file(const char *path, const dq_buf *text)
{
    FILE *f = fopen(path, "we");

    if (!f || fwrite(text->ptr, 1, text->len, f) != text->len || fclose(f) != 0)
        fault_die("%s cannot be written", path);
}

static void append_commit(dq_buf *out)
{
    static const char command[] =
        "git describe --always 2>/dev/null && { git diff-index --quiet HEAD -- . ':(exclude,top)docs' 2>/dev/null || echo -dirty; }";
    FILE *f = popen(command, "re");
    char line[80];
    size_t before = out->len;

    while (f && fgets(line, sizeof line, f))
        dq_buf_append(out, line, strcspn(line, "\n"));
    if (f)
        (void)pclose(f);
    if (out->len == before)
        dq_buf_append_text(out, "unknown");
}

void test_report_head(dq_buf *out, const char *command, test_redis *server)
{
    char *version = test_redis_info(server, "redis_version"), day[16];
    time_t now = time(NULL);
    struct utsname os;
    struct tm tm;

    (void)uname(&os);
    (void)strftime(day, sizeof day, "%Y-%m-%d", gmtime_r(&now, &tm));
    dq_buf_append_fmt(out, "`%s`, ", command);
    append_commit(out);
    /* the version without what a builder of kernels appends */
    dq_buf_append_fmt(out, ", %s, %ld cores, %s %.*s, Redis %s", day, sysconf(_SC_NPROCESSORS_ONLN), os.sysname,
                      (int)strspn(os.release, "0123456789."), os.release, version ? version : "?");
    free(version);
}

void test_report_write(const char *path, const char *begin, const char *end, const char *said)
{
    dq_buf old = {0}, out = {0};
    char *from, *to;

    read_file(path, &old);
    from = memmem(old.ptr, old.len, begin, strlen(begin));
    to = from ? memmem(from, (size_t)(old.ptr + old.len - from), end, strlen(end)) : NULL;
    if (!to)
        fault_die("%s has no lines %s and %s", path, begin, end);
    dq_buf_append(&out, old.ptr, (size_t)(from - old.ptr) + strlen(begin));
    dq_buf_append_char(&out, '\n');
    dq_buf_append_text(&out, said);
    dq_buf_append(&out, to, (size_t)(old.ptr + old.len - to));
    write_file(path, &out);
    dq_buf_deinit(&old);
    dq_buf_deinit(&out);
}
