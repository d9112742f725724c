/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>

/* OpenSSL reads and writes the socket itself, through a BIO of our own instead of its socket BIO: that one uses write(2),
   which raises SIGPIPE when the peer is gone, and a library may not change the signals of its host. */

enum { READ_AHEAD_BYTES = 64 * 1024, WRITE_CHUNK_MAX = 1 << 20 };

struct dq_tls_context {
    SSL_CTX *ctx;
    BIO_METHOD *method;
};

struct dq_tls {
    SSL *ssl;
    bool is_established;
    bool is_broken; /* no goodbye possible */
};

/* ---- the socket BIO ---- */

static int bio_fd(BIO *bio)
{
    return (int)(intptr_t)BIO_get_data(bio);
}

static int finish_io(BIO *bio, ssize_t n, int retry_flag)
{
    BIO_clear_retry_flags(bio);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_flags(bio, retry_flag | BIO_FLAGS_SHOULD_RETRY);
    return (int)n;
}

static int bio_write(BIO *bio, const char *ptr, int len)
{
    return finish_io(bio, send(bio_fd(bio), ptr, (size_t)len, MSG_NOSIGNAL), BIO_FLAGS_WRITE);
}

static int bio_read(BIO *bio, char *out, int cap)
{
    return finish_io(bio, recv(bio_fd(bio), out, (size_t)cap, 0), BIO_FLAGS_READ);
}

static long bio_ctrl(BIO *bio, int command, long num, void *ptr)
{
    (void)bio;
    (void)num;
    (void)ptr;
    return command == BIO_CTRL_FLUSH; /* nothing is buffered here */
}

static int bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

static BIO_METHOD *create_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "dureq socket");

    if (m && BIO_meth_set_write(m, bio_write) && BIO_meth_set_read(m, bio_read) && BIO_meth_set_ctrl(m, bio_ctrl) &&
        BIO_meth_set_create(m, bio_create))
        return m;
    BIO_meth_free(m);
    return NULL;
}

/* ---- certificates ---- */

/* The reason of OpenSSL's oldest error, and forgets the others. */
static const char *openssl_reason(void)
{
    unsigned long e = ERR_get_error();
    const char *reason = e ? ERR_reason_error_string(e) : NULL;

    ERR_clear_error();
    return reason ? reason : "unknown reason";
}

static int load_files(SSL_CTX *ctx, const dq_redis_url *url, dureq_error *err)
{
    if (url->tls_ca && SSL_CTX_load_verify_file(ctx, url->tls_ca) != 1)
        return dq_fail(err, DUREQ_EINVAL, "TLS: cannot use the authorities in %s: %s", url->tls_ca, openssl_reason());
    if (!url->tls_ca && SSL_CTX_set_default_verify_paths(ctx) != 1)
        return dq_fail(err, DUREQ_EINVAL, "TLS: cannot use the system's authorities: %s", openssl_reason());
    if (!url->tls_cert)
        return 0;
    if (SSL_CTX_use_certificate_chain_file(ctx, url->tls_cert) != 1)
        return dq_fail(err, DUREQ_EINVAL, "TLS: cannot use the certificate in %s: %s", url->tls_cert, openssl_reason());
    if (SSL_CTX_use_PrivateKey_file(ctx, url->tls_key, SSL_FILETYPE_PEM) != 1)
        return dq_fail(err, DUREQ_EINVAL, "TLS: cannot use the key in %s: %s", url->tls_key, openssl_reason());
    return 0;
}

