/* SPDX-License-Identifier: Apache-2.0 */
/* The server as bytes on its sockets: answers, connections that are kept, limits, and what hostile callers send. */
#include "base/buf.h"
#include "serve/serve.h"
#include "test_rig.h"

#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define WAIT_MS 10000

static dq_server *server;
static dureq_client *own;
static int64_t own_timeout_ms; /* of the server's client; 0: the library's */
static int port;

static void serve_with(dq_server_options o)
{
    static const char *const addresses[] = {"127.0.0.1:0"};

    dureq_client_options co = dureq_client_options_init();

    co.redis_url = test_redis_url(rig.server);
    co.prefix = rig.prefix;
    co.timeout_ms = own_timeout_ms;
    RIG_OK(dureq_client_create(&co, &own, &err));
    o.client = own;
    if (o.n_addresses == 0) {
        o.addresses = addresses;
        o.n_addresses = 1;
    }
    RIG_OK(dq_server_create(&o, &server, &err));
    EXPECT_I64(1, sscanf(strrchr(dq_server_address(server, 0), ':'), ":%d", &port));
    dq_server_start(server);
}

static void serve(void)
{
    serve_with((dq_server_options){0});
}

static void stop(void)
{
    dq_server_destroy(server, 1000);
    dureq_client_destroy(own);
}

/* ---- a peer ---- */

static int dial(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    EXPECT_I64(0, connect(fd, (struct sockaddr *)&a, sizeof a));
    return fd;
}

static void put(int fd, const char *bytes)
{
    (void)!send(fd, bytes, strlen(bytes), MSG_NOSIGNAL);
}

/* More of it; false at its end. */
static bool get_more(int fd, dq_buf *out)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char *room = dq_buf_reserve(out, 65536);
    ssize_t n;

    EXPECT_I64(1, poll(&p, 1, WAIT_MS));
    n = recv(fd, room, 65536, 0);
    if (n <= 0)
        return false;
    out->len += (size_t)n;
    dq_buf_append(out, "", 0);
    out->ptr[out->len] = '\0';
    return true;
}

/* Until the peer closes. */
static const char *get_all(int fd, dq_buf *out)
{
    dq_buf_clear(out);
    dq_buf_append(out, "", 0);
    while (get_more(fd, out))
        ;
    (void)close(fd);
    return out->ptr ? out->ptr : "";
}

/* One answer with a length: its head and body. What follows stays in the socket, so ask for one at a time. */
static const char *get_one(int fd, dq_buf *out)
{
    const char *end, *length;
    int64_t n;

    dq_buf_clear(out);
    for (;;) {
        end = out->len ? strstr(out->ptr, "\r\n\r\n") : NULL;
        length = end ? strstr(out->ptr, "Content-Length: ") : NULL;
        if (length && sscanf(length, "Content-Length: %ld", &n) == 1 && out->len >= (size_t)(end + 4 - out->ptr) + (size_t)n)
            return out->ptr;
        EXPECT_TRUE(get_more(fd, out));
    }
}

static const char *ask(const char *bytes, dq_buf *out)
{
    int fd = dial();

    put(fd, bytes);
    return get_all(fd, out);
}

#define H    "Host: localhost\r\n"
#define LAST "Host: localhost\r\nConnection: close\r\n\r\n"
#define JSON "Content-Type: application/json\r\n"

/* ---- */

SCENARIO(a_resource_is_answered_over_a_connection_that_is_kept)
{
    DQ_BUF_AUTO out = {0};
    int fd;

    serve();
    fd = dial();
    for (int i = 0; i < 3; i++) {
        put(fd, "GET /api/jobs HTTP/1.1\r\n" H "\r\n");
        EXPECT_HAS("HTTP/1.1 200 OK\r\n", get_one(fd, &out));
        EXPECT_HAS("\r\n\r\n{\"data\":[],\"total\":0", out.ptr);
        EXPECT_HAS("X-Content-Type-Options: nosniff\r\n", out.ptr);
    }
    put(fd, "GET /api/jobs HTTP/1.1\r\n" LAST);
    EXPECT_HAS("Connection: close\r\n", get_all(fd, &out));
    stop();
}

