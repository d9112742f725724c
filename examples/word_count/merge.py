#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""words.merge: standard input is {"upstream": {task: result}, "original": payload}. A task that failed and was allowed to has null."""
import json
import sys

counts = [count for count in json.load(sys.stdin)["upstream"].values() if count]
json.dump({"files": counts, "words": sum(count["words"] for count in counts)}, sys.stdout)
