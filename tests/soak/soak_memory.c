/* SPDX-License-Identifier: Apache-2.0 */
#include "soak_memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fault_wait.h"

/* A line of six numbers. What is kept for a time, and for how long: docs/redis-keys.md. */
static const char sum_keys[] = "local timed = { st = true, sth = true, std = true, p = true, sn = true } "
                               "local sums = { state = { 0, 0 }, timed = { 0, 0 }, events = { 0, 0 } } "
                               "for _, key in ipairs(redis.call('KEYS', '*')) do "
                               "  local what = string.match(key, '}:(%w+)') "
                               "  local sum = sums[what == 'ev' and 'events' or timed[what] and 'timed' or 'state'] "
                               "  sum[1] = sum[1] + 1 "
                               "  sum[2] = sum[2] + redis.call('MEMORY', 'USAGE', key, 'SAMPLES', 0) "
                               "end "
                               "return table.concat({ sums.state[1], sums.state[2], sums.timed[1], sums.timed[2], "
                               "  sums.events[1], sums.events[2] }, ' ')";

static const char list_keys[] = "local out = {} "
                                "for _, key in ipairs(redis.call('KEYS', '*')) do "
                                "  out[#out + 1] = key .. ' ' .. redis.call('MEMORY', 'USAGE', key, 'SAMPLES', 0) "
                                "end "
                                "table.sort(out) return table.concat(out, '\\n')";

/* Files and anonymous pages. */
long long soak_resident_kb(pid_t pid)
{
    char path[40], line[160];
    long long sum = 0, kb;
    FILE *f;

    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    f = fopen(path, "re");
    if (!f)
        fault_die("%s cannot be read", path);
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "RssAnon: %lld", &kb) == 1 || sscanf(line, "RssFile: %lld", &kb) == 1)
            sum += kb;
    (void)fclose(f);
    return sum;
}

long long soak_used_memory(test_redis *server)
{
    char *text = test_redis_info(server, "used_memory");
    long long bytes = text ? strtoll(text, NULL, 10) : 0;

    free(text);
    return bytes;
}

soak_memory soak_memory_read(test_redis *server, pid_t node, pid_t producer)
{
    soak_memory m = {.node_kb = soak_resident_kb(node), .producer_kb = soak_resident_kb(producer)};
    char *reply = test_redis_command(server, "EVAL", sum_keys, "0", NULL);
    const char *line = strchr(reply, '\n');

    if (!line || sscanf(line, "%lld %lld %lld %lld %lld %lld", &m.state.n, &m.state.bytes, &m.timed.n, &m.timed.bytes,
                        &m.events.n, &m.events.bytes) != 6)
        fault_die("the keys cannot be counted: %s", reply);
    free(reply);
    m.used = soak_used_memory(server);
    return m;
}

void soak_memory_print_keys(test_redis *server)
{
    char *reply = test_redis_command(server, "EVAL", list_keys, "0", NULL);

    fprintf(stderr, "%s\n", reply);
    free(reply);
}
