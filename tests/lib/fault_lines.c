/* SPDX-License-Identifier: Apache-2.0 */
#include "fault_lines.h"

#include "base/base.h"
#include "fault_node.h"
#include "fault_wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

fault_lines fault_lines_read(const char *log_path)
{
    return fault_lines_read_from(log_path, 0);
}

long fault_lines_bytes(const char *log_path)
{
    struct stat st;

    if (stat(log_path, &st) < 0)
        fault_die("cannot read %s", log_path);
    return (long)st.st_size;
}

fault_lines fault_lines_read_from(const char *log_path, long first_byte)
{
    fault_lines l = {0};
    size_t cap = 0;
    char text[160], c;
    FILE *f = fopen(log_path, "re");

    if (!f || fseek(f, first_byte, SEEK_SET) < 0)
        fault_die("cannot read %s", log_path);
    while (fgets(text, sizeof text, f)) {
        fault_line line;
        long long at;

        if (!strchr(text, '\n'))
            break; /* the last one, which is being written */
        if (sscanf(text, "%c %lld %31s %23s %ld", &c, &at, line.node_id, line.job_id, &line.run) != 5)
            fault_die("damaged line of a node: %s", text);
        if (l.n == cap) {
            cap = cap ? cap * 2 : 1024;
            l.items = dq_realloc(l.items, cap * sizeof *l.items);
        }
        line.mark = (fault_mark)c;
        line.at_us = at;
        l.items[l.n++] = line;
    }
    (void)fclose(f);
    return l;
}

void fault_lines_deinit(fault_lines *l)
{
    dq_free(l->items);
    *l = (fault_lines){0};
}

static int by_job(const void *a, const void *b)
{
    const fault_line *x = a, *y = b;
    int order = strcmp(x->job_id, y->job_id);

    return order ? order : (x->at_us > y->at_us) - (x->at_us < y->at_us);
}

fault_lines fault_lines_read_sorted(const char *log_path)
{
    fault_lines l = fault_lines_read(log_path);

    qsort(l.items, l.n, sizeof *l.items, by_job);
    return l;
}

fault_recovery fault_recovery_of(const fault_lines *sorted, const char *node_id, int64_t ended_us)
{
    fault_recovery r = {.longest_ms = -1};
    bool ran = false;

    for (size_t i = 0; i < sorted->n; i++) {
        const fault_line *x = &sorted->items[i];
        bool of_same = i > 0 && strcmp(sorted->items[i - 1].job_id, x->job_id) == 0;
        int64_t ms = (x->at_us - ended_us) / 1000;

        if (ran && of_same && x->at_us > ended_us && x->mark == FAULT_MARK_START) {
            r.n_jobs++;
            if (ms > r.longest_ms) {
                r.longest_ms = ms;
                (void)snprintf(r.job_id, sizeof r.job_id, "%s", x->job_id);
            }
        }
        ran = x->mark == FAULT_MARK_START && x->at_us <= ended_us && strcmp(x->node_id, node_id) == 0;
    }
    return r;
}

void fault_print_job(const char *log_path, const char *job_id, int64_t ended_us)
{
    fault_lines lines = fault_lines_read(log_path);

    for (size_t i = 0; i < lines.n; i++) {
        const fault_line *x = &lines.items[i];

        if (strcmp(x->job_id, job_id) == 0)
            fprintf(stderr, "  %+lld ms  %s  %c  run %ld\n", (long long)(x->at_us - ended_us) / 1000, x->node_id, (char)x->mark,
                    x->run);
    }
    fault_lines_deinit(&lines);
}

/* ---- a late word ---- */

/* What a node that reached nobody for a while did not know of one job. */
typedef struct silence {
    const char *node_id;
    int64_t from_us, to_us;
    long begun;        /* the last run that another one began meanwhile; 0: none */
    bool has_it_again; /* the node began it again, too late for a thread that had it in hand all the while */
} silence;

static void assert_not_late(silence *s, const fault_line *x)
{
    bool is_its = strcmp(x->node_id, s->node_id) == 0, is_behind = x->at_us > s->to_us;
    bool ends_job = x->mark == FAULT_MARK_COMPLETED || x->mark == FAULT_MARK_DEAD;

    if (!is_its && x->mark == FAULT_MARK_START && x->at_us > s->from_us && !is_behind)
        s->begun = DQ_MAX(s->begun, x->run);
    if (is_its && x->mark == FAULT_MARK_START && x->at_us > s->to_us + FAULT_LEASE_MS * 1000 / 2)
        s->has_it_again = true;
    if (!is_its || !is_behind || s->has_it_again)
        return;
    /* a failure of an earlier run may have been recorded before, and be told now */
    if ((ends_job && x->run <= s->begun) || (x->mark == FAULT_MARK_FAILED && x->run == s->begun))
        fault_die("%s was heard (%c) about run %ld of job %s, which it had lost: another node had begun run %ld", x->node_id,
                  (char)x->mark, x->run, x->job_id, s->begun);
}

void fault_assert_fenced(const fault_lines *sorted, const char *node_id, int64_t from_us, int64_t to_us)
{
    silence s = {0};

    for (size_t i = 0; i < sorted->n; i++) {
        if (i == 0 || strcmp(sorted->items[i - 1].job_id, sorted->items[i].job_id) != 0)
            s = (silence){.node_id = node_id, .from_us = from_us, .to_us = to_us};
        assert_not_late(&s, &sorted->items[i]);
    }
}
