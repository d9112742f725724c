/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The server under the histories: blocking connections to a private Redis, one for everybody, one for each session, one that is subscribed for all of
   them, and the scripts.

   The scripts are those of the library except for three things: the time they read is when the history began plus what the key "clock" says, so that a
   history steps its clock forth and back at will, and it stands still meanwhile; who is taken out of a set at random is chosen so that it is the same when
   the history is played again; and what takes a week, or
   ten thousand, is less (change_numbers); what a step may do of workflows and batches is what the key "budget" says. A planted fault (hist_plant.h) is one more change: then the scripts are read from their
   sources, and a text in them is another one. */

#include "redis_server.h"

#include "hist_model.h"
#include "hist_plant.h"
#include "store/store.h"

#define HIST_UNIT_MS  100000
#define HIST_LISTENER HM_SESSIONS /* a connection; those before it: 0 everybody's, else the session's of that number */
#define HIST_CONNS    (HM_SESSIONS + 1)

typedef struct hist_conn {
    int fd;
    dq_buf in;
    size_t used;
    dq_resp_parser *parser;
} hist_conn;

typedef struct hist_wire {
    test_redis *server;
    hist_conn conn[HIST_CONNS];
    dq_keys keys;
    char (*sha)[41]; /* of the changed scripts, as in dq_scripts */
} hist_wire;

void hist_wire_open(hist_wire *w, const hist_plant *plant); /* NULL: none. Ends the program when it fails */
void hist_wire_close(hist_wire *w);
void hist_check_plants(void); /* ends the program when one's text is not in its script any more */
/* Sends whole commands and reads n replies. The last, valid until the next one of this connection. */
dq_reply hist_ask(hist_wire *w, int conn, const dq_buf *commands, int n);
dq_reply hist_words(hist_wire *w, int conn, const char *word, ...) __attribute__((sentinel));
/* What the listener was sent until now: asked for once, then read message by message, { "smessage", channel, text }, until false. */
void hist_ask_heard(hist_wire *w);
bool hist_heard(hist_wire *w, dq_reply *ret);
void hist_listen(hist_wire *w, int session, bool on); /* to the channel of its wake-ups */
void hist_reset(hist_wire *w);                        /* an empty shard */
void hist_clock(hist_wire *w, int units);
void hist_budget(hist_wire *w, int budget); /* of what scripts do of workflows and batches in a step */
int64_t hist_base_ms(hist_wire *w);         /* when this history began: a whole second */
void hist_die(const char *what, const char *why) __attribute__((noreturn));