SCENARIO(requests_that_come_together_are_answered_in_their_order)
{
    DQ_BUF_AUTO out = {0};
    const char *at;

    serve();
    at = ask("GET /livez HTTP/1.1\r\n" H "\r\nPOST /api/jobs HTTP/1.1\r\n" H JSON
             "Content-Length: 17\r\n\r\n{\"task_type\":\"t\"}\r\nGET /api/stats HTTP/1.1\r\n" H "\r\nGET /nope HTTP/1.1\r\n" LAST,
             &out);
    EXPECT_HAS("{\"status\":\"ok\"}", at);
    EXPECT_HAS("HTTP/1.1 201 Created\r\n", at);
    at = strstr(at, "201 Created");
    EXPECT_HAS("Location: /api/jobs/", at);
    EXPECT_HAS("{\"job_counts\":{\"pending\":1}", at);
    EXPECT_HAS("HTTP/1.1 404 Not Found\r\n", strstr(at, "job_counts"));
    stop();
}

SCENARIO(a_body_may_come_in_any_pieces)
{
    static const char text[] = "POST /api/jobs HTTP/1.1\r\n" H JSON "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
                               "8\r\n{\"task_t\r\n9;x=y\r\nype\":\"t\"}\r\n0\r\nT: u\r\n\r\n";
    DQ_BUF_AUTO out = {0};
    int fd;

    serve();
    for (size_t cut = 1; cut < sizeof text - 1; cut += 7) {
        EXPECT_NOTE("cut at %zu", cut);
        fd = dial();
        (void)!send(fd, text, cut, MSG_NOSIGNAL);
        RIG_UNTIL(send(fd, text + cut, 0, MSG_NOSIGNAL) == 0);
        put(fd, text + cut);
        EXPECT_HAS("HTTP/1.1 201 Created\r\n", get_all(fd, &out));
    }
    stop();
}

SCENARIO(who_expects_is_told_to_go_on)
{
    DQ_BUF_AUTO out = {0};
    int fd;

    serve();
    fd = dial();
    put(fd, "POST /api/jobs HTTP/1.1\r\n" H JSON "Content-Length: 17\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n");
    EXPECT_TRUE(get_more(fd, &out));
    EXPECT_TEXT("HTTP/1.1 100 Continue\r\n\r\n", out.ptr);
    put(fd, "{\"task_type\":\"t\"}");
    EXPECT_HAS("HTTP/1.1 201 Created\r\n", get_all(fd, &out));
    /* what is refused is refused before its body is sent */
    EXPECT_HAS("HTTP/1.1 415 ", ask("POST /api/jobs HTTP/1.1\r\n" H "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n", &out));
    EXPECT_HAS("HTTP/1.1 413 ",
               ask("POST /api/jobs HTTP/1.1\r\n" H JSON "Content-Length: 999999999\r\nExpect: 100-continue\r\n\r\n", &out));
    stop();
}

SCENARIO(head_has_the_length_of_get_and_no_body)
{
    DQ_BUF_AUTO out = {0};
    const char *body;

    serve();
    body = strstr(ask("HEAD /api/jobs HTTP/1.1\r\n" LAST, &out), "\r\n\r\n");
    EXPECT_TEXT("\r\n\r\n", body);
    EXPECT_HAS("Content-Length: 33\r\n", out.ptr);
    EXPECT_TEXT("\r\n\r\n", strstr(ask("HEAD /api/jobs HTTP/1.1\r\nHost: evil.example\r\n\r\n", &out), "\r\n\r\n"));
    stop();
}

SCENARIO(another_method_is_told_which_there_are)
{
    DQ_BUF_AUTO out = {0};

    serve();
    EXPECT_HAS("HTTP/1.1 405 Method Not Allowed\r\n", ask("PATCH /api/jobs/x HTTP/1.1\r\n" LAST, &out));
    EXPECT_HAS("Allow: GET, HEAD, DELETE\r\n", out.ptr);
    EXPECT_HAS("Allow: POST\r\n", ask("GET /api/jobs/bulk/cancel HTTP/1.1\r\n" LAST, &out));
    stop();
}

