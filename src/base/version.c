/* SPDX-License-Identifier: Apache-2.0 */
#include <dureq/dureq.h>

const char *dureq_version(void)
{
    return DUREQ_VERSION;
}
