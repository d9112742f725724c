/* SPDX-License-Identifier: Apache-2.0 */
/* The table of settings in print: help, a sample file, the documentation's table, manual pages. */
#include "config.h"

#include <dureq/dureq.h>

#include "man.h"

static const char synopsis[] = "[--config FILE] [--NAME VALUE]... [--handler 'TYPE=KIND:SPEC']...";
static const char purpose[] = "Runs jobs of a durable queue on Redis. Without --redis it starts a private redis-server.";

static const char *const examples[] = {
    "--handler 'file.sha256=exec:/usr/bin/sha256sum -- {payload}'",
    "--redis redis://localhost:6379 --prefix shop --concurrency 50 --handler 'mail.*=exec:/opt/shop/send-mail'",
    "--config /etc/dureq/dureqd.yaml --check",
};

/* What is no setting. */
static const struct {
    const char *name, *text;
} flags[] = {
    {"--config FILE", "settings in YAML; also DUREQ_CONFIG_PATH"},
    {"--handler TYPE=KIND:SPEC", "run jobs of TYPE (a pattern ends in '*') with a program (exec:COMMAND, {payload} is the\n"
                                 "payload as one argument) or a built-in (builtin:NAME); may be repeated"},
    {"--check", "read and check the settings, then end"},
    {"--sample-config", "print a file with every setting, commented out"},
    {"--help, --version", ""},
};

static const char precedence[] =
    "--redis is short for --redis-url. Each setting is also a key of the file (dureqd.leaseMs) and a variable\n"
    "of the environment (DUREQ_LEASE_MS): a flag beats the environment, which beats the file.\n";
static const char exit_codes[] = "0 stopped cleanly, 1 failed, 2 wrong usage or settings, 6 server away";

static bool is_setting(const dq_config_row *row)
{
    return row->type != DQ_CONFIG_REFUSED && row->type != DQ_CONFIG_IGNORED;
}

/* "Takes a whole number from 1 to 3. Default: 2." */
static void print_takes(const dq_config_row *row, dq_buf *out)
{
    dq_buf_append_text(out, "Takes ");
    dq_config_describe(row, out);
    dq_buf_append_fmt(out, ".%s%s%s", row->def ? " Default: " : "", row->def ? row->def : "", row->def ? "." : "");
}

/* ---- help ---- */

static void print_flag(const char *name, const char *text, dq_buf *out)
{
    dureq_str rest = dureq_str_from(text), line = {0};

    if (strlen(name) <= 23)
        line = dq_str_cut(&rest, '\n');
    dq_buf_append_fmt(out, line.len ? "  %-23s " DQ_STR_FMT "\n" : "  %s" DQ_STR_FMT "\n", name, DQ_STR_ARG(line));
    while (rest.len) {
        line = dq_str_cut(&rest, '\n');
        dq_buf_append_fmt(out, "  %-23s " DQ_STR_FMT "\n", "", DQ_STR_ARG(line));
    }
}

void dq_config_print_help(const char *program, dq_buf *out)
{
    dq_buf_append_fmt(out, "Usage: %s %s\n\n%s\n\nExamples:\n", program, synopsis, purpose);
    for (size_t i = 0; i < DQ_ARRAY_LEN(examples); i++)
        dq_buf_append_fmt(out, "  %s %s\n", program, examples[i]);
    dq_buf_append_text(out, "\n");
    for (size_t i = 0; i < DQ_ARRAY_LEN(flags); i++)
        print_flag(flags[i].name, flags[i].text, out);
    dq_buf_append_text(out, "\nSettings:\n");
    for (size_t i = 0; i < dq_config_n_rows; i++) {
        const dq_config_row *row = &dq_config_rows[i];
        char flag[DQ_CONFIG_NAME_TEXT_MAX];

        if (!is_setting(row))
            continue;
        dq_config_flag_name(row, flag);
        dq_buf_append_fmt(out, "  %-23s %s\n  %-23s ", flag, row->help, "");
        print_takes(row, out);
        dq_buf_append_text(out, "\n");
    }
    dq_buf_append_fmt(out, "\n%sExit codes: %s.\n", precedence, exit_codes);
}

/* ---- a sample of the file ---- */

static const char sample_lists[] = "\n# Queues that are created when they are missing.\n"
                                   "#queues:\n"
                                   "#  bulk: {weight: 1, maxLen: 1000000, retention: 1d}\n"
                                   "\n# What runs jobs: a program per job, or a built-in.\n"
                                   "#handlers:\n"
                                   "#  - type: file.sha256\n"
                                   "#    exec: /usr/bin/sha256sum -- {payload}\n"
                                   "#    concurrency: 4\n"
                                   "#    timeout: 1m\n"
                                   "#    env: {LC_ALL: C.UTF-8}\n"
                                   "#    envFile: /etc/dureq/sha256.env\n"
                                   "#    passEnv: [AWS_*]\n";

/* The part of a name before the '.' and after it. */
static dureq_str section_of(const dq_config_row *row, const char **ret_key)
{
    const char *dot = strchr(row->name, '.');

    *ret_key = dot + 1;
    return dureq_str_of(row->name, (size_t)(dot - row->name));
}

static void print_sample_row(const dq_config_row *row, dq_buf *out)
{
    const char *key;

    (void)section_of(row, &key);
    dq_buf_append_fmt(out, "  # %s Takes ", row->help);
    dq_config_describe(row, out);
    dq_buf_append_fmt(out, ".\n  # %s: %s\n", key, row->def ? row->def : "");
}

