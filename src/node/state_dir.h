/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where the private server of this machine and user keeps its data: the daemon starts it there, and programs without a
   server address find its socket there. Nothing here touches the file system. */

#include "base/buf.h"

/* Longest path of a Unix socket that Linux binds. */
#define DQ_SOCKET_PATH_MAX 107

/* Appends $DUREQ_STATE_DIR, else the first of $STATE_DIRECTORY (set by a service manager), else $XDG_STATE_HOME/dureq, else
   /var/lib/dureq for root, else ~/.local/state/dureq. DUREQ_ENOTFOUND without a home directory. */
int dq_state_dir_default(dq_buf *out, dureq_error *err);
/* Appends the socket within `dir`. */
void dq_state_dir_socket(const char *dir, dq_buf *out);
/* Appends the address of that socket: "unix://" and its path, in which everything is encoded that has a meaning in a URL. */
void dq_state_dir_url(const char *dir, dq_buf *out);
/* Appends the socket within the default directory; nothing on failure, so that the path is empty. */
int dq_state_socket_path(dq_buf *out);
