/* SPDX-License-Identifier: Apache-2.0 */
#include "api/pass_list.h"

#include "client/tokens.h"

/* The array with room for one more item; as it was, when there is no memory. */
static void *with_room(void *items, size_t n, size_t *cap, size_t size, bool *failed)
{
    size_t wanted = *cap ? 2 * *cap : 16;
    void *grown;

    if (n < *cap)
        return items;
    grown = dq_realloc(items, wanted * size);
    *failed = *failed || !grown;
    if (grown)
        *cap = wanted;
    return grown ? grown : items;
}

static void add_token(void *userdata, dureq_str id, dureq_str text)
{
    dq_pass_list *l = userdata;

    (void)id;
    l->tokens = with_room(l->tokens, l->n_tokens, &l->tokens_cap, sizeof *l->tokens, &l->failed);
    if (!l->failed)
        l->n_tokens += dq_token_read(text, &l->tokens[l->n_tokens]);
}

static void add_session(void *userdata, dureq_str id, dureq_str text)
{
    dq_pass_list *l = userdata;

    (void)id;
    l->sessions = with_room(l->sessions, l->n_sessions, &l->sessions_cap, sizeof *l->sessions, &l->failed);
    if (!l->failed)
        l->n_sessions += dq_session_read(text, &l->sessions[l->n_sessions]);
}

static int read_list(dureq_client *client, bool with_sessions, dq_pass_list *ret, dureq_error *err)
{
    int rc;

    *ret = (dq_pass_list){0};
    rc = dq_client_passes(client, DQ_PASS_TOKEN, add_token, ret, err);
    if (rc == 0 && with_sessions)
        rc = dq_client_passes(client, DQ_PASS_SESSION, add_session, ret, err);
    if (rc == 0 && ret->failed)
        rc = dq_fail_nomem(err);
    if (rc < 0)
        dq_pass_list_deinit(ret);
    return rc;
}

int dq_pass_list_read(dureq_client *client, dq_pass_list *ret, dureq_error *err)
{
    return read_list(client, /*with_sessions=*/true, ret, err);
}

int dq_pass_list_read_tokens(dureq_client *client, dq_pass_list *ret, dureq_error *err)
{
    return read_list(client, /*with_sessions=*/false, ret, err);
}

void dq_pass_list_deinit(dq_pass_list *l)
{
    for (size_t i = 0; i < l->n_tokens; i++)
        dq_token_deinit(&l->tokens[i]);
    dq_free(l->tokens);
    dq_free(l->sessions);
    *l = (dq_pass_list){0};
}
