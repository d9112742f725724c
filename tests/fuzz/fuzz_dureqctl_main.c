/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "../../dureqctl/ctl.h"
#include "client/absent.h"
#include "doctor/doctor.h"

/* The whole of dureqctl: its words, one a line, and after a NUL byte what standard input and each file hold. What it would ask of a server comes here (the linker
   wraps those calls) and can be read: paths and queries are encoded and give back the words they were made of, bodies are JSON, jobs are within their limits.
   It ends by a code that is documented, says why it is no success, and 0 only when it did something. */

enum { WORDS_MAX = 96, API_STEPS = 3 };

int dureqctl_main(int argc, char **argv);

static char *words[WORDS_MAX + 1]; /* as they were given */
static int n_words;
static dureq_str input;
static bool is_running;
static size_t n_asked;

static bool is_suffix_of_word(dureq_str s)
{
    for (int i = 0; i < n_words; i++) {
        size_t len = strlen(words[i]);

        if (len >= s.len && memcmp(words[i] + len - s.len, s.ptr, s.len) == 0)
            return true;
    }
    return false;
}

static unsigned hex(char c)
{
    assert((c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'));
    return (unsigned)(c <= '9' ? c - '0' : c - 'A' + 10);
}

static void decode(dureq_str s, dq_buf *out)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (c == '%') {
            assert(i + 2 < s.len);
            c = (char)(hex(s.ptr[i + 1]) << 4 | hex(s.ptr[i + 2]));
            i += 2;
        } else {
            assert(strchr("-_.~", c) || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'));
        }
        dq_buf_append_char(out, c);
    }
}

static bool is_plain(dureq_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] != '-' && (s.ptr[i] < 'a' || s.ptr[i] > 'z'))
            return false;
    return s.len > 0;
}

/* /api/jobs/{id}/cancel: whatever the id, there are no more steps than that. */
static void check_path(const char *path)
{
    dureq_str rest = dureq_str_from(path + strlen("/api/"));
    size_t n = 0;

    assert(strncmp(path, "/api/", 5) == 0);
    while (rest.len > 0) {
        dureq_str step = dq_str_cut(&rest, '/');
        DQ_BUF_AUTO text = {0};

        decode(step, &text);
        assert(text.len > 0 && (is_plain(step) || (n == 1 && is_suffix_of_word(dq_buf_str(&text)))));
        n++;
    }
    assert(n >= 1 && n <= API_STEPS);
}

static void check_query(const char *query)
{
    dureq_str rest = dureq_str_from(query);

    while (rest.len > 0) {
        dureq_str value = dq_str_cut(&rest, '&'), name = dq_str_cut(&value, '=');
        DQ_BUF_AUTO text = {0};

        for (size_t i = 0; i < name.len; i++)
            assert(name.ptr[i] == '_' || (name.ptr[i] >= 'a' && name.ptr[i] <= 'z'));
        decode(value, &text);
        assert(name.len > 0 && text.len > 0);
        assert(is_suffix_of_word(dq_buf_str(&text)) || dq_str_eq_text(name, "since") || dq_str_eq_text(name, "until") ||
               dq_str_eq_text(value, "1") || dq_str_eq_text(value, "24h") || dq_str_eq_text(value, "oldest"));
    }
}

/* ---- the server ---- */

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);

    return n >= m && strcmp(text + n - m, end) == 0;
}

static const char *answer_to(const char *path)
{
    static const char *const lists[] = {"/runs", "/queues", "/nodes", "/daily", "/events", "/audit"};

    for (size_t i = 0; i < DQ_ARRAY_LEN(lists); i++)
        if (ends_with(path, lists[i]))
            return "[{\"id\":\"1\",\"at\":\"2026-11-23T20:00:00Z\",\"name\":null,\"weight\":3},{}]";
    return "{\"data\":[{\"id\":\"1\",\"attempt\":2}],\"next_cursor\":\"c\",\"affected\":1,\"status\":\"completed\",\"exists\":true,"
           "\"existed\":true,\"jobs\":{\"pending\":1},\"logs\":\"a\\n\\u001bb\","
           "\"nodes\":[{\"addr\":\"a\",\"sections\":{\"server\":{\"version\":\"7\"}}},{}]}";
}

void __wrap_dq_api_handle(dureq_client *client, const dq_api_request *req, dq_api_response *ret);
void __wrap_dq_api_handle(dureq_client *client, const dq_api_request *req, dq_api_response *ret)
{
    bool is_gone = n_asked++ % 3 == 2;

    (void)client;
    check_path(req->path);
    check_query(req->query ? req->query : "");
    assert(req->body.len == 0 || (strcmp(req->method, "GET") != 0 && dq_json_valid(req->body) && req->body.ptr[0] == '{'));
    *ret = (dq_api_response){.status = is_gone ? 404 : 200, .code = is_gone ? DUREQ_ENOTFOUND : 0};
    dq_buf_append_text(&ret->body, is_gone ? "{\"error\":\"gone\",\"code\":\"not_found\"}" : answer_to(req->path));
}

