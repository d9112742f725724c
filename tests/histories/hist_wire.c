/* SPDX-License-Identifier: Apache-2.0 */
#include "hist_wire.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/str.h"
#include "redis/resp.h"
#include "store/queue_calls.h"

void hist_die(const char *what, const char *why)
{
    (void)fflush(stdout);
    (void)fprintf(stderr, "histories: %s: %s\n", what, why);
    exit(2);
}

/* ---- connections ---- */

static void connect_one(hist_conn *c, const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};

    (void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        hist_die("connect", strerror(errno));
    if (dq_resp_parser_create(&c->parser) < 0)
        hist_die("parser", "no memory");
}

static void write_all(int fd, const char *p, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

        if (n < 0 && errno != EINTR)
            hist_die("send", strerror(errno));
        if (n > 0) {
            p += n;
            len -= (size_t)n;
        }
    }
}

static dq_reply read_one(hist_conn *c)
{
    dureq_error err = {0};

    for (;;) {
        dq_reply r;
        size_t used = 0;
        int rc = c->in.len > c->used ? dq_resp_parse(c->parser, c->in.ptr + c->used, c->in.len - c->used, &used, &r, &err) : 0;
        char *room;
        ssize_t n;

        if (rc < 0)
            hist_die("reply", err.msg);
        if (rc > 0) {
            c->used += used;
            return r;
        }
        room = dq_buf_reserve(&c->in, 16384);
        if (!room)
            hist_die("reply", "no memory");
        n = recv(c->fd, room, 16384, 0);
        if (n == 0 || (n < 0 && errno != EINTR))
            hist_die("recv", n == 0 ? "the server is gone" : strerror(errno));
        c->in.len += n > 0 ? (size_t)n : 0;
        c->in.ptr[c->in.len] = '\0'; /* numbers in replies are read as text */
    }
}

/* The calls are made for the scripts of the library: the changed ones have other names. */
static void rename_scripts(const hist_wire *w, dq_buf *bytes)
{
    static const char mark[] = "EVALSHA\r\n$40\r\n";
    char *at = bytes->ptr, *end = bytes->ptr + bytes->len;

    for (;;) {
        at = memmem(at, (size_t)(end - at), mark, sizeof(mark) - 1);
        if (!at)
            return;
        at += sizeof(mark) - 1;
        for (int i = 0; i < DQ_SCRIPT_COUNT; i++) {
            if (memcmp(at, dq_scripts[i].sha1, 40) == 0) {
                memcpy(at, w->sha[i], 40);
                break;
            }
        }
    }
}

/* One that goes out as text goes by the name of the changed one. */
static void name_texts(const hist_wire *w, dq_buf *bytes)
{
    for (int i = 0; i < DQ_SCRIPT_COUNT; i++) {
        dq_buf sent = {0}, out = {0};
        const char *at;

        dq_buf_append_fmt(&sent, "$4\r\nEVAL\r\n$%zu\r\n", dq_scripts[i].len);
        dq_buf_append(&sent, dq_scripts[i].text, dq_scripts[i].len);
        at = memmem(bytes->ptr, bytes->len, sent.ptr, sent.len);
        if (at) {
            dq_buf_append(&out, bytes->ptr, (size_t)(at - bytes->ptr));
            dq_buf_append_text(&out, "$7\r\nEVALSHA\r\n$40\r\n");
            dq_buf_append(&out, w->sha[i], 40);
            at += sent.len;
            dq_buf_append(&out, at, (size_t)(bytes->ptr + bytes->len - at));
            dq_buf_deinit(bytes);
            *bytes = out;
        }
        dq_buf_deinit(&sent);
    }
}

