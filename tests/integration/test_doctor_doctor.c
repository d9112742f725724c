/* SPDX-License-Identifier: Apache-2.0 */
/* The doctor against a real server. A small healthy world is built by raw commands, one fault at a time is planted in it, and the doctor
   must name that fault and no other; what it says it can repair must be healthy after the repair. */
#include "doctor/doctor.h"
#include "model/id.h"
#include "redis_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static test_redis *server;
static dureq_client *client;

/* What every planting script knows: K, c, the parts of jobs, and the jobs of the world by letter. */
static const char prelude[] =
    "local K, c = '{dureq:0}:', redis.call\n"
    "local pack = struct.pack\n"
    "local T = tonumber(c('GET', 'base') or '0')\n"
    "local function id(seq, lane, ms, shard)\n"
    "  lane = lane or 1\n"
    "  return pack('>I6I4I3', ms or T, seq * 16 + math.floor(lane / 16384), lane % 16384 * 1024 + (shard or 0))\n"
    "end\n"
    "local function moved(i, runs, due) return '\\1' .. i .. pack('>I2I2BBI2I6I6BB', 0, runs, 0, 0, 0, T, due or 0, 0, 0) end\n"
    "local function rec(m, j) return pack('>I4', #m) .. m .. j end\n"
    "local plain, blob = '\\1\\0payload', '\\1\\128\\128\\2\\5'\n"
    "local function keyed(key, home) return '\\1\\128\\8' .. string.char(#key) .. key .. '\\0' .. pack('>I2', home or 0) .. 'payload' end\n"
    "local function row(state, j)\n"
    "  return string.char(10) .. '\\1' .. string.char(state) .. '\\0\\0\\0\\5\\0\\0\\0\\0' .. string.char(0) .. j\n"
    "end\n"
    "local function deliver(stream, session) c('XREADGROUP', 'GROUP', 'g', session, 'COUNT', '1', 'STREAMS', K .. stream, '>') end\n"
    "local function task_of(w) return '\\1\\128\\128\\4\\21\\2' .. w .. string.rep('\\0', 7) .. 'payload' end\n"
    "local A, B, C, D, E, P, X, H1, H2 = id(0), id(1), id(5), id(134217728), id(7), id(8), id(9), id(10), id(11)\n"
    "local part, hour = string.format('%d', math.floor(T / 128)), 3600000\n";

/* A workflow of two tasks: the first is released, its job waits in lane 2, the second depends on it. */
#define FLOW                                                                                                                          \
    "local W, def = id(134217729, 0), '0123456789abcdef'\n"                                                                           \
    "local state = K .. 'ws:' .. W\n"                                                                                                 \
    "c('HSET', K .. 'wd:' .. def, 'n', 1, 'segments', 1, 'large', '', 'queues', 'high')\n"                                            \
    "c('SET', K .. 'wp:' .. def .. ':0', '\\1\\0\\0\\0' .. pack('>I4I4I4I4I4I4I4I4I4I4', 2, 1, 1, 1, 128, 132, 138, 142, 150, 160)\n" \
    "  .. string.rep('\\0', 20) .. pack('>I4I4I4I4I4I4I4I4', 142, 4, 138, 0, 1, 0, 0, 0)\n"                                           \
    "  .. pack('>I4I4I4I4I4I4I4I4', 146, 4, 140, 1, 0, 1, 0, 0) .. pack('>I4I3I3', 0, 1, 1) .. '\\1a\\1b')\n"                         \
    "c('SET', state, pack('>BBBI2I2I3I3I3I3I3I3I3I6I6', 1, 1, 0, 1, 1, 2, 1, 0, 0, 0, 0, 0, T, 0) .. def .. string.rep('\\0', 8)\n"   \
    "  .. pack('>BBI2I3', 1, 0, 0, 0) .. id(0, 2, 5) .. pack('>I6I6', T, 0) .. string.rep('\\0', 32))\n"                              \
    "c('HSET', K .. 'wf:' .. W, 'name', 'w')\n"                                                                                       \
    "c('ZADD', K .. 'wi', 0, W)\n"                                                                                                    \
    "c('XADD', K .. 'l:2', '5-0', 'j', task_of(W))\n"
/* The same, ended. */
#define FLOW_ENDED                                                                                                    \
    FLOW "c('XDEL', K .. 'l:2', '5-0') c('SETRANGE', state, 1, '\\5') c('SETRANGE', state, 10, pack('>I3I3', 0, 1)) " \
         "c('SETRANGE', state, 64, '\\5') c('ZADD', K .. 'we', T + hour, W)\n"

/* Lane 2's schedule s: one occurrence is active, one waits for its end, one that was cancelled has a handler that may still run. */
#define SCHED(flags)                                                                                                                    \
    "local S = id(134217729, 0)\n"                                                                                                      \
    "local function str(s) return string.char(#s) .. s end\n"                                                                           \
    "local function sched_j(part) return '\\1\\128\\128\\4\\21' .. part .. 'payload' end\n"                                             \
    "local function occ(s, fl) return sched_j('\\1' .. s .. pack('>I6B', 5, fl)) end\n"                                                 \
    "local function def(key, ukey) return pack('>BBBI4I4', 1, 3, 0, 0, 5) .. str('high|mail|1') .. str(key) .. str(ukey) .. str('c')\n" \
    "  .. sched_j(string.rep('\\0', 21)) end\n"                                                                                         \
    "local function sched_state(f) return pack('>BBI4I6I6I6I4I4', 1, f, 1, T, 5, 6, 1, 0) end\n"                                        \
    "local J, L = id(0, 2, 5), id(3, 2, 4)\n"                                                                                           \
    "c('HSET', K .. 'sch:s', S, sched_state(" flags "))\n"                                                                              \
    "c('HSET', K .. 'sch:d', S, def('sk', 'uk'))\n"                                                                                     \
    "c('HSET', K .. 'sch:k', 'sk', S)\n"                                                                                                \
    "c('SET', K .. 'u:uk', S)\n"                                                                                                        \
    "c('ZADD', K .. 'sch', T + hour, S)\n"                                                                                              \
    "c('XADD', K .. 'l:2', '5-0', 'j', occ(S, 1))\n"                                                                                    \
    "c('SADD', K .. 'sa:' .. S, J, L)\n"                                                                                                \
    "c('HSET', K .. 'sch:l', L, S)\n"                                                                                                   \
    "c('HSET', K .. 'lr', L, pack('>I6I2', 1, 1))\n"                                                                                    \
    "c('SADD', K .. 'lr:1', L .. pack('>I2', 1))\n"                                                                                     \
    "c('RPUSH', K .. 'sb:' .. S, '6', '+7')\n"