int __wrap_dureq_client_create(const dureq_client_options *opts, dureq_client **ret, dureq_error *err);
int __wrap_dureq_client_create(const dureq_client_options *opts, dureq_client **ret, dureq_error *err)
{
    assert(opts->redis_url[0] && opts->timeout_ms >= 0);
    assert(!opts->prefix || is_suffix_of_word(dureq_str_from(opts->prefix)));
    n_asked++;
    if (strstr(opts->redis_url, "away"))
        return dq_fail(err, DUREQ_EUNAVAILABLE, "nobody is there");
    *ret = (dureq_client *)&n_words; /* only passed on */
    return 0;
}

void __wrap_dureq_client_destroy(dureq_client *client);
void __wrap_dureq_client_destroy(dureq_client *client)
{
    (void)client;
}

bool __wrap_dq_client_is_absent(dureq_client *client);
bool __wrap_dq_client_is_absent(dureq_client *client)
{
    (void)client;
    return n_asked % 2 == 1;
}

static void check_job(const dureq_job_spec *spec)
{
    const dureq_job_options *o = spec->options;

    assert(spec->task_type && o && (spec->payload.ptr || spec->payload.len == 0));
    assert(o->n_tags <= DUREQ_TAGS_MAX && o->n_headers <= DUREQ_HEADERS_MAX);
    for (size_t i = 0; i < o->n_tags; i++)
        assert(o->tags[i]);
    for (size_t i = 0; i < o->n_headers; i++)
        assert(o->headers[i].name && o->headers[i].name[0] && !strchr(o->headers[i].name, '='));
}

/* What --ndjson says is the library's to check. */
static void check_options(const dureq_job_options *o)
{
    assert(o->priority >= 0 && o->priority <= 10 && o->dlq_after >= 0 && o->dlq_after <= 10000);
    assert(o->delay_ms >= 0 && o->timeout_ms >= 0 && o->retention_ms >= -1 && o->run_at_ms >= 0);
    assert(!o->delay_ms || !o->run_at_ms);
    assert(!o->unique_for_ms || o->unique_key.len > 0);
    if (o->retry_policy)
        assert(o->retry_policy->max_attempts >= 0 && o->retry_policy->initial_delay_ms >= -1 &&
               o->retry_policy->max_delay_ms >= -1);
}

int __wrap_dureq_client_enqueue_many(dureq_client *client, const dureq_job_spec *specs, size_t n, dureq_enqueue_result *results,
                                     dureq_error *err);
int __wrap_dureq_client_enqueue_many(dureq_client *client, const dureq_job_spec *specs, size_t n, dureq_enqueue_result *results,
                                     dureq_error *err)
{
    (void)client;
    (void)err;
    n_asked++;
    for (size_t i = 0; i < n; i++) {
        check_job(&specs[i]);
        if (is_suffix_of_word(dureq_str_from(specs[i].task_type)))
            check_options(specs[i].options);
        results[i] = (dureq_enqueue_result){.code = specs[i].payload.len % 5 == 4 ? DUREQ_EDUPLICATE : 0, .id.text = "id"};
    }
    return 0;
}

int __wrap_dureq_client_get_job(dureq_client *client, const char *id, dureq_job_list **ret, dureq_error *err);
int __wrap_dureq_client_get_job(dureq_client *client, const char *id, dureq_job_list **ret, dureq_error *err)
{
    static const dureq_job_state states[] = {DUREQ_JOB_PENDING, DUREQ_JOB_RUNNING, DUREQ_JOB_COMPLETED, DUREQ_JOB_DEAD};
    static dureq_job job;
    static dureq_job_list list = {.items = &job, .n = 1};

    (void)client;
    assert(is_suffix_of_word(dureq_str_from(id)));
    if (n_asked++ % 5 == 4)
        return dq_fail(err, DUREQ_ENOTFOUND, "gone");
    job = (dureq_job){.state = states[n_asked % 4], .progress = n_asked % 2 ? DQ_STR_LIT("{\"a\":1}") : DQ_STR_LIT("a,\"b")};
    *ret = &list;
    return 0;
}

void __wrap_dureq_job_list_destroy(dureq_job_list *list);
void __wrap_dureq_job_list_destroy(dureq_job_list *list)
{
    (void)list;
}

int __wrap_dureq_client_list_nodes(dureq_client *client, dureq_node_list **ret, dureq_error *err);
int __wrap_dureq_client_list_nodes(dureq_client *client, dureq_node_list **ret, dureq_error *err)
{
    static dureq_node_info node = {.task_types = {"mail, order.*,\033x", 16}};
    static dureq_node_list list = {.items = &node, .n = 1};

    (void)client;
    if (n_asked++ % 3 == 2)
        return dq_fail(err, DUREQ_EUNAVAILABLE, "gone");
    *ret = &list;
    return 0;
}

void __wrap_dureq_node_list_destroy(dureq_node_list *list);
void __wrap_dureq_node_list_destroy(dureq_node_list *list)
{
    (void)list;
}