SCENARIO(a_path_that_is_nearly_one_is_told_so)
{
    DQ_BUF_AUTO out = {0};

    serve();
    EXPECT_HAS("no such path: is it /api/jobs?", ask("GET /api/job HTTP/1.1\r\n" LAST, &out));
    EXPECT_HAS("no such path: is it /api/jobs/{id}/cancel?", ask("POST /api/jobs/x/cancle HTTP/1.1\r\n" LAST, &out));
    EXPECT_HAS("no such path: is it /api/queues?", ask("GET /queues/ HTTP/1.1\r\n" LAST, &out));
    EXPECT_HAS("{\"error\":\"no such path\",", ask("GET /something/else HTTP/1.1\r\n" LAST, &out));
    stop();
}

SCENARIO(smuggled_requests_are_refused_and_the_connection_closed)
{
    static const char *const rows[] = {
        "POST /api/jobs HTTP/1.1\r\n" H JSON "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX",
        "POST /api/jobs HTTP/1.1\r\n" H JSON "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nX",
        "POST /api/jobs HTTP/1.1\r\n" H JSON "Content-Length: 0\r\nContent-Length: 44\r\n\r\nGET /livez HTTP/1.1\r\n" H "\r\n",
        "POST /api/jobs HTTP/1.1\r\n" H JSON "Content-Length: 0, 44\r\n\r\nGET /livez HTTP/1.1\r\n" H "\r\n",
        "POST /api/jobs HTTP/1.1\r\n" H JSON "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\nGET /livez HTTP/1.1\r\n" H "\r\n",
        "POST /api/jobs HTTP/1.1\r\n" H JSON "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\nGET /livez HTTP/1.1\r\n" H "\r\n",
        "POST /api/jobs HTTP/1.1\r\n" H JSON "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\nGET /livez HTTP/1.1\r\n" H "\r\n",
        "POST /api/jobs HTTP/1.1\r\n" H JSON "Transfer-Encoding: chunked\r\n\r\n1;\n\r\n0\r\n\r\nGET /livez HTTP/1.1\r\n" H
        "\r\n",
        "POST /api/jobs HTTP/1.1\r\n" H JSON "Transfer-Encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\nGET /livez HTTP/1.1\r\n" H "\r\n",
        "GET /api/jobs HTTP/1.1\r\n" H "A: b\n\r\nGET /livez HTTP/1.1\r\n" H "\r\n",
        "GET /api/jobs HTTP/1.1\nHost: localhost\n\nGET /livez HTTP/1.1\r\n" H "\r\n",
        "GET /api/jobs HTTP/1.1\r\n" H "Host: evil.example\r\n\r\nGET /livez HTTP/1.1\r\n" H "\r\n",
    };
    DQ_BUF_AUTO out = {0};

    serve();
    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        EXPECT_NOTE("%zu", i);
        EXPECT_TRUE(strncmp(ask(rows[i], &out), "HTTP/1.1 400 ", 13) == 0 || strncmp(out.ptr, "HTTP/1.1 501 ", 13) == 0);
        EXPECT_TRUE(strstr(out.ptr + 1, "HTTP/1.1 ") == NULL); /* one answer, and no other after it */
        EXPECT_HAS("Connection: close\r\n", out.ptr);
    }
    EXPECT_I64(0, rig_counts().pending);
    stop();
}

