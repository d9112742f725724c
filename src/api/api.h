/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The REST resources over a client: no sockets, and no authentication but what the request says of who asks. dureqctl calls them in its
   own process (dq_api_handle), the server of dureqd for whoever sends HTTP (dq_api_run). Any thread, several at once; both block as the
   client's calls do.

   Routes, names and error bodies: docs/api.md. Errors are {"error": sentence, "code": word}. */

#include <dureq/client.h>

#include "base/buf.h"
#include "model/scope.h"

/* Each may do what those before it may. */
typedef enum dq_api_role {
    DQ_API_ITSELF = 0,
    DQ_API_ANYONE,
    DQ_API_VIEWER,
    DQ_API_OPERATOR,
    DQ_API_ADMIN,
} dq_api_role;

typedef struct dq_api_tokens dq_api_tokens; /* tokens.h */

/* Who was let in by a token, or by the session of one who signed in with it. */
typedef struct dq_api_who {
    dq_api_role role;
    bool hides_payload;
    char name[64];         /* of the token */
    char token[16];        /* its id */
    char session[16];      /* empty: none, the token itself was sent */
    int64_t expires_at_ms; /* 0: never */
    dq_scope scope;        /* texts of its own */
} dq_api_who;

/* How a wait ended that came before the answer: see dq_api_wait_start. */
typedef struct dq_api_waited {
    int state;       /* as dq_answer has it: -1, the job can be read; else the state in which it ended and was not kept */
    dureq_error err; /* code < 0: it did not end */
} dq_api_waited;

typedef struct dq_api_meter dq_api_meter;       /* api/meter.h */
typedef struct dq_api_operator dq_api_operator; /* api/operator.h */

typedef struct dq_api_request {
    const char *method; /* "GET" ... */
    const char *path;   /* "/api/jobs/..." percent-encoded, without query */
    const char *query;  /* "a=b&c=d" percent-encoded; NULL: none */
    dureq_str body;
    const char *content_type;    /* NULL: JSON */
    const char *accept;          /* NULL: anything */
    const char *idempotency_key; /* NULL: none */
    dq_api_meter *meter;         /* of the server, for /metrics; NULL: none */
    dq_api_operator *operations; /* of the server: to be woken; NULL: none */
    const char *actor;           /* for the audit; NULL: the client's */
    const dq_api_waited *waited; /* NULL: what waits does so in the caller's thread */
    bool hides_payload;          /* who asks may see no payload, result, progress, error, header or log */
    dq_api_role role;            /* of who asks; 0: it is this program itself, which may do all */
    const dq_scope *scope;       /* what who asks is limited to; NULL: nothing */
    const dq_api_who *who;       /* NULL: whoever asks was let in without a token, or not at all */
    const char *user;            /* whom a proxy let in; NULL: nobody */
    dq_api_tokens *tokens;       /* of the server; NULL: there is none, and nobody can sign in */
    const char *base_path;       /* of cookies; NULL: the root */
    const char *port;            /* likewise: by which the caller names the server; NULL or empty: none */
    bool is_secure;              /* it came by TLS, as far as is known */
    /* How far a call for many jobs has come, in the caller's thread after each round trip; n 0: how many there are is not known.
       NULL: none. */
    void (*progress_fn)(int64_t n_done, int64_t n, void *userdata);
    void *progress_userdata;
} dq_api_request;

typedef struct dq_api_response {
    int status; /* HTTP */
    int code;   /* 0, or the DUREQ_E code behind the status */
    const char *content_type;
    dq_buf body;
    char location[96]; /* with 201; else empty */
    char allow[40];    /* with 405: the methods of the path; else empty */
    char cookie[512];  /* a Set-Cookie field; empty: none */
} dq_api_response;

/* Where an answer goes: begin, any number of writes, end. By the thread that answers; one call at a time. */
typedef struct dq_api_sink dq_api_sink;
struct dq_api_sink {
    /* head->body is empty. length: of the body; -1: as much as comes until the end. */
    void (*begin)(dq_api_sink *s, const dq_api_response *head, int64_t length);
    void (*write)(dq_api_sink *s, dureq_str part); /* may wait until there is room */
    void (*end)(dq_api_sink *s, bool is_whole);    /* not whole: it failed after it began; the caller must be able to tell */
    bool (*is_gone)(dq_api_sink *s);               /* nobody waits for the answer any more: whoever works for long may stop */
};

void dq_api_response_deinit(dq_api_response *r);

/* Always fills *ret (initialised by the call); its body's allocation may have failed: then status is 500 and the body empty. */
void dq_api_handle(dureq_client *client, const dq_api_request *req, dq_api_response *ret);

/* The same into a sink: a long answer goes out while it is made. sink->end has been called when it returns. */
void dq_api_run(dureq_client *client, const dq_api_request *req, dq_api_sink *sink);

/* Some requests wait before they are answered (?wait=30s). No thread does so: 1, and fn will be called once on the client's loop, with what is to
   be put into req->waited before it is run; 0: it does not wait, or will be refused; DUREQ_ENOMEM. On the client's loop; req must stay as it is until
   fn is called. */
typedef struct dq_api_wait dq_api_wait;
typedef void (*dq_api_waited_fn)(void *userdata, const dq_api_waited *waited);
int dq_api_wait_start(dureq_client *client, const dq_api_request *req, dq_api_waited_fn fn, void *userdata, dq_api_wait **ret);
/* Whether it would wait. On any thread. */
bool dq_api_wait_wanted(const dq_api_request *req);
/* Whether who asks may wait for that: of a limited token only Redis can tell. Any thread but the loop; blocking. */
bool dq_api_wait_allowed(dureq_client *client, const dq_api_request *req);
void dq_api_wait_cancel(dq_api_wait *w); /* until fn was called: it will be soon */

/* Some requests are answered on the client's loop, by no thread. 1: fn will be called once on the loop, with the answer, or with NULL when it takes a thread
   after all (dq_api_run); its body may be taken. 0: it takes a thread. On the client's loop; req must stay as it is until fn is called. */
typedef struct dq_api_quick dq_api_quick;
typedef void (*dq_api_quick_fn)(void *userdata, dq_api_response *answer);
int dq_api_quick_start(dureq_client *client, const dq_api_request *req, dq_api_quick_fn fn, void *userdata, dq_api_quick **ret);
void dq_api_quick_cancel(dq_api_quick *q); /* until fn was called: it will be soon */

typedef enum dq_api_cost {
    DQ_API_SHORT, /* a few round trips */
    DQ_API_SCANS, /* looks at much */
} dq_api_cost;
/* What to expect of a request; SHORT also of one that will be refused. */
dq_api_cost dq_api_cost_of(const char *method, const char *path);

/* The loop that the client's calls turn on: a server's sockets may turn there, too, so that a request costs one thread. */
struct dq_loop *dq_api_loop(dureq_client *client);

/* HTTP status for an error code: the one table of the project. */
int dq_api_status_of(int code);
/* "not_found" for DUREQ_ENOTFOUND ... */
const char *dq_api_code_word(int code);
/* The other way round: DUREQ_EINVAL for "invalid" ...; 0: no such word. */
int dq_api_code_of_word(dureq_str word);

/* Whether a node that handles the pattern (a name, or one that ends in '*') handles the type. */
bool dq_api_pattern_fits(dureq_str pattern, dureq_str type);
bool dq_api_is_handled(const dureq_node_list *live, dureq_str type);

/* For the tests and the document: appends the i-th route as "METHOD /path/{var}"; false when there are no more. */
bool dq_api_route_text(size_t i, dq_buf *out);
