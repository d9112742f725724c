/* SPDX-License-Identifier: Apache-2.0 */
/* Who a token or a session stands for, as it is looked up in Redis: one by one, kept for two seconds, and never more than once for a request. */
#include "base/buf.h"
#include "test_api.h"

#include "api/passes.h"
#include "api/tokens.h"
#include "base/clock.h"
#include "client/tokens.h"

typedef struct pass {
    char id[DQ_PASS_ID_MAX], text[DQ_PASS_TEXT_MAX];
} pass;

static pass make_token(void)
{
    dq_token t = {.name = "ci", .role = DQ_API_OPERATOR, .created_at_ms = 1000};
    DQ_BUF_AUTO stored = {0};
    dq_json_writer w = dq_json_writer_of(&stored);
    pass p;

    RIG_OK(dq_pass_make("dq", t.id, t.hash, p.text, &err));
    dq_token_store(&w, &t);
    RIG_OK(dq_client_pass_put(rig.client, DQ_PASS_TOKEN, t.id, dq_buf_str(&stored), &err));
    memcpy(p.id, t.id, sizeof p.id);
    return p;
}

static pass make_session(const pass *token)
{
    dq_session s = {.created_at_ms = 1000, .expires_at_ms = dq_wall_ms() + 3600000};
    DQ_BUF_AUTO stored = {0};
    dq_json_writer w = dq_json_writer_of(&stored);
    pass p;

    memcpy(s.token, token->id, sizeof s.token);
    RIG_OK(dq_pass_make("dqs", s.id, s.hash, p.text, &err));
    dq_session_store(&w, &s);
    RIG_OK(dq_client_pass_put(rig.client, DQ_PASS_SESSION, s.id, dq_buf_str(&stored), &err));
    memcpy(p.id, s.id, sizeof p.id);
    return p;
}

static void revoke(const pass *p, dq_pass_kind kind)
{
    dureq_str id = dureq_str_from(p->id);
    int64_t n;

    RIG_OK(dq_client_pass_delete(rig.client, kind, &id, 1, &n, &err));
    EXPECT_I64(1, n);
}

static dq_api_pass sent(const pass *p)
{
    return (dq_api_pass){.text = dureq_str_from(p->text), .is_session = strncmp(p->text, "dqs_", 4) == 0};
}

static dq_api_found find(dq_api_tokens *t, const pass *p, int64_t asked_us)
{
    dq_api_who who = {0};
    dq_api_found found = dq_api_tokens_find(t, sent(p), asked_us, &who);

    dq_api_who_deinit(&who);
    return found;
}

static dq_api_found look_up(dq_api_tokens *t, const pass *p, int64_t asked_us)
{
    dq_api_found found = DQ_API_STALE;
    dq_api_who who = {0};

    RIG_OK(dq_api_tokens_look_up(t, rig.client, sent(p), asked_us, &found, &who, &err));
    if (found == DQ_API_KNOWN) {
        EXPECT_TEXT("ci", who.name);
        EXPECT_I64(DQ_API_OPERATOR, who.role);
    }
    dq_api_who_deinit(&who);
    return found;
}

SCENARIO(a_token_is_known_once_it_was_looked_up)
{
    dq_api_tokens *t = dq_api_tokens_create();
    pass token = make_token(), wrong = token, other = make_token();
    int64_t asked_us = dq_mono_us();

    EXPECT_I64(DQ_API_STALE, find(t, &token, asked_us));
    EXPECT_I64(DQ_API_KNOWN, look_up(t, &token, asked_us));
    EXPECT_I64(DQ_API_KNOWN, find(t, &token, asked_us));
    wrong.text[strlen(wrong.text) - 1] ^= 1;
    EXPECT_I64(DQ_API_UNKNOWN, find(t, &wrong, asked_us));
    EXPECT_I64(DQ_API_STALE, find(t, &other, asked_us)); /* it is looked up by itself */
    wrong = other;
    wrong.text[strlen(wrong.text) - 1] ^= 1;
    EXPECT_I64(DQ_API_UNKNOWN, look_up(t, &wrong, asked_us));
    EXPECT_I64(DQ_API_KNOWN, look_up(t, &other, asked_us));
    dq_api_tokens_destroy(t);
}

/* Others may be revoked, and sign out, while it is looked up, and after it: the request waits for none of that. */
SCENARIO(a_request_looks_once_whatever_is_revoked_meanwhile)
{
    dq_api_tokens *t = dq_api_tokens_create();
    pass token = make_token(), session = make_session(&token);
    int64_t asked_us = dq_mono_us();

    EXPECT_I64(DQ_API_KNOWN, look_up(t, &token, asked_us));
    EXPECT_I64(DQ_API_KNOWN, look_up(t, &session, asked_us));
    for (int i = 0; i < 3; i++) {
        dq_api_tokens_forget(t);
        EXPECT_I64(DQ_API_KNOWN, find(t, &token, asked_us));
        EXPECT_I64(DQ_API_KNOWN, find(t, &session, asked_us));
    }
    RIG_UNTIL(dq_mono_us() > asked_us + 1);
    EXPECT_I64(DQ_API_STALE, find(t, &token, dq_mono_us())); /* who comes after it looks again */
    EXPECT_I64(DQ_API_STALE, find(t, &session, dq_mono_us()));
    dq_api_tokens_destroy(t);
}

SCENARIO(what_was_revoked_here_is_refused_at_once_and_elsewhere_soon)
{
    dq_api_tokens *t = dq_api_tokens_create();
    pass token = make_token(), session = make_session(&token), second = make_session(&token);
    int64_t asked_us = dq_mono_us();

    EXPECT_I64(DQ_API_KNOWN, look_up(t, &session, asked_us));
    EXPECT_I64(DQ_API_KNOWN, look_up(t, &second, asked_us));
    revoke(&session, DQ_PASS_SESSION);
    dq_api_tokens_forget(t);
    EXPECT_I64(DQ_API_UNKNOWN, look_up(t, &session, dq_mono_us()));
    EXPECT_I64(DQ_API_KNOWN, look_up(t, &second, dq_mono_us()));
    EXPECT_I64(DQ_API_KNOWN, look_up(t, &token, dq_mono_us()));
    revoke(&token, DQ_PASS_TOKEN); /* by another server: nothing is forgotten here */
    RIG_UNTIL(look_up(t, &token, dq_mono_us()) == DQ_API_UNKNOWN && look_up(t, &second, dq_mono_us()) == DQ_API_UNKNOWN);
    dq_api_tokens_destroy(t);
}

#define MANY 1200 /* more than a call asks for */

SCENARIO(many_are_checked_at_once)
{
    static pass passes[MANY];
    static dq_api_pass_check checks[MANY];
    pass token = make_token(), gone = make_token();

    for (size_t i = 0; i < MANY; i++) {
        passes[i] = i % 3 == 0 ? token : make_session(i % 3 == 1 ? &token : &gone);
        checks[i] = (dq_api_pass_check){.pass = sent(&passes[i])};
    }
    checks[7].pass.text = DQ_STR_LIT("nonsense");
    revoke(&gone, DQ_PASS_TOKEN);
    revoke(&passes[1], DQ_PASS_SESSION);
    RIG_OK(dq_api_tokens_check(rig.client, checks, MANY, &err));
    for (size_t i = 0; i < MANY; i++) {
        EXPECT_NOTE("%zu", i);
        EXPECT_I64(i % 3 == 2 || i == 1 || i == 7, checks[i].is_over);
    }
}

RIG_MAIN()
