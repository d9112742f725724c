/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A handler that overflows its stack ends the process, as it must; here it says so first.

   A thread that is watched has an alternate stack for signal handlers, without which an overflow can run none: neither ours nor a crash
   reporter of the program's. Ours is installed only where the program has left SIGSEGV as it was, and after its line gives the signal
   back to the system, which then does what it does. A program that installs its own handler later simply replaces ours. */

/* The calling thread, until dq_overflow_unwatch with what this returned, as the last thing it does. NULL (no memory, or somebody else
   gave the thread an alternate stack already): nothing to undo. */
void *dq_overflow_watch(void);
void dq_overflow_unwatch(void *watch);

/* What the calling thread works on, named in the line; a text that stays valid. NULL: nothing. */
void dq_overflow_note(const char *task_type);
