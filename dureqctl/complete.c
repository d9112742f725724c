/* SPDX-License-Identifier: Apache-2.0 */
/* completion: a script for the shell, which asks `dureqctl complete-words WORD...` for what may stand in place of the last word. What it
   answers comes from the tables of the commands and their help; names of queues and types from the server, when it answers soon. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "ctl.h"

#define ASK_TIMEOUT_MS 1000

static const char for_bash[] = "_dureqctl() {\n"
                               "    local IFS=$'\\n'\n"
                               "    COMPREPLY=($(dureqctl complete-words -- \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null))\n"
                               "}\n"
                               "complete -o default -F _dureqctl dureqctl\n";
static const char for_zsh[] =
    "#compdef dureqctl\n"
    "_dureqctl() {\n"
    "    local -a found\n"
    "    found=(${(f)\"$(dureqctl complete-words -- \"${(@)words[2,CURRENT]}\" 2>/dev/null)\"})\n"
    "    (( $#found )) && compadd -Q -a found || _files\n"
    "}\n"
    "if [ \"$funcstack[1]\" = _dureqctl ]; then _dureqctl \"$@\"; else compdef _dureqctl dureqctl; fi\n";
static const char for_fish[] =
    "complete -c dureqctl -f -a '(dureqctl complete-words -- (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'\n";

static int cmd_completion(ctl *c, int argc, char **argv)
{
    int n, rc = ctl_options(argc, argv, NULL, 0, &n);

    (void)c;
    if (rc != 0)
        return rc;
    if (n == 1 && strcmp(argv[1], "bash") == 0)
        fputs(for_bash, stdout);
    else if (n == 1 && strcmp(argv[1], "zsh") == 0)
        fputs(for_zsh, stdout);
    else if (n == 1 && strcmp(argv[1], "fish") == 0)
        fputs(for_fish, stdout);
    else
        return ctl_usage("completion takes bash, zsh or fish");
    return CTL_DONE;
}

/* ---- words ---- */

/* A line for each that begins as the word does. */
static void offer(dureq_str candidate, const char *word)
{
    size_t len = strlen(word);
    DQ_BUF_AUTO text = {0};

    if (candidate.len < len || memcmp(candidate.ptr, word, len) != 0)
        return;
    dq_buf_append_str(&text, candidate);
    ctl_clean(&text, /*keep_lines=*/false);
    printf(DQ_STR_FMT "\n", DQ_STR_ARG(dq_buf_str(&text)));
}

/* Whether the words of the name, except for the last one of `words`, are its first ones; *ret_next is the one that is to come. */
static bool goes_on(const char *name, char **words, int n_before, dureq_str *ret_next)
{
    dureq_str rest = dureq_str_from(name);

    for (int i = 0; i < n_before; i++) {
        dureq_str word = dq_str_cut(&rest, ' ');

        if (!rest.ptr || !dq_str_eq_text(word, words[i]))
            return false;
    }
    *ret_next = dq_str_cut(&rest, ' ');
    return true;
}

static void offer_commands(char **words, int n_before, const char *word)
{
    const ctl_command *cmd;
    dureq_str last = {0}, next;

    for (size_t i = 0; (cmd = ctl_command_at(i)) != NULL; i++) {
        if (!cmd->summary || !goes_on(cmd->name, words, n_before, &next) || dq_str_eq(next, last))
            continue;
        offer(next, word);
        last = next;
    }
}

/* Each "--word" of a text, once. */
static void offer_options_of(const char *text, const char *word)
{
    for (const char *at = strstr(text, "--"); at; at = strstr(at, "--")) {
        size_t len = 2 + strspn(at + 2, "abcdefghijklmnopqrstuvwxyz-");
        const char *before = strstr(text, "--");

        while (before < at && (strncmp(before, at, len) != 0 || before[len] == '-' || (before[len] >= 'a' && before[len] <= 'z')))
            before = strstr(before + 2, "--");
        if (before == at && len > 2)
            offer(dureq_str_of(at, len), word);
        at += len;
    }
}