SCENARIO(a_page_elsewhere_cannot_drive_it)
{
#define JOB "Content-Length: 17\r\nConnection: close\r\n\r\n{\"task_type\":\"t\"}"
    static const struct {
        const char *text;
        int status;
    } rows[] = {
        {"GET /api/jobs HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", 421},
        {"GET /api/jobs HTTP/1.1\r\nHost: localhost.evil.example\r\nConnection: close\r\n\r\n", 421},
        {"GET http://evil.example/api/jobs HTTP/1.1\r\n" LAST, 421},
        {"GET /livez HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", 200},
        {"GET /api/jobs HTTP/1.1\r\nHost: 192.0.2.7:99\r\nConnection: close\r\n\r\n", 200},
        {"GET /api/jobs HTTP/1.1\r\nHost: [::1]:99\r\nConnection: close\r\n\r\n", 200},
        {"GET /api/jobs HTTP/1.1\r\nHost: Jobs.Example:99\r\nConnection: close\r\n\r\n", 200},
        {"GET /api/jobs HTTP/1.1\r\nSec-Fetch-Site: cross-site\r\nOrigin: http://evil.example\r\n" LAST, 200},
        {"POST /api/jobs HTTP/1.1\r\n" H "Content-Type: text/plain\r\n" JOB, 415},
        {"POST /api/jobs HTTP/1.1\r\n" H "Content-Type: application/x-www-form-urlencoded\r\n" JOB, 415},
        {"POST /api/jobs HTTP/1.1\r\n" H "Content-Type: multipart/form-data; boundary=x\r\n" JOB, 415},
        {"POST /api/jobs HTTP/1.1\r\n" H JOB, 415},
        {"POST /api/jobs HTTP/1.1\r\n" H JSON "Sec-Fetch-Site: cross-site\r\n" JOB, 403},
        {"POST /api/jobs HTTP/1.1\r\n" H JSON "Sec-Fetch-Site: same-site\r\n" JOB, 403},
        {"POST /api/jobs HTTP/1.1\r\n" H JSON "Origin: http://evil.example\r\n" JOB, 403},
        {"POST /api/jobs HTTP/1.1\r\n" H JSON "Origin: null\r\n" JOB, 403},
        {"POST /api/jobs HTTP/1.1\r\n" H JSON "Origin: http://localhost:1\r\n" JOB, 403},
        {"POST /api/jobs HTTP/1.1\r\n" H JSON "Origin: http://localhost\r\nSec-Fetch-Site: same-origin\r\n" JOB, 201},
        {"POST /api/jobs HTTP/1.1\r\n" H JSON "Origin: https://ops.example\r\nSec-Fetch-Site: cross-site\r\n" JOB, 201},
        {"POST /api/queues/normal/pause HTTP/1.1\r\nOrigin: http://evil.example\r\n" LAST, 403},
        {"DELETE /api/dlq HTTP/1.1\r\nSec-Fetch-Site: cross-site\r\n" LAST, 403},
    };
    DQ_BUF_AUTO out = {0};

    serve_with((dq_server_options){.hosts = "a.example, jobs.example", .origins = "https://ops.example"});
    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        int status = 0;

        EXPECT_NOTE("%zu: %s", i, rows[i].text);
        EXPECT_I64(1, sscanf(ask(rows[i].text, &out), "HTTP/1.1 %d", &status));
        EXPECT_I64(rows[i].status, status);
    }
    EXPECT_I64(2, rig_counts().pending);
    stop();
}

SCENARIO(who_sends_slowly_is_cut_off_and_others_are_served)
{
    int slow[40];
    DQ_BUF_AUTO out = {0};

    serve_with((dq_server_options){.head_timeout_ms = 300, .connections_max = 30});
    for (size_t i = 0; i < DQ_ARRAY_LEN(slow); i++) { /* more than there is place for: the first ones give theirs up */
        slow[i] = dial();
        put(slow[i], "GET /api/jobs HTTP/1.1\r\nHost: loc");
        EXPECT_HAS("200 OK", ask("GET /livez HTTP/1.1\r\n" LAST, &out));
    }
    EXPECT_HAS("HTTP/1.1 408 ", get_all(slow[DQ_ARRAY_LEN(slow) - 1], &out));
    for (size_t i = 0; i + 1 < DQ_ARRAY_LEN(slow); i++)
        (void)get_all(slow[i], &out);
    stop();
}

SCENARIO(an_idle_connection_is_closed)
{
    DQ_BUF_AUTO out = {0};
    int fd;

    serve_with((dq_server_options){.idle_timeout_ms = 100, .head_timeout_ms = 200});
    fd = dial();
    put(fd, "GET /livez HTTP/1.1\r\n" H "\r\n");
    (void)get_one(fd, &out);
    EXPECT_TEXT("", get_all(fd, &out));
    EXPECT_TEXT("", get_all(dial(), &out)); /* one that never sent anything */
    stop();
}