dq_reply hist_ask(hist_wire *w, int conn, const dq_buf *commands, int n)
{
    hist_conn *c = &w->conn[conn];
    dq_buf bytes = {0};
    dq_reply r = {0};

    dq_buf_append_str(&bytes, dq_buf_str(commands));
    if (dq_buf_failed(&bytes) || dq_buf_failed(commands))
        hist_die("call", "no memory");
    if (w->sha) {
        rename_scripts(w, &bytes);
        name_texts(w, &bytes);
    }
    dq_buf_clear(&c->in);
    c->used = 0;
    write_all(c->fd, bytes.ptr, bytes.len);
    dq_buf_deinit(&bytes);
    for (int i = 0; i < n; i++)
        r = read_one(c);
    return r;
}

/* ---- the listener: what was published before a PING comes before its answer ---- */

static void tell_listener(hist_wire *w, const dq_buf *bytes)
{
    hist_conn *c = &w->conn[HIST_LISTENER];

    if (dq_buf_failed(bytes))
        hist_die("call", "no memory");
    if (c->used == c->in.len) {
        dq_buf_clear(&c->in);
        c->used = 0;
    }
    write_all(c->fd, bytes->ptr, bytes->len);
}

static bool is_answer_of(dq_reply r, const char *what)
{
    return dq_str_eq_text(dq_reply_type(r) == DQ_RESP_ARRAY ? dq_reply_str(dq_reply_at(r, 0)) : dq_reply_str(r), what);
}

void hist_ask_heard(hist_wire *w)
{
    dq_buf ping = {0};

    dq_resp_begin(&ping, 1);
    dq_resp_arg_text(&ping, "PING");
    tell_listener(w, &ping);
    dq_buf_deinit(&ping);
}

bool hist_heard(hist_wire *w, dq_reply *ret)
{
    *ret = read_one(&w->conn[HIST_LISTENER]);
    return !is_answer_of(*ret, "pong") && !is_answer_of(*ret, "PONG");
}

void hist_listen(hist_wire *w, int session, bool on)
{
    dq_buf call = {0};

    dq_resp_begin(&call, 2);
    dq_resp_arg_text(&call, on ? "SSUBSCRIBE" : "SUNSUBSCRIBE");
    dq_keys_arg_u64(&call, &w->keys, 0, "w:", (uint64_t)session);
    tell_listener(w, &call);
    dq_buf_deinit(&call);
    while (!is_answer_of(read_one(&w->conn[HIST_LISTENER]), on ? "ssubscribe" : "sunsubscribe"))
        ; /* what is no wake-up; those were heard after the call that led to them */
}

dq_reply hist_words(hist_wire *w, int conn, const char *word, ...)
{
    const char *words[24];
    size_t n = 0;
    dq_buf call = {0};
    dq_reply r;
    va_list args;

    va_start(args, word);
    for (const char *text = word; text; text = va_arg(args, const char *))
        words[n++] = text;
    va_end(args);
    dq_resp_begin(&call, n);
    for (size_t i = 0; i < n; i++)
        dq_resp_arg_text(&call, words[i]);
    r = hist_ask(w, conn, &call, 1);
    dq_buf_deinit(&call);
    return r;
}

/* ---- scripts ---- */

/* A script that is put together; its parts come once. */
typedef struct hist_script {
    dq_buf text;
    dq_buf parts; /* their names in quotes */
    const char *root;
    const hist_plant *plant;
} hist_script;

static void add_file(hist_script *s, const char *file);

static void add_part(hist_script *s, const char *name)
{
    size_t len = strcspn(name, "\"") + 1;
    char part[128];

    if (s->parts.len && memmem(s->parts.ptr, s->parts.len, name - 1, len + 1))
        return;
    dq_buf_append(&s->parts, name - 1, len + 1);
    (void)snprintf(part, sizeof(part), "include/%.*s", (int)len - 1, name);
    add_file(s, part);
}

static void add_lines(hist_script *s, char *text)
{
    static const char include[] = "--#include \"";
    char *rest = text;
    char *line = strsep(&rest, "\n");

    for (; line; line = strsep(&rest, "\n")) {
        if (strncmp(line, include, sizeof(include) - 1) == 0) {
            add_part(s, line + sizeof(include) - 1);
        } else if (strncmp(line + strspn(line, " "), "--", 2) != 0) { /* a function that only a comment names is unused */
            dq_buf_append_text(&s->text, line);
            dq_buf_append_char(&s->text, '\n');
        }
    }
}

