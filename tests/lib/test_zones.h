/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The zones of the system's tzdata, for tests that go through all of them. */

#include "calendar/zone.h"

/* Calls fn for each zone, in the order of the names, `step` names at a time (1: all); not those under posix/ and right/. Returns how many. */
size_t test_zones_each(size_t step, void (*fn)(const char *name, dq_zone *zone, void *data), void *data);
dq_zone *test_zone_open(const char *name); /* NULL when it cannot be read; the caller unrefs it */
/* Makes the C library's localtime that of the zone. */
void test_zone_use(const char *name);
/* A file with one offset by a rule such as "ABC-1"; written beside and renamed, as packages do. false: it could not be written. */
bool test_zone_write(const char *dir, const char *name, const char *rule);
