/* SPDX-License-Identifier: Apache-2.0 */
/* Contexts: servers with their tokens under a name, in a file of the user's.

       {"current": "prod", "contexts": {"prod": {"server": "https://jobs.example.com", "token": "...", "ca_file": "...", "prefix": "..."}}} */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl.h"

#define FILE_BYTES_MAX (1 << 20)

/* $DUREQ_CONTEXTS, else in the directory for settings. Empty: there is no home. */
static void put_path(dq_buf *out)
{
    const char *path = getenv("DUREQ_CONTEXTS"), *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

    if (path && *path)
        dq_buf_append_text(out, path);
    else if (config && *config)
        dq_buf_append_fmt(out, "%s/dureq/contexts.json", config);
    else if (home && *home)
        dq_buf_append_fmt(out, "%s/.config/dureq/contexts.json", home);
}

/* 0 and the text; 1: there is no such file; or an exit code. */
static int read_file(const char *path, dq_buf *text, bool *ret_open_to_others)
{
    struct stat st = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *room;
    ssize_t n;

    if (fd < 0 && errno == ENOENT)
        return -1;
    if (fd < 0 || fstat(fd, &st) < 0 || st.st_size > FILE_BYTES_MAX) {
        if (fd >= 0)
            (void)close(fd);
        return ctl_fail(CTL_USAGE, "cannot read the contexts in '%s'", path);
    }
    *ret_open_to_others = (st.st_mode & 077) != 0;
    room = dq_buf_reserve(text, FILE_BYTES_MAX + 1);
    n = room ? read(fd, room, FILE_BYTES_MAX + 1) : -1;
    (void)close(fd);
    if (n < 0 || n > FILE_BYTES_MAX)
        return ctl_fail(CTL_USAGE, "cannot read the contexts in '%s'", path);
    text->len += (size_t)n;
    return 0;
}

/* A text member as a copy of its own; NULL: it is not there. */
static char *take(const dq_json *doc, dq_json_ref object, const char *name)
{
    dq_json_ref v = dq_json_member(doc, object, name);
    DQ_BUF_AUTO text = {0};

    if (v == DQ_JSON_NONE || dq_json_string(doc, v, &text) < 0 || text.len == 0)
        return NULL;
    return dq_memdup(text.ptr, text.len);
}

static void take_all(ctl *c, const dq_json *doc, dq_json_ref object)
{
    if (!c->server) {
        c->server_room = take(doc, object, "server");
        c->server = c->server_room;
    }
    if (!c->token) {
        c->token_room = take(doc, object, "token");
        c->token = c->token_room;
    }
    if (!c->ca_file) {
        c->ca_room = take(doc, object, "ca_file");
        c->ca_file = c->ca_room;
    }
    if (!c->prefix) {
        c->prefix_room = take(doc, object, "prefix");
        c->prefix = c->prefix_room;
    }
}

static int choose(ctl *c, const char *path, const dq_json *doc, bool is_open_to_others)
{
    dq_json_ref all = dq_json_type_of(doc, 0) == DQ_JSON_OBJECT ? dq_json_member(doc, 0, "contexts") : DQ_JSON_NONE, one;
    char *current = all == DQ_JSON_NONE ? NULL : take(doc, 0, "current");
    const char *name = c->context ? c->context : current;
    int rc = 0;

    if (all == DQ_JSON_NONE || dq_json_type_of(doc, all) != DQ_JSON_OBJECT)
        rc = ctl_fail(CTL_USAGE, "'%s' is not: {\"current\": NAME, \"contexts\": {NAME: {\"server\": URL, \"token\": TEXT}}}",
                      path);
    if (rc == 0 && name) {
        one = dq_json_member(doc, all, name);
        if (one == DQ_JSON_NONE || dq_json_type_of(doc, one) != DQ_JSON_OBJECT)
            rc = ctl_fail(CTL_USAGE, "there is no context '%s' in '%s'", name, path);
        else if (is_open_to_others && dq_json_member(doc, one, "token") != DQ_JSON_NONE)
            rc = ctl_fail(CTL_NOT_ALLOWED, "'%s' has a token and others may read or change it: chmod 600 it", path);
        else
            take_all(c, doc, one);
    }
    dq_free(current);
    return rc;
}

int ctl_use_context(ctl *c)
{
    DQ_BUF_AUTO path = {0};
    DQ_BUF_AUTO text = {0};
    dureq_error err = {0};
    bool is_open_to_others = false;
    dq_json doc = {0};
    int rc;

    put_path(&path);
    rc = path.len ? read_file(path.ptr, &text, &is_open_to_others) : -1;
    if (rc < 0)
        return c->context
                   ? ctl_fail(CTL_USAGE, "there is no file of contexts%s%s", path.len ? ": " : "", path.len ? path.ptr : "")
                   : 0;
    if (rc > 0)
        return rc;
    if (dq_json_parse(dq_buf_str(&text), &doc, &err) < 0)
        return ctl_fail(CTL_USAGE, "%s: %s", path.ptr, err.msg);
    rc = choose(c, path.ptr, &doc, is_open_to_others);
    dq_json_deinit(&doc);
    return rc;
}
