/* SPDX-License-Identifier: Apache-2.0 */
#include "fault_ledger.h"

#include "base/clock.h"
#include "base/map.h"
#include "base/mutex.h"
#include "base/str.h"
#include "fault_wait.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define BATCH_MAX   64
#define N_UNIQUE    7
#define RETRIES_MAX 4
#define LOSSES_MAX  FAULT_ROUNDS_MAX

typedef struct loss {
    int64_t since_us, ended_us, back_us; /* back_us: INT64_MAX until it is known */
} loss;

struct fault_ledger {
    atomic_long next;
    atomic_long n_acknowledged; /* while producers run; one that was killed may have died before it counted */
    long n_max;
    int fd;
    loss losses[LOSSES_MAX];
    int n_losses;
    bool history_goes;
    fault_entry entries[];
};

static size_t bytes_of(long n_max)
{
    return sizeof(fault_ledger) + (size_t)n_max * sizeof(fault_entry);
}

static fault_ledger *map(int fd, size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (at == MAP_FAILED)
        fault_die("the ledger cannot be mapped");
    return at;
}

fault_ledger *fault_ledger_create(long n_max)
{
    size_t bytes = bytes_of(n_max);
    int fd = memfd_create("ledger", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0)
        fault_die("no memory for a ledger of %ld", n_max);
    fault_ledger *l = map(fd, bytes);
    l->n_max = n_max;
    l->fd = fd;
    return l;
}

void fault_ledger_destroy(fault_ledger *l)
{
    close(l->fd);
    (void)munmap(l, bytes_of(l->n_max));
}

int fault_ledger_fd(const fault_ledger *l)
{
    return l->fd;
}

fault_ledger *fault_ledger_attach(int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        fault_die("no ledger at descriptor %d", fd);
    return map(fd, (size_t)st.st_size);
}

long fault_ledger_len(fault_ledger *l)
{
    long n = atomic_load(&l->next);

    return n < l->n_max ? n : l->n_max;
}

long fault_ledger_acknowledged(fault_ledger *l)
{
    return atomic_load(&l->n_acknowledged);
}

bool fault_ledger_is_full(fault_ledger *l)
{
    return atomic_load(&l->next) > l->n_max;
}

fault_entry *fault_ledger_entry(fault_ledger *l, long seq)
{
    return &l->entries[seq];
}

long fault_ledger_count(fault_ledger *l, fault_answer answer)
{
    long n = 0;

    for (long i = 0; i < fault_ledger_len(l); i++)
        n += l->entries[i].answer == answer;
    return n;
}

void fault_ledger_note_loss(fault_ledger *l, int64_t since_us, int64_t ended_us)
{
    if (l->n_losses == LOSSES_MAX)
        fault_die("more losses than the ledger can note");
    l->losses[l->n_losses++] = (loss){since_us, ended_us, INT64_MAX};
}

void fault_ledger_note_back(fault_ledger *l)
{
    if (l->n_losses > 0 && l->losses[l->n_losses - 1].back_us == INT64_MAX)
        l->losses[l->n_losses - 1].back_us = dq_mono_us();
}

/* Whether something answered at `answered_us`, and asked for at `began_us`, may have been forgotten. */
static bool may_be_forgotten(const fault_ledger *l, int64_t began_us, int64_t answered_us)
{
    for (int i = 0; i < l->n_losses; i++)
        if (answered_us >= l->losses[i].since_us && began_us <= l->losses[i].ended_us)
            return true;
    return false;
}

/* An end that a node told at `at_us`: until the server was back it was one that the old server had accepted. */
static bool end_may_be_forgotten(const fault_ledger *l, int64_t at_us)
{
    for (int i = 0; i < l->n_losses; i++)
        if (at_us >= l->losses[i].since_us && at_us <= l->losses[i].back_us)
            return true;
    return false;
}

/* ---- making jobs ---- */

/* All that a spec points to. */
typedef struct made_job {
    long seq;
    char payload[48], key[32], request[32];
    char *large; /* instead of payload; NULL: it is not */
    dureq_retry_policy policy;
    dureq_job_options options;
    dureq_job_spec spec;
} made_job;