SCENARIO(a_body_beyond_the_limit_is_refused)
{
    DQ_BUF_AUTO out = {0};
    DQ_BUF_AUTO body = {0};
    int fd;

    serve_with((dq_server_options){.body_max_bytes = 1000});
    for (int i = 0; i < 101; i++)
        dq_buf_append_text(&body, "a\r\n1234567890\r\n");
    fd = dial();
    put(fd, "POST /api/jobs HTTP/1.1\r\n" H JSON "Transfer-Encoding: chunked\r\n\r\n");
    put(fd, body.ptr);
    EXPECT_HAS("HTTP/1.1 413 ", get_all(fd, &out));
    EXPECT_HAS("HTTP/1.1 413 ", ask("POST /api/jobs HTTP/1.1\r\n" H JSON "Content-Length: 1001\r\n\r\n", &out));
    stop();
}

SCENARIO(a_unix_socket_is_ours_alone_and_names_its_peer)
{
    char dir[] = "/tmp/dureq-serve-XXXXXX", path[64], address[80];
    const char *addresses[] = {"127.0.0.1:0", address};
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    DQ_BUF_AUTO out = {0};
    char wanted[64];
    struct stat st;
    int fd;

    EXPECT_TRUE(mkdtemp(dir) != NULL);
    (void)snprintf(path, sizeof path, "%s/api.sock", dir);
    (void)snprintf(address, sizeof address, "unix:%s", path);
    serve_with((dq_server_options){.addresses = addresses, .n_addresses = 2});
    EXPECT_I64(0, stat(path, &st));
    EXPECT_I64(0600, st.st_mode & 0777);
    memcpy(a.sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_I64(0, connect(fd, (struct sockaddr *)&a, sizeof a));
    put(fd, "POST /api/queues/normal/pause HTTP/1.1\r\nHost: whatever\r\nConnection: close\r\n\r\n");
    EXPECT_HAS("200 OK", get_all(fd, &out));
    EXPECT_HAS("200 OK", ask("POST /api/queues/normal/resume HTTP/1.1\r\n" LAST, &out));
    (void)snprintf(wanted, sizeof wanted, "\"actor\":\"unix:%u\"", (unsigned)getuid());
    EXPECT_HAS(wanted, ask("GET /api/audit HTTP/1.1\r\n" LAST, &out));
    EXPECT_HAS("\"actor\":\"http:127.0.0.1\"", out.ptr);
    {
        dq_server *second = NULL;

        RIG_FAILS(
            DUREQ_EIO, "another program does",
            dq_server_create(&(dq_server_options){.client = own, .addresses = addresses + 1, .n_addresses = 1}, &second, &err));
    }
    stop();
    EXPECT_TRUE(stat(path, &st) < 0);
    (void)rmdir(dir);
}

SCENARIO(addresses_are_checked)
{
    static const struct {
        const char *address, *said;
        int code;
    } rows[] = {
        {"0.0.0.0:0", "can be reached by others", DUREQ_EPERM},
        {":0", "can be reached by others", DUREQ_EPERM},
        {"[::]:0", "can be reached by others", DUREQ_EPERM},
        {"localhost", "is no address to listen on", DUREQ_EINVAL},
        {"localhost:http", "is no address to listen on", DUREQ_EINVAL},
        {"127.0.0.1:65536", "is no address to listen on", DUREQ_EINVAL},
        {"example.com:80", "takes a number or localhost", DUREQ_EINVAL},
        {"unix:", "the path of a socket takes", DUREQ_EINVAL},
        {"unix:/etc/passwd", "a file that is no socket is there", DUREQ_EIO},
    };
    dq_server *s;

    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        EXPECT_NOTE("%s", rows[i].address);
        RIG_FAILS(rows[i].code, rows[i].said,
                  dq_server_create(
                      &(dq_server_options){
                          .client = rig.client, .addresses = &rows[i].address, .n_addresses = 1, .stays_local = "all may"},
                      &s, &err));
    }
}

