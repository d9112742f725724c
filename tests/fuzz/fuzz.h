/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A target looks at the input in whatever way it likes and asserts what must hold of any input. Built with -Dfuzz=true it is a libFuzzer
   program (make fuzz); otherwise replay.c drives it over its seeds, cut and damaged (make test). */

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Given by a target whose inputs take long: replay.c tries so many times fewer of them. */
extern const size_t fuzz_replay_fewer __attribute__((weak));