static void choose_kind(fault_entry *e, long seq)
{
    e->kind = 'w';
    e->n = 0;
    switch (seq % 16) {
    case 1: e->n = 30; break;
    case 3: e->n = 150; break;
    case 5: e->n = seq % 64 == 5 ? FAULT_LEASE_MS + 200 : 60; break;
    case 7: e->kind = 'd'; break;
    case 9: e->kind = 'f', e->n = 1; break;
    case 11: e->kind = 'f', e->n = 2; break;
    default: break;
    }
}

/* With kind and n as they are in its entry. */
static void make_plain(fault_ledger *l, long seq, made_job *m)
{
    fault_entry *e = &l->entries[seq];

    e->began_us = dq_mono_us();
    m->seq = seq;
    m->large = NULL;
    (void)snprintf(m->payload, sizeof m->payload, "%c %ld %d", e->kind, seq, e->n);
    m->policy = dureq_retry_policy_init();
    m->policy.max_attempts = RETRIES_MAX;
    m->policy.initial_delay_ms = 20;
    m->policy.max_delay_ms = 100;
    m->options = dureq_job_options_init();
    m->options.retry_policy = &m->policy;
    m->spec =
        (dureq_job_spec){.task_type = fault_type_of(e->kind), .payload = dureq_str_from(m->payload), .options = &m->options};
}

/* As it was, and blanks up to the length of one that Redis keeps beside its job. */
static void make_large(made_job *m)
{
    m->large = malloc(FAULT_LARGE_BYTES);
    if (!m->large)
        fault_die("no memory");
    memset(m->large, ' ', FAULT_LARGE_BYTES);
    memcpy(m->large, m->payload, strlen(m->payload));
    m->spec.payload = dureq_str_of(m->large, FAULT_LARGE_BYTES);
}

static void make(fault_ledger *l, long seq, made_job *m)
{
    choose_kind(&l->entries[seq], seq);
    make_plain(l, seq, m);
    l->entries[seq].large = seq % 64 == 12;
    if (l->entries[seq].large)
        make_large(m);
    (void)snprintf(m->key, sizeof m->key, "key-%ld", seq / 16 % N_UNIQUE);
    (void)snprintf(m->request, sizeof m->request, "request-%ld", seq);
    if (seq % 16 == 2 || seq % 16 == 9)
        m->options.delay_ms = 20 + seq % 300;
    if (seq % 16 == 4 || seq % 16 == 5 || seq % 16 == 11)
        m->options.unique_key = dureq_str_from(m->key);
    if (seq % 16 == 6 || seq % 16 == 8)
        m->options.request_id = dureq_str_from(m->request);
    if (seq % 16 == 10)
        m->options.schedule_to_start_timeout_ms = 3600000;
}

static void note(fault_ledger *l, long seq, int code, const dureq_job_id *id)
{
    fault_entry *e = &l->entries[seq];

    e->code = code;
    e->answered_us = dq_mono_us();
    if (code == 0 || code == DUREQ_EDUPLICATE)
        e->id = *id;
    e->answer = code == 0                  ? FAULT_ACKNOWLEDGED
                : code == DUREQ_EDUPLICATE ? FAULT_DUPLICATE
                : code == DUREQ_EUNKNOWN   ? FAULT_UNKNOWN
                                           : FAULT_REFUSED;
    if (code == 0)
        atomic_fetch_add(&l->n_acknowledged, 1);
}

int fault_ledger_enqueue(fault_ledger *l, dureq_client *c, bool *full)
{
    long seq = atomic_fetch_add(&l->next, 1);
    dureq_job_id id = {{0}};
    made_job m;
    int rc;

    *full = seq >= l->n_max;
    if (*full)
        return 0;
    make(l, seq, &m);
    rc = dureq_client_enqueue(c, &m.spec, &id, NULL);
    free(m.large);
    note(l, seq, rc, &id);
    return rc;
}

int fault_ledger_enqueue_kind(fault_ledger *l, dureq_client *c, char kind, int n)
{
    long seq = atomic_fetch_add(&l->next, 1);
    dureq_job_id id = {{0}};
    made_job m;
    int rc;

    if (seq >= l->n_max)
        fault_die("more jobs than the ledger has lines");
    l->entries[seq].kind = kind;
    l->entries[seq].n = n;
    make_plain(l, seq, &m);
    rc = dureq_client_enqueue(c, &m.spec, &id, NULL);
    note(l, seq, rc, &id);
    return rc;
}

