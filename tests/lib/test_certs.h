/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Certificates for tests, made on the spot: an authority, a server ("localhost", 127.0.0.1, ::1) and a client signed by it,
   and another authority that signed nothing. Writes the files named in redis_server.h into `dir`; aborts on failure. */
void test_certs_write(const char *dir);
