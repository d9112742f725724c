/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* dureqctl: one table of commands; each is a file cmd_<name>.c that turns arguments into API requests and answers into output.
   The API resources run in this process, over the server that --server, DUREQ_SERVER, or the private server's socket names. */

#include <stdarg.h>
#include <stdio.h>

#include <dureq/client.h>

#include "api/api.h"
#include "json/json.h"

/* Exit codes, documented in docs/cli.md. */
enum {
    CTL_DONE = 0,
    CTL_FAILED = 1,
    CTL_USAGE = 2,
    CTL_NOT_FOUND = 3,
    CTL_WRONG_STATE = 4,
    CTL_REFUSED = 5,
    CTL_SERVER_AWAY = 6,
    CTL_NOT_ALLOWED = 7,
};

typedef enum ctl_format {
    CTL_TABLE,
    CTL_JSON,
    CTL_NDJSON,
    CTL_CSV,
} ctl_format;

typedef struct ctl {
    const char *server; /* as given; NULL: found by itself */
    char *server_room;  /* what owns it when it came from the command line */
    const char *prefix; /* NULL: dureq */
    char *prefix_room;  /* what owns it when it came from the configuration file */
    bool server_found;  /* nobody named one: the socket of the private server */
    ctl_format format;
    int64_t timeout_ms; /* of a call; 0: the client's default */
    bool allow_eviction;
    bool quiet;
    bool is_terminal; /* standard output */
    bool color;
    int columns;                 /* of the terminal; 0: as many as it takes */
    int ended_by;                /* a signal that a command heard: the program ends by it, after its output; 0: none */
    dureq_client *client;        /* made at the first use; NULL where http is used */
    struct ctl_http *http;       /* NULL: the server is Redis itself */
    const char *token, *ca_file; /* NULL: none, the system's */
    char *token_room, *ca_room;  /* what owns them when they came from a file */
    const char *context;         /* of the file of contexts; NULL: the one that is current */
    bool told_absent;
    const char *progress_verb; /* "cancelled": ctl_call shows on a terminal how many are; NULL: it does not */
} ctl;

typedef struct ctl_command {
    const char *name;                         /* "job get" */
    const char *args;                         /* "ID [--payload]" */
    const char *summary;                      /* one line; NULL: for programs, not listed */
    const char *help;                         /* options and examples; lines ended by \n */
    int (*fn)(ctl *c, int argc, char **argv); /* argv[0] is the command's last word; returns an exit code */
} ctl_command;

/* One table a file, ended by a row without name. */
extern const ctl_command ctl_enqueue_commands[], ctl_job_commands[], ctl_queue_commands[], ctl_node_commands[],
    ctl_tool_commands[], ctl_bench_commands[], ctl_complete_commands[], ctl_workflow_commands[], ctl_batch_commands[],
    ctl_schedule_commands[], ctl_token_commands[], ctl_operation_commands[], ctl_event_commands[], ctl_help_commands[];
const ctl_command *ctl_command_at(size_t i); /* of all tables; NULL: there are no more */

/* ---- help.c ---- */
void ctl_print_overview(FILE *to);
int ctl_print_help(const ctl_command *cmd);
int ctl_print_group(const char *word, FILE *to); /* the commands that begin with this word; how many */

int ctl_job_watch(ctl *c, int argc, char **argv); /* job_watch.c */

/* What went wrong, on standard error; returns the exit code for it. */
int ctl_fail(int code, const char *fmt, ...) DUREQ_PRINTF(2, 3);
int ctl_usage(const char *fmt, ...) DUREQ_PRINTF(1, 2); /* returns CTL_USAGE */
int ctl_exit_of(int dureq_code);

/* Appends the URL of the server to use. 0, or an exit code after saying why. */
int ctl_server(ctl *c, dq_buf *url);
/* Connects when needed. 0, or an exit code after saying why. To read makes no prefix. */
typedef enum ctl_use {
    CTL_READS,
    CTL_WRITES,
} ctl_use;
int ctl_connect(ctl *c, ctl_use use);

/* One API request. On success 0 and *doc holds the answer (deinit both); else the exit code, said on standard error. */
typedef struct ctl_answer {
    dq_api_response res;
    dq_json doc;
} ctl_answer;
int ctl_call(ctl *c, const char *method, const char *path, const char *query, dureq_str body, ctl_answer *ret);
void ctl_answer_deinit(ctl_answer *a);

