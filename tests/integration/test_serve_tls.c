/* SPDX-License-Identifier: Apache-2.0 */
/* TLS of the server: answers of all sizes over it, who speaks none, and a certificate that is changed under way. */
#include "base/buf.h"
#include "serve/serve.h"
#include "test_certs.h"
#include "test_rig.h"

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

static char dir[32];
static char cert[64], key[64], ca[64];
static dq_server *server;
static dureq_client *own;
static int port;

static void serve(void)
{
    static const char *const addresses[] = {"127.0.0.1:0"};
    dq_server_options o = {.addresses = addresses, .n_addresses = 1, .tls_cert = cert, .tls_key = key};

    memcpy(dir, "/tmp/dureq-tls-XXXXXX", sizeof "/tmp/dureq-tls-XXXXXX");
    EXPECT_TRUE(mkdtemp(dir) != NULL);
    test_certs_write(dir);
    (void)snprintf(cert, sizeof cert, "%s/server.crt", dir);
    (void)snprintf(key, sizeof key, "%s/server.key", dir);
    (void)snprintf(ca, sizeof ca, "%s/ca.crt", dir);
    own = rig_client(NULL, rig.shards);
    o.client = own;
    RIG_OK(dq_server_create(&o, &server, &err));
    EXPECT_I64(1, sscanf(strrchr(dq_server_address(server, 0), ':'), ":%d", &port));
    dq_server_start(server);
}

static void stop(void)
{
    char command[64];

    dq_server_destroy(server, 1000);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", dir);
    EXPECT_I64(0, system(command));
}

static int dial(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval limit = {.tv_sec = 10};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    EXPECT_I64(0, connect(fd, (struct sockaddr *)&a, sizeof a));
    EXPECT_I64(0, setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
    return fd;
}

/* Sends the bytes in pieces and reads to the end. Subject of the server's certificate into `subject` (NULL: it is no matter). */
static void ask(dureq_str bytes, size_t piece, dq_buf *out, dq_buf *subject)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    int fd = dial(), n;

    EXPECT_I64(1, SSL_CTX_load_verify_locations(ctx, ca, NULL));
    SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
    EXPECT_I64(1, SSL_set_fd(ssl, fd));
    EXPECT_I64(1, SSL_connect(ssl));
    for (size_t at = 0; at < bytes.len; at += piece)
        EXPECT_TRUE(SSL_write(ssl, bytes.ptr + at, (int)DQ_MIN(piece, bytes.len - at)) > 0);
    dq_buf_clear(out);
    do {
        n = SSL_read(ssl, dq_buf_reserve(out, 65536), 65536);
        out->len += n > 0 ? (size_t)n : 0;
    } while (n > 0);
    dq_buf_append_char(out, '\0');
    if (subject) {
        X509 *x = SSL_get1_peer_certificate(ssl);
        unsigned long hash = X509_NAME_hash_ex(X509_get_subject_name(x), NULL, NULL, NULL);

        dq_buf_append_fmt(subject, "%lx %ld", hash, ASN1_INTEGER_get(X509_get_serialNumber(x)));
        X509_free(x);
    }
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    (void)close(fd);
}

#define LAST "Host: localhost\r\nConnection: close\r\n\r\n"

SCENARIO(requests_and_answers_of_all_sizes_go_over_tls)
{
    DQ_BUF_AUTO body = {0};
    DQ_BUF_AUTO request = {0};
    DQ_BUF_AUTO out = {0};

    serve();
    ask(DQ_STR_LIT("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\nGET /api/jobs HTTP/1.1\r\n" LAST), 1, &out, NULL);
    EXPECT_HAS("{\"status\":\"ok\"}", out.ptr);
    EXPECT_HAS("{\"data\":[]", out.ptr);
    dq_buf_append_text(&body, "{\"task_type\":\"t\",\"payload\":\"");
    for (int i = 0; i < 50000; i++)
        dq_buf_append_text(&body, "0123456789");
    dq_buf_append_text(&body, "\"}");
    dq_buf_append_fmt(&request, "POST /api/jobs HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n" LAST,
                      body.len);
    dq_buf_append_buf(&request, &body);
    for (size_t piece = 1000; piece < 100000; piece *= 9) {
        EXPECT_NOTE("pieces of %zu", piece);
        ask(dq_buf_str(&request), piece, &out, NULL);
        EXPECT_HAS("HTTP/1.1 201 Created\r\n", out.ptr);
    }
    ask(DQ_STR_LIT("GET /api/jobs?payload=1 HTTP/1.1\r\n" LAST), 1000, &out, NULL);
    EXPECT_TRUE(out.len > 1000000);
    stop();
}

SCENARIO(who_speaks_no_tls_is_not_answered)
{
    char byte;
    int fd;

    serve();
    fd = dial();
    EXPECT_TRUE(send(fd, "GET /livez HTTP/1.1\r\n" LAST, 60, MSG_NOSIGNAL) > 0);
    while (recv(fd, &byte, 1, 0) > 0) /* an alert of TLS, at most */
        EXPECT_TRUE(byte != 'H');
    (void)close(fd);
    stop();
}

SCENARIO(a_certificate_is_changed_while_it_serves)
{
    DQ_BUF_AUTO out = {0};
    DQ_BUF_AUTO before = {0};
    DQ_BUF_AUTO same = {0};
    DQ_BUF_AUTO after = {0};
    char other[64], other_key[64];

    serve();
    (void)snprintf(other, sizeof other, "%s/client.crt", dir);
    (void)snprintf(other_key, sizeof other_key, "%s/client.key", dir);
    ask(DQ_STR_LIT("GET /livez HTTP/1.1\r\n" LAST), 1000, &out, &before);
    RIG_FAILS(DUREQ_EINVAL, "cannot use the certificate in '/no/file'", dq_server_reload(server, "/no/file", key, &err));
    RIG_FAILS(DUREQ_EINVAL, "cannot use the private key in", dq_server_reload(server, other, key, &err));
    ask(DQ_STR_LIT("GET /livez HTTP/1.1\r\n" LAST), 1000, &out, &same);
    EXPECT_TEXT(before.ptr, same.ptr);
    RIG_OK(dq_server_reload(server, other, other_key, &err));
    ask(DQ_STR_LIT("GET /livez HTTP/1.1\r\n" LAST), 1000, &out, &after);
    EXPECT_HAS("200 OK", out.ptr);
    EXPECT_TRUE(strcmp(before.ptr, after.ptr) != 0);
    stop();
}

RIG_MAIN()
