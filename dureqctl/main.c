/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <dureq/dureq.h>

#include "ctl.h"

static const ctl_command *const tables[] = {ctl_enqueue_commands, ctl_job_commands, ctl_queue_commands, ctl_node_commands,
                                            ctl_tool_commands};

static const char intro[] =
    "dureqctl: everything about jobs on a dureq server.\n"
    "\n"
    "Usage: dureqctl [--server URL] [--prefix P] [--output table|json|ndjson|csv] COMMAND ...\n"
    "\n";

static const char outro[] =
    "\n"
    "Options, anywhere before or behind the command:\n"
    "  -s, --server URL     redis://, rediss:// or unix:// (else $DUREQ_SERVER, else the private server of dureqd)\n"
    "  -p, --prefix P       key prefix (else $DUREQ_PREFIX, else dureq)\n"
    "  -o, --output FORM    table (default), json, ndjson or csv\n"
    "      --call-timeout D how long to wait for the server, such as 10s\n"
    "      --allow-eviction accept a server whose maxmemory-policy may drop keys\n"
    "  -q, --quiet          say only what was asked for\n"
    "      --version\n"
    "\n"
    "Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 wrong state, 5 refused (limit, duplicate), 6 server away, 7 not allowed.\n"
    "\n"
    "Examples:\n"
    "  dureqctl enqueue email.send '{\"to\":\"a@example.com\"}' --wait\n"
    "  ls | dureqctl enqueue file.sha256 --lines -\n"
    "  dureqctl job list --status dead -o csv\n"
    "  dureqctl help enqueue\n";

static int print_overview(void)
{
    fputs(intro, stdout);
    for (size_t t = 0; t < DQ_ARRAY_LEN(tables); t++)
        for (const ctl_command *cmd = tables[t]; cmd->name; cmd++)
            printf("  %-18s %s\n", cmd->name, cmd->summary);
    fputs(outro, stdout);
    return CTL_DONE;
}

static int print_help(const ctl_command *cmd)
{
    printf("Usage: dureqctl %s%s%s\n\n%s.\n", cmd->name, *cmd->args ? " " : "", cmd->args, cmd->summary);
    if (*cmd->help)
        printf("\n%s", cmd->help);
    return CTL_DONE;
}

/* How many of the words are the command's name; 0 when it is another command. */
static int words_of(const ctl_command *cmd, int argc, char **argv)
{
    dureq_str rest = dureq_str_from(cmd->name);
    int n = 0;

    while (rest.len) {
        dureq_str word = dq_str_cut(&rest, ' ');

        if (n == argc || !dq_str_eq_text(word, argv[n]))
            return 0;
        n++;
    }
    return n;
}

static const ctl_command *find(int argc, char **argv, int *ret_words)
{
    for (size_t t = 0; t < DQ_ARRAY_LEN(tables); t++)
        for (const ctl_command *cmd = tables[t]; cmd->name; cmd++) {
            *ret_words = words_of(cmd, argc, argv);
            if (*ret_words)
                return cmd;
        }
    return NULL;
}

/* "job" alone, or "job gte": the commands of that group. */
static int unknown(int argc, char **argv)
{
    bool any = false;

    for (size_t t = 0; t < DQ_ARRAY_LEN(tables); t++)
        for (const ctl_command *cmd = tables[t]; cmd->name; cmd++) {
            dureq_str rest = dureq_str_from(cmd->name), first = dq_str_cut(&rest, ' ');

            if (!rest.ptr || !dq_str_eq_text(first, argv[0]))
                continue;
            if (!any)
                fprintf(stderr, "dureqctl: '%s%s%s' is not a command. There are:\n", argv[0], argc > 1 ? " " : "",
                        argc > 1 ? argv[1] : "");
            any = true;
            fprintf(stderr, "  %-18s %s\n", cmd->name, cmd->summary);
        }
    return any ? CTL_USAGE : ctl_usage("unknown command '%s'", argv[0]);
}