/* ---- http.c: the API of a daemon ---- */

typedef struct ctl_http ctl_http;
bool ctl_is_http(const char *url);
int ctl_http_create(const ctl *c, const char *url, ctl_http **ret); /* 0, or the exit code, said; connects at the first request */
void ctl_http_destroy(ctl_http *h);
/* 0 and *ret, which the caller deinits, whatever its status; or the exit code, said. */
int ctl_http_ask(ctl_http *h, const dq_api_request *req, dq_api_response *ret);
/* An answer that goes on, over a connection of its own: fn gets what comes, until it ends or is lost. The exit code, said; or 0 and *ret, which says why
   when it was refused. */
typedef void (*ctl_http_fn)(void *userdata, dureq_str bytes);
int ctl_http_follow(ctl_http *h, const dq_api_request *req, ctl_http_fn fn, void *userdata, dq_api_response *ret);

/* ---- remote.c ---- */

/* As dureq_client_enqueue_many. */
int ctl_enqueue_jobs(ctl *c, const dureq_job_spec *specs, size_t n, dureq_enqueue_result *results, dureq_error *err);
/* A GET for a hint: false, and nothing to free, when it was not answered. */
bool ctl_look(ctl *c, const char *path, ctl_answer *ret);
/* The texts of an array, or of a member of its objects, one after the other; *at begins as DQ_JSON_NONE. */
bool ctl_next_text(const dq_json *doc, dq_json_ref array, dq_json_ref *at, const char *member, dq_buf *ret);

/* ---- context.c ---- */

/* Server, token and prefix of the context that is named, or current, unless they were given. 0, or the exit code, said. */
int ctl_use_context(ctl *c);

/* "/api/jobs/%s/cancel" with each argument percent-encoded. */
void ctl_path(dq_buf *out, const char *fmt, const char *arg);
/* Appends name=value, encoded, with & or nothing before it. */
void ctl_query(dq_buf *out, const char *name, const char *value);

/* ---- output ---- */

typedef enum ctl_kind {
    CTL_TEXT,
    CTL_TIME,     /* RFC 3339, shown as age ("5m ago") in a table */
    CTL_NUMBER,   /* right-aligned */
    CTL_VALUE,    /* any JSON, shown compact and cut */
    CTL_WORDS,    /* an array of texts, shown as "a, b" in a table */
    CTL_LENGTH,   /* a duration, shown as "34s" or "2m" */
    CTL_MS,       /* a number of milliseconds, shown likewise, right-aligned */
    CTL_STATE,    /* a word that has a colour */
    CTL_SCHEDULE, /* a definition, shown as "0 3 * * *" or "every 5m" in a table */
} ctl_kind;

typedef struct ctl_column {
    const char *title, *name; /* name of the member */
    ctl_kind kind;
    const char *within; /* the member is one of this member; NULL: of the row */
    bool may_go;        /* where the terminal is too narrow for all */
} ctl_column;

/* A definition of a schedule in a few words: schedule_words.c. */
void ctl_append_schedule(dq_buf *out, const dq_json *doc, dq_json_ref v);
/* The array at `list` (an object's member or the root) in the format asked for. A column list ends with a NULL title,
   whose name is what a row is ("job"): a person is told how many there are, unless it is NULL. That, and the cursor to the next page, are
   told on standard error, except as JSON, which holds them. */
void ctl_print_list(const ctl *c, const ctl_answer *a, dq_json_ref list, const ctl_column *columns);
/* One object: "name  value" lines, as JSON, or as a row of CSV. */
void ctl_print_object(const ctl *c, const ctl_answer *a, dq_json_ref object);
/* The list that GET of the path answers, or the array `member` of the answer (NULL: the root is it). The exit code. */
int ctl_show_list(ctl *c, const char *path, const char *query, const char *member, const ctl_column *columns);
void ctl_print_jobs(const ctl *c, const ctl_answer *a); /* cmd_job.c: the array `data` of the answer */
void ctl_print_pairs(const ctl *c, const dq_json *doc, dq_json_ref object,
                     const char *but); /* but: a name that is left out; NULL: none */