/* Every place of `is`; a plant that fits nowhere is a mistake of its own. */
static char *planted(char *text, const hist_plant *plant)
{
    dq_buf out = {0};
    const char *at = text, *next = strstr(text, plant->is);

    if (!next)
        hist_die(plant->name, "the script has no such text any more");
    for (; next; next = strstr(at, plant->is)) {
        dq_buf_append(&out, at, (size_t)(next - at));
        dq_buf_append_text(&out, plant->becomes);
        at = next + strlen(plant->is);
    }
    dq_buf_append_text(&out, at);
    dq_free(text);
    return dq_buf_take(&out);
}

static void add_file(hist_script *s, const char *file)
{
    char path[512];
    dq_buf whole = {0};
    FILE *f;
    char *text;

    (void)snprintf(path, sizeof(path), "%s/src/store/lua/%s", s->root, file);
    f = fopen(path, "re");
    if (!f)
        hist_die(path, strerror(errno));
    for (char *room = dq_buf_reserve(&whole, 32768); room; room = NULL)
        whole.len += fread(room, 1, 32768, f);
    (void)fclose(f);
    text = dq_buf_take(&whole);
    if (text && s->plant && strcmp(s->plant->file, file) == 0)
        text = planted(text, s->plant);
    if (!text)
        hist_die(path, "no memory");
    add_lines(s, text);
    dq_free(text);
}