int fault_ledger_enqueue_many(fault_ledger *l, dureq_client *c, int n, bool *full)
{
    long first = atomic_fetch_add(&l->next, n);
    dureq_enqueue_result results[BATCH_MAX];
    dureq_job_spec specs[BATCH_MAX];
    made_job made[BATCH_MAX];
    int missing = 0;

    *full = first + n > l->n_max;
    if (*full || n > BATCH_MAX)
        return 0;
    for (int i = 0; i < n; i++) {
        make(l, first + i, &made[i]);
        specs[i] = made[i].spec;
    }
    if (dureq_client_enqueue_many(c, specs, (size_t)n, results, NULL) < 0)
        missing = n;
    for (int i = 0; i < n; i++) {
        note(l, first + i, results[i].code, &results[i].id);
        free(made[i].large);
        missing += missing < n && results[i].code < 0;
    }
    return missing;
}

/* ---- at the end ---- */

static void count_job(fault_ledger *l, const dureq_job *job)
{
    char text[64] = {0}, kind;
    long seq;
    int n;

    memcpy(text, job->payload.ptr, DQ_MIN(job->payload.len, sizeof text - 1));
    if (sscanf(text, "%c %ld %d", &kind, &seq, &n) != 3 || seq < 0 || seq >= fault_ledger_len(l))
        fault_die("job %s has a payload nobody gave it: '%s'", job->id.text, text);
    fault_entry *e = &l->entries[seq];
    if (!dq_str_eq_text(job->task_type, fault_type_of(e->kind)))
        fault_die("job %ld (%c %d) is of type " DQ_STR_FMT ": %s", seq, e->kind, e->n, DQ_STR_ARG(job->task_type), job->id.text);
    if (!fault_payload_is_whole(job->payload) || e->large != (job->payload.len == FAULT_LARGE_BYTES))
        fault_die("job %ld has a payload of %zu bytes, and not its own: %s", seq, job->payload.len, job->id.text);
    e->found++;
    if (e->found > 1)
        fault_die("job %ld is there twice: %s and %s (%s, answer %d)", seq, e->id.text, job->id.text,
                  dureq_job_state_to_str(job->state), e->answer);
    if (e->answer == FAULT_ACKNOWLEDGED && strcmp(e->id.text, job->id.text) != 0)
        fault_die("job %ld was acknowledged as %s and is %s", seq, e->id.text, job->id.text);
    e->id = job->id;
    e->state = job->state;
    e->runs = job->runs;
}

/* Lists leave large payloads out. */
static void count_listed(fault_ledger *l, dureq_client *c, const dureq_job *job)
{
    dureq_job_list *list = NULL;
    dureq_error err = {0};

    if (!job->payload_omitted) {
        count_job(l, job);
        return;
    }
    if (dureq_client_get_job(c, job->id.text, &list, &err) < 0)
        fault_die("job %s cannot be read: %s", job->id.text, err.msg);
    count_job(l, &list->items[0]);
    dureq_job_list_destroy(list);
}

static void read_jobs(fault_ledger *l, dureq_client *c)
{
    dureq_job_filter filter = dureq_job_filter_init();
    char cursor[512] = "";
    dureq_error err = {0};

    filter.limit = 1000;
    for (;;) {
        dureq_job_list *list = NULL;

        filter.cursor = cursor[0] ? cursor : NULL;
        if (dureq_client_list_jobs(c, &filter, &list, &err) < 0)
            fault_die("listing jobs: %s", err.msg);
        for (size_t i = 0; i < list->n; i++)
            count_listed(l, c, &list->items[i]);
        if (list->next_cursor.len >= sizeof cursor)
            fault_die("a cursor of %zu bytes", list->next_cursor.len);
        (void)snprintf(cursor, sizeof cursor, "%.*s", (int)list->next_cursor.len, list->next_cursor.ptr);
        dureq_job_list_destroy(list);
        if (!cursor[0])
            return;
    }
}

void fault_ledger_let_history_go(fault_ledger *l)
{
    l->history_goes = true;
}

static void take_end(const dq_map *by_id, const fault_line *x)
{
    fault_entry *e = dq_map_get(by_id, dureq_str_from(x->job_id));

    if (!e || (x->mark != FAULT_MARK_COMPLETED && x->mark != FAULT_MARK_DEAD))
        return;
    e->found = 1;
    e->state = x->mark == FAULT_MARK_COMPLETED ? DUREQ_JOB_COMPLETED : DUREQ_JOB_DEAD;
    e->runs = (int32_t)x->run;
}

