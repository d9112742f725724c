/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a daemon is told: one table of settings, three places that may say each of them.

   A setting has one name, `dureqd.leaseMs`. In the file it is that path, in the environment DUREQ_LEASE_MS, as a flag
   --lease-ms (a leading "dureqd." is dropped in both). A flag beats the environment, which beats the file, which beats
   the default. Queues are said in the file only; handlers in the file and with --handler.

   Everything a dq_config points to lives in its arena, until dq_config_deinit. */

#include <dureq/log.h>
#include <dureq/queue.h>

#include "base/arena.h"
#include "base/buf.h"

typedef enum dq_handler_kind {
    DQ_HANDLER_EXEC = 1,
    DQ_HANDLER_BUILTIN = 2,
} dq_handler_kind;

typedef struct dq_exec_limits {
    const char *user;     /* NULL: the daemon's own */
    int64_t cpu_seconds;  /* of each process; 0 = none */
    int64_t memory_bytes; /* of the run, or of the data of each process; 0 = none */
    int64_t open_files;   /* of each process; 0 = what the daemon was started with */
    int64_t output_bytes; /* standard output, error and descriptor 3 together; 0 = none */
} dq_exec_limits;

/* Variables of an environment, "NAME=value", no name twice. Zeroed is empty. */
typedef struct dq_env_list {
    const char **vars;
    size_t n, cap, bytes;
} dq_env_list;

typedef struct dq_handler_spec {
    const char *type; /* exact or pattern */
    dq_handler_kind kind;
    const char **words; /* exec: the command, split; "{payload}" not yet replaced */
    size_t n_words;
    bool allow_leading_dash; /* exec: of a payload that becomes a word */
    const char *cwd;         /* exec: working directory, absolute; NULL: the daemon's */
    int32_t nice;            /* exec: -20 to 19; 0: the daemon's */
    int32_t max_processes;   /* exec: of a run; 0: no limit */
    dq_env_list env;         /* exec: said in the configuration */
    dq_env_list file_env;    /* exec: what envFile held */
    const char **pass_env;   /* exec: names with '*', of the daemon's own environment */
    size_t n_pass_env;
    const char *builtin; /* its name */
    dureq_str origin;    /* where it was said, for messages: "dureqd.yaml:12:5" or "--handler" */
    int32_t concurrency; /* 0: the node's, or the built-in's own */
    int64_t timeout_ms;
    int64_t grace_ms;
    dureq_retry_policy *retry_policy; /* NULL: none given */
    dq_exec_limits limits;
} dq_handler_spec;

typedef struct dq_queue_spec {
    const char *name;
    dureq_str origin;
    dureq_queue_options options;
} dq_queue_spec;

typedef enum dq_log_format {
    DQ_LOG_TEXT = 0,
    DQ_LOG_JSON = 1,
} dq_log_format;

typedef enum dq_config_auth {
    DQ_AUTH_LOCAL = 0,
    DQ_AUTH_NONE = 1,
    DQ_AUTH_TOKENS = 2,
} dq_config_auth;

/* Limits of what is read. */
#define DQ_CONFIG_API_ADDRESS  "127.0.0.1:8080"
#define DQ_CONFIG_FILE_MAX     (1024 * 1024)
#define DQ_CONFIG_DEPTH_MAX    16
#define DQ_CONFIG_HANDLERS_MAX 1024
#define DQ_CONFIG_QUEUES_MAX   256
#define DQ_CONFIG_WORDS_MAX    4096