/* A batch of two items: the first is in flight, its job waits in lane 2, the other is pending. */
#define BATCH_HEAD \
    "pack('>BBBBI2I2I2I4I4I4I4I4I4I4I4I6I6I6', 1, 1, 0, 0, 1, 1, 1, 1, 2, 1, 1, 0, 0, 0, 0, T, 0, 0) .. '\\0\\0\\0\\0'"
#define BATCH                                                                                                   \
    "local W = id(134217729, 0)\n"                                                                              \
    "local state = K .. 'bs:' .. W\n"                                                                           \
    "local function item_of(w) return '\\1\\128\\128\\4\\20\\3' .. w .. pack('>I2I4', 1, 0) .. 'payload' end\n" \
    "c('SET', state, " BATCH_HEAD ")\n"                                                                         \
    "c('HSET', K .. 'bd:' .. W, 'name', 'b', 'l', 2)\n"                                                         \
    "c('RPUSH', K .. 'bi:' .. W .. ':0', '\\0\\0payload', '\\0\\0payload')\n"                                   \
    "c('SET', K .. 'bx:' .. W, '\\1\\0')\n"                                                                     \
    "c('HSET', K .. 'bj:' .. W, 0, id(0, 2, 5))\n"                                                              \
    "c('ZADD', K .. 'ba', 0, W)\n"                                                                              \
    "c('XADD', K .. 'l:2', '5-0', 'j', item_of(W))\n"
/* The same, ended. */
#define BATCH_ENDED                                                                          \
    BATCH                                                                                    \
    "c('XDEL', K .. 'l:2', '5-0') c('DEL', K .. 'bj:' .. W) c('SETRANGE', state, 1, '\\5') " \
    "c('SETRANGE', state, 22, pack('>I4', 0)) c('SETRANGE', state, 38, pack('>I4', 1)) c('SETRANGE', K .. 'bx:' .. W, 0, '\\5') c('ZADD', K .. 'bo', T + hour, W)\n"

/* The keys that the client made are kept in database 1 and brought back for each new world. */
static const char keep[] = "for _, key in ipairs({ 'dureq:meta', 'dureq:config:queues', '{dureq:0}:q', '{dureq:0}:sh' }) do\n"
                           "  redis.call('COPY', key, key, 'DB', '1', 'REPLACE')\n"
                           "end";

static const char world[] =
    "c('FLUSHDB')\n"
    "c('SELECT', '1')\n"
    "for _, key in ipairs({ 'dureq:meta', 'dureq:config:queues', K .. 'q', K .. 'sh' }) do c('COPY', key, key, 'DB', '0') end\n"
    "c('SELECT', '0')\n"
    "local t = c('TIME')\n"
    "T = t[1] * 1000 - 5000\n"
    "c('SET', 'base', T)\n"
    "A, B, C, D, E, P, X, H1, H2 = id(0), id(1), id(5), id(134217728), id(7), id(8), id(9), id(10), id(11)\n"
    "part = string.format('%d', math.floor(T / 128))\n"
    "for i, name in ipairs({ 'normal|mail|1', 'high|mail|1' }) do\n"
    "  c('RPUSH', K .. 'lane', name)\n"
    "  c('HSET', K .. 'lanes', name, i)\n"
    "  c('SADD', K .. 'ql:' .. string.match(name, '^[^|]*'), i)\n"
    "  c('XGROUP', 'CREATE', K .. 'l:' .. i, 'g', '0', 'MKSTREAM')\n"
    "  c('XGROUP', 'CREATE', K .. 'f:' .. i, 'g', '0', 'MKSTREAM')\n"
    "end\n"
    "c('HSET', K .. 'sh', 'ms', T, 'sq', 1, 'ck', 1, 'cw', T, 'ss', 9, 'bn', 3, 'tk', 1, 'te', 1, 'tu', T + hour)\n"
    "c('HSET', K .. 's:1', 'st', 'live', 'node', 'n1', 'hb', T)\n"
    "c('SET', K .. 'x:1', 1)\n"
    "c('HSET', K .. 'sn', 1, 'n1')\n"
    "c('SADD', K .. 'idle:1', 1)\n"
    "c('XADD', K .. 'l:1', T .. '-0', 'j', plain)\n"
    "deliver('l:1', '1')\n"
    "c('HSET', K .. 'run:1', A, pack('>I6B', T, 1))\n"
    "c('HSET', K .. 'pg', A, '{}')\n"
    "c('XADD', K .. 'l:1', T .. '-1', 'j', keyed('k1'))\n"
    "c('SET', K .. 'u:k1', B)\n"
    "c('SET', K .. 'r:q1', B, 'PX', hour)\n"
    "c('HSET', K .. 'wt', B, 'ch')\n"
    "c('HSET', K .. 'loc', C, c('XADD', K .. 'f:1', '*', 'm', moved(C, 1), 'j', plain))\n"
    "c('ZADD', K .. 'due', T + hour, D, T + 2 * hour, E)\n"
    "c('HSET', K .. 'due:h', D, rec(moved(D, 0, T + hour), plain), E, rec(moved(E, 1), plain))\n"
    "c('ZADD', K .. 's2s', T + 3 * hour, D)\n"
    "c('ZADD', K .. 'paused', '+inf', P)\n"
    "c('HSET', K .. 'paused:h', P, rec(moved(P, 0), plain))\n"
    "c('ZADD', K .. 'dead', T, X)\n"
    "c('HSET', K .. 'dead:h', X, row(6, blob))\n"
    "c('SET', K .. 'b:' .. X, 'hello')\n"
    "c('SET', K .. 'lg:' .. X, 'log')\n"
    "c('HSET', K .. 'hc:604800000', 'b', 3, 's', T, 'w', 128)\n"
    "c('ZADD', K .. 'hx', T + 756000000, '3:604800000:128')\n"
    "c('SET', K .. 'hv', 1)\n"
    "c('HSET', K .. 'h:3:' .. part, H1, row(5, plain), H2, row(7, plain))\n"
    "c('SADD', K .. 'hp:3', part)\n"
    "c('RPUSH', K .. 'ho:3', H1 .. H2)\n"
    "c('HSET', K .. 'hz', 3, 2 * (#row(5, plain) + 110))\n"
    "c('HSET', K .. 'hn', 3, 1)\n"
    "c('HSET', K .. 'hr', 3, 2)\n"
    "c('HSET', K .. 'p:1', 'n', 1)\n"
    "c('PEXPIRE', K .. 'p:1', hour)\n"
    "c('ZADD', K .. 'lease', 100000, 1)\n";

