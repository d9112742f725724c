/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <dureq/client.h>

/* Whether the client (one with no_create) has found no prefix: what it reads is empty. It looks every second whether one was made. Any
   thread. */
bool dq_client_is_absent(dureq_client *c);
