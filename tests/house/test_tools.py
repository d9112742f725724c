#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The checking tools find what they are there to find. Ends with "N passed, N failed"."""
import importlib.util
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.dont_write_bytecode = True


sys.path[:0] = [str(ROOT / 'tools'), str(ROOT / 'bench/peers')]


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / 'tools' / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


lint = load('lint')
results = load('count_results')
layers = load('check_layers')
embed = load('embed_lua')
bench_report = load('bench_report')
against = load('bench_against')
measured = importlib.import_module('measured')
peers_report = importlib.import_module('harness.report')


def faults_of(code):
    return [what for _, what in lint.check_c(code, code.splitlines(), False)]


def test_an_assignment_in_a_condition_is_found():
    assert len(faults_of('if ((rc = f()) < 0)\n')) == 1
    assert len(faults_of('while (a &&\n       (n = g(x)))\n')) == 1
    assert len(faults_of('} while ((n += 2) < 3);\n')) == 1


def test_comparisons_texts_and_comments_are_no_assignments():
    for code in ('if (a == b || c <= d || e != f || g >= h)', 'if (strchr(s, \'=\') || eq("a=b"))', 'if (a /* = b */)',
                 'if (f(&(t){.x = 1}))', 'for (i = 0; i < n; i++)'):
        assert not faults_of(code + '\n'), code


def test_banned_functions_are_found_but_not_their_likes():
    assert len(faults_of('n = atoi(s);\nstrcpy(a, b);\nsprintf(a, "x");\n')) == 3
    assert not faults_of('n = dq_atoi(s);\nsnprintf(a, 2, "x");\n/* strcpy(a, b) */\nx.strtok(1);\n')


def test_a_function_of_81_lines_is_too_long():
    for lines, faults in ((80, 0), (81, 1)):
        assert len(faults_of('void f(void)\n{\n' + '    g();\n' * lines + '}\n')) == faults
    assert not faults_of('/* lint: long, a table */\nvoid f(void)\n{\n' + '    g();\n' * 99 + '}\n')


def test_a_missing_licence_line_and_a_machine_path_are_found():
    path = pathlib.Path('src/x/y.c')
    assert [w for _, w in lint.check_text(path, ['int a;'])] == [f'no line "{lint.SPDX}"']
    assert [w for _, w in lint.check_text(path, [f'/* {lint.SPDX} */', '/* see /' + 'root/x */'])] == ['path of a machine']


def test_scripts_are_shortened_without_a_change_of_meaning():
    text = ('#!lua\n-- a comment\nlocal counter = tonumber(ARGV[1]) -- behind it\nlocal row = { counter = 1, other = counter }\n'
            "local function add_to(other_name)\nreturn other_name + row.counter .. ' two  blanks -- no comment'\nend\n"
            'for index, value in ipairs(row) do\nadd_to(value - -index)\nend\n')
    short = embed.shorten(text)
    assert short.startswith('#!lua\n') and 'comment\n' not in short and 'behind' not in short
    assert 'counter' in short and '.counter' in short, 'a field keeps its name, and so does a local of that name'
    assert 'other_name' not in short and 'add_to' not in short and 'index' not in short
    assert "' two  blanks -- no comment'" in short
    assert '- -' in short and '--' not in short.replace('blanks -- no', ''), 'two minus signs never become a comment'


def test_the_interval_of_a_median_leaves_out_at_most_a_fortieth_on_each_side():
    assert against.interval(range(1, 21)) == (6, 15), '20 pairs: 95.9 %'
    assert against.interval(range(1, 7)) == (1, 6), 'the fewest that have one'
    assert against.interval(range(1, 6)) == (-float('inf'), float('inf'))


def test_a_ratio_is_one_of_costs_and_slower_only_with_its_whole_interval():
    assert against.cost_ratio(100, 50, True) == 2 and against.cost_ratio(100, 50, False) == 0.5
    row = against.Row('throughput')
    for i in range(20):
        row.add(({'throughput': (100, True)}, {}), ({'throughput': (97 if i else 110, True)}, {}))
    assert row.line()[1] == 1 and '**slower**' in row.line()[0] and '| 1.031 |' in row.line()[0]
    assert against.verdict('latency_idle_p50', 1.03, 1.04) == 'ok' and against.verdict('node_cpu', 1.03, 1.04) == '**slower**'
    assert against.verdict('node_cpu', 0.97, 1.04) == 'undecided' and against.verdict('node_cpu', 0.9, 0.99) == 'better'


def test_a_row_that_a_commit_lacks_is_told_and_never_passes():
    row = against.Row('mem_kept')
    for _ in range(20):
        row.add(({'mem_kept': (1, False)}, {}), ({}, {'mem_kept': 'took too long'}))
    assert row.line()[1] == 2 and 'took too long' in row.line()[0]


def test_what_documents_name_is_there():
    """Programs of tests, and their scenarios: those have names of many words."""
    known = {path.stem for path in (ROOT / 'tests').glob('*/test_*')}
    for source in (path for top in ('tests', 'src', 'include', 'bench', 'dureqd') for path in (ROOT / top).rglob('*.[ch]')):
        known |= set(re.findall(r'\w+', source.read_text()))
    known |= {name + '_total' for name in known}  # a counter, as its samples are named
    for document in (ROOT / 'docs').glob('*.md'):
        named = re.findall(r'`(test_\w+|[a-z]+(?:_[a-z0-9]+){3,})`', document.read_text())
        assert not set(named) - known, f'{document.name} names {sorted(set(named) - known)}'


