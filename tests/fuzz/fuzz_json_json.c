/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "json/json.h"

/* The checker without a tape and the parser agree; what the tape says lies within the text; what is written again is valid. */

static void visit(const dq_json *doc, dq_json_ref v, dq_json_writer *w)
{
    DQ_BUF_AUTO text = {0};
    dureq_str raw = dq_json_raw(doc, v);
    int64_t i;
    double d;
    int rc;

    assert(raw.len > 0 && raw.ptr >= doc->text.ptr && raw.ptr + raw.len <= doc->text.ptr + doc->text.len);
    (void)dq_json_i64(doc, v, &i);
    (void)dq_json_f64(doc, v, &d);
    if (dq_json_type_of(doc, v) != DQ_JSON_STRING)
        return;
    rc = dq_json_string(doc, v, &text);
    assert(rc == 0 && dq_utf8_valid(dq_buf_str(&text)));
    dq_json_put_str(w, dq_buf_str(&text));
}

static void visit_all(const dq_json *doc)
{
    DQ_BUF_AUTO out = {0};
    dq_json_writer w = dq_json_writer_of(&out);

    dq_json_begin_array(&w);
    for (size_t v = 0; v < doc->n_nodes; v++)
        visit(doc, (dq_json_ref)v, &w);
    dq_json_put_raw(&w, doc->text);
    dq_json_end_array(&w);
    if (doc->text.len < 100000)
        assert(dq_json_valid(dq_buf_str(&out)) || doc->n_nodes >= 128); /* one level deeper may be one too many */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dureq_str text = dureq_str_of((const char *)data, size);
    DQ_BUF_AUTO bytes = {0};
    dq_json doc = {0};
    dureq_error err;
    int rc = dq_json_parse(text, &doc, &err);

    assert((rc == 0) == dq_json_valid(text));
    if (rc == 0) {
        visit_all(&doc);
        (void)dq_json_member(&doc, 0, "a");
        dq_json_deinit(&doc);
    }
    (void)dq_base64_decode(text, &bytes);
    return 0;
}
