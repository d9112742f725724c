/* SPDX-License-Identifier: Apache-2.0 */
/* A handler of several steps whose process is killed, again and again: before each step in turn, and in each of them. A step that ended is never done
   again, and what it gave comes back; one that was cut off is done again under the same idempotency key. Real processes, one node at a time. */
#include "test_rig.h"

#include "fault_wait.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROLE     "--step-node"
#define N_STEPS  4
#define LIMIT_MS 30000
#define LEASE_MS "300"

/* ---- in the node's process ---- */

static int ledger = -1;
static int die_before = -1, die_in = -1; /* a step */

static void write_line(const char *mark, int number, const char *text)
{
    char line[256];
    int len = snprintf(line, sizeof line, "%s%d %s\n", mark, number, text);

    if (write(ledger, line, (size_t)len) != len)
        abort();
}

/* Its effect is a line of the ledger. */
static int act(dureq_step *step, void *userdata)
{
    const int *number = userdata;
    char done_by[32];

    write_line("", *number, dureq_step_idempotency_key(step));
    if (*number == die_in)
        (void)raise(SIGKILL);
    (void)snprintf(done_by, sizeof done_by, "pid-%ld", (long)getpid());
    return dureq_step_set_result(step, dureq_str_from(done_by));
}

static int steps(dureq_run *run, void *userdata)
{
    dureq_error err = {0};

    (void)userdata;
    for (int i = 0; i < N_STEPS; i++) {
        char key[8], *given = NULL;
        int rc;

        if (i == die_before)
            (void)raise(SIGKILL);
        (void)snprintf(key, sizeof key, "s%d", i);
        rc = dureq_run_step(run, key, act, &i, &given, NULL, &err);
        if (rc < 0)
            return dureq_run_retry(run, rc, "step %d: %s", i, err.msg);
        write_line("= ", i, given);
        dureq_free(given);
    }
    return 0;
}

/* argv: role url prefix shards ledger die_before die_in. Runs until it is killed. */
static int role(char **argv)
{
    dureq_node_options o = dureq_node_options_init();
    dureq_error err = {0};
    dureq_node *node;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    o.redis_url = argv[2];
    o.prefix = argv[3];
    o.shards = (int32_t)strtol(argv[4], NULL, 10);
    o.lease_ms = strtol(LEASE_MS, NULL, 10);
    o.max_crashes = 100;
    ledger = open(argv[5], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    die_before = (int)strtol(argv[6], NULL, 10);
    die_in = (int)strtol(argv[7], NULL, 10);
    if (ledger < 0 || dureq_node_create(&o, &node, &err) < 0 || dureq_node_handle(node, "steps", steps, NULL, NULL, &err) < 0 ||
        dureq_node_start(node, &err) < 0) {
        fprintf(stderr, "node: %s\n", err.msg);
        return 1;
    }
    for (;;)
        (void)pause();
}

/* ---- in the test's ---- */

static pid_t spawn(const char *path, int before, int in)
{
    char shards[8], before_text[8], in_text[8];
    pid_t pid;

    (void)snprintf(shards, sizeof shards, "%d", rig.shards);
    (void)snprintf(before_text, sizeof before_text, "%d", before);
    (void)snprintf(in_text, sizeof in_text, "%d", in);
    pid = fork();
    if (pid == 0) {
        execl("/proc/self/exe", "test_fault_step_kill", ROLE, test_redis_url(rig.server), rig.prefix, shards, path, before_text,
              in_text, (char *)NULL);
        _exit(127);
    }
    if (pid < 0)
        fault_die("fork: %s", strerror(errno));
    return pid;
}

static bool has_died(void *userdata)
{
    siginfo_t info = {0};

    return waitid(P_PID, (id_t) * (pid_t *)userdata, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0;
}

static void bury(pid_t pid, bool killed_itself)
{
    int status = 0;

    if (killed_itself && !fault_wait(LIMIT_MS, has_died, &pid))
        fault_die("the node did not come to the step at which it dies");
    if (!killed_itself)
        (void)kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            fault_die("waitpid: %s", strerror(errno));
    if (!WIFSIGNALED(status))
        fault_die("the node ended by itself, status %d", status);
}

/* What the ledger says of a step: how often it was done and under which key, how often what it gave came back; same: each time the same. */
typedef struct entry {
    int n_done, n_given;
    char key[128], given[64];
    bool same;
} entry;

static void read_ledger(const char *path, entry *all)
{
    FILE *f = fopen(path, "r");
    char line[256], text[200];
    int i;

    for (i = 0; i < N_STEPS; i++)
        all[i].same = true;
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "= %d %199s", &i, text) == 2 && i >= 0 && i < N_STEPS) {
            all[i].same = all[i].same && (all[i].n_given == 0 || strcmp(all[i].given, text) == 0);
            all[i].n_given++;
            (void)snprintf(all[i].given, sizeof all[i].given, "%.60s", text);
        } else if (sscanf(line, "%d %199s", &i, text) == 2 && i >= 0 && i < N_STEPS) {
            all[i].same = all[i].same && (all[i].n_done == 0 || strcmp(all[i].key, text) == 0);
            all[i].n_done++;
            (void)snprintf(all[i].key, sizeof all[i].key, "%.120s", text);
        }
    }
    if (f)
        (void)fclose(f);
}

/* A node dies at each step in turn; the last one lives. */
static dureq_job_id kill_at_each(bool in, entry *all)
{
    char path[512];
    dureq_job_id id;
    pid_t last;

    (void)snprintf(path, sizeof path, "%s/ledger.%s", test_redis_dir(rig.server), rig.prefix);
    id = rig_enqueue("steps", "1", NULL);
    for (int i = 0; i < N_STEPS; i++)
        bury(spawn(path, in ? -1 : i, in ? i : -1), /*killed_itself=*/true);
    last = spawn(path, -1, -1);
    const dureq_job *job = rig_wait(id.text);
    EXPECT_I64(DUREQ_JOB_COMPLETED, job->state);
    bury(last, /*killed_itself=*/false);
    read_ledger(path, all);
    return id;
}

static void expect_done(const entry *e, int i, const dureq_job_id *id, int times)
{
    char key[128];

    (void)snprintf(key, sizeof key, "dureq:%s:0:s%d", id->text, i);
    EXPECT_NOTE("step %d", i);
    EXPECT_I64(times, e->n_done);
    EXPECT_TEXT(key, e->key);
    EXPECT_HAS("pid-", e->given);
    EXPECT_TRUE(e->same);
}

SCENARIO(killed_between_its_steps_a_handler_does_each_once)
{
    entry all[N_STEPS] = {0};
    dureq_job_id id = kill_at_each(/*in=*/false, all);

    /* Whoever dies before a step has been given all that come before it. */
    for (int i = 0; i < N_STEPS; i++) {
        expect_done(&all[i], i, &id, 1);
        EXPECT_I64(N_STEPS - i, all[i].n_given);
    }
}

SCENARIO(killed_in_a_step_a_handler_does_it_again_under_the_same_key)
{
    entry all[N_STEPS] = {0};
    dureq_job_id id = kill_at_each(/*in=*/true, all);

    for (int i = 0; i < N_STEPS; i++)
        expect_done(&all[i], i, &id, 2);
}

int main(int argc, char **argv)
{
    if (argc == 8 && strcmp(argv[1], ROLE) == 0)
        return role(argv);
    cmocka_set_test_filter(getenv("DUREQ_TEST_ONLY"));
    return _cmocka_run_group_tests(__FILE__, expect_tests, expect_n_tests, rig_group_start, rig_group_stop);
}
