/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPTIONS_MAX 16

/* What dureqd gives the server it embeds: no rewrite until the file is large. */
static const char *const append_args[] = {
    "--appendonly", "yes", "--appendfsync", "everysec", "--auto-aof-rewrite-min-size", "4gb", NULL,
};

int rig_open(rig *r, const rig_options *opts, dureq_error *err)
{
    const char *const memory_args[] = {"--maxmemory", opts->max_memory, NULL};
    test_redis_options server = {.extra_args = opts->append_only ? append_args : opts->max_memory ? memory_args : NULL};
    int rc;

    *r = (rig){.w = {.fd = -1}};
    if (opts->max_memory) /* jemalloc gives nothing back: pages that come and go cost more than what is measured here */
        (void)setenv("MALLOC_CONF", "dirty_decay_ms:-1,muzzy_decay_ms:-1", 1);
    r->redis = test_redis_start(&server);
    (void)unsetenv("MALLOC_CONF");
    rc = wire_open(&r->w, test_redis_socket(r->redis), err);
    if (rc == 0 && opts->has_board)
        rc = board_create(test_redis_dir(r->redis), opts->board_jobs, &r->board, r->board_path, sizeof(r->board_path), err);
    if (rc < 0)
        rig_close(r);
    return rc;
}

void rig_close(rig *r)
{
    wire_close(&r->w);
    board_close(r->board);
    test_redis_stop(r->redis);
    *r = (rig){.w = {.fd = -1}};
}

int rig_start(rig *r, role_proc *p, const char *role, dureq_error *err, ...)
{
    char url[600], socket_path[300], board_path[320];
    const char *options[OPTIONS_MAX + 4] = {url, socket_path};
    size_t n = 2;
    const char *o;
    va_list args;

    snprintf(url, sizeof(url), "--url=%s", test_redis_url(r->redis));
    snprintf(socket_path, sizeof(socket_path), "--socket=%s", test_redis_socket(r->redis));
    snprintf(board_path, sizeof(board_path), "--board=%s", r->board_path);
    if (r->board)
        options[n++] = board_path;
    va_start(args, err);
    for (o = va_arg(args, const char *); o && n < OPTIONS_MAX; o = va_arg(args, const char *))
        options[n++] = o;
    va_end(args);
    return role_start(p, role, options, err);
}

/* ---- readings ---- */

static double field_of(dureq_str text, const char *field, bool *ret_found)
{
    while (text.len) {
        dureq_str line = dq_str_trim(dq_str_cut(&text, '\n')), name = dq_str_cut(&line, ':');
        double v;

        if (dq_str_eq_text(name, field) && dq_parse_f64(line, &v) == 0) {
            *ret_found = true;
            return v;
        }
    }
    return 0;
}

int rig_info(rig *r, const char *section, const char *field, double *ret, dureq_error *err)
{
    char words[64];
    bool found = false;
    dq_reply reply;
    int rc;

    snprintf(words, sizeof(words), "INFO %s", section);
    rc = wire_words(&r->w, words, &reply, err);
    if (rc < 0)
        return rc;

    *ret = field_of(dq_reply_str(reply), field, &found);
    return found ? 0 : dq_fail(err, DUREQ_EPROTO, "INFO has no %s", field);
}

int rig_cpu_us(rig *r, double *ret, dureq_error *err)
{
    double user = 0, sys = 0;
    int rc = rig_info(r, "cpu", "used_cpu_user", &user, err);

    if (rc == 0)
        rc = rig_info(r, "cpu", "used_cpu_sys", &sys, err);
    *ret = (user + sys) * 1e6;
    return rc;
}

int rig_memory(rig *r, double *ret, dureq_error *err)
{
    double used = 0, clients = 0;
    int rc = rig_info(r, "memory", "used_memory", &used, err);

    if (rc == 0)
        rc = rig_info(r, "memory", "mem_clients_normal", &clients, err);
    *ret = used - clients;
    return rc;
}

int rig_script_calls(rig *r, double *ret, dureq_error *err)
{
    dq_reply reply;
    int rc = wire_words(&r->w, "INFO commandstats", &reply, err);
    dureq_str text;

    if (rc < 0)
        return rc;
    *ret = 0;
    text = dq_reply_str(reply);
    while (text.len) {
        dureq_str line = dq_str_cut(&text, '\n'), name = dq_str_cut(&line, '=');

        double calls;

        if (!dq_str_eq_text(name, "cmdstat_evalsha:calls") && !dq_str_eq_text(name, "cmdstat_eval:calls"))
            continue;
        if (dq_parse_f64(dq_str_cut(&line, ','), &calls) == 0)
            *ret += calls;
    }
    return 0;
}

int rig_key_bytes(rig *r, const char *key, double *ret, dureq_error *err)
{
    char words[200];
    dq_reply reply;
    int rc;

    snprintf(words, sizeof(words), "MEMORY USAGE %s SAMPLES 0", key);
    rc = wire_words(&r->w, words, &reply, err);
    if (rc < 0)
        return rc;

    *ret = (double)dq_reply_int(reply);
    return 0;
}
