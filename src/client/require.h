/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <dureq/client.h>

/* From now on sessions must know this version of the scripts (store/versions.h). Called when a script answers that it is not required yet: the script
   looks each time, since a server may have lost its data. DUREQ_ECONFLICT: live nodes are too old, and err names them. */
int dq_client_require_version(dureq_client *c, int version, dureq_error *err);
