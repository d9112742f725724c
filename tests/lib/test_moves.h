/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* docs/state-machines.md against the tables of the code. */

#include <stdbool.h>
#include <stddef.h>

/* The table after the mark "<!-- moves: MACHINE -->" allows the moves that `can` allows, and no others. names: of all states, by number. The test fails and
   says which move differs, and when fewer than `least` are there: then the table was not found. */
void test_moves_compare(const char *machine, const char *const *names, size_t n_names, bool (*can)(unsigned from, unsigned to),
                        size_t least);
