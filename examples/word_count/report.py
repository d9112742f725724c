#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""words.report: from one task the result comes as {"upstream": result, "original": payload}. Written beside and renamed, so that a run that is made again does no
harm and nobody reads half of it."""
import json
import os
import sys

merged = json.load(sys.stdin)["upstream"]
path = os.environ["WORD_COUNT_REPORT"]
with open(path + ".new", "w", encoding="utf-8") as out:
    for count in merged["files"]:
        print(f"{count['words']:6} {count['file']}", file=out)
    print(f"{merged['words']:6} total", file=out)
os.replace(path + ".new", path)
