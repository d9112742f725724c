/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of `schedule` share: options that define one. */

#include <dureq/schedule.h>

#include "base/arena.h"
#include "ctl.h"

/* What the options say, and what of it is put together here. */
typedef struct ctl_asked {
    const char *cron, *daily, *weekly, *monthly, *every, *definition; /* one of them */
    const char *timezone, *from, *each, *starts_at, *ends_at, *gap, *overlap_hour, *n;
    const char *overlap, *misfire, *catchup, *max_backfill, *max_occurrences, *jitter; /* how it is fired */
    bool pause_on_failure;
    dureq_schedule s;
    int64_t from_ms, count;
    dq_arena arena;
    dq_json doc;
} ctl_asked;

void ctl_asked_deinit(ctl_asked *a);
int ctl_asked_kinds(const ctl_asked *a);  /* how many of the six were given */
bool ctl_asked_fires(const ctl_asked *a); /* whether how it is fired was */
/* What was given into a->s, which is initialised. 0, or CTL_USAGE after saying why. */
int ctl_asked_take(ctl_asked *a);

#define CTL_DEFINITION_OPTIONS 12
/* Writes so many to out. */
size_t ctl_definition_option_list(ctl_asked *a, ctl_option *out);

/* "-n 5", a short option, is "--n 5" to ctl_options. */
void ctl_lengthen(int argc, char **argv, char letter, const char *option);

int ctl_schedule_apply(ctl *c, int argc, char **argv);
int ctl_schedule_backfill(ctl *c, int argc, char **argv);
int ctl_schedule_create(ctl *c, int argc, char **argv);
int ctl_schedule_delete(ctl *c, int argc, char **argv);
int ctl_schedule_edit(ctl *c, int argc, char **argv);
int ctl_schedule_get(ctl *c, int argc, char **argv);
int ctl_schedule_list(ctl *c, int argc, char **argv);
int ctl_schedule_pause(ctl *c, int argc, char **argv);
int ctl_schedule_put(ctl *c, int argc, char **argv);
int ctl_schedule_resume(ctl *c, int argc, char **argv);
int ctl_schedule_trigger(ctl *c, int argc, char **argv);

#define CTL_DEFINITION_HELP                                                                        \
    "One of:\n"                                                                                    \
    "  --cron 'EXPR'            five fields, six with seconds first, @daily ..., @every 1h30m\n"   \
    "  --daily TIMES            such as 09:00,18:00\n"                                             \
    "  --weekly DAYS@TIMES      such as mon,fri@10:00\n"                                           \
    "  --monthly DAYS@TIMES     such as 1,15@00:00\n"                                              \
    "  --every D                such as 30s\n"                                                     \
    "  --definition JSON        with the fields of docs/schedules.md\n"                            \
    "And:\n"                                                                                       \
    "  --each N                 every N days, weeks or months\n"                                   \
    "  --timezone ZONE          such as Europe/Berlin; UTC unless given\n"                         \
    "  --starts-at TIME         none before, and where intervals begin\n"                          \
    "  --ends-at TIME           none after\n"                                                      \
    "  --gap after|skip         local times that do not exist: the first instant after, or none\n" \
    "  --overlap-hour first|both  local times that exist twice\n"

#define CTL_FIRING_HELP                                                                                          \
    "  --overlap POLICY         while one is active: ALLOW_ALL (start), SKIP, BUFFER_ONE, BUFFER_ALL, REPLACE\n" \
    "  --catchup D              make up for what was missed within D\n"                                          \
    "  --max-backfill N         so many of these a second; 10 unless given\n"                                    \
    "  --misfire fire|skip      the newest that was missed: start it late, or leave it out\n"                    \
    "  --jitter D               put each start off by up to D\n"                                                 \
    "  --max-occurrences N      end after so many\n"                                                             \
    "  --pause-on-failure       when one of its jobs is dead\n"
#define CTL_SCHEDULED_JOB_HELP                                                                             \
    "Of its jobs, as for 'enqueue':\n"                                                                     \
    "  --queue Q | --priority N, --header NAME=VALUE, --tag TAG, --max-attempts N, --initial-delay D,\n"   \
    "  --max-delay D, --dlq-after N, --timeout D, --schedule-to-start-timeout D, --heartbeat-timeout D,\n" \
    "  --retention D, --content-type T | --text; --unique-key K is held by the schedule\n"