SCENARIO(while_the_server_stops_answers_under_way_are_given)
{
    DQ_BUF_AUTO out = {0};
    int idle, busy;

    serve();
    idle = dial();
    put(idle, "GET /livez HTTP/1.1\r\n" H "\r\n");
    (void)get_one(idle, &out);
    busy = dial();
    put(busy, "POST /api/jobs HTTP/1.1\r\n" H JSON "Content-Length: 17\r\n\r\n{\"task_ty");
    put(busy, "");
    EXPECT_HAS("200 OK", ask("GET /livez HTTP/1.1\r\n" LAST, &out)); /* by now the head of the one before was read */
    dq_server_drain(server);
    EXPECT_TEXT("", get_all(idle, &out));
    put(busy, "pe\":\"t\"}");
    EXPECT_HAS("HTTP/1.1 201 Created\r\n", get_all(busy, &out));
    EXPECT_HAS("Connection: close\r\n", out.ptr);
    stop();
}

SCENARIO(a_hundred_that_wait_hold_no_thread)
{
    dureq_job_id id = rig_enqueue("t", "1", NULL), other = rig_enqueue("u", "1", NULL);
    DQ_BUF_AUTO request = {0};
    DQ_BUF_AUTO out = {0};
    int fds[100], gone;

    serve_with((dq_server_options){.threads_max = 2});
    dq_buf_append_fmt(&request, "GET /api/jobs/%s/result?wait=60s HTTP/1.1\r\n" LAST, id.text);
    for (size_t i = 0; i < DQ_ARRAY_LEN(fds); i++) {
        fds[i] = dial();
        put(fds[i], request.ptr);
    }
    EXPECT_HAS("200 OK", ask("GET /api/stats HTTP/1.1\r\n" LAST, &out));
    RIG_OK(dureq_client_cancel(rig.client, id.text, "enough", &err));
    for (size_t i = 0; i < DQ_ARRAY_LEN(fds); i++)
        EXPECT_HAS("\"status\":\"cancelled\"", get_all(fds[i], &out));
    dq_buf_clear(&request);
    dq_buf_append_fmt(&request, "GET /api/jobs/%s/result?wait=20ms HTTP/1.1\r\n" LAST, other.text);
    EXPECT_HAS("HTTP/1.1 503 ", ask(request.ptr, &out));
    EXPECT_HAS("\"code\":\"timeout\"", out.ptr);
    EXPECT_HAS("HTTP/1.1 404 ", ask("GET /api/jobs/38hbp4bda00000000900/result?wait=20ms HTTP/1.1\r\n" LAST, &out));
    EXPECT_HAS("HTTP/1.1 400 ", ask("GET /api/jobs/x/result?wait=20 HTTP/1.1\r\n" LAST, &out));
    dq_buf_clear(&request);
    dq_buf_append_fmt(&request, "GET /api/jobs/%s/result?wait=60s HTTP/1.1\r\n" LAST, other.text);
    gone = dial();
    put(gone, request.ptr);
    EXPECT_HAS("200 OK", ask("GET /livez HTTP/1.1\r\n" LAST, &out));
    dq_server_drain(server); /* what waits is told */
    EXPECT_HAS("HTTP/1.1 503 ", get_all(gone, &out));
    EXPECT_HAS("\"code\":\"stopping\"", out.ptr);
    stop();
}

static int n_serve_threads(void)
{
    DIR *d = opendir("/proc/self/task");
    char path[300], name[32] = "";
    int n = 0;

    for (struct dirent *e = readdir(d); e; e = readdir(d)) {
        FILE *f;

        (void)snprintf(path, sizeof path, "/proc/self/task/%.200s/comm", e->d_name);
        f = fopen(path, "re");
        n += f && fgets(name, sizeof name, f) && strcmp(name, "dq-serve\n") == 0;
        if (f)
            (void)fclose(f);
    }
    (void)closedir(d);
    return n;
}