int dq_tls_context_create(const dq_redis_url *url, dq_tls_context **ret, dureq_error *err)
{
    dq_tls_context *c = dq_calloc(1, sizeof(*c));
    int rc;

    if (!c)
        return dq_fail_nomem(err);
    ERR_clear_error();
    c->method = create_method();
    c->ctx = SSL_CTX_new(TLS_client_method());
    if (!c->ctx || !c->method || SSL_CTX_set_min_proto_version(c->ctx, TLS1_2_VERSION) != 1) {
        dq_tls_context_destroy(c);
        return dq_fail(err, DUREQ_ENOMEM, "TLS: cannot start OpenSSL: %s", openssl_reason());
    }
    SSL_CTX_set_mode(c->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(c->ctx, 1);
    SSL_CTX_set_default_read_buffer_len(c->ctx, READ_AHEAD_BYTES);
    SSL_CTX_set_verify(c->ctx, url->tls_insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    rc = load_files(c->ctx, url, err);
    if (rc < 0) {
        dq_tls_context_destroy(c);
        return rc;
    }

    *ret = c;
    return 0;
}

void dq_tls_context_destroy(dq_tls_context *ctx)
{
    if (!ctx)
        return;
    SSL_CTX_free(ctx->ctx);
    BIO_meth_free(ctx->method);
    dq_free(ctx);
}

/* ---- a session ---- */

static bool is_ip(const char *host)
{
    unsigned char addr[sizeof(struct in6_addr)];

    return inet_pton(AF_INET, host, addr) == 1 || inet_pton(AF_INET6, host, addr) == 1;
}

static bool expect_name(SSL *ssl, const char *name)
{
    if (is_ip(name))
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

int dq_tls_create(dq_tls_context *ctx, const dq_redis_url *url, int fd, dq_tls **ret, dureq_error *err)
{
    dq_tls *tls = dq_calloc(1, sizeof(*tls));
    BIO *bio;

    if (!tls)
        return dq_fail_nomem(err);
    tls->is_broken = true;
    tls->ssl = SSL_new(ctx->ctx);
    bio = BIO_new(ctx->method);
    if (!tls->ssl || !bio || !expect_name(tls->ssl, url->tls_servername ? url->tls_servername : url->host)) {
        BIO_free(bio);
        dq_tls_destroy(tls);
        return dq_fail(err, DUREQ_ENOMEM, "TLS: cannot make a session: %s", openssl_reason());
    }
    BIO_set_data(bio, (void *)(intptr_t)fd);
    SSL_set_bio(tls->ssl, bio, bio);
    SSL_set_connect_state(tls->ssl);
    tls->is_broken = false;

    *ret = tls;
    return 0;
}

void dq_tls_destroy(dq_tls *tls)
{
    if (!tls)
        return;
    if (tls->is_established && !tls->is_broken)
        (void)SSL_shutdown(tls->ssl); /* only our half, and only if the socket takes it now */
    ERR_clear_error();
    SSL_free(tls->ssl);
    dq_free(tls);
}

/* 0: retry when the socket is ready; else why the connection is over. */
static int judge(dq_tls *tls, int result, bool *ret_wants_write, dureq_error *err)
{
    int sys_errno = errno;
    int kind = SSL_get_error(tls->ssl, result);

    if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE) {
        if (ret_wants_write)
            *ret_wants_write = kind == SSL_ERROR_WANT_WRITE;
        return 0;
    }
    tls->is_broken = true;
    if (kind == SSL_ERROR_ZERO_RETURN)
        return dq_fail(err, DUREQ_EUNAVAILABLE, "closed by the server");
    if (kind == SSL_ERROR_SYSCALL && ERR_peek_error() == 0)
        return sys_errno ? dq_fail_errno(err, DUREQ_EUNAVAILABLE, sys_errno, "connection broken")
                         : dq_fail(err, DUREQ_EUNAVAILABLE, "closed by the server");
    return dq_fail(err, DUREQ_EUNAVAILABLE, "TLS: %s", openssl_reason());
}

int dq_tls_handshake(dq_tls *tls, bool *ret_wants_write, dureq_error *err)
{
    long verified;
    int rc;

    ERR_clear_error();
    errno = 0;
    rc = SSL_do_handshake(tls->ssl);
    if (rc == 1) {
        tls->is_established = true;
        return 1;
    }
    rc = judge(tls, rc, ret_wants_write, err);
    verified = SSL_get_verify_result(tls->ssl);
    if (rc < 0 && verified != X509_V_OK && SSL_get_verify_mode(tls->ssl) != SSL_VERIFY_NONE)
        return dq_fail(err, DUREQ_EAUTH, "TLS: the server's certificate is refused: %s", X509_verify_cert_error_string(verified));
    return rc;
}

ssize_t dq_tls_read(dq_tls *tls, void *out, size_t cap, dureq_error *err)
{
    size_t n = 0;
    int rc;

    ERR_clear_error();
    errno = 0;
    rc = SSL_read_ex(tls->ssl, out, cap, &n);
    return rc == 1 ? (ssize_t)n : judge(tls, rc, NULL, err);
}

ssize_t dq_tls_write(dq_tls *tls, const void *ptr, size_t len, dureq_error *err)
{
    size_t n = 0;
    int rc;

    ERR_clear_error();
    errno = 0;
    rc = SSL_write_ex(tls->ssl, ptr, DQ_MIN(len, (size_t)WRITE_CHUNK_MAX), &n);
    return rc == 1 ? (ssize_t)n : judge(tls, rc, NULL, err);
}

bool dq_tls_has_pending(const dq_tls *tls)
{
    return SSL_has_pending(tls->ssl) == 1;
}
