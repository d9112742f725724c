/* SPDX-License-Identifier: Apache-2.0 */
/* token commands: who may use the API. */
#include <stdio.h>

#include "ctl.h"

static const dureq_str no_body = {NULL, 0};

typedef struct wanted {
    const char *name, *role, *expires, *queues, *types;
    bool payload;
} wanted;

static void put_names(dq_json_writer *w, const char *field, const char *list)
{
    dureq_str rest = dureq_str_from(list);

    if (!list)
        return;
    dq_json_key(w, field);
    dq_json_begin_array(w);
    while (rest.ptr)
        dq_json_put_str(w, dq_str_trim(dq_str_cut(&rest, ',')));
    dq_json_end_array(w);
}

static int put_spec(const wanted *t, dq_buf *body)
{
    dq_json_writer w = dq_json_writer_of(body);
    char text[DQ_DURATION_TEXT_MAX];
    int64_t ms;

    dq_json_begin_object(&w);
    dq_json_set_text(&w, "name", t->name);
    dq_json_set_text(&w, "role", t->role);
    if (t->expires) {
        int rc = ctl_duration("expires-in", t->expires, &ms);

        if (rc != 0)
            return rc;
        (void)dq_format_duration_ms(ms, text);
        dq_json_set_text(&w, "expires_in", text);
    }
    if (t->payload)
        dq_json_set_bool(&w, "payload", true);
    put_names(&w, "queues", t->queues);
    put_names(&w, "task_types", t->types);
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
    wanted t = {0};
    const ctl_option options[] = {{.name = "name", .value = &t.name},          {.name = "role", .value = &t.role},
                                  {.name = "expires-in", .value = &t.expires}, {.name = "queues", .value = &t.queues},
                                  {.name = "types", .value = &t.types},        {.name = "payload", .flag = &t.payload}};
    DQ_BUF_AUTO body = {0};
    ctl_answer a;
    int n, rc = ctl_options(argc, argv, options, DQ_ARRAY_LEN(options), &n);

    if (rc == 0 && (n || !t.name || !t.role))
        rc = ctl_usage("'token create' takes --name NAME and --role viewer|operator|admin");
    if (rc == 0)
        rc = put_spec(&t, &body);
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
        {"QUEUES", "queues", CTL_WORDS},  {"TYPES", "task_types", CTL_WORDS},  {NULL, "token", CTL_TEXT},
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
    {"token create", "--name NAME --role viewer|operator|admin [--expires-in D] [--payload] [--queues Q,...] [--types T,...]",
     "Make a token for the API, and show it once",
     "A viewer reads, an operator changes jobs, queues and nodes, an admin makes tokens, too. NAME stands in the audit.\n"
     "  --expires-in D   it ends then, such as 30d\n"
     "  --payload        a viewer sees payloads, results, errors and logs, too\n"
     "  --queues Q,...   it is for jobs of these queues only; each name may end in *\n"
     "  --types T,...    it is for jobs of these task types only, likewise\n"
     "Examples: dureqctl token create --role operator --name ci\n"
     "          dureqctl token create --role operator --name shop --queues orders,mail-*\n",
     token_create},
    {"token list", "", "The tokens of the API", "", token_list},
    {"token revoke", "ID", "Revoke a token", "", token_revoke},
    {NULL, NULL, NULL, NULL, NULL},
};
