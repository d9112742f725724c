/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_BUILD_H
#define TEST_BUILD_H

/* TEST_SANITIZED: 1 under AddressSanitizer or ThreadSanitizer, which make times and sizes of the stack other than they are. gcc says so by macros, clang by
 * features. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define TEST_SANITIZED 1
#endif
#endif
#ifndef TEST_SANITIZED
#define TEST_SANITIZED 0
#endif

#endif