static int set_format(ctl *c, const char *text)
{
    static const char *const names[] = {[CTL_TABLE] = "table", [CTL_JSON] = "json", [CTL_NDJSON] = "ndjson", [CTL_CSV] = "csv"};

    for (size_t i = 0; i < DQ_ARRAY_LEN(names); i++)
        if (strcmp(text, names[i]) == 0) {
            c->format = (ctl_format)i;
            return 0;
        }
    return ctl_usage("--output takes table, json, ndjson or csv, not '%s'", text);
}

/* The value of a global option at argv[*i], when it is `name`; else NULL. */
static const char *value_of(int argc, char **argv, int *i, const char *brief, const char *name)
{
    size_t len = strlen(name);

    if (strncmp(argv[*i], name, len) == 0 && argv[*i][len] == '=')
        return argv[*i] + len + 1;
    if (strcmp(argv[*i], name) != 0 && !(brief && strcmp(argv[*i], brief) == 0))
        return NULL;
    return *i + 1 < argc ? argv[++*i] : "";
}

/* A global option with a value at argv[*i]: true when it was one, *ret_rc then says whether its value is good. */
static bool read_valued(ctl *c, int argc, char **argv, int *i, int *ret_rc)
{
    const char *server = value_of(argc, argv, i, "-s", "--server");
    const char *prefix = server ? NULL : value_of(argc, argv, i, "-p", "--prefix");
    const char *output = server || prefix ? NULL : value_of(argc, argv, i, "-o", "--output");
    const char *timeout = server || prefix || output ? NULL : value_of(argc, argv, i, NULL, "--call-timeout");

    if (server)
        c->server = server;
    if (prefix)
        c->prefix = prefix;
    if (output)
        *ret_rc = set_format(c, output);
    if (timeout)
        *ret_rc = ctl_duration("call-timeout", timeout, &c->timeout_ms);
    return server || prefix || output || timeout;
}

/* Takes the global options out of argv; *ret_argc words are left. */
static int read_globals(ctl *c, int argc, char **argv, int *ret_argc, bool *ret_help)
{
    int n = 0, rc = 0;

    for (int i = 1; i < argc && rc == 0; i++) {
        if (strcmp(argv[i], "--") == 0) {
            while (i < argc)
                argv[n++] = argv[i++];
            break;
        }
        if (read_valued(c, argc, argv, &i, &rc))
            continue;
        if (strcmp(argv[i], "--allow-eviction") == 0)
            c->allow_eviction = true;
        else if (strcmp(argv[i], "-q") == 0 || strcmp(argv[i], "--quiet") == 0)
            c->quiet = true;
        else if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0)
            *ret_help = true;
        else
            argv[n++] = argv[i];
    }
    *ret_argc = n;
    return rc;
}

static int run(ctl *c, int argc, char **argv, bool help)
{
    const ctl_command *cmd;
    int words;

    if (argc > 0 && strcmp(argv[0], "--version") == 0) {
        printf("dureqctl %s\n", dureq_version());
        return CTL_DONE;
    }
    if (argc > 0 && strcmp(argv[0], "help") == 0) {
        help = true;
        argc--;
        argv++;
    }
    if (argc == 0)
        return help ? print_overview() : (print_overview(), CTL_USAGE);
    cmd = find(argc, argv, &words);
    if (!cmd)
        return unknown(argc, argv);
    if (help)
        return print_help(cmd);
    return cmd->fn(c, argc - words + 1, argv + words - 1);
}

int main(int argc, char **argv)
{
    ctl c = {.prefix = getenv("DUREQ_PREFIX")};
    bool help = false;
    int rc;

    (void)signal(SIGPIPE, SIG_DFL); /* `dureqctl job list | head` ends quietly */
    rc = read_globals(&c, argc, argv, &argc, &help);
    if (rc == 0)
        rc = run(&c, argc, argv, help);
    dureq_client_destroy(c.client);
    if (fflush(stdout) != 0 && rc == 0)
        rc = ctl_fail(CTL_FAILED, "cannot write the output");
    return rc;
}