static bool is_word(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* "local NAME = 123": both parts; false for any other line. */
static bool constant_of(dureq_str line, dureq_str *ret_name, dureq_str *ret_value)
{
    size_t at = 6, end;

    if (!dq_str_starts_with(line, DQ_STR_LIT("local ")))
        return false;
    for (end = at; end < line.len && is_word(line.ptr[end]) && !(line.ptr[end] >= 'a' && line.ptr[end] <= 'z');)
        end++;
    *ret_name = dureq_str_of(line.ptr + at, end - at);
    if (end == at || !dq_str_starts_with(dureq_str_of(line.ptr + end, line.len - end), DQ_STR_LIT(" = ")))
        return false;
    for (at = end + 3, end = at; end < line.len && (line.ptr[end] == '-' || (line.ptr[end] >= '0' && line.ptr[end] <= '9'));)
        end++;
    *ret_value = dureq_str_of(line.ptr + at, end - at);
    return end > at && (end == line.len || line.ptr[end] == ' ');
}

/* As the build does: each number stands where its name stood, since a script may have 200 local names only. */
static dq_buf with_constants(dureq_str text)
{
    dureq_str names[256], values[256], rest = text, name, value;
    dq_buf lines = {0}, out = {0};
    size_t n = 0;

    while (rest.len) {
        dureq_str line = dq_str_cut(&rest, '\n');

        if (n < DQ_ARRAY_LEN(names) && constant_of(line, &name, &value)) {
            names[n] = name;
            values[n++] = value;
            continue;
        }
        dq_buf_append_str(&lines, line);
        dq_buf_append_char(&lines, '\n');
    }
    for (size_t at = 0; at < lines.len;) {
        size_t end = at, k = 0;

        while (end < lines.len && is_word(lines.ptr[end]))
            end++;
        end += end == at;
        name = dureq_str_of(lines.ptr + at, end - at);
        while (k < n && !dq_str_eq(names[k], name))
            k++;
        dq_buf_append_str(&out, k < n ? values[k] : name);
        at = end;
    }
    dq_buf_deinit(&lines);
    return out;
}

/* How often a name stands there as a word, and not as a field. */
static int times_in(dureq_str text, dureq_str name)
{
    const char *end = text.ptr + text.len;
    int n = 0;

    for (const char *at = memmem(text.ptr, text.len, name.ptr, name.len); at;) {
        const char *after = at + name.len;
        bool is_field = at > text.ptr + 1 && at[-1] == '.' && at[-2] != '.';

        n += !is_field && !(at > text.ptr && is_word(at[-1])) && !(after < end && is_word(*after));
        at = memmem(after, (size_t)(end - after), name.ptr, name.len);
    }
    return n;
}

/* A statement of the outermost level: its line, and those that are indented or end it. */
static dureq_str statement_cut(dureq_str *rest)
{
    const char *begin = rest->ptr, *end = begin + rest->len;

    do
        (void)dq_str_cut(rest, '\n');
    while (rest->len &&
           (rest->ptr[0] == ' ' || rest->ptr[0] == '}' || rest->ptr[0] == ')' || dq_str_starts_with(*rest, DQ_STR_LIT("end"))));
    return dureq_str_of(begin, (size_t)((rest->len ? rest->ptr : end) - begin));
}

/* What it declares and nothing else: a function, or a value that calls none. Empty: it may have to happen all the same. */
static dureq_str declared_by(dureq_str statement)
{
    dureq_str function = DQ_STR_LIT("local function "), local = DQ_STR_LIT("local ");
    bool is_function = dq_str_starts_with(statement, function);
    size_t at = is_function ? function.len : local.len, end = at;

    if (!is_function && !(dq_str_starts_with(statement, local) && !memchr(statement.ptr, '(', statement.len)))
        return dureq_str_of(NULL, 0);
    while (end < statement.len && is_word(statement.ptr[end]))
        end++;
    if (!is_function && !dq_str_starts_with(dureq_str_of(statement.ptr + end, statement.len - end), DQ_STR_LIT(" = ")))
        return dureq_str_of(NULL, 0);
    return dureq_str_of(statement.ptr + at, end - at);
}

/* As the build does, too: what nobody uses goes. Returns whether anything did; what only that used is left for the next time. */
static bool drop_unused(dq_buf *text)
{
    dureq_str rest = dq_buf_str(text);
    dq_buf out = {0};
    bool any = false;

    while (rest.len) {
        dureq_str statement = statement_cut(&rest), name = declared_by(statement);

        if (name.len && times_in(dq_buf_str(text), name) == times_in(statement, name))
            any = true;
        else
            dq_buf_append_str(&out, statement);
    }
    dq_buf_deinit(text);
    *text = out;
    return any;
}

static dq_buf planted_script(const char *file, const hist_plant *plant)
{
    const char *root = getenv("DUREQ_TEST_SOURCE");
    hist_script s = {.root = root ? root : ".", .plant = plant};

    add_file(&s, file);
    dq_buf text = with_constants(dq_buf_str(&s.text));
    while (drop_unused(&text))
        ;
    dq_buf_deinit(&s.parts);
    dq_buf_deinit(&s.text);
    return text;
}

void hist_check_plants(void)
{
    for (size_t i = 0; i < hist_n_plants; i++) {
        dq_buf text = planted_script(hist_plants[i].file, &hist_plants[i]);

        dq_buf_deinit(&text);
    }
}

/* A call of the script, such as call('TIME'), becomes one of this function, written where it is called: a script may have 200 local names only, and some
   have nearly as many. `command` is what the call begins with after the name. */
static void change_call(dq_buf *text, const char *command, const char *function)
{
    char *at = memmem(text->ptr, text->len, command, strlen(command)), *begin = at;
    dq_buf out = {0};

    if (!at)
        return;
    while (isalnum((unsigned char)begin[-1]) || begin[-1] == '_' || begin[-1] == '.')
        begin--;
    dq_buf_append(&out, text->ptr, (size_t)(begin - text->ptr));
    dq_buf_append_text(&out, function);
    dq_buf_append(&out, at, (size_t)(text->ptr + text->len - at));
    dq_buf_deinit(text);
    *text = out;
}

/* Time is the clock's. And whom SPOP takes is the server's choice: here one that is the same when a history is played again. */
static void change_calls(dq_buf *text)
{
    change_call(text, "('TIME')", "(function() return { redis.call('GET', 'base') + redis.call('GET', 'clock'), 0 } end)");
    change_call(
        text, "('SPOP',",
        "(function(_, key, n) local all, out = redis.call('SMEMBERS', key), {} "
        "local turn = (tonumber(redis.call('GET', 'clock')) or 0) + #all "
        "table.sort(all, function(a, b) return (a * 7 + turn) % 17 < (b * 7 + turn) % 17 end) "
        "for i = 1, math.min(n or 1, #all) do out[i] = all[i] redis.call('SREM', key, all[i]) end return n and out or out[1] end)");
}

/* Every place of a number that is followed by this character: the library's text has no blanks, that of a plant has. */
static bool change_number(dq_buf *text, const char *number, char after, int becomes)
{
    DQ_BUF_AUTO out = {0};
    size_t len = strlen(number);
    const char *from = text->ptr, *end = text->ptr + text->len, *at = memmem(from, (size_t)(end - from), number, len);
    bool any = false;

    for (; at; at = memmem(at + len, (size_t)(end - at) - len, number, len)) {
        if (isdigit((unsigned char)at[-1]) || at[len + strspn(at + len, " ")] != after)
            continue;
        dq_buf_append(&out, from, (size_t)(at - from));
        dq_buf_append_fmt(&out, "%d", becomes);
        from = at + len;
        any = true;
    }
    dq_buf_append(&out, from, (size_t)(end - from));
    dq_buf_clear(text);
    dq_buf_append_str(text, dq_buf_str(&out));
    return any;
}

/* A buffer that is full, and a schedule that is dropped after its end, are within a history's reach. */
static void change_numbers(dq_buf *text, bool fires)
{
    bool ends = change_number(text, "604800", '*', HM_KEPT_S), fills = change_number(text, "10000", 'o', HM_BUFFER);

    if (!fills || fires != ends)
        hist_die("schedule_fire", "has other numbers");
}

/* Every place of a number that has this before and this after it. */
static void change_budget(dq_buf *text, const char *number, const char *before, const char *after)
{
    DQ_BUF_AUTO out = {0};
    size_t len = strlen(number);
    const char *from = text->ptr, *end = text->ptr + text->len, *at = memmem(from, (size_t)(end - from), number, len);

    for (; at; at = memmem(at + len, (size_t)(end - at) - len, number, len)) {
        if (!strchr(before, at[-1]) || !strchr(after, at[len]))
            continue;
        dq_buf_append(&out, from, (size_t)(at - from));
        dq_buf_append_text(&out, "(redis.call('GET','budget')+0)");
        from = at + len;
    }
    dq_buf_append(&out, from, (size_t)(end - from));
    dq_buf_clear(text);
    dq_buf_append_str(text, dq_buf_str(&out));
}

/* What tasks that end may do to others, flow_step and the like, and what a batch releases. */
static void change_budgets(dq_buf *text)
{
    if (!memmem(text->ptr, text->len, "'wq'", 4))
        return;
    change_budget(text, "800", "(", ")");
    change_budget(text, "1200", "(, ", "),");
    change_budget(text, "256", "= ", ",");
}

static void load_scripts(hist_wire *w, const hist_plant *plant)
{
    char(*sha)[41] = dq_calloc(DQ_SCRIPT_COUNT, sizeof(*sha));

    for (int i = 0; i < DQ_SCRIPT_COUNT; i++) {
        dq_buf text = {0}, call = {0};
        char file[64];
        dq_reply r;

        (void)snprintf(file, sizeof(file), "%s.lua", dq_scripts[i].name);
        if (plant)
            text = planted_script(file, plant);
        else
            dq_buf_append(&text, dq_scripts[i].text, dq_scripts[i].len);
        change_calls(&text);
        change_budgets(&text);
        if (i == DQ_SCRIPT_SCHEDULE_FIRE || i == DQ_SCRIPT_SCHEDULE_TRIGGER)
            change_numbers(&text, i == DQ_SCRIPT_SCHEDULE_FIRE);
        dq_resp_begin(&call, 3);
        dq_resp_arg_text(&call, "SCRIPT");
        dq_resp_arg_text(&call, "LOAD");
        dq_resp_arg(&call, dq_buf_str(&text));
        r = hist_ask(w, 0, &call, 1);
        if (dq_reply_type(r) != DQ_RESP_STRING || dq_reply_str(r).len != 40)
            hist_die(file, dq_reply_str(r).ptr);
        memcpy(sha[i], dq_reply_str(r).ptr, 40);
        dq_buf_deinit(&text);
        dq_buf_deinit(&call);
    }
    w->sha = sha;
}

/* ---- life ---- */

void hist_wire_open(hist_wire *w, const hist_plant *plant)
{
    *w = (hist_wire){.server = test_redis_start(NULL)};
    for (int i = 0; i < HIST_CONNS; i++)
        connect_one(&w->conn[i], test_redis_socket(w->server));
    if (dq_keys_init(&w->keys, DQ_STR_LIT("dureq"), 1) < 0)
        hist_die("keys", "no memory");
    load_scripts(w, plant);
}

void hist_wire_close(hist_wire *w)
{
    for (int i = 0; i < HIST_CONNS; i++) {
        (void)close(w->conn[i].fd);
        dq_resp_parser_destroy(w->conn[i].parser);
        dq_buf_deinit(&w->conn[i].in);
    }
    dq_keys_deinit(&w->keys);
    dq_free(w->sha);
    test_redis_stop(w->server);
}

void hist_clock(hist_wire *w, int units)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%d", units * (HIST_UNIT_MS / 1000));
    (void)hist_words(w, 0, "SET", "clock", text, NULL);
}

