/* SPDX-License-Identifier: Apache-2.0 */
/* token commands: who may use the API. */
#include <stdio.h>

#include "ctl.h"

static const dureq_str no_body = {NULL, 0};

static int put_spec(const char *name, const char *role, const char *expires, bool payload, dq_buf *body)
{
    dq_json_writer w = dq_json_writer_of(body);
    char text[DQ_DURATION_TEXT_MAX];
    int64_t ms;

    dq_json_begin_object(&w);
    dq_json_key(&w, "name");
    dq_json_put_text(&w, name);
    dq_json_key(&w, "role");
    dq_json_put_text(&w, role);
    if (expires) {
        int rc = ctl_duration("expires-in", expires, &ms);

        if (rc != 0)
            return rc;
        (void)dq_format_duration_ms(ms, text);
        dq_json_key(&w, "expires_in");
        dq_json_put_text(&w, text);
    }
    if (payload) {
        dq_json_key(&w, "payload");
        dq_json_put_bool(&w, true);
    }
    dq_json_end_object(&w);
    return 0;
}

/* The bare token on standard output, so that it can be taken into a file or a variable. */
static void print_token(const ctl *c, const ctl_answer *a)
{
    dq_json_ref v = dq_json_member(&a->doc, 0, "token");
    DQ_BUF_AUTO text = {0};

    if (c->format != CTL_TABLE) {
        ctl_print_object(c, a, 0);
        return;
    }
    if (v != DQ_JSON_NONE)
        (void)dq_json_string(&a->doc, v, &text);
    ctl_clean(&text, /*keep_lines=*/false);
    printf(DQ_STR_FMT "\n", DQ_STR_ARG(dq_buf_str(&text)));
    if (!c->quiet)
        fputs("This is the only time it is shown. Use it as DUREQ_TOKEN, or in a context.\n", stderr);
}

static int token_create(ctl *c, int argc, char **argv)
{
    const char *name = NULL, *role = NULL, *expires = NULL;
    bool payload = false;
    const ctl_option options[] = {{.name = "name", .value = &name},
                                  {.name = "role", .value = &role},
                                  {.name = "expires-in", .value = &expires},
                                  {.name = "payload", .flag = &payload}};
    DQ_BUF_AUTO body = {0};
    ctl_answer a;
    int n, rc = ctl_options(argc, argv, options, DQ_ARRAY_LEN(options), &n);

    if (rc == 0 && (n || !name || !role))
        rc = ctl_usage("'token create' takes --name NAME and --role viewer|operator|admin");
    if (rc == 0)
        rc = put_spec(name, role, expires, payload, &body);
    if (rc == 0)
        rc = ctl_call(c, "POST", "/api/tokens", NULL, dq_buf_str(&body), &a);
    if (rc != 0)
        return rc;
    print_token(c, &a);
    ctl_answer_deinit(&a);
    return CTL_DONE;
}

static int token_list(ctl *c, int argc, char **argv)
{
    static const ctl_column columns[] = {
        {"ID", "id", CTL_TEXT},           {"NAME", "name", CTL_TEXT},          {"ROLE", "role", CTL_TEXT},
        {"PAYLOAD", "payload", CTL_TEXT}, {"CREATED", "created_at", CTL_TIME}, {"EXPIRES", "expires_at", CTL_TIME},
        {NULL, "token", CTL_TEXT},
    };
    ctl_answer a;
    int n, rc = ctl_options(argc, argv, NULL, 0, &n);

    if (rc == 0 && n)
        rc = ctl_usage("'%s' takes no '%s'", argv[0], argv[1]);
    if (rc == 0)
        rc = ctl_call(c, "GET", "/api/tokens", NULL, no_body, &a);
    if (rc != 0)
        return rc;
    ctl_print_list(c, &a, DQ_JSON_NONE, columns);
    ctl_answer_deinit(&a);
    return CTL_DONE;
}

static int token_revoke(ctl *c, int argc, char **argv)
{
    DQ_BUF_AUTO path = {0};
    ctl_answer a;
    int n, rc = ctl_options(argc, argv, NULL, 0, &n);

    if (rc == 0 && (n != 1 || !*argv[1]))
        rc = ctl_usage("'%s' takes one id: see dureqctl token list", argv[0]);
    if (rc != 0)
        return rc;
    ctl_path(&path, "/api/tokens/%s", argv[1]);
    rc = ctl_call(c, "DELETE", path.ptr, NULL, no_body, &a);
    if (rc != 0)
        return rc;
    ctl_print_done(c, &a, "token %s revoked; it is refused within two seconds", argv[1]);
    ctl_answer_deinit(&a);
    return CTL_DONE;
}

const ctl_command ctl_token_commands[] = {
    {"token create", "--name NAME --role viewer|operator|admin [--expires-in D] [--payload]",
     "Make a token for the API, and show it once",
     "A viewer reads, an operator changes jobs, queues and nodes, an admin makes tokens, too. NAME stands in the audit.\n"
     "  --expires-in D   it ends then, such as 30d\n"
     "  --payload        a viewer sees payloads, results, errors and logs, too\n"
     "Example: dureqctl token create --role operator --name ci\n",
     token_create},
    {"token list", "", "The tokens of the API", "", token_list},
    {"token revoke", "ID", "Revoke a token", "", token_revoke},
    {NULL, NULL, NULL, NULL, NULL},
};