typedef struct planted {
    dq_fault_kind kind;
    const char *lua;
    bool repairable;
} planted;

/* A job that session 1 was given so many ms ago. Its lease is 100 s. */
#define GIVEN(ms)                                                                                                          \
    "c('XADD', K .. 'l:2', '5-0', 'j', plain) deliver('l:2', '1') c('XCLAIM', K .. 'l:2', 'g', '1', 0, '5-0', 'IDLE', " ms \
    ", 'JUSTID') "

static const planted faults[] = {
    {DQ_FAULT_BLOB_MISSING, "c('DEL', K .. 'b:' .. X)", false},
    {DQ_FAULT_BUCKET_LOST, "c('HSET', K .. 'hc:3600000', 'b', 2, 's', T, 'w', 128)", true},
    {DQ_FAULT_BUCKET_LOST, "c('HSET', K .. 'hc:3600000', 'b', 2)", false},
    {DQ_FAULT_BUCKET_ORPHAN, "c('HSET', K .. 'hz', 2, 5)", true},
    {DQ_FAULT_BUCKET_ORPHAN, "c('HSET', K .. 'hr', 2, 5)", true},
    {DQ_FAULT_BUCKET_ORPHAN, "c('SADD', K .. 'hp:2', 1) c('HSET', K .. 'h:2:1', H1, row(5, plain)) c('RPUSH', K .. 'ho:2', H1)",
     false},
    {DQ_FAULT_CONSUMER_STALE, "c('XGROUP', 'CREATECONSUMER', K .. 'l:1', 'g', 5)", true},
    {DQ_FAULT_DUE_TIME, "c('ZADD', K .. 'due', T + 2 * hour, D)", false},
    {DQ_FAULT_HISTORY_BYTES, "c('HINCRBY', K .. 'hz', 3, 7)", true},
    {DQ_FAULT_HISTORY_CANCELLED, "c('HINCRBY', K .. 'hn', 3, -1)", true},
    {DQ_FAULT_HISTORY_ORDER, "c('DEL', K .. 'ho:3') c('RPUSH', K .. 'ho:3', H1)", true},
    {DQ_FAULT_HISTORY_ROWS, "c('HINCRBY', K .. 'hr', 3, 1)", true},
    {DQ_FAULT_IDLE_STALE, "c('SADD', K .. 'idle:1', 5)", true},
    {DQ_FAULT_ID_AHEAD, "c('HSET', K .. 'sh', 'ms', T - 1)", true},
    {DQ_FAULT_KEY_FOREIGN, "c('SET', K .. 'u:k2', B)", true},
    {DQ_FAULT_KEY_LOST, "c('DEL', K .. 'u:k1')", true},
    {DQ_FAULT_KEY_LOST, "c('SET', K .. 'u:k1', 'R' .. pack('>I6', T + hour) .. string.rep('t', 16))", false},
    {DQ_FAULT_KEY_NOTE, "c('HSET', K .. 'uf', H1, 1)", true},
    {DQ_FAULT_KEY_NOTE, "c('HSET', K .. 'uh', id(40), string.rep('t', 16))", true},
    {DQ_FAULT_KEY_STALE, "c('SET', K .. 'u:k2', H1)", true},
    {DQ_FAULT_KEY_STALE, "c('SET', K .. 'u:k2', 'X' .. pack('>I2', 7) .. id(1, 1, T, 7))", true},
    {DQ_FAULT_LANE_MAP, "c('HDEL', K .. 'lanes', 'high|mail|1')", true},
    {DQ_FAULT_LANE_MAP, "c('SREM', K .. 'ql:high', 2)", true},
    {DQ_FAULT_LANE_MAP, "c('SADD', K .. 'ql:high', 1)", true},
    {DQ_FAULT_LANE_MAP, "c('HSET', K .. 'lanes', 'low|mail|1', 3)", false},
    {DQ_FAULT_LEASE_NO_SESSION, "c('ZADD', K .. 'lease', 100000, 5)", true},
    {DQ_FAULT_LIMIT_OVERDUE, "c('ZADD', K .. 's2s', T - hour, D)", false},
    {DQ_FAULT_LOC_MISSING, "c('HDEL', K .. 'loc', C)", true},
    {DQ_FAULT_LOC_STALE, "c('HSET', K .. 'loc', A, '5-5')", true},
    {DQ_FAULT_META, "c('HSET', 'dureq:meta', 'envelope', 'x')", false},
    {DQ_FAULT_META, "c('HSET', 'dureq:meta', 'shards', '2')", false},
    {DQ_FAULT_MISPLACED, "c('XADD', K .. 'l:2', T .. '-200000000', 'j', plain)", false},
    {DQ_FAULT_MISPLACED, "c('XADD', K .. 'f:9', '*', 'm', moved(id(20, 9), 1), 'j', plain)", false},
    {DQ_FAULT_MISPLACED,
     "local i = id(20, 1) c('HSET', K .. 'loc', i, c('XADD', K .. 'f:2', '*', 'm', moved(i, 1), 'j', plain)) c('HDEL', K .. 'loc', i)",
     false},
    {DQ_FAULT_NO_EXPIRY, "c('PERSIST', K .. 'r:q1')", true},
    {DQ_FAULT_NO_EXPIRY, "c('HSET', K .. 'st:1', '1:e', 1)", true},
    {DQ_FAULT_NO_GROUP, "c('XGROUP', 'DESTROY', K .. 'f:2', 'g')", true},
    {DQ_FAULT_NO_GROUP, "c('DEL', K .. 'l:2')", true},
    {DQ_FAULT_OUTBOX_STALE, "c('HSET', K .. 'ob', 'ckey', string.rep('t', 16) .. id(1, 1, T - hour) .. '0')", false},
    {DQ_FAULT_OUTBOX_STALE, "c('HSET', K .. 'ob', 'rkey', id(1, 1, T - hour))", false},
    {DQ_FAULT_PART_UNLISTED, "c('SREM', K .. 'hp:3', part)", true},
    {DQ_FAULT_PENDING_GONE, "c('XADD', K .. 'l:2', '5-0', 'j', plain) deliver('l:2', '1') c('XDEL', K .. 'l:2', '5-0')", true},
    {DQ_FAULT_PENDING_LOST, GIVEN("600000"), false},
    {DQ_FAULT_PENDING_ORPHAN, "c('XADD', K .. 'l:2', '5-0', 'j', plain) deliver('l:2', '5')", true},
    {DQ_FAULT_PROGRESS_STALE, "c('HSET', K .. 'pg', B, '{}')", true},
    {DQ_FAULT_QUEUE_DEFINITION, "c('HSET', 'dureq:config:queues', 'normal', '{')", false},
    {DQ_FAULT_QUEUE_ROW, "c('HSET', K .. 'q', 'normal', '0123456789abc')", true},
    {DQ_FAULT_QUEUE_ROW, "c('SADD', K .. 'paused_queues', 'high')", true},
    {DQ_FAULT_QUEUE_ROW, "c('HSET', K .. 'q', 'other', '0123456789abc')", false},
    {DQ_FAULT_RECORD_MISSING, "c('HDEL', K .. 'due:h', E)", true},
    {DQ_FAULT_RECORD_MISSING, "c('HDEL', K .. 'paused:h', P)", true},
    {DQ_FAULT_RECORD_MISSING, "c('ZADD', K .. 'dead', T, id(30))", true},
    {DQ_FAULT_RESERVATION_STALE, "c('SET', K .. 'u:k2', 'R' .. pack('>I6', T - hour) .. string.rep('t', 16))", true},
    {DQ_FAULT_ROW_STATE, "c('HSET', K .. 'dead:h', X, row(5, blob))", false},
    {DQ_FAULT_ROW_STATE, "c('HSET', K .. 'h:3:' .. part, H1, row(6, plain))", false},
    {DQ_FAULT_RUN_STALE, "c('HSET', K .. 'run:1', B, pack('>I6B', T, 1))", true},
    {DQ_FAULT_SCORE_MISSING, "c('ZREM', K .. 'due', E)", true},
    {DQ_FAULT_SCORE_MISSING, "c('ZREM', K .. 'paused', P)", true},
    {DQ_FAULT_SCORE_MISSING, "c('ZREM', K .. 'dead', X)", true},
    {DQ_FAULT_SCHEDULE_ACTIVE, SCHED("0") "c('SADD', K .. 'sa:' .. S, B)", true},
    {DQ_FAULT_SCHEDULE_ACTIVE, SCHED("0") "c('SADD', K .. 'sa:' .. S, H1)", true},
    {DQ_FAULT_SCHEDULE_ACTIVE, SCHED("0") "c('SREM', K .. 'sa:' .. S, J)", true},
    {DQ_FAULT_SCHEDULE_ACTIVE, SCHED("0") "c('HDEL', K .. 'lr', L) c('DEL', K .. 'lr:1')", true},
    {DQ_FAULT_SCHEDULE_KEY, SCHED("0") "c('HDEL', K .. 'sch:k', 'sk')", true},
    {DQ_FAULT_SCHEDULE_KEY, SCHED("0") "c('HSET', K .. 'sch:k', 'other', S)", true},
    {DQ_FAULT_SCHEDULE_KEY, "c('HSET', K .. 'sch:k', 'sk', id(134217730, 0))", true},
    {DQ_FAULT_KEY_LOST, SCHED("0") "c('DEL', K .. 'u:uk')", true},
    {DQ_FAULT_SCHEDULE_ORPHAN, "c('ZADD', K .. 'sch', T + hour, id(134217729, 0))", true},
    {DQ_FAULT_SCHEDULE_ORPHAN, "c('HSET', K .. 'sch:d', id(134217729, 0), 'x')", true},
    {DQ_FAULT_SCHEDULE_ORPHAN, "c('HSET', K .. 'sch:e', id(134217729, 0), 'x')", true},
    {DQ_FAULT_SCHEDULE_ORPHAN, "c('RPUSH', K .. 'sb:' .. id(134217729, 0), '5')", true},
    {DQ_FAULT_SCHEDULE_ORPHAN, "c('RPUSH', K .. 'so:' .. id(134217729, 0), '5')", true},
    {DQ_FAULT_SCHEDULE_OVERDUE, SCHED("0") "c('ZADD', K .. 'sch', T - hour, S)", false},
    {DQ_FAULT_SCHEDULE_PART, SCHED("0") "c('HDEL', K .. 'sch:d', S) c('HDEL', K .. 'sch:k', 'sk') c('DEL', K .. 'u:uk')", false},
    {DQ_FAULT_SCHEDULE_PART, SCHED("0") "c('HSET', K .. 'sch:s', S, 'x') c('HDEL', K .. 'sch:k', 'sk')", false},
    {DQ_FAULT_SCHEDULE_STUCK,
     SCHED("0") "c('XDEL', K .. 'l:2', '5-0') c('DEL', K .. 'sa:' .. S, K .. 'lr', K .. 'lr:1', K .. 'sch:l')", true},
    {DQ_FAULT_SCHEDULE_UNLISTED, SCHED("0") "c('ZREM', K .. 'sch', S)", true},
    {DQ_FAULT_SCHEDULE_UNLISTED, SCHED("1") "c('ZREM', K .. 'sch', S)", true},
    {DQ_FAULT_SCHEDULE_UNLISTED, SCHED("0") "c('ZADD', K .. 'sch', '+inf', S)", true},
    {DQ_FAULT_MISPLACED, "c('ZADD', K .. 'sch', T + hour, B)", false},
    {DQ_FAULT_UNREADABLE, SCHED("0") "c('HSET', K .. 'sch:d', S, 'x') c('HDEL', K .. 'sch:k', 'sk') c('DEL', K .. 'u:uk')",
     false},
    {DQ_FAULT_UNREADABLE, SCHED("0") "c('HSET', K .. 'sch:e', S, 'x')", false},
    {DQ_FAULT_BLOB_MISSING,
     SCHED("0") "c('HSET', K .. 'sch:e', S, pack('>I6I4', T, 2) .. pack('>BBBI4I4', 1, 3, 0, 0, 5) .. str('high|mail|1')"
                " .. str('sk') .. str('uk') .. str('c') .. '\\1\\128\\128\\6\\21' .. string.rep('\\0', 21) .. '\\5')",
     false},
    {DQ_FAULT_OPERATION_LOST, "c('HSET', K .. 'op:7', 'spec', '{}', 'st', 'running', 'at', T) c('ZADD', K .. 'op', 0, '7')",
     true},
    {DQ_FAULT_OPERATION_UNLISTED, "c('HSET', K .. 'op:7', 'spec', '{}', 'st', 'completed', 'at', T, 'end', T)", true},
    {DQ_FAULT_SESSION_KEY, "c('SET', K .. 'x:5', 1)", true},
    {DQ_FAULT_SESSION_KEY, "c('HSET', K .. 'run:5', A, pack('>I6B', T, 1))", true},
    {DQ_FAULT_SESSION_KEY, "c('SADD', K .. 'cx:5', A)", true},
    {DQ_FAULT_SESSION_NO_LEASE, "c('HSET', K .. 's:5', 'st', 'live')", true},
    {DQ_FAULT_SIDE_ORPHAN, "c('SET', K .. 'b:' .. id(40), 'x')", true},
    {DQ_FAULT_SIDE_ORPHAN, "c('SET', K .. 'b:' .. B, 'x')", true},
    {DQ_FAULT_SIDE_ORPHAN, "c('SET', K .. 'lg:' .. id(40), 'x')", true},
    {DQ_FAULT_SIDE_ORPHAN, "c('HSET', K .. 'sp:' .. id(40), '', 'x')", true},
    {DQ_FAULT_SIDE_ORPHAN, "c('HSET', K .. 'sp:' .. H1, '', 'x')", true},
    {DQ_FAULT_SMALL_STATE, "c('HSET', K .. 'sh', 'ss', 0)", true},
    {DQ_FAULT_SMALL_STATE, "c('HSET', K .. 'sh', 'bn', 0)", true},
    {DQ_FAULT_SMALL_STATE, "c('HSET', K .. 'sh', 'qv', 'x')", false},
    {DQ_FAULT_STUCK, "c('XADD', K .. 'l:2', '5-0', 'j', plain) deliver('l:2', '1') c('XACK', K .. 'l:2', 'g', '5-0')", true},
    {DQ_FAULT_LEADER, "c('HSET', K .. 'sh', 'tk', 5)", true},
    {DQ_FAULT_LEADER, "c('HDEL', K .. 'sh', 'tu')", true},
    {DQ_FAULT_TWICE, "c('ZADD', K .. 'due', T, B) c('HSET', K .. 'due:h', B, rec(moved(B, 0), keyed('k1')))", false},
    {DQ_FAULT_TWICE, "c('HSET', K .. 'loc', P, c('XADD', K .. 'f:1', '*', 'm', moved(P, 0), 'j', plain))", false},
    {DQ_FAULT_TWICE, "c('XADD', K .. 'f:1', '*', 'm', moved(C, 0), 'j', plain)", false},
    {DQ_FAULT_TWICE, "c('ZADD', K .. 'dead', T, H1) c('HSET', K .. 'dead:h', H1, row(6, plain))", false},
    {DQ_FAULT_UNKNOWN_KEY, "c('SET', K .. 'zzz', 1)", false},
    {DQ_FAULT_UNKNOWN_KEY, "c('SET', K .. 'zz:1', 1)", false},
    {DQ_FAULT_UNKNOWN_KEY, "c('SET', 'dureq:zzz', 1)", false},
    {DQ_FAULT_UNKNOWN_KEY, "c('HSET', '{dureq:1}:sh', 'v', 1)", false},
    {DQ_FAULT_SET_ASIDE, "c('HSET', K .. 'aside', 'l:2 5-0', 'x')", false},
    {DQ_FAULT_SET_ASIDE, "c('HSET', K .. 'aside', 'due ' .. D, 'x')", false},
    {DQ_FAULT_UNREADABLE, "c('XADD', K .. 'l:2', '5-0', 'x', 'y')", false},
    {DQ_FAULT_UNREADABLE, "c('XADD', K .. 'f:2', '*', 'm', '\\1short', 'j', plain)", false},
    {DQ_FAULT_UNREADABLE, "c('HSET', K .. 'due:h', D, 'x')", false},
    {DQ_FAULT_UNREADABLE, "c('HSET', K .. 'paused:h', P, rec(moved(P, 0), '\\1\\255'))", false},
    {DQ_FAULT_UNREADABLE, "c('HSET', K .. 'dead:h', X, 'x')", false},
    {DQ_FAULT_UNREADABLE, "c('SET', K .. 'u:k2', 'x')", false},
    {DQ_FAULT_UNREADABLE, "c('SET', K .. 'r:q2', 'x', 'PX', hour)", false},
    {DQ_FAULT_UNREADABLE, "c('HSET', K .. 'ob', 'x', 'x')", false},
    {DQ_FAULT_UNREADABLE, "c('RPUSH', K .. 'ho:3', 'x')", false},
    {DQ_FAULT_UNREADABLE, "c('ZADD', K .. 'hx', T + hour, 'x')", true},
    {DQ_FAULT_WAITER_STALE, "c('HSET', K .. 'wt', X, 'ch')", true},
    {DQ_FAULT_BATCH_COUNTS, BATCH "c('SETRANGE', state, 22, pack('>I4', 2))", false},
    {DQ_FAULT_BATCH_COUNTS, BATCH "c('SETRANGE', state, 26, pack('>I4', 1))", false},
    {DQ_FAULT_BATCH_ITEM, BATCH "c('XDEL', K .. 'l:2', '5-0')", false},
    {DQ_FAULT_BATCH_ORPHAN, "c('HSET', K .. 'bd:' .. id(134217729, 0), 'name', 'b')", true},
    {DQ_FAULT_BATCH_ORPHAN, "c('RPUSH', K .. 'bi:' .. id(134217729, 0) .. ':0', 'x')", true},
    {DQ_FAULT_BATCH_ORPHAN, BATCH "c('DEL', K .. 'bd:' .. W)", false},
    {DQ_FAULT_BATCH_STUCK, BATCH "c('SETRANGE', state, 2, string.char(64))", true},
    {DQ_FAULT_BATCH_STUCK, BATCH "c('SETRANGE', state, 1, '\\4')", true},
    {DQ_FAULT_BATCH_UNLISTED, BATCH "c('ZREM', K .. 'ba', W)", true},
    {DQ_FAULT_BATCH_UNLISTED, BATCH_ENDED "c('ZREM', K .. 'bo', W)", true},
    {DQ_FAULT_WORKFLOW_COUNTS, FLOW "c('SETRANGE', state, 10, pack('>I3', 2))", false},
    {DQ_FAULT_WORKFLOW_COUNTS, FLOW "c('SETRANGE', state, 13, pack('>I3', 1))", false},
    {DQ_FAULT_WORKFLOW_EDGES, FLOW "c('SETRANGE', state, 64 + 32 + 4, pack('>I3', 1))", false},
    {DQ_FAULT_WORKFLOW_ORPHAN, "c('HSET', K .. 'wf:' .. id(134217729, 0), 'name', 'w')", true},
    {DQ_FAULT_WORKFLOW_ORPHAN, "c('SET', K .. 'wp:0123456789abcdef:0', 'x')", true},
    {DQ_FAULT_WORKFLOW_TASK, FLOW "c('XDEL', K .. 'l:2', '5-0')", false},
    {DQ_FAULT_WORKFLOW_TASK, "c('XADD', K .. 'l:2', '5-0', 'j', task_of(id(134217729, 0)))", false},
    {DQ_FAULT_WORKFLOW_UNLISTED, FLOW "c('ZREM', K .. 'wi', W)", true},
    {DQ_FAULT_WORKFLOW_UNLISTED, FLOW_ENDED "c('ZREM', K .. 'we', W)", true},
    {DQ_FAULT_WRONG_TYPE, "c('DEL', K .. 'pg') c('SET', K .. 'pg', 'x')", false},
    {DQ_FAULT_WRONG_TYPE, "c('SADD', K .. 'u:k2', 'x')", false},
    {DQ_FAULT_WRONG_TYPE, "c('SET', 'dureq:config:global', 'x')", false},
};