int __wrap_dureq_client_list_queues(dureq_client *client, dureq_queue_list **ret, dureq_error *err);
int __wrap_dureq_client_list_queues(dureq_client *client, dureq_queue_list **ret, dureq_error *err)
{
    static dureq_queue_info queue = {.name = {"normal", 6}};
    static dureq_queue_list list = {.items = &queue, .n = 1};

    (void)client;
    if (n_asked++ % 3 == 2)
        return dq_fail(err, DUREQ_EUNAVAILABLE, "gone");
    *ret = &list;
    return 0;
}

void __wrap_dureq_queue_list_destroy(dureq_queue_list *list);
void __wrap_dureq_queue_list_destroy(dureq_queue_list *list)
{
    (void)list;
}

int __wrap_dq_doctor_run(dureq_client *client, const dq_doctor_options *o, dq_doctor_report *ret, dureq_error *err);
int __wrap_dq_doctor_run(dureq_client *client, const dq_doctor_options *o, dq_doctor_report *ret, dureq_error *err)
{
    static char text[] = "a, \"b\"\n\033c";
    static dq_doctor_fault fault = {.key = text, .id = text, .text = text, .repairable = true};

    (void)client;
    (void)err;
    n_asked++;
    fault.repaired = o->repair;
    *ret = (dq_doctor_report){.faults = &fault, .n_faults = input.len > 0, .n_found = input.len > 9 ? 2 : input.len > 0};
    return 0;
}

void __wrap_dq_doctor_report_deinit(dq_doctor_report *r);
void __wrap_dq_doctor_report_deinit(dq_doctor_report *r)
{
    (void)r;
}

int __wrap_nanosleep(const struct timespec *pause, struct timespec *left);
int __wrap_nanosleep(const struct timespec *pause, struct timespec *left)
{
    (void)pause;
    (void)left;
    return 0;
}

/* With a descriptor, which the program reads of. */
static FILE *open_input(void)
{
    int fd = memfd_create("input", MFD_CLOEXEC);

    if (fd < 0 || write(fd, input.ptr, input.len) != (ssize_t)input.len || lseek(fd, 0, SEEK_SET) != 0)
        abort();
    return fdopen(fd, "r");
}

/* No file but the one there is. */
FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode)
{
    if (!is_running)
        return __real_fopen(path, mode);
    assert(strcmp(mode, "r") == 0);
    errno = ENOENT;
    return ends_with(path, "none") || input.len == 0 ? NULL : open_input();
}

/* ---- one run ---- */

static char *told; /* on standard error */
static struct sigaction was_abort;

/* An assertion speaks on standard error, which is kept back here. */
static void on_abort(int sig)
{
    (void)fflush(stderr);
    (void)!write(STDERR_FILENO, told, strlen(told));
    (void)sigaction(sig, &was_abort, NULL);
    (void)raise(sig);
}

static int run(int argc, char **argv, size_t *ret_out, size_t *ret_err)
{
    FILE *was_in = stdin, *was_out = stdout, *was_err = stderr;
    char *out = NULL;
    int rc;

    stdin = input.len > 0 ? open_input() : fopen("/dev/null", "r");
    stdout = open_memstream(&out, ret_out);
    stderr = open_memstream(&told, ret_err);
    if (!stdin || !stdout || !stderr)
        abort();
    (void)sigaction(SIGABRT, &(struct sigaction){.sa_handler = on_abort}, &was_abort);
    is_running = true;
    rc = dureqctl_main(argc, argv);
    is_running = false;
    (void)sigaction(SIGABRT, &was_abort, NULL);
    (void)fclose(stdin);
    (void)fclose(stdout);
    (void)fclose(stderr);
    stdin = was_in;
    stdout = was_out;
    stderr = was_err;
    free(out);
    free(told);
    told = NULL;
    return rc;
}

static void cut_words(char *text)
{
    char *end;

    for (n_words = 0; text && n_words < WORDS_MAX; text = end) {
        end = strchr(text, '\n');
        if (end)
            *end++ = '\0';
        words[n_words++] = text;
    }
    words[n_words] = NULL;
}

static void forget_environment(void)
{
    static const char *const names[] = {"DUREQ_SERVER", "DUREQ_PREFIX", "DUREQ_CONFIG_PATH"};

    for (size_t i = 0; i < DQ_ARRAY_LEN(names); i++)
        (void)unsetenv(names[i]);
    (void)setenv("HOME", "/nonexistent", 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = dq_memdup(data, size), *argv[WORDS_MAX + 2] = {(char *)"dureqctl"};
    size_t len, n_out = 0, n_err = 0;
    int rc;

    if (!text)
        abort();
    forget_environment();
    len = strlen(text);
    input = len < size ? dureq_str_of(text + len + 1, size - len - 1) : (dureq_str){0};
    cut_words(text);
    memcpy(argv + 1, words, sizeof words);
    n_asked = 0;
    if (n_words == 0 || !memmem(data, len, "bench", 5)) { /* bench has threads and a node of its own */
        rc = run(n_words + 1, argv, &n_out, &n_err);
        assert(rc >= CTL_DONE && rc <= CTL_NOT_ALLOWED);
        assert(rc == CTL_DONE ? n_asked + n_out > 0 : n_err + n_out > 0);
        assert(rc != CTL_USAGE || n_err > 0);
    }
    dq_free(text);
    return 0;
}