/* Of acknowledged jobs that are not there. */
static void take_ends_from_lines(fault_ledger *l, const char *log_path)
{
    fault_lines lines = fault_lines_read(log_path);
    dq_map by_id = {0};

    for (long i = 0; i < fault_ledger_len(l); i++) {
        fault_entry *e = &l->entries[i];

        if (e->answer == FAULT_ACKNOWLEDGED && !e->found && dq_map_put(&by_id, dureq_str_from(e->id.text), e) < 0)
            fault_die("out of memory");
    }
    for (size_t i = 0; i < lines.n; i++)
        take_end(&by_id, &lines.items[i]);
    dq_map_deinit(&by_id);
    fault_lines_deinit(&lines);
}

static bool is_forgotten(const fault_ledger *l, const fault_entry *e)
{
    return e->answer == FAULT_ACKNOWLEDGED && !e->found && may_be_forgotten(l, e->began_us, e->answered_us);
}

static void check_entry(const fault_ledger *l, long seq, fault_sums *s)
{
    const fault_entry *e = &l->entries[seq];
    dureq_job_state wanted = e->kind == 'd' || e->kind == 'p' ? DUREQ_JOB_DEAD : DUREQ_JOB_COMPLETED;
    bool orphaned = e->answer == FAULT_NOT_SENT && e->began_us;
    bool may_be = e->answer == FAULT_ACKNOWLEDGED || e->answer == FAULT_UNKNOWN || orphaned;

    s->acknowledged += e->answer == FAULT_ACKNOWLEDGED;
    s->unknown += e->answer == FAULT_UNKNOWN;
    s->unknown_found += e->answer == FAULT_UNKNOWN && e->found;
    s->duplicate += e->answer == FAULT_DUPLICATE;
    s->refused += e->answer == FAULT_REFUSED;
    s->orphaned += orphaned;
    s->orphaned_found += orphaned && e->found;
    s->forgotten += is_forgotten(l, e);
    if (e->answer == FAULT_ACKNOWLEDGED && !e->found && !is_forgotten(l, e))
        fault_die("job %ld (%c %d) was acknowledged as %s and is lost", seq, e->kind, e->n, e->id.text);
    if (!may_be && e->found)
        fault_die("job %ld (%c %d) was refused (%s) and is there as %s", seq, e->kind, e->n, dureq_errcode_name(e->code),
                  e->id.text);
    if (!e->found)
        return;
    s->completed += e->state == DUREQ_JOB_COMPLETED;
    s->dead += e->state == DUREQ_JOB_DEAD;
    s->starts_expected += e->kind == 'f' ? e->n + 1 : 1;
    if (e->state != wanted)
        fault_die("job %ld (%c %d) is %s after %d runs: %s", seq, e->kind, e->n, dureq_job_state_to_str(e->state), e->runs,
                  e->id.text);
}

/* A node tells an end after its acceptance by Redis; so two of one job would be two accepted ends. */
static void check_ends(const fault_ledger *l, const fault_lines *lines, fault_sums *s)
{
    const fault_line *end = NULL;

    for (size_t i = 0; i < lines->n; i++) {
        const fault_line *x = &lines->items[i];

        s->starts += x->mark == FAULT_MARK_START;
        s->taken += x->mark == FAULT_MARK_LOST ? x->run : 0;
        if (x->mark == FAULT_MARK_MIXED_UP)
            fault_die("job %s was given to the handler of another type, or with the payload of another, on %s", x->job_id,
                      x->node_id);
        if (x->mark != FAULT_MARK_COMPLETED && x->mark != FAULT_MARK_DEAD)
            continue;
        bool again = end && strcmp(end->job_id, x->job_id) == 0;
        s->ended_again += again;
        if (again && !end_may_be_forgotten(l, end->at_us))
            fault_die("job %s ended twice: run %ld on %s, run %ld on %s", x->job_id, end->run, end->node_id, x->run, x->node_id);
        end = x;
    }
}

/* A job that was not over before a server forgot, nor made after that: its runs may have been counted again. */
static bool runs_may_be_forgotten(const fault_ledger *l, int64_t began_us, int64_t over_us)
{
    for (int i = 0; i < l->n_losses; i++)
        if (over_us >= l->losses[i].since_us && began_us <= l->losses[i].back_us)
            return true;
    return false;
}

