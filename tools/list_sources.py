#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Print the files of a folder that match a pattern, one a line: list_sources.py DIR PATTERN"""
import pathlib
import sys

for path in sorted(pathlib.Path(sys.argv[1]).glob(sys.argv[2])):
    print(path.name)
