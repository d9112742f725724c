/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of the listing share: list.c (filter, merge, cursor) and list_source.c (rows of one structure). */

#include "client/client_internal.h"

#define DQ_LIST_PLACE_MAX 64

/* A structure of a shard, or up to DQ_LIST_GROUP lanes of it, as one sequence of jobs. */
typedef struct dq_list_source {
    unsigned shard;
    dq_place place;
    uint32_t group;  /* of lanes: lane number / DQ_LIST_GROUP */
    uint32_t *lanes; /* n_lanes of them, that fit the filter */
    size_t n_lanes;
    char at[DQ_LIST_PLACE_MAX];      /* after what was given or passed over; "": the beginning */
    char read_at[DQ_LIST_PLACE_MAX]; /* after the page that was read */
    bool is_read;                    /* there is no other page */
    bool is_dry;                     /* the last page had nothing that fits */

    dq_owned_reply page;
    bool has_page; /* also when nothing is left of it */
    dq_reply row;  /* the last one that was looked at */
    size_t n_left; /* rows of the page after it */

    bool has_head;
    dureq_job head; /* the next one that fits */
    int64_t key;    /* its place among those of the other sources */
    char head_at[DQ_LIST_PLACE_MAX];
} dq_list_source;
#define DQ_LIST_GROUP 128

typedef struct dq_lister {
    dureq_client *c;
    dureq_job_filter f;
    const dq_scope *scope; /* NULL: of all */
    dureq_job_list *list;
    size_t bytes_max; /* of those below, before the page ends */
    size_t n_bytes;   /* of payloads and results that it has */
    dq_list_source *sources;
    size_t n_sources, sources_cap;
    bool is_merged;
    dq_node_names **names; /* by shard; NULL: not needed yet */
    dureq_error *err;
} dq_lister;

/* list.c */
bool dq_list_wants_state(const dq_lister *l, dureq_job_state state);
bool dq_list_fits(const dq_lister *l, const dureq_job *job);
/* list_source.c */
/* Sees to it that the source has a head, if there is one within what a call may look at. False in *ret_known: it stopped before it knew. */
int dq_list_look(dq_lister *l, dq_list_source *s, bool *ret_known);
/* The head becomes the list's next item. */
void dq_list_give(dq_lister *l, dq_list_source *s);
void dq_list_source_deinit(dq_list_source *s);
