/* SPDX-License-Identifier: Apache-2.0 */
#include "exec_spawn.h"

#include "base/mutex.h"
#include "exec_child.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

struct dq_spawner {
    dq_loop *loop;
    pthread_t thread;
    void *stack; /* of the child until it runs its program */

    dq_mutex mu; /* guards the next two */
    dq_list queue;
    bool stopping;
    dq_cond changed;
};

static struct rlimit started_with; /* set once, before threads; zeroed: the limit was never changed */

void dq_spawn_raise_open_files(void)
{
    struct rlimit now;

    if (getrlimit(RLIMIT_NOFILE, &now) < 0)
        return;
    started_with = now;
    now.rlim_cur = now.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &now); /* the old limit works, too, for fewer children */
}

#define FDS_PER_CHILD 4  /* its end, and our ends of three pipes */
#define FDS_OF_DAEMON 64 /* connections, loops, state directory, the child that is being made */

int64_t dq_spawn_children_max(int64_t wanted, int64_t *ret_has, int64_t *ret_needs)
{
    struct rlimit now;

    *ret_needs = wanted * FDS_PER_CHILD + FDS_OF_DAEMON;
    *ret_has = *ret_needs;
    if (getrlimit(RLIMIT_NOFILE, &now) == 0 && now.rlim_cur < (rlim_t)*ret_needs)
        *ret_has = (int64_t)now.rlim_cur;
    return *ret_has == *ret_needs ? wanted : DQ_MAX((*ret_has - FDS_OF_DAEMON) / FDS_PER_CHILD, 1);
}

/* ---- what a child inherits ---- */

typedef struct child_fds {
    int in, out[2], err[2], ctl[2]; /* -1: not open */
} child_fds;

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

static void close_fds(child_fds *f)
{
    close_fd(&f->in);
    for (int i = 0; i < 2; i++) {
        close_fd(&f->out[i]);
        close_fd(&f->err[i]);
        close_fd(&f->ctl[i]);
    }
}

static bool write_whole(int fd, dureq_str bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.ptr, bytes.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes.ptr += n;
        bytes.len -= (size_t)n;
    }
    return true;
}

/* Only our end must not block: the flag belongs to an end, not to the pipe. */
static bool make_pipe(int fds[2])
{
    return pipe2(fds, O_CLOEXEC) == 0 && fcntl(fds[0], F_SETFL, O_NONBLOCK) == 0;
}

/* A file in memory instead of a pipe: nothing to feed, whatever the program does or does not read. */
static bool make_input(child_fds *f, dureq_str input)
{
    f->in = memfd_create("dureq-payload", MFD_CLOEXEC);
    return f->in >= 0 && write_whole(f->in, input) && lseek(f->in, 0, SEEK_SET) == 0;
}

/* So that another user can open /dev/stdin and the like. */
static bool give_to_user(const child_fds *f, const dq_spawn_profile *p)
{
    if (!p->has_user)
        return true;
    return fchown(f->in, p->uid, p->gid) == 0 && fchown(f->out[1], p->uid, p->gid) == 0 &&
           fchown(f->err[1], p->uid, p->gid) == 0 && fchown(f->ctl[1], p->uid, p->gid) == 0;
}

static bool make_fds(child_fds *f, const dq_spawn *s)
{
    *f = (child_fds){-1, {-1, -1}, {-1, -1}, {-1, -1}};
    return make_input(f, s->input) && make_pipe(f->out) && make_pipe(f->err) && make_pipe(f->ctl) && give_to_user(f, s->profile);
}