static void eval_prefixed(const char *lua)
{
    DQ_BUF_AUTO text = {0};

    dq_buf_append_text(&text, prelude);
    dq_buf_append_text(&text, lua);
    char *reply = test_redis_command(server, "EVAL", text.ptr, "0", NULL);
    if (reply[0] == '-')
        fail_msg("%s in: %s", reply, lua);
    free(reply);
}

static void make_world(void)
{
    eval_prefixed(world);
}

static dq_doctor_report examine(bool repair)
{
    dq_doctor_options o = {.repair = repair, .settle_ms = 40};
    dq_doctor_report r;
    dureq_error err = {0};
    int rc = dq_doctor_run(client, &o, &r, &err);

    if (rc < 0)
        fail_msg("doctor: %s", err.msg);
    return r;
}

static void print_faults(const dq_doctor_report *r)
{
    for (size_t i = 0; i < r->n_faults; i++)
        print_error("  %s %s %s: %s\n", dq_fault_kind_to_str(r->faults[i].kind), r->faults[i].key, r->faults[i].id,
                    r->faults[i].text);
}

static void assert_clean(const char *after)
{
    dq_doctor_report r = examine(false);

    if (r.n_found) {
        print_faults(&r);
        fail_msg("%d faults after: %s", (int)r.n_found, after);
    }
    dq_doctor_report_deinit(&r);
}