static const ctl_command *command_of(char **words, int n)
{
    const ctl_command *cmd, *found = NULL;

    for (size_t i = 0; (cmd = ctl_command_at(i)) != NULL; i++) {
        dureq_str rest = dureq_str_from(cmd->name);
        int k = 0;

        while (rest.len && k < n && dq_str_eq_text(dq_str_cut(&rest, ' '), words[k]))
            k++;
        if (rest.len == 0 && k > 0 && strlen(cmd->name) >= strlen(words[k - 1]) &&
            strcmp(cmd->name + strlen(cmd->name) - strlen(words[k - 1]), words[k - 1]) == 0)
            found = cmd;
    }
    return found;
}

static void offer_options(const ctl_command *cmd, const char *word)
{
    DQ_BUF_AUTO text = {0};

    if (cmd)
        dq_buf_append_fmt(&text, "%s\n%s\n", cmd->args, cmd->help);
    for (size_t i = 0; ctl_global_options[i]; i++)
        dq_buf_append_fmt(&text, "--%s\n", ctl_global_options[i]);
    offer_options_of(text.ptr ? text.ptr : "", word);
}

static bool connect_soon(ctl *c)
{
    int null, err, rc;

    c->timeout_ms = ASK_TIMEOUT_MS;
    (void)fflush(stderr);
    err = dup(STDERR_FILENO);
    null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    (void)dup2(null, STDERR_FILENO); /* why it does not answer is no matter here */
    rc = ctl_connect(c, CTL_READS);
    (void)fflush(stderr);
    (void)dup2(err, STDERR_FILENO);
    (void)close(err);
    (void)close(null);
    return rc == 0;
}

static void offer_queues(ctl *c, const char *word)
{
    dq_json_ref at = DQ_JSON_NONE;
    DQ_BUF_AUTO name = {0};
    ctl_answer a;

    if (!connect_soon(c) || !ctl_look(c, "/api/queues", &a))
        return;
    while (ctl_next_text(&a.doc, 0, &at, "name", &name))
        offer(dq_buf_str(&name), word);
    ctl_answer_deinit(&a);
}

static void offer_types(ctl *c, const char *word)
{
    ctl_answer a;

    if (!connect_soon(c) || !ctl_look(c, "/api/nodes", &a))
        return;
    for (dq_json_ref node = dq_json_first(&a.doc, 0); node != DQ_JSON_NONE; node = dq_json_next(&a.doc, 0, node)) {
        dq_json_ref types = dq_json_member(&a.doc, node, "task_types"), at = DQ_JSON_NONE;
        DQ_BUF_AUTO type = {0};

        while (types != DQ_JSON_NONE && ctl_next_text(&a.doc, types, &at, NULL, &type))
            if (type.len && !dq_str_eq_text(dq_buf_str(&type), "*"))
                offer(dq_buf_str(&type), word);
    }
    ctl_answer_deinit(&a);
}

static int complete_words(ctl *c, int argc, char **argv)
{
    int n, rc = ctl_options(argc, argv, NULL, 0, &n);
    const char *word = n > 0 ? argv[n] : "", *before = n > 1 ? argv[n - 1] : "";
    const ctl_command *cmd = command_of(argv + 1, n > 0 ? n - 1 : 0);

    if (rc != 0)
        return rc;
    if (strcmp(before, "--queue") == 0)
        offer_queues(c, word);
    else if (strcmp(before, "--type") == 0 || (cmd && strcmp(cmd->name, "enqueue") == 0 && n == 2 && word[0] != '-'))
        offer_types(c, word);
    else if (word[0] == '-')
        offer_options(cmd, word);
    else if (cmd && strncmp(cmd->name, "queue ", 6) == 0)
        offer_queues(c, word);
    else if (!cmd)
        offer_commands(argv + 1, n > 0 ? n - 1 : 0, word);
    return CTL_DONE;
}

const ctl_command ctl_complete_commands[] = {
    {"complete-words", "-- WORD...", NULL, "", complete_words},
    {"completion", "bash|zsh|fish", "A script that completes words in the shell",
     "Commands, options, and the names of queues and task types, from the server.\n"
     "  bash: source <(dureqctl completion bash)\n"
     "  zsh:  source <(dureqctl completion zsh)\n"
     "  fish: dureqctl completion fish | source\n",
     cmd_completion},
    {NULL, NULL, NULL, NULL, NULL},
};