typedef struct dq_config {
    dq_arena arena;

    bool allow_eviction;
    char *allow_hosts, *allow_origins; /* NULL: none */
    char *api_address;                 /* NULL: DQ_CONFIG_API_ADDRESS, if it is free */
    int64_t auth;                      /* dq_config_auth */
    bool insecure;
    char *tls_cert, *tls_key; /* NULL: no TLS */
    char *trusted_proxies;    /* NULL: none */
    char *proxy_users;        /* NULL: none */
    char *proxy_user_header, *proxy_secret;
    char *base_path; /* NULL: the root */
    char *builtins;
    int64_t concurrency;
    int64_t audit_retention_ms, dead_retention_ms; /* -1: for ever */
    int64_t stats_days_retention_ms, stats_hours_retention_ms, stats_minutes_retention_ms;
    int64_t drain_timeout_ms;
    int64_t history_max_bytes;
    bool insecure_state_dir;
    int64_t lease_ms;
    int64_t max_crashes;
    int64_t max_payload_bytes;
    char *mode;
    char *node_id; /* NULL: made up */
    char *prefix;
    int64_t shards;
    char *state_dir; /* NULL: dq_state_dir_default */
    int64_t threads;
    bool unique_node_id;
    int64_t log_format;        /* dq_log_format */
    int64_t log_level;         /* dureq_log_level */
    int64_t redis_appendfsync; /* of dq_config_fsyncs */
    int64_t redis_db;          /* -1: the URL's */
    char *redis_password;
    char *redis_server;
    char *redis_url; /* NULL: the embedded server */
    char *redis_username;

    dq_handler_spec *handlers;
    size_t n_handlers, handlers_cap;
    struct dq_schedule_spec *schedules; /* schedule_list.h */
    size_t n_schedules;
    dq_queue_spec *queues;
    size_t n_queues, queues_cap;

    char **args; /* a copy of the command line's, for dq_config_load_again */
    int n_args;
    bool is_again; /* a daemon that runs reads it: nothing may be waited for */

    unsigned char *from; /* dq_config_source of each row of the table */
    dq_buf warnings;     /* one line each */
} dq_config;

typedef enum dq_config_source {
    DQ_FROM_DEFAULT = 0,
    DQ_FROM_FILE = 1,
    DQ_FROM_ENV = 2,
    DQ_FROM_FLAG = 3,
} dq_config_source;

/* ---- the table (config_table.c) ---- */

typedef enum dq_config_type {
    DQ_CONFIG_TEXT,
    DQ_CONFIG_NAME, /* [A-Za-z0-9_.:-], 1 to max */
    DQ_CONFIG_INT,
    DQ_CONFIG_MS,    /* a number of milliseconds, or a duration such as "30s" */
    DQ_CONFIG_BYTES, /* a number, or a size such as "64KiB" */
    DQ_CONFIG_BOOL,
    DQ_CONFIG_CHOICE,
    DQ_CONFIG_LIST,    /* comma list; a sequence in the file */
    DQ_CONFIG_IGNORED, /* of the Go version of dureq, without meaning here: taken with a warning */
    DQ_CONFIG_REFUSED, /* not in this version */
} dq_config_type;

typedef struct dq_config_choice {
    const char *text;
    int64_t value;
} dq_config_choice;

typedef struct dq_config_row {
    const char *name;
    dq_config_type type;
    size_t offset;   /* in dq_config */
    const char *def; /* as text, as a user would write it; NULL: unset */
    int64_t min, max;
    const dq_config_choice *choices; /* CHOICE: ends with a NULL text */
    bool secret;                     /* never shown */
    bool or_forever;                 /* MS: takes -1, too */
    /* Of TEXT and LIST, NULL: anything goes. DUREQ_EINVAL or EUNSUPPORTED; the message names the setting. */
    int (*check)(const struct dq_config_row *row, dureq_str value, dureq_error *err);
    const char *help; /* one sentence; for REFUSED and IGNORED: why */
} dq_config_row;

extern const dq_config_choice dq_config_fsyncs[];
extern const dq_config_row dq_config_rows[];
extern const size_t dq_config_n_rows;

/* NULL when there is none. `key` is the last part of a name when `section` is given, else all of it. */
const dq_config_row *dq_config_row_find(const char *section, dureq_str key);
/* "DUREQ_LEASE_MS" and "--lease-ms": NUL-ended, at most 64 bytes. */
#define DQ_CONFIG_NAME_TEXT_MAX 64
void dq_config_env_name(const dq_config_row *row, char out[DQ_CONFIG_NAME_TEXT_MAX]);
void dq_config_flag_name(const dq_config_row *row, char out[DQ_CONFIG_NAME_TEXT_MAX]);
/* "a whole number from 1 to 65536": what the setting takes. */
void dq_config_describe(const dq_config_row *row, dq_buf *out);