/* Exactly the planted fault is named. */
static void assert_only(const dq_doctor_report *r, const planted *f, bool repaired)
{
    bool ok = r->n_found == 1 && r->n_faults == 1 && r->faults[0].kind == f->kind && r->faults[0].repairable == f->repairable &&
              r->faults[0].repaired == repaired;

    if (ok)
        return;
    print_faults(r);
    fail_msg("not exactly one fault '%s' (%s) for: %s", dq_fault_kind_to_str(f->kind),
             f->repairable ? "repairable" : "not repairable", f->lua);
}

static int start(void **state)
{
    dureq_client_options o = dureq_client_options_init();
    dureq_error err = {0};

    (void)state;
    server = test_redis_start(NULL);
    o.redis_url = test_redis_url(server);
    if (dureq_client_create(&o, &client, &err) < 0)
        fail_msg("client: %s", err.msg);
    eval_prefixed(keep);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    dureq_client_destroy(client);
    test_redis_stop(server);
    return 0;
}

static void test_healthy_world_is_clean(void **state)
{
    dq_doctor_report r;

    (void)state;
    make_world();
    assert_clean("the world was made");
    r = examine(false);
    assert_int_equal(r.tally.lanes, 2);
    assert_int_equal(r.tally.sessions, 1);
    assert_int_equal(r.tally.pending, 2);
    assert_int_equal(r.tally.running, 1);
    assert_int_equal(r.tally.scheduled, 1);
    assert_int_equal(r.tally.retrying, 1);
    assert_int_equal(r.tally.paused, 1);
    assert_int_equal(r.tally.dead, 1);
    assert_int_equal(r.tally.completed, 1);
    assert_int_equal(r.tally.cancelled, 1);
    assert_int_equal(r.tally.buckets, 1);
    assert_int_equal(r.tally.unique_keys, 1);
    assert_int_equal(r.tally.request_ids, 1);
    assert_int_equal(r.tally.payloads, 1);
    assert_int_equal(r.tally.logs, 1);
    assert_int_equal(r.n_unsettled, 0);
    dq_doctor_report_deinit(&r);
}

