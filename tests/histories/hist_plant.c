/* SPDX-License-Identifier: Apache-2.0 */
#include "hist_plant.h"

#include "base/base.h"

const hist_plant hist_plants[] = {
    {"a fenced session may complete", "complete.lua", "local err = fenced(s[1])", "local err"},
    {"a fenced session may give back", "session_return.lua", "local err = fenced(call('HGET', KEYS[2], 'st'))", "local err"},
    {"completion keeps the unique key", "complete.lua", "call('DEL', K .. 'u:' .. v)", ""},
    {"cancel keeps the unique key", "job_cancel.lua", "ukey_release(e, id)", ""},
    {"a unique key is let go whoever holds it", "complete.lua", "if call('GET', K .. 'u:' .. v) == id then", "if true then"},
    {"a call's number is not remembered", "complete.lua", "call('HSET', KEYS[2], 'n', call_no, 'a', answer)", ""},
    {"the refused are not remembered", "complete.lua", "'n', call_no, 'a', answer)", "'n', call_no, 'a', '')"},
    {"a producer's number is not remembered", "enqueue.lua", "'n', call_no, slot, answer)", "slot, answer)"},
    {"the reaper does not mark", "session_reap.lua", "call('HSET', ss, 'st', 'reaping', 'lane', 1)", ""},
    {"the reaper does not touch what is watched", "session_reap.lua", "call('UNLINK', K .. 'x:' .. victim)", ""},
    {"an old ticker is let through", "include/ticker.lua", "if t[1] ~= session or t[2] ~= epoch then", "if t[1] ~= session then"},
    {"any ticker is let through", "include/ticker.lua", "if t[1] ~= session or t[2] ~= epoch then", "if false then"},
    {"a new ticker keeps the epoch", "session_beat.lua", "epoch = epoch + 1", "epoch = math.max(epoch, 1)"},
    {"a cancelled job keeps its start limit", "job_cancel.lua", "call('ZREM', K .. 's2s', id)", ""},
    {"a row is not counted", "complete.lua", "call('HINCRBY', K .. 'hr', bucket, #ids)", ""},
    {"a deleted row stays counted", "job_delete.lua", "call('HINCRBY', K .. 'hr', bucket, -1)", ""},
    {"a front entry without its locator", "include/front.lua", "call('HSET', K .. 'loc', string.sub(m, 2, 14), entry)", ""},
    {"a locator stays behind", "complete.lua", "call('HDEL', KEYS[3], unpack(ids))", ""},
    {"the cancelled are not told", "job_cancel.lua", "call('SADD', K .. 'cx:' .. session, what)", ""},
    {"a cancel does not touch what is watched", "include/take.lua", "call('INCR', K .. 'x:' .. session)", ""},
    {"refused jobs count twice", "complete.lua", "if index > #refused_list then", "if true then"},
    {"a crash is charged to all", "session_reap.lua", "local charged = blamed == '' or blamed == id", "local charged = true"},
    {"a crash is not charged", "session_reap.lua", "crashes = math.min(crashes + 1, 255)", ""},
    {"a start not reported is charged", "session_reap.lua", "  if run then", "  run = run or pack('>I6', now)\n  if run then"},
    {"promoted jobs stay due", "due_promote.lua", "call('ZREM', set, unpack(gone))", ""},
    {"a retry keeps the attempts", "job_retry.lua", "string.sub(m, 1, 14) .. pack('>I2', 0)", "string.sub(m, 1, 16)"},
    {"a retry takes a held key", "job_retry.lua", "elseif holder and holder ~= id then", "elseif false then"},
    {"a request id is not known again", "enqueue.lua", "call('SET', K .. 'r:' .. request, id, 'PX', request_ms)", ""},
    {"a full queue takes more", "enqueue.lua", "q.room = q.room - 1", ""},
    {"the served clock takes a stall for time", "include/clock.lua", "math.min(math.max(now - cw, 0), math.floor(lease / 4))",
     "math.max(now - cw, 0)"},
};

const size_t hist_n_plants = DQ_ARRAY_LEN(hist_plants);