void dq_config_print_sample(dq_buf *out)
{
    dureq_str section = {NULL, 0};

    dq_buf_append_text(
        out,
        "# Settings of dureqd. Each line that is commented out says the default; `dureqd --config FILE --check` checks the file.\n");
    for (size_t i = 0; i < dq_config_n_rows; i++) {
        const dq_config_row *row = &dq_config_rows[i];
        const char *key;
        dureq_str own = section_of(row, &key);

        if (!is_setting(row))
            continue;
        if (!dq_str_eq(own, section))
            dq_buf_append_fmt(out, "\n" DQ_STR_FMT ":\n", DQ_STR_ARG(own));
        section = own;
        print_sample_row(row, out);
    }
    dq_buf_append_text(out, sample_lists);
}

/* ---- documentation ---- */

void dq_config_print_markdown(dq_buf *out)
{
    dq_buf_append_text(out, "| setting | environment | flag | takes | default | |\n| --- | --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < dq_config_n_rows; i++) {
        const dq_config_row *row = &dq_config_rows[i];
        char flag[DQ_CONFIG_NAME_TEXT_MAX], env[DQ_CONFIG_NAME_TEXT_MAX];

        if (!is_setting(row)) {
            dq_buf_append_fmt(out, "| `%s` | | | %s | | %s |\n", row->name,
                              row->type == DQ_CONFIG_REFUSED ? "refused" : "ignored", row->help);
            continue;
        }
        dq_config_flag_name(row, flag);
        dq_config_env_name(row, env);
        dq_buf_append_fmt(out, "| `%s` | `%s` | `%s` | ", row->name, env, flag);
        dq_config_describe(row, out);
        dq_buf_append_fmt(out, " | %s%s%s | %s |\n", row->def ? "`" : "", row->def ? row->def : "", row->def ? "`" : "",
                          row->help);
    }
}

void dq_config_print_man(dq_buf *out)
{
    dq_man_begin(out, "dureqd", 8, "runs jobs of a durable queue on Redis");
    dq_man_section(out, "SYNOPSIS");
    dq_man_usage(out, "dureqd", synopsis);
    dq_man_section(out, "DESCRIPTION");
    dq_man_text(out, purpose);
    dq_man_text(out, precedence);
    dq_man_section(out, "OPTIONS");
    for (size_t i = 0; i < DQ_ARRAY_LEN(flags); i++)
        dq_man_item(out, flags[i].name, flags[i].text);
    dq_man_section(out, "SETTINGS");
    for (size_t i = 0; i < dq_config_n_rows; i++) {
        const dq_config_row *row = &dq_config_rows[i];
        char flag[DQ_CONFIG_NAME_TEXT_MAX], env[DQ_CONFIG_NAME_TEXT_MAX];
        DQ_BUF_AUTO term = {0};
        DQ_BUF_AUTO text = {0};

        if (!is_setting(row))
            continue;
        dq_config_flag_name(row, flag);
        dq_config_env_name(row, env);
        dq_buf_append_fmt(&term, "%s, %s", flag, env);
        dq_buf_append_fmt(&text, "%s\n", row->help);
        print_takes(row, &text);
        out->failed = out->failed || dq_buf_failed(&term) || dq_buf_failed(&text);
        if (!out->failed)
            dq_man_item(out, term.ptr, text.ptr);
    }
    dq_man_section(out, "SIGNALS");
    dq_man_item(out, "SIGTERM, SIGINT",
                "no more jobs are taken, those that run may end within drainTimeoutMs, the rest is given back.");
    dq_man_item(
        out, "SIGHUP",
        "settings are read again: handlers and log.level are taken, the rest is named in the log. Jobs that run go on as they\n"
        "began. With a fault in the settings nothing is changed.");
    dq_man_section(out, "EXIT STATUS");
    dq_man_text(out, exit_codes);
    dq_man_section(out, "EXAMPLES");
    for (size_t i = 0; i < DQ_ARRAY_LEN(examples); i++) {
        DQ_BUF_AUTO line = {0};

        dq_buf_append_fmt(&line, "dureqd %s", examples[i]);
        out->failed = out->failed || dq_buf_failed(&line);
        dq_man_lines(out, line.ptr);
    }
    dq_man_section(out, "SEE ALSO");
    dq_buf_append_text(out, ".BR dureqd.yaml (5),\n.BR dureqctl (1)\n");
}

void dq_config_print_man_file(dq_buf *out)
{
    dureq_str section = {NULL, 0};

    dq_man_begin(out, "dureqd.yaml", 5, "settings of dureqd");
    dq_man_section(out, "DESCRIPTION");
    dq_man_text(
        out,
        "Named by --config or DUREQ_CONFIG_PATH. Every key has a default; unknown keys are faults, told with line and column.\n"
        "lease_ms is the same key as leaseMs. dureqd --config FILE --check checks a file, dureqd --sample-config prints one.");
    for (size_t i = 0; i < dq_config_n_rows; i++) {
        const dq_config_row *row = &dq_config_rows[i];
        DQ_BUF_AUTO title = {0};
        DQ_BUF_AUTO text = {0};
        const char *key;
        dureq_str own = section_of(row, &key);

        if (!is_setting(row))
            continue;
        if (!dq_str_eq(own, section)) {
            dq_buf_append_fmt(&title, "KEYS OF " DQ_STR_FMT, DQ_STR_ARG(own));
            dq_man_section(out, title.ptr ? title.ptr : "");
        }
        section = own;
        dq_buf_append_fmt(&text, "%s\n", row->help);
        print_takes(row, &text);
        out->failed = out->failed || dq_buf_failed(&title) || dq_buf_failed(&text);
        if (!out->failed)
            dq_man_item(out, key, text.ptr);
    }
    dq_config_print_man_lists(out);
    dq_man_section(out, "EXAMPLE");
    dq_man_lines(out, sample_lists);
    dq_man_section(out, "SEE ALSO");
    dq_buf_append_text(out, ".BR dureqd (8)\n");
}