static void test_what_is_no_fault_is_not_told(void **state)
{
    static const char *const harmless[] = {
        GIVEN("200000"),                                                        /* its next heartbeat may be on its way */
        GIVEN("600000") "c('HSET', K .. 'run:1', id(0, 2, 5), pack('>I6', T))", /* it runs for long */
        GIVEN("600000") "c('HSET', K .. 's:1', 'hb', T - hour)",                /* it cannot have said anything */
        FLOW,
        BATCH,
        BATCH_ENDED,
        FLOW_ENDED,
        SCHED("0"),
        SCHED("0") "c('DEL', K .. 'u:uk') c('HSET', K .. 'uf', S, 1)", /* its unique key was taken by hand */
        SCHED(
            "0") "c('HSET', K .. 'sch:e', S, pack('>I6I4', T, 2) .. def('sk', 'uk2')) c('DEL', K .. 'u:uk') c('SET', K .. 'u:uk2', S)",
        SCHED("1") "c('ZADD', K .. 'sch', '+inf', S)",
        SCHED(
            "1") "c('XDEL', K .. 'l:2', '5-0') c('DEL', K .. 'sa:' .. S, K .. 'lr', K .. 'lr:1', K .. 'sch:l')", /* it holds what waits */
        SCHED("2") "c('HDEL', K .. 'sch:k', 'sk') c('DEL', K .. 'u:uk')", /* it has ended */
        "c('SET', K .. 'wp:0123456789abcdef:0', 'x', 'PX', hour)",        /* of a definition that is being loaded */
    };

    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(harmless); i++) {
        make_world();
        eval_prefixed(harmless[i]);
        assert_clean(harmless[i]);
    }
}

