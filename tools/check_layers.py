#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compare every #include "layer/..." under src/ with src/LAYERS: check_layers.py [SRC]

The list is in order: a layer may include only layers above its line, and only those that its line names. What lies beside src/ is outside
the layers: the programs may include any, src/ none of them. Ends with "N passed, N failed", one for each layer.
"""
import pathlib
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')
GENERATED = {'store/scripts.h'}


def read_layers(path):
    """{layer: allowed layers} and the faults of the list itself."""
    layers, faults = {}, []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        words = line.split('#')[0].split()
        if not words:
            continue
        name, allowed = words[0], words[1:]
        faults += [(name, f'{path}:{number}: {name} names {w}, which is not a layer before it') for w in allowed if w not in layers]
        if name in layers:
            faults.append((name, f'{path}:{number}: {name} stands twice'))
        layers[name] = set(allowed)
    return layers, faults


def check_include(src, layer, allowed, target):
    """What is wrong with this include, or None."""
    if '/' not in target:
        return 'include it with its layer, as "layer/file.h"'
    other = target.split('/')[0]
    if other != layer and other not in allowed:
        return f'{layer} may not include {other}'
    if target not in GENERATED and not (src / target).exists():
        return 'no such file'
    return None


def check_file(src, layer, allowed, path):
    faults = []
    for number, line in enumerate(path.read_text(errors='replace').splitlines(), 1):
        found = INCLUDE.match(line)
        if not found:
            continue
        fault = check_include(src, layer, allowed, found.group(1))
        if fault:
            faults.append((layer, f'{path}:{number}: "{found.group(1)}": {fault}'))
    return faults


def main():
    src = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent / 'src')
    layers, faults = read_layers(src / 'LAYERS')
    for path in sorted(src.rglob('*.[ch]')):
        layer = path.relative_to(src).parts[0]
        if layer in layers:
            faults += check_file(src, layer, layers[layer], path)
        else:
            faults.append((layer, f'{path}: {layer} is not in {src / "LAYERS"}'))
    for _, fault in faults:
        print(fault)
    bad = {layer for layer, _ in faults}
    print(f'{len(layers.keys() - bad)} passed, {len(bad)} failed')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
