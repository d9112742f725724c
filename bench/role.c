/* SPDX-License-Identifier: Apache-2.0 */
#include "role.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/buf.h"

/* ---- words ---- */

double role_get(const role_words *w, const char *key, double otherwise)
{
    for (size_t i = 0; i < w->n; i++)
        if (strcmp(w->pair[i].key, key) == 0)
            return w->pair[i].value;
    return otherwise;
}

void role_put(role_words *w, const char *key, double value)
{
    if (w->n == ROLE_KEYS_MAX)
        return;
    snprintf(w->pair[w->n].key, sizeof(w->pair[w->n].key), "%s", key);
    w->pair[w->n].value = value;
    w->n++;
}

/* ---- options ---- */

const char *role_option(int argc, char **argv, const char *name)
{
    size_t len = strlen(name);

    for (int i = 0; i < argc; i++)
        if (strncmp(argv[i], "--", 2) == 0 && strncmp(argv[i] + 2, name, len) == 0 && argv[i][2 + len] == '=')
            return argv[i] + 3 + len;
    return NULL;
}

int64_t role_option_i64(int argc, char **argv, const char *name, int64_t otherwise)
{
    const char *text = role_option(argc, argv, name);
    int64_t value;

    if (!text || dq_parse_i64(dureq_str_from(text), INT64_MIN, INT64_MAX, &value) < 0)
        return otherwise;
    return value;
}

/* ---- answering ---- */

int64_t role_cpu_us(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * INT64_C(1000000) + u.ru_utime.tv_usec + u.ru_stime.tv_usec;
}

void role_sleep_until_us(int64_t at_us)
{
    struct timespec t = {.tv_sec = at_us / 1000000, .tv_nsec = at_us % 1000000 * 1000};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}

static double status_kb(const char *field)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    double kb = 0;

    if (!f)
        return 0;
    while (fgets(line, sizeof(line), f))
        if (strncmp(line, field, strlen(field)) == 0)
            (void)sscanf(line + strlen(field), ": %lf", &kb); /* stays 0 when the kernel writes it otherwise */
    (void)fclose(f);
    return kb;
}

static int usage(void *role, const role_words *question, role_words *answer, dureq_error *err)
{
    (void)role;
    (void)question;
    (void)err;
    role_put(answer, "cpu_us", (double)role_cpu_us());
    role_put(answer, "rss_kb", status_kb("VmRSS"));
    role_put(answer, "anon_kb", status_kb("RssAnon"));
    return 0;
}

static const role_command common[] = {{"usage", usage}, {NULL, NULL}};

static int answer_one(const role_command *commands, void *role, const role_words *question)
{
    role_words answer = {.n = 0};
    dureq_error err = {0};

    for (const role_command *c = commands; c->name; c++) {
        if (strcmp(c->name, question->name) != 0)
            continue;
        if (c->fn(role, question, &answer, &err) < 0) {
            printf("error %s\n", err.msg);
        } else {
            printf("ok");
            for (size_t i = 0; i < answer.n; i++)
                printf(" %s=%.17g", answer.pair[i].key, answer.pair[i].value);
            printf("\n");
        }
        return 0;
    }
    return DUREQ_ENOTFOUND;
}

void role_parse(char *line, role_words *ret)
{
    char *rest = line, *word;

    *ret = (role_words){.n = 0};
    word = strsep(&rest, " \n");
    snprintf(ret->name, sizeof(ret->name), "%s", word);
    while (rest) {
        char *eq;

        word = strsep(&rest, " \n");
        eq = strchr(word, '=');
        if (!eq)
            continue;
        *eq = '\0';
        role_put(ret, word, strtod(eq + 1, NULL));
    }
}

int role_serve(const role_command *commands, void *role)
{
    char line[1024];
    role_words question;

    printf("ok\n");
    (void)fflush(stdout); /* a reader that has gone closes our input as well */
    while (fgets(line, sizeof(line), stdin)) {
        role_parse(line, &question);
        if (answer_one(common, role, &question) < 0 && answer_one(commands, role, &question) < 0)
            printf("error '%s' is not a command of this role\n", question.name);
        (void)fflush(stdout);
    }
    return 0;
}

int role_fail_start(const dureq_error *err)
{
    printf("error %s\n", err->msg);
    (void)fflush(stdout);
    return 1;
}
