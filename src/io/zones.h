/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The time zones of the system's tzdata, read when they are first asked for and again when their file has changed. This is the only place
   that touches the files: src/calendar/ is given what is here. For one thread at a time; the zones handed out are for any. */

#include "calendar/calendar.h"

typedef struct dq_zones dq_zones;

/* dir: of the zone files; NULL: $TZDIR, else where systems have them. */
int dq_zones_create(const char *dir, dq_zones **ret, dureq_error *err);
void dq_zones_destroy(dq_zones *z); /* NULL is fine */
DQ_DEFINE_CLEANUP(dq_zones, dq_zones_destroy);

/* *ret is the caller's to unref. It is the same object as before as long as the file is; one that vanished or became unreadable since goes
   on as it was. "UTC" needs no file. DUREQ_EINVAL: no such zone, naming the one that was probably meant. */
int dq_zones_get(dq_zones *z, dureq_str name, dq_zone **ret, dureq_error *err);

/* Looks at the files of all zones that were asked for, and reads again those that changed. */
void dq_zones_look(dq_zones *z);
/* Counts the zones that were read again so far. */
uint64_t dq_zones_changes(const dq_zones *z);
#define DQ_ZONES_VERSION_MAX 64
/* What the files say of their version ("2025b"), as it is now; empty when they say nothing. At most DQ_ZONES_VERSION_MAX bytes, valid until the next
   call. */
dureq_str dq_zones_version(dq_zones *z);

/* The calendar of a definition, which must outlive it, with its zone; the caller's to deinit. DUREQ_EINVAL names the field, in a cron_expr also the
   column. */
int dq_zones_open_calendar(dq_zones *z, const dureq_schedule *s, int64_t created_at_ms, dq_calendar *ret, dureq_error *err);
