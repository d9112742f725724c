/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The nodes and the producers of a soak, as processes of their own: the program runs itself again in that role. */

#include "fault_node.h"
#include "soak_board.h"

#define SOAK_PREFIX "soak"

/* To be called first in main(): does not return when the process was started in a role. */
void soak_role_main(int argc, char **argv);
/* Waits until it is connected. `process` may then be killed, frozen and stopped by the calls of fault_node.h; a producer has no end of its own but
   fault_node_kill. */
void soak_role_spawn(fault_node *process, soak_board *b, int board_fd, soak_who who, const char *url);