/* job_show.c: with its attempts as a table, and what they logged; log: as the resource gives it. */
extern const ctl_column ctl_step_columns[];
/* As a person reads it. */
void ctl_print_job(const ctl *c, const ctl_answer *a, const ctl_answer *steps, dureq_str log, const char *id);
int ctl_print_result(const ctl *c, const ctl_answer *a); /* the bare one with --quiet; the exit code */
void ctl_print_csv_row(const ctl *c, const char *const *fields, size_t n);
/* Everything that others wrote passes through one of these two before a terminal shows it. What would drive the terminal (controls of
   C0 and C1, DEL, marks of direction) becomes blanks, a byte that is no UTF-8 a question mark; with keep_lines, line breaks and tabs
   stay. In JSON it is escaped, so that the value stays what it is. */
void ctl_clean(dq_buf *b, bool keep_lines);
void ctl_append_json(dq_buf *out, dureq_str json);
void ctl_append_vfmt(dq_buf *out, const char *fmt, va_list args) DUREQ_PRINTF(2, 0);
size_t ctl_width(dureq_str s);                           /* in cells of a terminal */
const char *ctl_color_of(const ctl *c, dureq_str state); /* its escape sequence's number; NULL: none */
void ctl_cut(dq_buf *b, size_t width);                   /* between characters, with "..." when it is longer */
void ctl_put_json(const ctl *c, dureq_str json);         /* a line of standard output */
void ctl_print_pair(const ctl *c, dureq_str name, size_t width, dq_buf *value); /* the value is cleaned */
/* A short sentence in table form, the object in the others. */
void ctl_print_done(const ctl *c, const ctl_answer *a, const char *fmt, ...) DUREQ_PRINTF(3, 4);

/* ---- what is known (known.c) ---- */

bool ctl_is_broken_json(dureq_str payload);                 /* it begins with { or [ */
void ctl_near_queue(ctl *c, const char *name, dq_buf *out); /* ": did you mean 'high'?", when one is near */
/* Says on standard error that no live node handles the type, and appends the same to *out. The client is connected. */
void ctl_warn_unhandled(ctl *c, const char *type, dq_buf *out);

/* ---- arguments ---- */

/* Options of a command: --name VALUE, --name=VALUE, or --flag. Everything else is positional; "--" ends options. */
typedef struct ctl_option {
    const char *name;   /* without dashes */
    const char **value; /* NULL: a flag */
    bool *flag;
    int (*each)(void *data, const char *value); /* instead of value: called for each occurrence; non-zero is an exit code */
    void *data;
} ctl_option;
/* Moves positionals to the front of argv; *ret_n is their count (argv[0] not among them: they start at argv[1]). 0, or CTL_USAGE with *ret_n 0. */
int ctl_options(int argc, char **argv, const ctl_option *options, size_t n, int *ret_n);
int ctl_only_options(int argc, char **argv, const ctl_option *options, size_t n); /* the same where nothing is positional */
/* NULL-safe parsers of option values: 0, or CTL_USAGE after naming the option and what it takes. A duration has 100 years at most. */
int ctl_i64(const char *option, const char *text, int64_t min, int64_t max, int64_t *ret);
int ctl_duration(const char *option, const char *text, int64_t *ret);
/* As people write times; a duration alone is ago (is_past) or from now. After 1970. */
int ctl_time(const char *option, const char *text, bool is_past, int64_t *ret_ms);
int ctl_time_text(const char *option, const char *text, bool is_past, char out[DQ_RFC3339_TEXT_MAX]); /* RFC 3339 */

/* ---- words ---- */

extern const char *const ctl_global_options[]; /* ends with NULL */

/* Appends a message of the library or of a resource with the names of fields and parameters as the options that set them. What stands in
   quotes stays. */
void ctl_own_words(const char *msg, dq_buf *out);

/* Which of the candidates is nearest to the word, when one is near. */
typedef struct ctl_near {
    dureq_str word, best; /* best: a view into a candidate; empty: none */
    unsigned distance;
} ctl_near;
void ctl_nearer(ctl_near *n, dureq_str candidate);
void ctl_did_you_mean(const ctl_near *n, const char *dashes, dq_buf *out); /* ": did you mean 'list'?" */