static bool make_context(const dq_spawn *s)
{
    int fd;
    bool ok;

    if (!s->context_path)
        return true;
    fd = open(s->context_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return false;
    ok = write_whole(fd, s->context) && (!s->profile->has_user || fchown(fd, s->profile->uid, s->profile->gid) == 0);
    if (!ok) {
        int sys_errno = errno;

        (void)unlink(s->context_path);
        errno = sys_errno;
    }
    (void)close(fd); /* nothing depends on it being on disk */
    return ok;
}

/* ---- one spawn ---- */

static void fail(dq_spawn *s, const char *step, int sys_errno)
{
    s->failed_step = step;
    s->sys_errno = sys_errno ? sys_errno : EIO;
}

static void start_child(dq_spawner *sp, dq_spawn *s, const child_fds *f, int group_fd)
{
    dq_child c = {.profile = s->profile,
                  .program = s->program,
                  .argv = s->argv,
                  .envp = s->envp,
                  .in_fd = f->in,
                  .out_fd = f->out[1],
                  .err_fd = f->err[1],
                  .ctl_fd = f->ctl[1],
                  .group_fd = group_fd,
                  .limits_data = !s->groups || !s->groups->has_memory,
                  .limits_user = !s->groups || !s->groups->has_pids,
                  .open_files = started_with,
                  .stack = sp->stack};

    dq_child_start(&c);
    s->pid = c.pid;
    s->pid_fd = c.pid_fd;
    s->failed_step = c.failed_step;
    s->sys_errno = c.sys_errno;
}

static void start_in_group(dq_spawner *sp, dq_spawn *s, const child_fds *f)
{
    const dq_spawn_profile *p = s->profile;
    int fd = -1;

    if (s->groups) {
        fd = dq_group_make(s->groups, s->group_no, p->memory_bytes, p->max_processes);
        s->has_group = fd >= 0;
        if (fd < 0) {
            fail(s, "making its control group", errno);
            return;
        }
    }
    start_child(sp, s, f, fd);
    close_fd(&fd);
}

static void spawn_one(dq_spawner *sp, dq_spawn *s)
{
    child_fds f;

    s->pid_fd = s->out_fd = s->err_fd = s->ctl_fd = -1;
    if (s->before)
        s->before(s);
    errno = 0;
    if (!make_fds(&f, s)) {
        fail(s, "preparing descriptors", errno);
    } else if (!make_context(s)) {
        fail(s, "writing the context file", errno);
    } else {
        start_in_group(sp, s, &f);
        if (s->sys_errno && s->context_path)
            (void)unlink(s->context_path);
    }
    if (!s->sys_errno) {
        s->out_fd = f.out[0];
        s->err_fd = f.err[0];
        s->ctl_fd = f.ctl[0];
        f.out[0] = f.err[0] = f.ctl[0] = -1;
    }
    close_fds(&f);
}

static dq_spawn *next_spawn(dq_spawner *sp, bool *ret_stopping)
{
    dq_list *link;

    dq_mutex_lock(&sp->mu);
    while (dq_list_empty(&sp->queue) && !sp->stopping)
        dq_cond_wait(&sp->changed, &sp->mu);
    link = dq_list_pop_front(&sp->queue);
    *ret_stopping = sp->stopping;
    dq_mutex_unlock(&sp->mu);
    return link ? dq_container_of(link, dq_spawn, link) : NULL;
}

static void *spawner_main(void *arg)
{
    dq_spawner *sp = arg;
    bool stopping = false;

    for (dq_spawn *s = next_spawn(sp, &stopping); s; s = next_spawn(sp, &stopping)) {
        if (stopping)
            fail(s, "stopping", ECANCELED);
        else
            spawn_one(sp, s);
        dq_loop_post(sp->loop, &s->done);
    }
    return NULL;
}

/* ---- the spawner ---- */

int dq_spawner_create(dq_loop *loop, dq_spawner **ret, dureq_error *err)
{
    dq_spawner *sp = dq_calloc(1, sizeof *sp);
    int rc = 0;

    if (!sp)
        return dq_fail_nomem(err);
    sp->loop = loop;
    sp->stack = mmap(NULL, DQ_CHILD_STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (sp->stack == MAP_FAILED) {
        dq_free(sp);
        return dq_fail_nomem(err);
    }
    dq_list_init(&sp->queue);
    dq_mutex_init(&sp->mu);
    dq_cond_init(&sp->changed);
    rc = dq_thread_start(&sp->thread, "dq-spawn", 0, spawner_main, sp, err);
    if (rc == 0) {
        *ret = sp;
        return 0;
    }
    dq_cond_deinit(&sp->changed);
    dq_mutex_deinit(&sp->mu);
    (void)munmap(sp->stack, DQ_CHILD_STACK_BYTES);
    dq_free(sp);
    return rc;
}

void dq_spawner_submit(dq_spawner *sp, dq_spawn *spawn)
{
    bool was_empty;

    dq_mutex_lock(&sp->mu);
    was_empty = dq_list_empty(&sp->queue);
    dq_list_push_back(&sp->queue, &spawn->link);
    dq_mutex_unlock(&sp->mu);
    if (was_empty)
        dq_cond_signal(&sp->changed);
}

void dq_spawner_destroy(dq_spawner *sp)
{
    if (!sp)
        return;
    dq_mutex_lock(&sp->mu);
    sp->stopping = true;
    dq_mutex_unlock(&sp->mu);
    dq_cond_signal(&sp->changed);
    pthread_join(sp->thread, NULL);
    dq_cond_deinit(&sp->changed);
    dq_mutex_deinit(&sp->mu);
    (void)munmap(sp->stack, DQ_CHILD_STACK_BYTES);
    dq_free(sp);
}

/* ---- users ---- */

static int copy_user(const struct passwd *entry, char **ret_name, char **ret_home, dureq_error *err)
{
    *ret_name = dq_strdup(entry->pw_name);
    *ret_home = dq_strdup(entry->pw_dir);
    if (*ret_name && *ret_home)
        return 0;
    dq_free(*ret_name);
    dq_free(*ret_home);
    *ret_name = *ret_home = NULL;
    return dq_fail_nomem(err);
}

static int set_groups(dq_spawn_profile *p, const char *name, dureq_error *err)
{
    int n = 0;

    (void)getgrouplist(name, p->gid, NULL, &n); /* asks how many */
    p->groups = dq_calloc((size_t)n + 1, sizeof *p->groups);
    if (!p->groups)
        return dq_fail_nomem(err);
    p->n_groups = n;
    if (getgrouplist(name, p->gid, p->groups, &p->n_groups) < 0)
        return dq_fail(err, DUREQ_EIO, "cannot read the groups of user '%.60s'", name);
    return 0;
}

int dq_spawn_profile_set_user(dq_spawn_profile *p, const char *user, char **ret_name, char **ret_home, dureq_error *err)
{
    const struct passwd *entry;
    int64_t uid;
    int rc;

    *ret_name = *ret_home = NULL;
    if (!user)
        entry = getpwuid(geteuid());
    else if (dq_parse_i64(dureq_str_from(user), 0, UINT32_MAX - 1, &uid) == 0)
        entry = getpwuid((uid_t)uid);
    else
        entry = getpwnam(user);
    if (!entry)
        return user ? dq_fail(err, DUREQ_ENOTFOUND, "there is no user '%.60s'", user) : 0;
    if (user && entry->pw_uid != geteuid() && geteuid() != 0)
        return dq_fail(err, DUREQ_EPERM, "only root can run programs as another user ('%.60s')", user);

    p->has_user = user && geteuid() == 0;
    p->uid = entry->pw_uid;
    p->gid = entry->pw_gid;
    rc = copy_user(entry, ret_name, ret_home, err);
    return rc < 0 || !p->has_user ? rc : set_groups(p, *ret_name, err);
}

void dq_spawn_profile_deinit(dq_spawn_profile *p)
{
    dq_free(p->groups);
    *p = (dq_spawn_profile){0};
}