def test_each_fuzz_target_has_seeds_and_a_dictionary():
    """And no seeds or dictionary is left over of a target that is gone."""
    fuzz = ROOT / 'tests/fuzz'
    names = {path.stem.removeprefix('fuzz_') for path in fuzz.glob('fuzz_*.c')}
    seeds = {path.parent.name for path in fuzz.glob('seeds/*/*') if path.is_file()}
    dictionaries = {path.stem for path in fuzz.glob('dict/*.dict')}
    assert names == seeds, f'seeds of none or missing: {sorted(names ^ seeds)}'
    assert names == dictionaries, f'dictionaries of none or missing: {sorted(names ^ dictionaries)}'


def test_a_changed_document_makes_no_other_commit_but_a_changed_source_does():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / 'docs').mkdir()
        for name in ('docs/a.md', 'b.c'):
            (root / name).write_text('1')
        for words in (('init', '-q'), ('add', '.'), ('-c', 'user.name=n', '-c', 'user.email=e', 'commit', '-qm', 'c')):
            measured.git(*words, root=root)
        commit = measured.describe(root)
        (root / 'docs/a.md').write_text('2')
        assert measured.describe(root) == commit and 'dirty' not in commit
        (root / 'b.c').write_text('2')
        assert measured.describe(root) == commit + '-dirty'


def peer_row(peer, day, delay_ms=0):
    return {'peer': peer, 'day': day, 'commit': 'c1', 'durability': 'off', 'sleep_ms': 1 - delay_ms, 'delay_ms': delay_ms, 'per_s': 1000.0, 'store_us': 5.0,
            'others': 0.25, 'delivery': 'exact'}


def settings_of(*rows):
    class Peer:
        name = 'dureq'
        server = type('redis-server', (), {'name': 'redis-server'})

    return peers_report.settings_table(rows, [Peer], [('handler', {'sleep_ms': 1}), ('way', {'delay_ms': 1})], 'Title')


def test_a_table_of_one_day_says_so_once_and_how_much_others_took():
    lines = settings_of(peer_row('dureq', '2026-01-02'), peer_row('dureq', '2026-01-02', delay_ms=1))
    assert lines[0] == 'Title (2026-01-02, commit c1; others took 25 % of the machine):'
    assert lines[4] == '| dureq | 1,000 (5.0 us) | 1,000 (5.0 us) | 25 %, 25 % |'


def test_a_row_that_was_kept_says_its_day():
    lines = settings_of(peer_row('dureq', '2026-01-02'), peer_row('dureq', '2026-01-03', delay_ms=1))
    assert 'measured when each line says' in lines[0]
    assert lines[4].endswith('| 25 %, 25 % | 2026-01-02, commit c1; 2026-01-03, commit c1 |')
    assert len({line.count('|') for line in lines[2:]}) == 1


def test_each_row_of_the_bench_says_how_much_others_took():
    row = {'name': 'r', 'value': 2.0, 'unit': 'ms', 'target': 3.0, 'at_least': False, 'met': True, 'note': 'a|b', 'others': 0.1}
    lines = bench_report.document([row, {**row, 'others': 0.3}], 'head')
    assert lines[0] == 'head. Others took 10 % to 30 % of the machine meanwhile:'
    assert lines[4] == '| `r` | at most 3 | 2 ms | yes | 10 % | a/b |'


def test_cases_are_counted_and_an_unfinished_one_has_failed():
    text = '[ RUN      ] a\n[       OK ] a\n[ RUN      ] b\n[  FAILED  ] b\n[  FAILED  ] b\n[ RUN      ] c\n'
    assert results.count_program({'name': 't', 'result': 'FAIL', 'stdout': text}) == (1, ['b', 'c'], 0)


def test_a_program_that_dies_counts_besides_its_cases():
    text = '[ RUN      ] a\n[       OK ] a\n'
    assert results.count_program({'name': 't', 'result': 'TIMEOUT', 'stdout': text}) == (1, ['(timeout)'], 0)
    assert results.count_program({'name': 't', 'result': 'OK'}) == (1, [], 0)
    assert results.count_program({'name': 't', 'result': 'SKIP'}) == (0, [], 1)
    assert results.count_program({'name': 't', 'result': 'OK', 'stdout': '7 passed, 0 failed\n'}) == (7, [], 0)


def test_an_include_against_the_layers_is_found():
    with tempfile.TemporaryDirectory() as name:
        src = pathlib.Path(name)
        for path, text in {'LAYERS': 'base\nio base\nmodel base\n', 'base/a.h': '#include "io/b.h"\n', 'io/b.h': '#include "base/a.h"\n',
                           'model/c.c': '#include "io/b.h"\n#include "c.h"\n#include "base/none.h"\n', 'odd/d.h': ''}.items():
            (src / path).parent.mkdir(exist_ok=True)
            (src / path).write_text(text)
        told = subprocess.run([sys.executable, layers.__file__, name], capture_output=True, text=True, check=False)
    assert told.returncode == 1
    lines = told.stdout.replace(name + '/', '').splitlines()
    assert lines[:2] == ['base/a.h:1: "io/b.h": base may not include io', 'model/c.c:1: "io/b.h": model may not include io']
    assert lines[-1] == '1 passed, 3 failed' and len(lines) == 6


def main():
    passed = failed = 0
    for name, test in list(globals().items()):
        if not name.startswith('test_'):
            continue
        try:
            test()
            passed += 1
            print(f'[       OK ] {name}')
        except AssertionError as error:
            failed += 1
            print(f'[  FAILED  ] {name}')
            print(f'line {error.__traceback__.tb_next.tb_lineno}: {error}')
    print(f'{passed} passed, {failed} failed')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
