/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A private, real redis-server for one test: in a directory of its own, on a Unix socket, optionally on free loopback
   ports. It needs nothing but libc and libcrypto, so every integration test can use it. The program is the redis-server of the
   path, or what DUREQ_TEST_REDIS names: a later version, or Valkey.

   Whatever fails here ends the test program with a message: a test cannot go on without its server. The server dies with
   the thread that started it (PR_SET_PDEATHSIG): start it on the main thread. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct test_redis test_redis;

typedef struct test_redis_options {
    bool tcp;                      /* also on a free TCP port of 127.0.0.1 */
    bool tls;                      /* also on a free TLS port; certificates are made for it */
    bool tls_client_auth;          /* the TLS port wants a client certificate */
    bool append_only;              /* appendonly yes, appendfsync always */
    bool own_clock;                /* test_redis_set_clock */
    const char *password;          /* of the default user; NULL: none */
    const char *const *extra_args; /* NULL-ended, as on the command line: "--maxmemory", "10mb" */
} test_redis_options;

test_redis *test_redis_start(const test_redis_options *opts); /* NULL: Unix socket only. Answers PING when this returns */
void test_redis_stop(test_redis *s);                          /* ends the server and removes its directory; NULL is fine */

/* All of these are valid until test_redis_stop. URLs carry the password. */
const char *test_redis_url(const test_redis *s);     /* unix://... */
const char *test_redis_tcp_url(const test_redis *s); /* redis://127.0.0.1:port; NULL without .tcp */
const char *test_redis_tls_url(
    const test_redis *s); /* rediss://localhost:port?ca=...; NULL without .tls, or when the program has none */
const char *test_redis_dir(const test_redis *s);
const char *test_redis_socket(const test_redis *s);
int test_redis_port(const test_redis *s);
int test_redis_tls_port(const test_redis *s);
pid_t test_redis_pid(const test_redis *s); /* 0 while it is down */
/* Files of the certificates: "ca.crt", "server.crt", "server.key", "client.crt", "client.key", "other_ca.crt" (an authority
   that signed none of them). Returns a static buffer of this server, overwritten by the next call. */
const char *test_redis_file(test_redis *s, const char *name);

void test_redis_kill(test_redis *s);     /* SIGKILL, reaped */
void test_redis_shutdown(test_redis *s); /* SIGTERM: saves if so configured; reaped */
void test_redis_restart(test_redis *s);  /* (kills if alive,) starts on the same directory and ports, waits until it answers */
void test_redis_spawn(test_redis *s);    /* as restart, but returns before it answers: it may be loading */
void test_redis_freeze(test_redis *s);   /* SIGSTOP, and waits until it stands */
void test_redis_thaw(test_redis *s);     /* SIGCONT */
/* Its wall clock goes so many seconds ahead (after, if negative) of the machine's; other clocks go on as they do. */
void test_redis_set_clock(test_redis *s, int64_t seconds);
void test_redis_set_password(test_redis *s, const char *password); /* at once, for who connects from now on; NULL: none */
/* Replaces the extra arguments for the next start. */
void test_redis_set_extra_args(test_redis *s, const char *const *extra_args);

/* One command on a connection of its own, words as separate arguments, ended by NULL. Returns the raw RESP2 reply as
   NUL-ended text; the caller frees it. */
char *test_redis_command(test_redis *s, const char *word, ...) __attribute__((sentinel));
long long test_redis_command_int(test_redis *s, const char *word, ...) __attribute__((sentinel)); /* ":n" or "$..n" */
/* One field of INFO, such as "used_cpu_user"; the caller frees it. NULL when the server has no such field. */
char *test_redis_info(test_redis *s, const char *field);

int test_free_port(void); /* of 127.0.0.1, free a moment ago */
