/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <stdlib.h>

#include "config.h"

/* A command line and an environment, one word a line; "=" at a line's start makes it a variable. What is wrong has a sentence, and no password stays in a
   word that is shown. */

enum { WORDS_MAX = 64 };

typedef struct words {
    char *argv[WORDS_MAX + 1], *envp[WORDS_MAX + 1];
    int argc, envc;
} words;

static void cut_words(char *text, words *w)
{
    char *end;

    for (char *at = text; at && w->argc < WORDS_MAX && w->envc < WORDS_MAX; at = end) {
        end = strchr(at, '\n');
        if (end)
            *end++ = '\0';
        if (*at == '=')
            w->envp[w->envc++] = at + 1;
        else
            w->argv[w->argc++] = at;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = dq_memdup(data, size), *url = NULL;
    dq_config_cli cli = {0};
    dureq_error err = {0};
    words w = {0};
    dq_config cfg;
    int rc;

    if (!text)
        abort();
    cut_words(text, &w);
    rc = dq_config_init(&cfg, &err);
    assert(rc == 0);
    rc = dq_config_load_args(&cfg, w.argc, w.argv, &cli, &err);
    assert(rc == 0 || (err.code == rc && err.msg[0]));
    if (rc == 0)
        rc = dq_config_load_env(&cfg, w.envp, &err);
    assert(rc == 0 || (err.code == rc && err.msg[0]));
    if (rc == 0) {
        rc = dq_config_redis_url(&cfg, &url, &err);
        assert(rc == 0 || (err.code == rc && err.msg[0]));
    }
    dq_config_deinit(&cfg);
    if (rc == 0)
        dq_free(url);
    dq_free(text);
    return 0;
}
