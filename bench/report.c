/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

void report_begin(bool json)
{
    struct utsname u = {0};

    if (json)
        return;
    (void)uname(&u);                           /* an empty name harms nobody */
    u.release[strcspn(u.release, "-")] = '\0'; /* what a machine's builder put after the version */
    printf("%ld cores, %s %s %s\n\n", sysconf(_SC_NPROCESSORS_ONLN), u.sysname, u.release, u.machine);
    printf("%-22s %-46s %18s %18s  %s\n", "row", "what", "target", "result", "met");
    (void)fflush(stdout); /* or the children would print it again */
}

/* Three significant digits, and no fraction where it says nothing. */
static void format_value(double v, char *out, size_t cap)
{
    double size = v < 0 ? -v : v;

    snprintf(out, cap, "%.*f", size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3, v);
}

static bool is_met(const bench_row *row, double value)
{
    return row->at_least ? value >= row->target : value <= row->target;
}

static void print_table_row(const bench_row *row, const bench_result *result)
{
    char value[48], target[48], text[64], limit[64];

    format_value(row->target, target, sizeof(target));
    snprintf(limit, sizeof(limit), "%s %s %s", row->at_least ? ">=" : "<=", target, row->unit);
    if (result->is_measured) {
        format_value(result->value, value, sizeof(value));
        snprintf(text, sizeof(text), "%s %s", value, row->unit);
    }
    printf("%-22s %-46s %18s %18s  %-3s  %s\n", row->name, row->what, limit, result->is_measured ? text : "-",
           !result->is_measured         ? "-"
           : is_met(row, result->value) ? "yes"
                                        : "no",
           result->note);
}

static void print_json_text(const char *text)
{
    putchar('"');
    for (const char *c = text; *c; c++) {
        if (*c == '"' || *c == '\\')
            putchar('\\');
        putchar((unsigned char)*c < 0x20 ? ' ' : *c);
    }
    putchar('"');
}

static void print_json_row(const bench_row *row, const bench_result *result)
{
    printf("{\"name\":\"%s\",\"value\":", row->name);
    if (result->is_measured)
        printf("%.6g", result->value);
    else
        printf("null");
    printf(",\"unit\":\"%s\",\"target\":%.6g,\"at_least\":%s,\"met\":%s,\"note\":", row->unit, row->target,
           row->at_least ? "true" : "false",
           !result->is_measured         ? "null"
           : is_met(row, result->value) ? "true"
                                        : "false");
    print_json_text(result->note);
    printf("}\n");
}

void report_row(const bench_row *row, const bench_result *result, bool json)
{
    if (json)
        print_json_row(row, result);
    else
        print_table_row(row, result);
    (void)fflush(stdout); /* a table that nobody reads harms nobody */
}
