/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUREQ_DUREQ_H
#define DUREQ_DUREQ_H

/* All of libdureq. */

#include <dureq/client.h>
#include <dureq/error.h>
#include <dureq/job.h>
#include <dureq/log.h>
#include <dureq/node.h>
#include <dureq/queue.h>
#include <dureq/types.h>

#define DUREQ_VERSION "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif

/* Of the library that runs, which may differ from the header's. */
DUREQ_API const char *dureq_version(void);

#ifdef __cplusplus
}
#endif
#endif
