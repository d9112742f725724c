/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Commands that act on many jobs: those named, or those that fit filters. */

#include "ctl.h"

typedef struct ctl_filter {
    const char *status, *type, *queue, *tag, *text, *unique_key, *since, *until;
    char since_text[DQ_RFC3339_TEXT_MAX], until_text[DQ_RFC3339_TEXT_MAX];
} ctl_filter;

/* ctl_options with the filters, and `more`. */
int ctl_filter_options(ctl_filter *f, bool takes_status, int argc, char **argv, const ctl_option *more, size_t n_more,
                       int *ret_n);
bool ctl_filter_is_empty(const ctl_filter *f);
void ctl_filter_query(const ctl_filter *f, dq_buf *query);

/* A question on the terminal before something is done to more than a hundred jobs: 0 to go on, else an exit code. */
int ctl_confirm(const char *verb, int64_t n);

int ctl_act_dead(ctl *c, int argc, char **argv, const char *method, const char *path, const char *verb, const char *done);
int ctl_job_cancel(ctl *c, int argc, char **argv);
int ctl_job_delete(ctl *c, int argc, char **argv);
int ctl_job_pause(ctl *c, int argc, char **argv);
int ctl_job_resume(ctl *c, int argc, char **argv);
int ctl_job_retry(ctl *c, int argc, char **argv);
int ctl_job_run(ctl *c, int argc, char **argv);

/* A call for the jobs of a filter: dry_run shows what it would be, more than a hundred are asked about on a terminal. */
typedef struct ctl_act {
    const char *method, *path, *verb, *done; /* "POST", "/api/jobs/bulk/cancel", "cancel", "cancelled" */
    dureq_str body;
    bool dry_run, yes;
} ctl_act;
int ctl_act_filter(ctl *c, const ctl_act *act, const char *query);
int ctl_act_ask(ctl *c, const ctl_act *act, const char *query); /* only that question: 0 to go on, else an exit code */

#define CTL_DEAD_FILTERS_HELP                                                      \
    "  --type T (may end in *)  --queue Q  --tag T  --text WORD  --unique-key K\n" \
    "  --since TIME --until TIME (created): 1h (ago), yesterday, '2026-12-01 10:00', or RFC 3339\n"
#define CTL_FILTERS_HELP \
    "  --status S[,S]: pending scheduled running retrying paused completed dead cancelled\n" CTL_DEAD_FILTERS_HELP
#define CTL_ACT_HELP                                     \
    "  --dry-run: say how many they are, and show ten\n" \
    "  --yes: do not ask on a terminal before more than 100 jobs\n"
