/* SPDX-License-Identifier: Apache-2.0 */
/* Included before each file above src/base by tools/tidy.py, for clang's analyser alone. It looks at one file at a time, so it would believe
   that dq_fail may return 0, and warn of every output parameter after it. */
#pragma once
#include "base/base.h"

#define dq_fail(err, code, ...)               ((void)(dq_fail)((err), (code), __VA_ARGS__), (code))
#define dq_fail_errno(err, code, errno_, ...) ((void)(dq_fail_errno)((err), (code), (errno_), __VA_ARGS__), (code))
#define dq_fail_nomem(err)                    ((void)(dq_fail_nomem)(err), DUREQ_ENOMEM)
