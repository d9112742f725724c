/* SPDX-License-Identifier: Apache-2.0 */
#include "api/meter.h"

int dq_label_sets_init(dq_label_sets *s)
{
    *s = (dq_label_sets){.n = 1};
    s->by_key = dq_calloc(1, sizeof *s->by_key);
    dq_label_put(&s->sets[0].labels, "queue", DQ_STR_LIT("other"));
    dq_label_put(&s->sets[0].labels, "task_type", DQ_STR_LIT("other"));
    if (s->by_key && !dq_buf_failed(&s->sets[0].labels))
        return 0;
    dq_label_sets_deinit(s);
    return DUREQ_ENOMEM;
}

void dq_label_sets_deinit(dq_label_sets *s)
{
    for (size_t i = 0; i < s->n; i++) {
        dq_free(s->sets[i].key);
        dq_buf_deinit(&s->sets[i].labels);
    }
    if (s->by_key)
        dq_map_deinit(s->by_key);
    dq_free(s->by_key);
    *s = (dq_label_sets){0};
}

/* Without memory it is one of the others, until it is looked for again. */
static size_t add(dq_label_sets *s, const dq_buf *key, dureq_str queue, dureq_str type)
{
    dq_label_set *set = &s->sets[s->n];

    set->key = dq_memdup(key->ptr, key->len);
    dq_label_put(&set->labels, "queue", queue);
    dq_label_put(&set->labels, "task_type", type);
    if (!set->key || dq_buf_failed(&set->labels) || dq_map_put(s->by_key, dureq_str_of(set->key, key->len), set) < 0) {
        dq_free(set->key);
        dq_buf_deinit(&set->labels);
        *set = (dq_label_set){0};
        return 0;
    }
    set->key_len = key->len;
    return s->n++;
}

size_t dq_label_sets_find(dq_label_sets *s, dureq_str queue, dureq_str type)
{
    DQ_BUF_AUTO key = {0};
    const dq_label_set *set;

    dq_buf_append_str(&key, queue);
    dq_buf_append_char(&key, '\0');
    dq_buf_append_str(&key, type);
    if (dq_buf_failed(&key))
        return 0;
    set = dq_map_get(s->by_key, dq_buf_str(&key));
    if (set)
        return (size_t)(set - s->sets);
    /* these very words are the labels of the others */
    if (s->n > DQ_METER_SETS || (dq_str_eq_text(queue, "other") && dq_str_eq_text(type, "other")))
        return 0;
    return add(s, &key, queue, type);
}
