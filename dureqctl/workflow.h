/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the workflow commands share. */

#include "ctl.h"

/* The answer of /api/workflows/{id}/graph, drawn on standard output. */
int ctl_draw_graph(const ctl *c, const dq_json *doc);
/* Appends a task's name and its status, coloured where colour is. */
void ctl_graph_task(const ctl *c, dureq_str name, dureq_str status, dq_buf *out);

/* workflow_run.c */
int ctl_workflow_cancel(ctl *c, int argc, char **argv);
int ctl_workflow_get(ctl *c, int argc, char **argv);
int ctl_workflow_graph(ctl *c, int argc, char **argv);
int ctl_workflow_list(ctl *c, int argc, char **argv);
int ctl_workflow_resume(ctl *c, int argc, char **argv);
int ctl_workflow_retry(ctl *c, int argc, char **argv);
int ctl_workflow_start(ctl *c, int argc, char **argv);
int ctl_workflow_suspend(ctl *c, int argc, char **argv);
/* The whole of a file, '-': standard input, into out; an exit code. */
int ctl_read_definition(const char *name, dq_buf *out);
