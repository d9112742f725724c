/* SPDX-License-Identifier: Apache-2.0 */
/* Which server to use: --server, DUREQ_SERVER, what dureqd's configuration file says, else the socket of the private server in the
   state directory. The file's prefix counts when no other is given, so that both programs mean the same. */
#include <stdlib.h>

#include "config.h"
#include "ctl.h"
#include "node/state_dir.h"

#include <sys/stat.h>
#include <unistd.h>

/* Whoever made a socket gets all that is sent there, passwords and payloads included. One that nobody named must be ours, root's, or, for
   root, of him whom the directory was given to. */
static bool is_trusted(const char *dir, uid_t owner)
{
    struct stat st;

    if (owner == geteuid() || owner == 0)
        return true;
    return geteuid() == 0 && stat(dir, &st) == 0 && st.st_uid == owner && (st.st_mode & 022) == 0;
}

static int find_socket(ctl *c, const char *dir, dq_buf *url, dureq_error *err)
{
    DQ_BUF_AUTO path = {0};
    struct stat st;

    c->server_found = true;
    dq_state_dir_url(dir, url);
    dq_state_dir_socket(dir, &path);
    if (dq_buf_failed(&path))
        return dq_fail_nomem(err);
    if (stat(path.ptr, &st) < 0 || is_trusted(dir, st.st_uid)) /* not there: told when it is connected to */
        return 0;
    return dq_fail(err, DUREQ_EPERM, "the socket '%.150s' belongs to user %u, whom nobody named: give --server to use it",
                   path.ptr, (unsigned)st.st_uid);
}

static int from_file(ctl *c, const char *path, dq_buf *url, dureq_error *err)
{
    dq_config cfg;
    char *text = NULL;
    int rc = dq_config_init(&cfg, err);

    if (rc < 0)
        return rc;
    rc = dq_config_load_file(&cfg, path, err);
    if (rc == 0)
        rc = dq_config_redis_url(&cfg, &text, err);
    if (rc == 0 && text) {
        dq_buf_append_text(url, text);
    } else if (rc == 0 && cfg.state_dir) {
        rc = find_socket(c, cfg.state_dir, url, err);
    }
    if (rc == 0 && !c->prefix) {
        c->prefix_room = dq_memdup(cfg.prefix, strlen(cfg.prefix));
        c->prefix = c->prefix_room;
        rc = c->prefix ? 0 : dq_fail_nomem(err);
    }
    dq_free(text);
    dq_config_deinit(&cfg);
    return rc;
}

int ctl_server(ctl *c, dq_buf *url)
{
    const char *from_env = getenv("DUREQ_SERVER"), *config = getenv("DUREQ_CONFIG_PATH");
    bool is_named = c->server || (from_env && *from_env) || (config && *config);
    dureq_error err = {0};
    int rc = 0;

    if (c->context || !is_named)
        rc = ctl_use_context(c);
    if (rc != 0)
        return rc;
    if (c->server)
        dq_buf_append_text(url, c->server);
    else if (from_env && *from_env)
        dq_buf_append_text(url, from_env);
    else if (config && *config)
        rc = from_file(c, config, url, &err);
    if (rc < 0)
        return ctl_fail(ctl_exit_of(rc), "%s", err.msg);
    if (url->len == 0) {
        DQ_BUF_AUTO dir = {0};

        if (dq_state_dir_default(&dir, NULL) < 0)
            return ctl_usage("no server given, and no home directory to look for one: give --server URL or DUREQ_SERVER");
        rc = find_socket(c, dir.ptr, url, &err);
        if (rc < 0)
            return ctl_fail(ctl_exit_of(rc), "%s", err.msg);
    }
    return dq_buf_failed(url) ? ctl_fail(CTL_FAILED, "out of memory") : 0;
}