void hist_budget(hist_wire *w, int budget)
{
    char text[24];

    (void)snprintf(text, sizeof text, "%d", budget);
    (void)hist_words(w, 0, "SET", "budget", text, NULL);
}

/* Queues as shard_init would make them: limit (6 bytes), paused, retention class (6 bytes). Sessions are counted from 1, as the model does. */
void hist_reset(hist_wire *w)
{
    static const int64_t limit[HM_QUEUES] = {0, HM_FULL};
    char names[HM_QUEUES][8];
    dq_queue queues[HM_QUEUES];
    dq_shard_init init = {.part = DQ_SHARD_LAST,
                          .token = DQ_STR_LIT("x"),
                          .history_max_bytes = 1 << 30,
                          .keeps_cap = true,
                          .queues = queues,
                          .n_queues = HM_QUEUES,
                          .n_all = HM_QUEUES};
    dq_buf call = {0};
    dq_reply r;
    char scripts[12];

    (void)snprintf(scripts, sizeof scripts, "%d", DQ_SCRIPTS_VERSION);
    (void)hist_words(w, 0, "FLUSHALL", "SYNC", NULL);
    (void)hist_words(w, 0, "EVAL", "redis.call('SET', 'base', redis.call('TIME')[1])", "0", NULL);
    hist_clock(w, 0);
    hist_budget(w, 800);
    (void)hist_words(w, 0, "HSET", "{dureq:0}:sh", "ss", "0", "mv", scripts, NULL);
    for (int i = 0; i < HM_QUEUES; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "q%d", i);
        queues[i] = (dq_queue){.name = dureq_str_from(names[i]), .max_len = limit[i]};
    }
    dq_call_shard_init(&call, &w->keys, 0, &init);
    r = hist_ask(w, 0, &call, 1);
    if (dq_reply_type(r) != DQ_RESP_ARRAY)
        hist_die("shard_init", dq_reply_str(r).ptr);
    dq_buf_deinit(&call);
}

int64_t hist_base_ms(hist_wire *w)
{
    dq_reply r = hist_words(w, 0, "GET", "base", NULL);
    int64_t s = 0;

    if (dq_parse_i64(dq_reply_str(r), 0, INT64_MAX / 1000, &s) < 0)
        hist_die("base", "is not there");
    return s * 1000;
}
