/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <dureq/dureq.h>

#include "ctl.h"

static const ctl_command *const tables[] = {
    ctl_enqueue_commands, ctl_job_commands,       ctl_queue_commands,    ctl_node_commands,  ctl_tool_commands,
    ctl_bench_commands,   ctl_complete_commands,  ctl_workflow_commands, ctl_batch_commands, ctl_schedule_commands,
    ctl_token_commands,   ctl_operation_commands, ctl_event_commands,    ctl_help_commands};

const ctl_command *ctl_command_at(size_t i)
{
    for (size_t t = 0; t < DQ_ARRAY_LEN(tables); t++)
        for (const ctl_command *cmd = tables[t]; cmd->name; cmd++)
            if (i-- == 0)
                return cmd;
    return NULL;
}

/* Words that stand for others, where no command has them. */
static const char *const group_aliases[][2] = {
    {"jobs", "job"}, {"queues", "queue"}, {"nodes", "node"}, {"runs", "run"}, {"operations", "operation"}};
static const char *const verb_aliases[][2] = {{"ls", "list"}, {"rm", "delete"}, {"show", "get"}};

static void replace_aliases(int *argc, char **argv)
{
    for (size_t i = 0; *argc > 0 && i < DQ_ARRAY_LEN(group_aliases); i++)
        if (strcmp(argv[0], group_aliases[i][0]) == 0) {
            argv[0] = (char *)group_aliases[i][1];
            if (*argc > 1 && argv[1][0] != '-')
                break;
            memmove(argv + 2, argv + 1,
                    (size_t)(*argc - 1) * sizeof *argv); /* "jobs --type x": there is room, the program's name is gone */
            argv[1] = (char *)"list";
            (*argc)++;
        }
    for (size_t i = 0; *argc > 1 && i < DQ_ARRAY_LEN(verb_aliases); i++)
        if (strcmp(argv[1], verb_aliases[i][0]) == 0 && strcmp(argv[0], "enqueue") != 0)
            argv[1] = (char *)verb_aliases[i][1];
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

/* The command that the words nearly are: "job gte", "jbo get", "enqeue". */
static void append_nearest(int argc, char **argv, dq_buf *out)
{
    DQ_BUF_AUTO words = {0};
    ctl_near near = {0}, alone = {.word = dureq_str_from(argv[0])};
    const ctl_command *cmd;

    dq_buf_append_fmt(&words, "%s%s%s", argv[0], argc > 1 ? " " : "", argc > 1 ? argv[1] : "");
    near.word = dq_buf_str(&words);
    for (size_t i = 0; (cmd = ctl_command_at(i)) != NULL; i++) {
        dureq_str rest = dureq_str_from(cmd->name), first = dq_str_cut(&rest, ' ');

        ctl_nearer(&near, dureq_str_from(cmd->name));
        ctl_nearer(&alone, rest.ptr ? first : dureq_str_from(cmd->name));
    }
    ctl_did_you_mean(near.best.len ? &near : &alone, "", out);
}

/* "job" alone, or "job gte": the commands of that group. */
static int unknown(int argc, char **argv)
{
    DQ_BUF_AUTO hint = {0};

    if (argc == 1 && ctl_print_group(argv[0], stdout))
        return CTL_DONE;
    append_nearest(argc, argv, &hint);
    (void)ctl_fail(CTL_USAGE, "unknown command '%s%s%s'%s", argv[0], argc > 1 ? " " : "", argc > 1 ? argv[1] : "",
                   hint.ptr ? hint.ptr : "");
    if (!ctl_print_group(argv[0], stderr))
        fputs("Try 'dureqctl help' or 'dureqctl help COMMAND'.\n", stderr);
    return CTL_USAGE;
}

static int set_format(ctl *c, char *text)
{
    static const char *const names[] = {[CTL_TABLE] = "table", [CTL_JSON] = "json", [CTL_NDJSON] = "ndjson", [CTL_CSV] = "csv"};

    for (size_t i = 0; i < DQ_ARRAY_LEN(names); i++)
        if (strcmp(text, names[i]) == 0) {
            c->format = (ctl_format)i;
            return 0;
        }
    return ctl_usage("--output takes table, json, ndjson or csv, not '%s'", text);
}

/* Whether argv[*i] is this option; its value then goes to *ret, NULL when nothing follows. */
static bool is_option(int argc, char **argv, int *i, const char *brief, const char *name, char **ret)
{
    size_t len = strlen(name);

    if (strncmp(argv[*i], name, len) == 0 && argv[*i][len] == '=') {
        *ret = argv[*i] + len + 1;
        return true;
    }
    if (strcmp(argv[*i], name) != 0 && !(brief && strcmp(argv[*i], brief) == 0))
        return false;
    *ret = *i + 1 < argc ? argv[++*i] : NULL;
    return true;
}

/* User and password of a URL are overwritten where the process list shows them. */
static void hide_secret(char *url)
{
    char *from = strstr(url, "://"), *end = strrchr(url, '@');

    from = from ? from + 3 : url;
    if (end > from)
        memset(from, 'x', (size_t)(end - from));
}

static int set_server(ctl *c, char *text)
{
    dq_free(c->server_room);
    c->server_room = dq_strdup(text);
    c->server = c->server_room;
    hide_secret(text);
    return c->server ? 0 : ctl_fail(CTL_FAILED, "out of memory");
}

static int set_prefix(ctl *c, char *text)
{
    c->prefix = text;
    return 0;
}

static int set_context(ctl *c, char *text)
{
    c->context = text;
    return 0;
}

static int set_color(ctl *c, char *text)
{
    c->color = strcmp(text, "always") == 0 || (strcmp(text, "auto") == 0 && c->color);
    if (strcmp(text, "always") == 0 || strcmp(text, "auto") == 0 || strcmp(text, "never") == 0)
        return 0;
    return ctl_usage("--color takes auto, always or never, not '%s'", text);
}

static int set_timeout(ctl *c, char *text)
{
    int rc = ctl_duration("call-timeout", text, &c->timeout_ms);

    return rc == 0 && c->timeout_ms == 0 ? ctl_usage("--call-timeout takes a duration such as 10s, not '%s'", text) : rc;
}

/* A global option with a value at argv[*i]: true when it was one, *ret_rc then says whether its value is good. */
static bool read_valued(ctl *c, int argc, char **argv, int *i, int *ret_rc)
{
    static const struct {
        const char *brief, *name;
        int (*set)(ctl *c, char *text);
    } options[] = {
        {"-s", "--server", set_server},        {"-p", "--prefix", set_prefix}, {"-o", "--output", set_format},
        {NULL, "--call-timeout", set_timeout}, {NULL, "--color", set_color},   {NULL, "--context", set_context},
    };

    for (size_t o = 0; o < DQ_ARRAY_LEN(options); o++) {
        char *value;

        if (!is_option(argc, argv, i, options[o].brief, options[o].name, &value))
            continue;
        *ret_rc = value && *value ? options[o].set(c, value) : ctl_usage("option '%s' needs a value", options[o].name);
        return true;
    }
    return false;
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

    if (argc > 0 && (strcmp(argv[0], "--version") == 0 || strcmp(argv[0], "-V") == 0 || strcmp(argv[0], "version") == 0)) {
        printf("dureqctl %s\n", dureq_version());
        return CTL_DONE;
    }
    if (argc > 0 && strcmp(argv[0], "help") == 0) {
        help = true;
        argc--;
        argv++;
    }
    if (argc == 0) {
        ctl_print_overview(help ? stdout : stderr);
        return help ? CTL_DONE : CTL_USAGE;
    }
    replace_aliases(&argc, argv);
    cmd = find(argc, argv, &words);
    if (!cmd)
        return unknown(argc, argv);
    if (help)
        return ctl_print_help(cmd);
    return cmd->fn(c, argc - words + 1, argv + words - 1);
}

/* A terminal that does not tell its width is 80 columns wide. */
static int columns_of_terminal(void)
{
    const char *text = getenv("COLUMNS");
    struct winsize size;
    int64_t columns;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return text && dq_parse_i64(dureq_str_from(text), 1, 10000, &columns) == 0 ? (int)columns : 80;
}

static void look_at_terminal(ctl *c)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

    c->is_terminal = isatty(STDOUT_FILENO);
    if (!c->is_terminal)
        return;
    c->columns = columns_of_terminal();
    c->color = !(no_color && *no_color) && term && *term && strcmp(term, "dumb") != 0;
}

int main(int argc, char **argv)
{
    const char *prefix = getenv("DUREQ_PREFIX"), *token = getenv("DUREQ_TOKEN"), *context = getenv("DUREQ_CONTEXT");
    ctl c = {.prefix = prefix && *prefix ? prefix : NULL,
             .token = token && *token ? token : NULL,
             .context = context && *context ? context : NULL};
    bool help = false;
    int rc;

    look_at_terminal(&c);
    (void)signal(SIGPIPE, SIG_DFL); /* `dureqctl job list | head` ends quietly */
    rc = read_globals(&c, argc, argv, &argc, &help);
    if (rc == 0)
        rc = run(&c, argc, argv, help);
    dureq_client_destroy(c.client);
    ctl_http_destroy(c.http);
    dq_free(c.token_room);
    dq_free(c.ca_room);
    dq_free(c.prefix_room);
    dq_free(c.server_room);
    (void)fflush(stdout);
    if (ferror(stdout) && rc == 0)
        rc = ctl_fail(CTL_FAILED, "cannot write the output");
    if (c.ended_by) {
        (void)signal(c.ended_by, SIG_DFL);
        (void)raise(c.ended_by);
    }
    return rc;
}
