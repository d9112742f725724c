#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Stand in for the dashboard where it cannot be built: embed_page.py OUT.c PAGE.html writes what durequi/build.mjs would, with that page alone."""
import hashlib
import pathlib
import sys

out, page = map(pathlib.Path, sys.argv[1:])
data = page.read_bytes()
out.write_text('/* Made by tools/embed_page.py; do not edit. */\n#include "serve/pages.h"\n\n'
               f'static const unsigned char page[] = {{{",".join(map(str, data))}}};\n\n'
               'const dq_page dq_dashboard[] = {\n'
               f'    {{"index.html", "text/html; charset=utf-8", "{hashlib.sha256(data).hexdigest()[:16]}", {{(const char *)page, sizeof page}}, {{NULL, 0}}, {{NULL, 0}}}},\n'
               '    {NULL, NULL, NULL, {NULL, 0}, {NULL, 0}, {NULL, 0}},\n};\n')
