/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The REST resources as functions from request to response, over a client: no sockets, no authentication. dureqctl calls them in its own
   process; there is no listener yet that serves them over HTTP. Any thread, several at once; calls block as the client's do.

   Routes, names and error bodies: docs/api.md. Errors are {"error": sentence, "code": word}. */

#include <dureq/client.h>

#include "base/buf.h"

typedef struct dq_api_request {
    const char *method; /* "GET" ... */
    const char *path;   /* "/api/jobs/..." percent-encoded, without query */
    const char *query;  /* "a=b&c=d" percent-encoded; NULL: none */
    dureq_str body;
    const char *content_type; /* NULL: JSON */
    const char *actor;        /* for the audit; NULL: the client's */
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
} dq_api_response;

void dq_api_response_deinit(dq_api_response *r);

/* Always fills *ret (initialised by the call); its body's allocation may have failed: then status is 500 and the body empty. */
void dq_api_handle(dureq_client *client, const dq_api_request *req, dq_api_response *ret);

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