static void test_each_fault_is_named_and_no_other(void **state)
{
    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(faults); i++) {
        dq_doctor_report r;

        make_world();
        eval_prefixed(faults[i].lua);
        r = examine(false);
        assert_only(&r, &faults[i], /*repaired=*/false);
        dq_doctor_report_deinit(&r);
    }
}

static void test_repair_mends_what_it_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(faults); i++) {
        dq_doctor_report r;

        make_world();
        eval_prefixed(faults[i].lua);
        r = examine(true);
        assert_only(&r, &faults[i], faults[i].repairable);
        dq_doctor_report_deinit(&r);
        if (faults[i].repairable)
            assert_clean(faults[i].lua);
    }
}

/* A token made of nothing would be the same each time: only who initialises a shard makes one. */
static void test_repair_makes_no_token(void **state)
{
    dq_doctor_report r;

    (void)state;
    make_world();
    eval_prefixed("c('HDEL', K .. 'sh', 'v') c('HDEL', K .. 'q', 'normal')");
    r = examine(true);
    assert_int_equal(r.n_found, 2);
    dq_doctor_report_deinit(&r);
    assert_int_equal(test_redis_command_int(server, "HEXISTS", "{dureq:0}:q", "normal", NULL), 1);
    assert_int_equal(test_redis_command_int(server, "HEXISTS", "{dureq:0}:sh", "v", NULL), 0);
}

