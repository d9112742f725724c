/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <dureq/client.h>

/* From now on sessions must know this version of the scripts (store/versions.h). Asked once by a client and version. DUREQ_ECONFLICT: live nodes are
   too old, and err names them. */
int dq_client_require_version(dureq_client *c, int version, dureq_error *err);
