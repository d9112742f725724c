/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUREQ_DUREQ_H
#define DUREQ_DUREQ_H

/* All of libdureq: a program that enqueues needs <dureq/client.h>, one that runs jobs <dureq/node.h>; the rules of all
   headers stand in <dureq/types.h>.

   Example: is the library the one this was compiled for?

       static bool is_same_version(void)
       {
           return strcmp(dureq_version(), DUREQ_VERSION) == 0;
       }
*/

#include <dureq/batch.h>
#include <dureq/build.h>
#include <dureq/client.h>
#include <dureq/error.h>
#include <dureq/job.h>
#include <dureq/log.h>
#include <dureq/node.h>
#include <dureq/queue.h>
#include <dureq/schedule.h>
#include <dureq/types.h>
#include <dureq/workflow.h>

#define DUREQ_VERSION "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif

/* Of the library that runs, which may differ from the header's. A static text; any thread. */
DUREQ_API const char *dureq_version(void);

#ifdef __cplusplus
}
#endif
#endif
