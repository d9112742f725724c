/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A thread that works on operations: those that are started here at once, and within seconds those of a daemon that is gone. One at a time, with a lease
   on its record; each of its steps is bounded and counted where it is done, so that whoever goes on after a crash neither repeats nor misses one. */

#include "api/api.h"
#include "base/log.h"

/* The client outlives it. DUREQ_EIO: no thread. */
int dq_api_operator_create(dureq_client *client, const dq_log *log, dq_api_operator **ret, dureq_error *err);
void dq_api_operator_wake(dq_api_operator *o); /* any thread: there is something to do */
/* Ends after the step that is under way; another daemon goes on. To wake it does nothing from then on. NULL is fine. */
void dq_api_operator_stop(dq_api_operator *o);
/* Nobody may wake it any more. NULL is fine. */
void dq_api_operator_destroy(dq_api_operator *o);
