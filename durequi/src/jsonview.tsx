// SPDX-License-Identifier: Apache-2.0
// A JSON value as lines, by its own characters: digits as they came, folds with their size, found words marked.
import { useMemo, useState } from 'react';
import { bytes, plain } from './format';
import { linesOf, type Line } from './json';
import { Button, Copy, Glyph } from './parts';

const WHOLE_MAX = 256 * 1024; // above it the reader says so first
const LINES_MAX = 2000;

function classOf(value: string): string {
  const c = value[0]!;
  if (c === '"') return 's';
  if (c === 't' || c === 'f' || c === 'n') return 'kw';
  return c === '{' || c === '[' ? 'p' : 'n';
}

function Marked({ text, find }: { text: string; find: string }) {
  const at = find ? text.toLowerCase().indexOf(find.toLowerCase()) : -1;
  return at < 0 ? <>{text}</> : <>{text.slice(0, at)}<span className="hit">{text.slice(at, at + find.length)}</span>{text.slice(at + find.length)}</>;
}

function Row({ line, no, isFolded, onFold, find }: { line: Line; no: number; isFolded: boolean; onFold: () => void; find: string }) {
  const close = line.value === '{' ? '}' : ']';
  const what = line.value === '{' ? 'members' : 'items';
  return (
    <div className="l">
      <span className="no">{no}</span>
      <span className="fold">{line.kind === 'open' && <button type="button" aria-expanded={!isFolded} aria-label={`Fold line ${no}`} onClick={onFold}><Glyph name={isFolded ? 'i-right' : 'i-chev'} /></button>}</span>
      <span>
        {'  '.repeat(line.depth)}
        {line.name && <><span className="key"><Marked text={plain(line.name)} find={find} /></span><span className="p">: </span></>}
        {isFolded
          ? <span className="p">{line.value} {line.parts} {line.parts === 1 ? what.slice(0, -1) : what} {close}</span>
          : <span className={classOf(line.kind === 'value' ? line.value : '{')}><Marked text={plain(line.value)} find={find} /></span>}
        {line.comma && (line.kind !== 'open' || isFolded) && <span className="p">,</span>}
      </span>
    </div>
  );
}

export function JsonView({ text, label, find = '' }: { text: string; label: string; find?: string }) {
  const [all, setAll] = useState(text.length <= WHOLE_MAX);
  const lines = useMemo(() => (all ? linesOf(text) : []), [text, all]);
  const [folds, setFolds] = useState<Record<number, boolean>>({});
  const [shown, setShown] = useState(LINES_MAX);
  if (!all) return <div className="panel-b"><Button onClick={() => setAll(true)}>Load all {bytes(text.length)}</Button></div>;
  const rows = [];
  for (let i = 0; i < lines.length && rows.length < shown; i++) {
    const line = lines[i]!;
    const isLong = line.kind === 'open' && line.depth > 0 && line.until - i > 40; // long ones are folded at first
    const isFolded = line.kind === 'open' && !find && (folds[i] ?? isLong);
    const at = i;
    rows.push(<Row key={at} line={line} no={at + 1} isFolded={isFolded} find={find} onFold={() => setFolds({ ...folds, [at]: !isFolded })} />);
    if (isFolded) i = line.until;
  }
  return (
    <div className="json" tabIndex={0} role="group" aria-label={label}>
      {rows}
      {rows.length >= shown && <button type="button" className="link" onClick={() => setShown(shown * 4)}>Show more lines</button>}
    </div>
  );
}

/** Bytes that are no JSON: as text, and each by its number. */
export function BytesView({ base64, label }: { base64: string; label: string }) {
  const data = useMemo(() => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)), [base64]);
  const rows = [];
  for (let i = 0; i < Math.min(data.length, 4096); i += 16) {
    const part = [...data.slice(i, i + 16)];
    rows.push(`${i.toString(16).padStart(6, '0')}  ${part.map((b) => b.toString(16).padStart(2, '0')).join(' ').padEnd(48)} ${part.map((b) => (b > 31 && b < 127 ? String.fromCharCode(b) : '·')).join('')}`);
  }
  return <div className="code" tabIndex={0} role="group" aria-label={label}>{rows.join('\n')}{data.length > 4096 && `\n… ${bytes(data.length)} in all`}</div>;
}

export function Command({ lead, text }: { lead: string; text: string }) {
  return <div><div className="t2 sm">{lead}</div><div className="cmdl cmd-0"><code tabIndex={0}>{text}</code><Copy text={text} label={`Copy: ${lead}`} /></div></div>;
}