static void test_every_kind_is_planted(void **state)
{
    static const dq_fault_kind kinds[] = {
#define X(name, text, meaning) DQ_FAULT_##name,
        DQ_FAULT_MAP(X)
#undef X
    };

    (void)state;
    for (size_t k = 0; k < DQ_ARRAY_LEN(kinds); k++) {
        bool found = false;

        for (size_t i = 0; i < DQ_ARRAY_LEN(faults); i++)
            found = found || faults[i].kind == kinds[k];
        if (!found)
            fail_msg("no fault '%s' is planted", dq_fault_kind_to_str(kinds[k]));
    }
}

/* ---- what it names ---- */

static void test_a_fault_names_its_key_and_job(void **state)
{
    const dq_id id = {.ms = 5, .lane = 2};
    dureq_job_id text;
    dq_doctor_report r;

    (void)state;
    dq_id_to_text(&id, &text);
    make_world();
    eval_prefixed("c('XADD', K .. 'l:2', '5-0', 'j', plain) deliver('l:2', '1') c('XACK', K .. 'l:2', 'g', '5-0')"
                  "c('SET', K .. 'u:k\\0\\\\', H1)");
    r = examine(false);
    assert_int_equal(r.n_faults, 2);
    for (size_t i = 0; i < r.n_faults; i++)
        if (r.faults[i].kind == DQ_FAULT_STUCK) {
            assert_string_equal(r.faults[i].key, "{dureq:0}:l:2");
            assert_string_equal(r.faults[i].id, text.text);
        } else {
            assert_string_equal(r.faults[i].key, "{dureq:0}:u:k\\x00\\x5c");
        }
    dq_doctor_report_deinit(&r);
}

static void test_more_faults_than_wanted_are_counted(void **state)
{
    dq_doctor_options o = {.max_faults = 10};
    dq_doctor_report r;

    (void)state;
    make_world();
    eval_prefixed("for i = 1, 3000 do c('SET', K .. 'lg:' .. id(100 + i), 'x') end");
    assert_int_equal(dq_doctor_run(client, &o, &r, NULL), 0);
    assert_int_equal(r.n_faults, 10);
    assert_int_equal(r.n_found, 3000);
    assert_int_equal(r.tally.logs, 3001);
    dq_doctor_report_deinit(&r);
}

/* Structures of many steps: nothing is seen twice, nothing is left out. */
static void test_many_of_each_are_counted_once(void **state)
{
    dq_doctor_report r;

    (void)state;
    make_world();
    eval_prefixed("for i = 1, 2000 do\n"
                  "  c('XADD', K .. 'l:2', (T + i) .. '-0', 'j', plain)\n"
                  "  local q = id(i, 2)\n"
                  "  c('HSET', K .. 'loc', q, c('XADD', K .. 'f:2', '*', 'm', moved(q, 0), 'j', plain))\n"
                  "  local p = id(i, 2, T - 1)\n"
                  "  c('ZADD', K .. 'paused', '+inf', p)\n"
                  "  c('HSET', K .. 'paused:h', p, rec(moved(p, 0), plain))\n"
                  "  local h = id(i, 2, T - 2)\n"
                  "  local in_part = string.format('%d', math.floor((T - 2) / 128))\n"
                  "  c('HSET', K .. 'h:3:' .. in_part, h, row(5, plain))\n"
                  "  c('SADD', K .. 'hp:3', in_part)\n"
                  "  c('RPUSH', K .. 'ho:3', h)\n"
                  "end\n"
                  "c('HINCRBY', K .. 'hz', 3, 2000 * (#row(5, plain) + 110))\n"
                  "c('HINCRBY', K .. 'hr', 3, 2000)\n"
                  "for _ = 1, 300 do deliver('l:2', '1') end\n"
                  "c('HDEL', K .. 'loc', id(1500, 2))\n");
    r = examine(true);
    if (r.n_found != 1)
        print_faults(&r);
    assert_int_equal(r.n_found, 1);
    assert_int_equal(r.faults[0].kind, DQ_FAULT_LOC_MISSING);
    assert_int_equal(r.tally.pending, 2 + 1700 + 2000);
    assert_int_equal(r.tally.running, 301);
    assert_int_equal(r.tally.paused, 2001);
    assert_int_equal(r.tally.completed, 2001);
    dq_doctor_report_deinit(&r);
    assert_clean("the locator was mended");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_healthy_world_is_clean),           cmocka_unit_test(test_what_is_no_fault_is_not_told),
        cmocka_unit_test(test_each_fault_is_named_and_no_other), cmocka_unit_test(test_repair_makes_no_token),
        cmocka_unit_test(test_repair_mends_what_it_says),        cmocka_unit_test(test_every_kind_is_planted),
        cmocka_unit_test(test_a_fault_names_its_key_and_job),    cmocka_unit_test(test_more_faults_than_wanted_are_counted),
        cmocka_unit_test(test_many_of_each_are_counted_once),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
