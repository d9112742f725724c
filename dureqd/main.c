/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon.h"
#include "guardian.h"
#include "signals.h"

#include <dureq/dureq.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

extern char **environ;

/* Nothing we open may become standard input, output or error by chance. */
static bool open_standard_fds(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO)
        (void)close(fd);
    return fd >= 0;
}

static int say(const dq_buf *text)
{
    return dq_buf_failed(text) || fputs(text->ptr, stdout) < 0 || fflush(stdout) != 0 ? DQ_EXIT_FAILED : DQ_EXIT_DONE;
}

static int say_help(void)
{
    DQ_BUF_AUTO help = {0};

    dq_config_print_help("dureqd", &help);
    return say(&help);
}

static int say_printed(void (*print)(dq_buf *out))
{
    DQ_BUF_AUTO text = {0};

    print(&text);
    return say(&text);
}

static int check(const dq_config *cfg)
{
    dureq_error err = {0};

    if (cfg->warnings.len > 0)
        (void)fprintf(stderr, "%s", cfg->warnings.ptr);
    if (dq_daemon_check(cfg, &err) < 0) {
        (void)fprintf(stderr, "dureqd: %s\n", err.msg);
        return DQ_EXIT_USAGE;
    }
    (void)printf("the settings are fine: %zu handlers, %zu queues\n", cfg->n_handlers, cfg->n_queues);
    return DQ_EXIT_DONE;
}

static int run(dq_config *cfg, const dq_config_cli *cli)
{
    if (cli->help)
        return say_help();
    if (cli->sample)
        return say_printed(dq_config_print_sample);
    if (cli->man)
        return say_printed(dq_config_print_man);
    if (cli->man_file)
        return say_printed(dq_config_print_man_file);
    if (cli->version) {
        (void)printf("dureqd %s\n", dureq_version());
        return DQ_EXIT_DONE;
    }
    return cli->check ? check(cfg) : dq_daemon_run(cfg);
}

int main(int argc, char **argv)
{
    dq_config cfg;
    dq_config_cli cli = {0};
    dureq_error err = {0};
    int rc;

    if (argc == 3 && strcmp(argv[1], "--guardian") == 0) /* its own, not a user's */
        return dq_guardian_run(argv[2]);
    if (!open_standard_fds())
        return DQ_EXIT_FAILED;
    dq_signals_first();
    rc = dq_config_init(&cfg, &err);
    if (rc < 0) {
        (void)fprintf(stderr, "dureqd: %s\n", err.msg);
        return DQ_EXIT_FAILED;
    }
    rc = dq_config_load(&cfg, argc - 1, argv + 1, environ, &cli, &err);
    if (rc < 0)
        (void)fprintf(stderr, "dureqd: %s\nTry 'dureqd --help'.\n", err.msg);
    rc = rc < 0 ? DQ_EXIT_USAGE : run(&cfg, &cli);
    dq_config_deinit(&cfg);
    return rc;
}