static bool has_started(const fault_lines *of_job, const fault_line *end)
{
    for (size_t i = 0; i < of_job->n; i++) {
        const fault_line *x = &of_job->items[i];

        if (x->mark == FAULT_MARK_START && x->run == end->run && x->at_us <= end->at_us && strcmp(x->node_id, end->node_id) == 0)
            return true;
    }
    return false;
}

/* Runs are numbered, and a job that is handed over begins the next one when its start was on record. So an end of any run but the last that began
   is the word of somebody who had lost the job. */
static void check_runs(const fault_ledger *l, long seq, const fault_lines *of_job)
{
    const fault_entry *e = &l->entries[seq];
    const fault_line *end = NULL;
    long highest = 0;

    for (size_t i = 0; i < of_job->n; i++) {
        const fault_line *x = &of_job->items[i];

        if (x->mark == FAULT_MARK_START)
            highest = DQ_MAX(highest, x->run);
        if (x->mark == FAULT_MARK_COMPLETED || x->mark == FAULT_MARK_DEAD)
            end = x;
    }
    if (runs_may_be_forgotten(l, e->began_us, end ? end->at_us : INT64_MAX))
        return;
    if (e->runs != highest)
        fault_die("job %ld (%c %d) has %d runs on record, and run %ld was the last that began: %s", seq, e->kind, e->n, e->runs,
                  highest, e->id.text);
    if (end && end->run != highest)
        fault_die("job %s ended with run %ld on %s, and run %ld had begun", e->id.text, end->run, end->node_id, highest);
    if (end && !has_started(of_job, end))
        fault_die("job %s ended with run %ld on %s, where it had not begun", e->id.text, end->run, end->node_id);
}

/* By job: where its lines begin. */
static void index_lines(const fault_lines *lines, dq_map *ret)
{
    for (size_t i = 0; i < lines->n; i++)
        if ((i == 0 || strcmp(lines->items[i - 1].job_id, lines->items[i].job_id) != 0) &&
            dq_map_put(ret, dureq_str_from(lines->items[i].job_id), &lines->items[i]) < 0)
            fault_die("out of memory");
}

static void check_lines(fault_ledger *l, const char *log_path, fault_sums *s)
{
    fault_lines lines = fault_lines_read_sorted(log_path);
    dq_map by_id = {0};

    check_ends(l, &lines, s);
    index_lines(&lines, &by_id);
    for (long i = 0; i < fault_ledger_len(l); i++) {
        fault_lines of_job = {0};

        if (!l->entries[i].found)
            continue;
        of_job.items = dq_map_get(&by_id, dureq_str_from(l->entries[i].id.text));
        while (of_job.items && of_job.items + of_job.n < lines.items + lines.n &&
               strcmp(of_job.items[of_job.n].job_id, l->entries[i].id.text) == 0)
            of_job.n++;
        check_runs(l, i, &of_job);
    }
    dq_map_deinit(&by_id);
    fault_lines_deinit(&lines);
}

fault_sums fault_ledger_check(fault_ledger *l, dureq_client *c, const char *log_path)
{
    fault_sums s = {0};

    read_jobs(l, c);
    if (l->history_goes)
        take_ends_from_lines(l, log_path);
    for (long i = 0; i < fault_ledger_len(l); i++)
        check_entry(l, i, &s);
    check_lines(l, log_path, &s);
    return s;
}

/* Nothing of what there was none of. */
static void print_part(const char *before, long n, const char *what)
{
    if (n > 0)
        printf("%s%ld %s", before, n, what);
}

void fault_sums_print(const char *what, const fault_sums *s)
{
    long more = s->starts - s->starts_expected;

    printf("%s: %ld acknowledged (%ld completed", what, s->acknowledged, s->completed);
    print_part(", ", s->dead, "dead");
    print_part(", ", s->forgotten, "forgotten");
    printf(")");
    print_part(", ", s->ended_again, "ended again");
    print_part(", ", s->unknown, "unknown");
    print_part(" (", s->unknown_found, "there)");
    print_part(", ", s->duplicate, "duplicate");
    print_part(", ", s->refused, "refused");
    printf("; %ld starts", s->starts);
    if (more > 0)
        printf(", %ld of them again (%.2f %%)", more, 100.0 * (double)more / (double)DQ_MAX(s->starts, 1));
    print_part(", ", s->taken, "taken from nodes");
    printf("\n");
    (void)fflush(stdout);
}