/* ---- values (config_value.c) ---- */

/* Set one row from text, unless it already came from somewhere stronger. DUREQ_EINVAL; err says what it takes and not where
   it was said, which the caller puts in front. */
int dq_config_set(dq_config *cfg, const dq_config_row *row, dureq_str value, dq_config_source from, dureq_error *err);
/* Whether two keys are the same except for camelCase or snake_case: "maxLen", "max_len". */
bool dq_config_key_eq(dureq_str a, const char *b);

/* ---- the table in print (config_print.c) ---- */

void dq_config_print_help(const char *program, dq_buf *out);
void dq_config_print_sample(dq_buf *out);   /* a file of settings, all commented out */
void dq_config_print_markdown(dq_buf *out); /* the table of docs/configuration.md */

void dq_config_print_man(dq_buf *out);       /* dureqd(8) */
void dq_config_print_man_file(dq_buf *out);  /* dureqd.yaml(5) */
void dq_config_print_man_lists(dq_buf *out); /* config_file.c: its sections about queues and handlers */

/* ---- checks of rows (config_check.c) ---- */
int dq_config_check_builtins(const dq_config_row *row, dureq_str value, dureq_error *err);
int dq_config_check_mode(const dq_config_row *row, dureq_str value, dureq_error *err);
int dq_config_check_url(const dq_config_row *row, dureq_str value, dureq_error *err);

/* ---- the file (config_file.c) ---- */

/* `name` is for messages. DUREQ_EPARSE or DUREQ_EINVAL with "name:line:column: key: what" in err. */
int dq_config_load_text(dq_config *cfg, const char *name, dureq_str text, dureq_error *err);
/* All of the descriptor, more than `max` bytes when there are more, so that the caller sees it. 0 or errno. */
int dq_config_read_fd(int fd, size_t max, dq_buf *out);
int dq_config_load_file(dq_config *cfg, const char *path, dureq_error *err);

/* ---- the whole (config.c) ---- */

typedef struct dq_config_cli {
    const char *config_path; /* --config */
    bool help, version, check, sample;
    bool man, man_file; /* --man, --man-file: for the build, in no help */
} dq_config_cli;

/* Defaults. On failure nothing needs to be freed. */
int dq_config_init(dq_config *cfg, dureq_error *err);
void dq_config_deinit(dq_config *cfg);
int dq_config_load_env(dq_config *cfg, char *const *envp, dureq_error *err);
/* argv without the program's name. Secrets are overwritten in place, so that process listings do not show them. */
int dq_config_load_args(dq_config *cfg, int argc, char **argv, dq_config_cli *ret, dureq_error *err);
/* Everything in its order: argv, then $DUREQ_CONFIG_PATH or --config, then the environment; then the checks that need all. */
int dq_config_load(dq_config *cfg, int argc, char **argv, char *const *envp, dq_config_cli *ret, dureq_error *err);
/* The same once more, as `first` was read, into a config that is not initialised. On failure nothing needs to be freed. */
int dq_config_load_again(dq_config *cfg, const dq_config *first, char *const *envp, dureq_error *err);
/* The URL with user, password and database of their own settings put in; NULL in *ret when no URL is set. */
int dq_config_redis_url(const dq_config *cfg, char **ret, dureq_error *err);
/* Whether this mode is wanted ("queue" ...); "full" means all. */
bool dq_config_has_mode(const dq_config *cfg, const char *mode);
/* Whether a comma list (NULL: empty) holds the word. */
bool dq_config_list_has(const char *list, const char *word);

int dq_config_add_handler(dq_config *cfg, const dq_handler_spec *spec, dureq_error *err);
int dq_config_add_queue(dq_config *cfg, const dq_queue_spec *spec, dureq_error *err);
