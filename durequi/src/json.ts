// SPDX-License-Identifier: Apache-2.0
// JSON as text: payloads are shown and edited by their characters, so that a number of 2^63 and a name given twice come back unharmed.
// JSON.parse reads everything else.

const BLANK = /[\s]*/y;
const TEXT = /"(?:[^"\\]|\\.)*"/y;
const OTHER = /[^\s,\]}]+/y;

function take(re: RegExp, text: string, at: number): number {
  re.lastIndex = at;
  return re.test(text) ? re.lastIndex : at;
}

/** Where the value that begins at `at` ends. The text is valid JSON. */
export function endOf(text: string, at: number): number {
  const first = text[at];
  if (first === '"') return take(TEXT, text, at);
  if (first !== '{' && first !== '[') return take(OTHER, text, at);
  let depth = 0;
  for (let i = at; i < text.length; i++) {
    const c = text[i];
    if (c === '"') i = take(TEXT, text, i) - 1;
    else if (c === '{' || c === '[') depth++;
    else if ((c === '}' || c === ']') && --depth === 0) return i + 1;
  }
  return text.length;
}

/** The parts of an object or array as they stand in the text; of an array the names are empty. */
export function* partsOf(text: string, at = 0): Generator<{ name: string; value: string }> {
  at = take(BLANK, text, at);
  const isObject = text[at] === '{';
  if (!isObject && text[at] !== '[') return;
  at = take(BLANK, text, at + 1);
  while (at < text.length && text[at] !== '}' && text[at] !== ']') {
    let name = '';
    if (isObject) {
      const end = endOf(text, at);
      name = text.slice(at, end);
      at = take(BLANK, text, take(BLANK, text, end) + 1);
    }
    const end = endOf(text, at);
    yield { name, value: text.slice(at, end) };
    at = take(BLANK, text, end);
    if (text[at] === ',') at = take(BLANK, text, at + 1);
  }
}

/** The member `name` of an object as it stands in the text; of several the last, as JSON.parse has it. */
export function rawOf(text: string, name: string): string | undefined {
  let found: string | undefined;
  for (const part of partsOf(text)) if (part.name === JSON.stringify(name)) found = part.value;
  return found;
}

export type LineKind = 'open' | 'close' | 'value';
export interface Line {
  depth: number;
  kind: LineKind;
  name?: string;
  value: string; // a value, or the bracket
  comma: boolean;
  parts: number; // of what opens here
  until: number; // the line that closes what opens here
}

/** The value in lines, two blanks a level when shown. */
export function linesOf(text: string): Line[] {
  const lines: Line[] = [];
  const put = (value: string, name: string | undefined, depth: number, comma: boolean): void => {
    const named = name === undefined || name === '' ? {} : { name };
    const open = value[0];
    if (open !== '{' && open !== '[') {
      lines.push({ depth, kind: 'value', ...named, value, comma, parts: 0, until: lines.length });
      return;
    }
    const parts = [...partsOf(value)];
    const close = open === '{' ? '}' : ']';
    if (parts.length === 0) {
      lines.push({ depth, kind: 'value', ...named, value: open + close, comma, parts: 0, until: lines.length });
      return;
    }
    const at = lines.length;
    lines.push({ depth, kind: 'open', ...named, value: open, comma, parts: parts.length, until: 0 });
    parts.forEach((p, i) => put(p.value, p.name, depth + 1, i < parts.length - 1));
    lines[at]!.until = lines.length;
    lines.push({ depth, kind: 'close', value: close, comma, parts: 0, until: lines.length });
  };
  put(text.trim(), undefined, 0, false);
  return lines;
}

/** The same text with line breaks, for an editor. */
export function spread(text: string): string {
  return linesOf(text).map((l) => '  '.repeat(l.depth) + (l.name ? l.name + ': ' : '') + l.value + (l.comma && l.kind !== 'open' ? ',' : '')).join('\n');
}
