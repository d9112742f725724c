/* SPDX-License-Identifier: Apache-2.0 */
#include "test_certs.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define VALID_SECONDS (24 * 3600)

typedef struct identity {
    EVP_PKEY *key;
    X509 *cert;
} identity;

static void must(int ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "test certificates: %s failed\n", what);
    abort();
}

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *ext;

    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    must(ext && X509_add_ext(cert, ext, -1), value);
    X509_EXTENSION_free(ext);
}

/* issuer NULL: signs itself and is an authority. */
static identity make_identity(const char *name, long serial, const identity *issuer, const char *alt_names)
{
    identity id = {.key = EVP_EC_gen("P-256"), .cert = X509_new()};
    X509 *issuer_cert = issuer ? issuer->cert : id.cert;
    time_t now = time(NULL);
    X509_NAME *subject;

    must(id.key && id.cert, "key");
    must(X509_set_version(id.cert, X509_VERSION_3), "version");
    must(ASN1_INTEGER_set(X509_get_serialNumber(id.cert), serial), "serial");
    /* Valid since an hour ago: a machine whose clock steps back a little still runs the tests. */
    must(X509_time_adj_ex(X509_getm_notBefore(id.cert), 0, -3600, &now) != NULL, "not before");
    must(X509_time_adj_ex(X509_getm_notAfter(id.cert), 0, VALID_SECONDS, &now) != NULL, "not after");
    subject = X509_get_subject_name(id.cert);
    must(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0), "subject");
    must(X509_set_issuer_name(id.cert, X509_get_subject_name(issuer_cert)), "issuer");
    must(X509_set_pubkey(id.cert, id.key), "public key");
    add_extension(id.cert, issuer_cert, NID_basic_constraints, issuer ? "critical,CA:FALSE" : "critical,CA:TRUE");
    add_extension(id.cert, issuer_cert, NID_subject_key_identifier, "hash");
    if (alt_names)
        add_extension(id.cert, issuer_cert, NID_subject_alt_name, alt_names);
    must(X509_sign(id.cert, issuer ? issuer->key : id.key, EVP_sha256()), "signing");
    return id;
}

static FILE *open_in(const char *dir, const char *name, const char *suffix)
{
    char path[512];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s%s", dir, name, suffix);
    f = fopen(path, "w");
    must(f != NULL, path);
    return f;
}

static void write_identity(const identity *id, const char *dir, const char *name)
{
    FILE *f = open_in(dir, name, ".crt");

    must(PEM_write_X509(f, id->cert), "writing a certificate");
    fclose(f);
    f = open_in(dir, name, ".key");
    must(PEM_write_PrivateKey(f, id->key, NULL, NULL, 0, NULL, NULL), "writing a key");
    fclose(f);
}

static void free_identity(identity *id)
{
    EVP_PKEY_free(id->key);
    X509_free(id->cert);
}

void test_certs_write(const char *dir)
{
    identity ca = make_identity("dureq test authority", 1, NULL, NULL);
    identity other = make_identity("another authority", 2, NULL, NULL);
    identity server = make_identity("server", 3, &ca, "DNS:localhost,IP:127.0.0.1,IP:::1");
    identity client = make_identity("client", 4, &ca, NULL);

    write_identity(&ca, dir, "ca");
    write_identity(&other, dir, "other_ca");
    write_identity(&server, dir, "server");
    write_identity(&client, dir, "client");
    free_identity(&ca);
    free_identity(&other);
    free_identity(&server);
    free_identity(&client);
}
