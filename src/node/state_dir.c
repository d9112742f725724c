/* SPDX-License-Identifier: Apache-2.0 */
#include "node/state_dir.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* An environment variable that holds an absolute path; the specifications say to ignore a relative one. */
static const char *env_path(const char *name)
{
    const char *value = getenv(name);

    return value && value[0] == '/' ? value : NULL;
}

/* $HOME, else what the user database says. getpwuid_r needs no lock against other threads. */
static int append_home(dq_buf *out, dureq_error *err)
{
    const char *home = env_path("HOME");
    struct passwd entry, *found = NULL;
    char text[4096]; /* a longer entry is "not found", as ERANGE says */

    if (!home && getpwuid_r(geteuid(), &entry, text, sizeof text, &found) == 0 && found && found->pw_dir[0] == '/')
        home = found->pw_dir;
    if (!home)
        return dq_fail(err, DUREQ_ENOTFOUND, "no home directory for the state: set HOME or DUREQ_STATE_DIR");
    dq_buf_append_text(out, home);
    return 0;
}

int dq_state_dir_default(dq_buf *out, dureq_error *err)
{
    const char *own = env_path("DUREQ_STATE_DIR");
    const char *service = env_path("STATE_DIRECTORY");
    const char *xdg = env_path("XDG_STATE_HOME");

    if (own) {
        dq_buf_append_text(out, own);
    } else if (service) {
        dureq_str rest = dureq_str_from(service);

        dq_buf_append_str(out, dq_str_cut(&rest, ':')); /* a service may have several */
    } else if (xdg) {
        dq_buf_append_fmt(out, "%s/dureq", xdg);
    } else if (geteuid() == 0) {
        dq_buf_append_text(out, "/var/lib/dureq");
    } else {
        int rc = append_home(out, err);

        if (rc < 0)
            return rc;
        dq_buf_append_text(out, "/.local/state/dureq");
    }
    return out->failed ? dq_fail_nomem(err) : 0;
}

void dq_state_dir_socket(const char *dir, dq_buf *out)
{
    dq_buf_append_fmt(out, "%s/redis.sock", dir);
}

void dq_state_dir_url(const char *dir, dq_buf *out)
{
    DQ_BUF_AUTO path = {0};

    dq_state_dir_socket(dir, &path);
    dq_buf_append_text(out, "unix://");
    for (const unsigned char *p = (const unsigned char *)path.ptr; p && *p; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || strchr("/-_.~", *p);

        if (plain)
            dq_buf_append_char(out, (char)*p);
        else
            dq_buf_append_fmt(out, "%%%02X", *p);
    }
    if (dq_buf_failed(&path))
        out->failed = true;
}

int dq_state_socket_path(dq_buf *out)
{
    DQ_BUF_AUTO dir = {0};
    int rc = dq_state_dir_default(&dir, NULL);

    if (rc < 0)
        return rc;
    dq_state_dir_socket(dir.ptr, out);
    return 0;
}