static void expect_as_by_a_thread(const char *id, dq_buf *out)
{
    DQ_BUF_AUTO request = {0};
    DQ_BUF_AUTO path = {0};
    dq_api_response res;

    dq_buf_append_fmt(&path, "/api/jobs/%s", id);
    dq_buf_append_fmt(&request, "GET %s HTTP/1.1\r\n" LAST, path.ptr);
    dq_api_handle(rig.client, &(dq_api_request){.method = "GET", .path = path.ptr}, &res);
    EXPECT_HAS("HTTP/1.1 200 OK\r\n", ask(request.ptr, out));
    EXPECT_TEXT(res.body.ptr, strstr(out->ptr, "\r\n\r\n") + 4);
    dq_api_response_deinit(&res);
}

static int run_failing(dureq_run *r, void *userdata)
{
    (void)userdata;
    return dureq_run_fail(r, 0, "no");
}

SCENARIO(a_plain_read_and_a_plain_enqueue_take_no_thread)
{
    DQ_BUF_AUTO out = {0};
    dureq_job_id failed, waits = rig_enqueue("nobody", "1", NULL);
    const char *job = "{\"task_type\":\"u\",\"payload\":1,\"delay\":\"1h\"}";
    DQ_BUF_AUTO post = {0};
    char id[DUREQ_JOB_ID_LEN + 1] = "";

    (void)rig_node("n", "t", run_failing, NULL);
    failed = rig_enqueue("t", "1", NULL);
    RIG_UNTIL(rig_state(failed.text) == DUREQ_JOB_DEAD);
    serve();
    dq_buf_append_fmt(&post, "POST /api/jobs HTTP/1.1\r\n" JSON "Content-Length: %zu\r\n" LAST "%s", strlen(job), job);
    EXPECT_HAS("HTTP/1.1 201 ", ask(post.ptr, &out));
    EXPECT_I64(1, sscanf(strstr(out.ptr, "\"id\":\"") + 6, "%20[0-9a-v]", id));
    EXPECT_HAS("\"status\":\"scheduled\"", out.ptr);
    expect_as_by_a_thread(id, &out);
    expect_as_by_a_thread(failed.text, &out);
    EXPECT_HAS("\"node_id\":\"n\"", out.ptr);
    EXPECT_HAS("HTTP/1.1 404 ", ask("GET /api/jobs/38hbp4bda00000000900 HTTP/1.1\r\n" LAST, &out));
    EXPECT_HAS("{\"error\":\"no job 38hbp4bda00000000900\",\"code\":\"not_found\"}", out.ptr);
    EXPECT_I64(0, n_serve_threads());
    expect_as_by_a_thread(waits.text, &out); /* nodes are asked for, too */
    EXPECT_HAS("\"waiting_for\"", out.ptr);
    EXPECT_TRUE(n_serve_threads() > 0);
    stop();
}

SCENARIO(redis_that_is_away_is_503_and_comes_back)
{
    DQ_BUF_AUTO out = {0};

    own_timeout_ms = 200;
    serve();
    own_timeout_ms = 0;
    test_redis_freeze(rig.server);
    EXPECT_HAS("200 OK", ask("GET /livez HTTP/1.1\r\n" LAST, &out));
    EXPECT_HAS("HTTP/1.1 503 ", ask("GET /api/queues HTTP/1.1\r\n" LAST, &out));
    EXPECT_HAS("Retry-After: 1\r\n", out.ptr);
    EXPECT_HAS("HTTP/1.1 503 ", ask("GET /api/jobs/38hbp4bda00000000900 HTTP/1.1\r\n" LAST, &out));
    EXPECT_HAS("\"code\":\"timeout\"", out.ptr);
    EXPECT_HAS("HTTP/1.1 503 ",
               ask("POST /api/jobs HTTP/1.1\r\n" JSON "Content-Length: 17\r\n" LAST "{\"task_type\":\"t\"}", &out));
    EXPECT_HAS("\"code\":\"outcome_unknown\"", out.ptr);
    test_redis_thaw(rig.server);
    EXPECT_HAS("200 OK", ask("GET /api/health HTTP/1.1\r\n" LAST, &out));
    stop();
}

RIG_MAIN()
