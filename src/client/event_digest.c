/* SPDX-License-Identifier: Apache-2.0 */
#include "client/event_digest.h"

static bool has_job(const dq_event_digest *d, const dq_id *job)
{
    for (size_t i = d->n_jobs; i-- > 0;)
        if (d->jobs[i].ms == job->ms && d->jobs[i].seq == job->seq && d->jobs[i].lane == job->lane &&
            d->jobs[i].shard == job->shard)
            return true;
    return false;
}

void dq_event_digest_add(dq_event_digest *d, dq_event_type type, const dq_id *job)
{
    d->n[type]++;
    d->has_any = true;
    if (!job || d->has_more_jobs || has_job(d, job))
        return;
    if (d->n_jobs == DQ_EVENT_DIGEST_JOBS_MAX)
        d->has_more_jobs = true;
    else
        d->jobs[d->n_jobs++] = *job;
}

void dq_event_digest_write(const dq_event_digest *d, dq_buf *out)
{
    dq_json_writer w = dq_json_writer_of(out);

    dq_json_begin_object(&w);
    dq_json_set_text(&w, "type", "stream.digest");
    dq_json_key(&w, "events");
    dq_json_begin_object(&w);
    for (size_t i = 0; i < DQ_EVENT_N_TYPES; i++)
        if (d->n[i]) {
            dq_json_key(&w, dq_event_text((dq_event_type)i));
            dq_json_put_i64(&w, d->n[i]);
        }
    dq_json_end_object(&w);
    dq_json_key(&w, "jobs");
    dq_json_begin_array(&w);
    for (size_t i = 0; i < d->n_jobs; i++) {
        dureq_job_id text;

        dq_id_to_text(&d->jobs[i], &text);
        dq_json_put_text(&w, text.text);
    }
    dq_json_end_array(&w);
    dq_json_key(&w, "jobs_exact");
    dq_json_put_bool(&w, !d->has_more_jobs);
}
