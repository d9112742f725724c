/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/tls.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/base.h"

struct dq_serve_tls {
    SSL_CTX *ctx;
};

struct dq_serve_tls_conn {
    SSL *ssl;
    bool wants_write, is_broken;
};

static int refuse(dureq_error *err, const char *what, const char *file)
{
    const char *why = ERR_reason_error_string(ERR_peek_last_error());

    ERR_clear_error();
    return dq_fail(err, DUREQ_EINVAL, "cannot use the %s in '%.120s': %s", what, file, why ? why : "it cannot be read");
}

static int choose_http(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in, unsigned in_len,
                       void *arg)
{
    static const unsigned char known[] = "\x08http/1.1";

    (void)ssl;
    (void)arg;
    if (SSL_select_next_proto((unsigned char **)out, out_len, known, sizeof known - 1, in, in_len) == OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_OK;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int set_up(SSL_CTX *ctx, const char *cert_file, const char *key_file, dureq_error *err)
{
    (void)SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                       SSL_OP_IGNORE_UNEXPECTED_EOF);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_alpn_select_cb(ctx, choose_http, NULL);
    if (SSL_CTX_use_certificate_chain_file(ctx, cert_file) != 1)
        return refuse(err, "certificate", cert_file);
    if (SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(ctx) != 1)
        return refuse(err, "private key", key_file);
    return 0;
}

int dq_serve_tls_create(const char *cert_file, const char *key_file, dq_serve_tls **ret, dureq_error *err)
{
    dq_serve_tls *t = dq_calloc(1, sizeof *t);
    int rc;

    if (!t)
        return dq_fail_nomem(err);
    t->ctx = SSL_CTX_new(TLS_server_method());
    rc = t->ctx ? set_up(t->ctx, cert_file, key_file, err) : dq_fail_nomem(err);
    if (rc < 0) {
        dq_serve_tls_destroy(t);
        return rc;
    }
    *ret = t;
    return 0;
}

void dq_serve_tls_destroy(dq_serve_tls *t)
{
    if (!t)
        return;
    SSL_CTX_free(t->ctx); /* connections hold their own reference */
    dq_free(t);
}

dq_serve_tls_conn *dq_serve_tls_accept(dq_serve_tls *t, int fd)
{
    dq_serve_tls_conn *c = dq_calloc(1, sizeof *c);

    if (!c)
        return NULL;
    c->ssl = SSL_new(t->ctx);
    if (!c->ssl || SSL_set_fd(c->ssl, fd) != 1) {
        dq_serve_tls_close(c);
        return NULL;
    }
    SSL_set_accept_state(c->ssl);
    return c;
}

void dq_serve_tls_close(dq_serve_tls_conn *c)
{
    if (!c)
        return;
    if (c->ssl && !c->is_broken && SSL_is_init_finished(c->ssl))
        (void)SSL_shutdown(c->ssl);
    ERR_clear_error();
    SSL_free(c->ssl);
    dq_free(c);
}

/* What SSL_read or SSL_write answered, as recv and send would. */
static ssize_t outcome(dq_serve_tls_conn *c, int n)
{
    int why;

    if (n > 0)
        return n;
    why = SSL_get_error(c->ssl, n);
    ERR_clear_error();
    c->wants_write = why == SSL_ERROR_WANT_WRITE;
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
        errno = EAGAIN;
        return -1;
    }
    if (why == SSL_ERROR_ZERO_RETURN)
        return 0;
    c->is_broken = true; /* nothing more may be done with it */
    errno = EPROTO;
    return -1;
}

ssize_t dq_serve_tls_recv(dq_serve_tls_conn *c, void *out, size_t len)
{
    ERR_clear_error();
    return outcome(c, SSL_read(c->ssl, out, (int)DQ_MIN(len, (size_t)INT_MAX)));
}

ssize_t dq_serve_tls_send(dq_serve_tls_conn *c, const void *bytes, size_t len)
{
    ssize_t n;

    ERR_clear_error();
    n = outcome(c, SSL_write(c->ssl, bytes, (int)DQ_MIN(len, (size_t)INT_MAX)));
    c->wants_write = false; /* who writes waits for that anyway */
    return n;
}

bool dq_serve_tls_has_more(const dq_serve_tls_conn *c)
{
    return c && SSL_pending(c->ssl) > 0;
}

bool dq_serve_tls_wants_write(const dq_serve_tls_conn *c)
{
    return c && c->wants_write;
}
