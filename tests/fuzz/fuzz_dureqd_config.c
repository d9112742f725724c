/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <stdlib.h>

#include "config_yaml.h"

/* The settings file: what is wrong has a place and a sentence, what is taken keeps the limits, and no place in the tree lies outside the text. */

static void check_tree(const dq_yaml_node *node, int depth, int n_lines)
{
    size_t n = 0;

    assert(depth <= DQ_CONFIG_DEPTH_MAX && node->line >= 0 && node->line <= n_lines + 1);
    for (const dq_yaml_node *child = node->first; child; child = child->next, n++)
        check_tree(child, depth + 1, n_lines);
    assert(n == node->n && (node->kind != DQ_YAML_SCALAR || n == 0));
}

static int count_lines(dureq_str text)
{
    int n = 1;

    for (size_t i = 0; i < text.len; i++) /* YAML has more line ends than one */
        n += text.ptr[i] == '\n' || text.ptr[i] == '\r' || (unsigned char)text.ptr[i] >= 0x80;
    return n;
}

static void read_tree(dureq_str text)
{
    dq_arena arena = {0};
    dureq_error err = {0};
    dq_yaml_node *root = NULL;
    int rc = dq_yaml_parse(&arena, "f", text, &root, &err);

    if (rc == 0)
        check_tree(root, 0, count_lines(text));
    else
        assert(err.code == rc && strncmp(err.msg, "f:", 2) == 0);
    dq_arena_deinit(&arena);
}

static void check_config(const dq_config *cfg)
{
    assert(cfg->n_handlers <= DQ_CONFIG_HANDLERS_MAX && cfg->n_queues <= DQ_CONFIG_QUEUES_MAX);
    assert(cfg->concurrency >= 1 && cfg->lease_ms > 0 && cfg->threads >= 0 && cfg->shards >= 0);
    for (size_t i = 0; i < cfg->n_handlers; i++) {
        const dq_handler_spec *h = &cfg->handlers[i];

        assert(h->type[0] && h->n_words <= DQ_CONFIG_WORDS_MAX);
        assert((h->kind == DQ_HANDLER_EXEC && h->n_words > 0) || (h->kind == DQ_HANDLER_BUILTIN && h->builtin));
    }
}

static void read_config(dureq_str text)
{
    dureq_error err = {0};
    dq_config cfg;
    int rc = dq_config_init(&cfg, &err);

    assert(rc == 0);
    rc = dq_config_load_text(&cfg, "f", text, &err);
    if (rc == 0)
        check_config(&cfg);
    else
        assert(err.code == rc && err.msg[0]);
    dq_config_deinit(&cfg);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dureq_str text = dureq_str_of((const char *)data, size);

    read_tree(text);
    read_config(text);
    return 0;
}
