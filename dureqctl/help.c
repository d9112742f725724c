/* SPDX-License-Identifier: Apache-2.0 */
/* Help and manual page, from the tables of the commands, and of what they have in common. */
#include <stdio.h>

#include "ctl.h"
#include "man.h"

static const char purpose[] = "everything about jobs on a dureq server";
static const char usage[] = "[--server URL] [--prefix P] [--output table|json|ndjson|csv] COMMAND ...";

static const struct {
    const char *brief, *name, *text;
} options[] = {
    {"-s, ", "--server URL",
     "redis://, rediss:// or unix:// (else $DUREQ_SERVER, else what $DUREQ_CONFIG_PATH\n"
     "says, else the current context, else the private server of dureqd); or the API of a\n"
     "dureqd: http://, https:// or http+unix:///PATH, with $DUREQ_TOKEN"},
    {"", "--context NAME", "server and token of this name in ~/.config/dureq/contexts.json (else $DUREQ_CONTEXT)"},
    {"-p, ", "--prefix P", "key prefix (else $DUREQ_PREFIX, else dureq)"},
    {"-o, ", "--output FORM", "table (default), json, ndjson or csv"},
    {"", "--color WHEN", "auto (default: on a terminal, unless NO_COLOR is set), always or never"},
    {"", "--call-timeout D", "how long to wait for the server, such as 10s"},
    {"", "--allow-eviction", "accept a server whose maxmemory-policy may drop keys"},
    {"-q, ", "--quiet", "say only what was asked for"},
    {"-V, ", "--version", ""},
};

static const char *const exit_codes[] = {
    "done", "failed", "usage", "not found", "wrong state", "refused (limit, duplicate)", "server away", "not allowed",
};

static const char *const examples[] = {
    "dureqctl enqueue email.send '{\"to\":\"a@example.com\"}' --wait",
    "ls | dureqctl enqueue file.sha256 --lines -",
    "dureqctl job list --status dead -o csv",
    "dureqctl help enqueue",
};

static void print_options(FILE *to)
{
    fputs("\nOptions, anywhere before or after the command:\n", to);
    for (size_t i = 0; i < DQ_ARRAY_LEN(options); i++) {
        dureq_str rest = dureq_str_from(options[i].text), line = dq_str_cut(&rest, '\n');

        fprintf(to, "  %-4s%-*s" DQ_STR_FMT "\n", options[i].brief, line.len ? 17 : 0, options[i].name, DQ_STR_ARG(line));
        while (rest.len) {
            line = dq_str_cut(&rest, '\n');
            fprintf(to, "%23s" DQ_STR_FMT "\n", "", DQ_STR_ARG(line));
        }
    }
}

void ctl_print_overview(FILE *to)
{
    const ctl_command *cmd;

    fprintf(to, "dureqctl: %s.\n\nUsage: dureqctl %s\n\n", purpose, usage);
    for (size_t i = 0; (cmd = ctl_command_at(i)) != NULL; i++)
        if (cmd->summary)
            fprintf(to, "  %-18s %s\n", cmd->name, cmd->summary);
    print_options(to);
    fputs("\nExit codes: ", to);
    for (size_t i = 0; i < DQ_ARRAY_LEN(exit_codes); i++)
        fprintf(to, "%s%zu %s", i ? ", " : "", i, exit_codes[i]);
    fputs(".\n\nExamples:\n", to);
    for (size_t i = 0; i < DQ_ARRAY_LEN(examples); i++)
        fprintf(to, "  %s\n", examples[i]);
}

int ctl_print_help(const ctl_command *cmd)
{
    printf("Usage: dureqctl %s%s%s\n\n%s.\n", cmd->name, *cmd->args ? " " : "", cmd->args, cmd->summary);
    if (*cmd->help)
        printf("\n%s", cmd->help);
    return CTL_DONE;
}

int ctl_print_group(const char *word, FILE *to)
{
    const ctl_command *cmd;
    int n = 0;

    for (size_t i = 0; (cmd = ctl_command_at(i)) != NULL; i++) {
        dureq_str rest = dureq_str_from(cmd->name), first = dq_str_cut(&rest, ' ');

        if (cmd->summary && rest.ptr && dq_str_eq_text(first, word))
            fprintf(to, "%s  %-18s %s\n", n++ ? "" : "Commands:\n", cmd->name, cmd->summary);
    }
    return n;
}

/* ---- dureqctl(1) ---- */

static void man_commands(dq_buf *out)
{
    const ctl_command *cmd;

    dq_man_section(out, "COMMANDS");
    for (size_t i = 0; (cmd = ctl_command_at(i)) != NULL; i++) {
        DQ_BUF_AUTO term = {0};
        DQ_BUF_AUTO text = {0};

        if (!cmd->summary)
            continue;
        dq_buf_append_fmt(&term, "%s%s%s", cmd->name, *cmd->args ? " " : "", cmd->args);
        dq_buf_append_fmt(&text, "%s.", cmd->summary);
        out->failed = out->failed || dq_buf_failed(&term) || dq_buf_failed(&text);
        if (out->failed)
            return;
        dq_man_item(out, term.ptr, text.ptr);
        dq_man_lines(out, cmd->help);
    }
}

static void man_exit_codes(dq_buf *out)
{
    dq_man_section(out, "EXIT STATUS");
    for (size_t i = 0; i < DQ_ARRAY_LEN(exit_codes); i++) {
        char code[24];

        (void)snprintf(code, sizeof code, "%zu", i);
        dq_man_item(out, code, exit_codes[i]);
    }
}

static int print_man(ctl *c, int argc, char **argv)
{
    DQ_BUF_AUTO out = {0};

    (void)c;
    (void)argv;
    if (argc > 1)
        return ctl_usage("'man' takes no arguments");
    dq_man_begin(&out, "dureqctl", 1, purpose);
    dq_man_section(&out, "SYNOPSIS");
    dq_man_usage(&out, "dureqctl", usage);
    man_commands(&out);
    dq_man_section(&out, "OPTIONS");
    dq_man_text(&out, "Anywhere before or after the command.");
    for (size_t i = 0; i < DQ_ARRAY_LEN(options); i++) {
        char term[64];

        (void)snprintf(term, sizeof term, "%s%s", options[i].brief, options[i].name);
        dq_man_item(&out, term, options[i].text);
    }
    man_exit_codes(&out);
    dq_man_section(&out, "EXAMPLES");
    for (size_t i = 0; i < DQ_ARRAY_LEN(examples); i++)
        dq_man_lines(&out, examples[i]);
    dq_man_section(&out, "SEE ALSO");
    dq_buf_append_text(&out, ".BR dureqd (8),\n.BR dureqd.yaml (5)\n");
    if (dq_buf_failed(&out))
        return ctl_fail(CTL_FAILED, "out of memory");
    fputs(out.ptr, stdout);
    return CTL_DONE;
}

const ctl_command ctl_help_commands[] = {
    {"man", "", NULL, "", print_man}, /* for the build */
    {NULL, NULL, NULL, NULL, NULL},
};
