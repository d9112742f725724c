// SPDX-License-Identifier: Apache-2.0
// Where the tasks of a workflow are drawn: layers are the server's, the order in a layer is ours, so that few edges cross. Pure; no React here.

export interface GraphNode { name: string; status: string; layer: number; order: number; job_id?: string }
export interface Graph { nodes: GraphNode[]; edges: [number, number][] }

/** One box: a task, or a fan-out of tasks that need the same, release the same, and differ in name by numbers. */
export interface Unit {
  id: string; // the name of its first task
  label: string;
  tasks: number[]; // indexes of nodes
  group: string | undefined; // the name of the first task of its fan-out
  layer: number;
  before: number[]; // units
  after: number[];
  x: number;
  y: number; // the left upper corner
}

/** A piece of a way from one unit to others, over one gap between layers. */
export interface Segment { x1: number; y1: number; x2: number; y2: number; flat: boolean; from: number; to: number[] }

export interface Layout { units: Unit[]; segments: Segment[]; width: number; height: number; layers: number; unitOf: number[] }

export const BOX_W = 158;
export const BOX_H = 46;
const STEP_X = 196;
const GAP_Y = 24;
const WAY_H = 10; // what a way takes in a layer that it passes
const MARGIN = 14;
const FOLD_FROM = 8;
const SWEEPS = 6;
const WAYS_MAX = 20_000; // beyond it edges cross what lies between

interface Links { before: number[][]; after: number[][] }

function linksOf(n: number, edges: Iterable<[number, number]>): Links {
  const l: Links = { before: Array.from({ length: n }, () => []), after: Array.from({ length: n }, () => []) };
  for (const [a, b] of edges) {
    l.after[a]!.push(b);
    l.before[b]!.push(a);
  }
  return l;
}

/** The name without its numbers: what a fan-out has in common. */
export function stemOf(name: string): string {
  return name.replace(/\d+/g, '').replace(/[\s\-_.:/#[\]()]+$/, '') || name;
}

/** Fan-outs as one unit each, but for those in `open`, by the name of their first task. */
function unitsOf(g: Graph, open: ReadonlySet<string>): { units: Unit[]; unitOf: number[] } {
  const { before, after } = linksOf(g.nodes.length, g.edges);
  const alike = new Map<string, number[]>();
  g.nodes.forEach((n, i) => {
    const key = `${n.layer}|${stemOf(n.name)}|${before[i]!.join()}|${after[i]!.join()}`;
    const had = alike.get(key);
    if (had) had.push(i);
    else alike.set(key, [i]);
  });
  const units: Unit[] = [];
  const unitOf = new Array<number>(g.nodes.length).fill(0);
  const put = (tasks: number[], group: string | undefined): void => {
    const first = g.nodes[tasks[0]!]!;
    tasks.forEach((t) => { unitOf[t] = units.length; });
    units.push({ id: first.name, label: tasks.length > 1 ? stemOf(first.name) : first.name, tasks, group, layer: first.layer, before: [], after: [], x: 0, y: 0 });
  };
  for (const tasks of alike.values()) {
    const group = tasks.length >= FOLD_FROM ? g.nodes[tasks[0]!]!.name : undefined;
    if (group !== undefined && !open.has(group)) put(tasks, group);
    else tasks.forEach((t) => put([t], group));
  }
  const seen = new Set<number>();
  for (const [a, b] of g.edges) {
    const from = unitOf[a]!;
    const to = unitOf[b]!;
    const key = from * units.length + to;
    if (seen.has(key)) continue;
    seen.add(key);
    units[from]!.after.push(to);
    units[to]!.before.push(from);
  }
  return { units, unitOf };
}

/** Stands in a layer: a unit, or the way of one unit's edges through a layer in which they have no end. */
interface Place { unit: number; layer: number; before: number[]; after: number[]; rank: number; top: number }

function placesOf(units: Unit[]): Place[] {
  const places: Place[] = units.map((u, i) => ({ unit: i, layer: u.layer, before: [], after: [], rank: 0, top: 0 }));
  const link = (a: number, b: number): void => {
    if (places[a]!.after.includes(b)) return;
    places[a]!.after.push(b);
    places[b]!.before.push(a);
  };
  const isCheap = units.reduce((n, u) => n + Math.max(0, ...u.after.map((t) => units[t]!.layer - u.layer - 1)), 0) <= WAYS_MAX;
  units.forEach((u, i) => {
    const ways = new Map<number, number>(); // one a layer for all that goes on from here
    for (const t of u.after) {
      let from = i;
      for (let layer = u.layer + 1; isCheap && layer < units[t]!.layer; layer++) {
        let way = ways.get(layer);
        if (way === undefined) {
          way = places.length;
          places.push({ unit: -1, layer, before: [], after: [], rank: 0, top: 0 });
          ways.set(layer, way);
        }
        link(from, way);
        from = way;
      }
      places[from]!.after.push(t);
      places[t]!.before.push(from);
    }
  });
  return places;
}

function mean(of: number[], places: Place[]): number {
  return of.reduce((sum, p) => sum + places[p]!.rank, 0) / of.length;
}

/** Order within layers: each where its neighbours are on average, some times down and up. */
function order(places: Place[], layers: number[][]): void {
  const place = (layer: number[]): void => layer.forEach((p, k) => { places[p]!.rank = k - (layer.length - 1) / 2; });
  layers.forEach(place);
  const sweep = (layer: number[], side: 'before' | 'after'): void => {
    const want = new Map(layer.map((p) => [p, places[p]![side].length ? mean(places[p]![side], places) : places[p]!.rank]));
    layer.sort((a, b) => want.get(a)! - want.get(b)!);
    place(layer);
  };
  for (let n = 0; n < SWEEPS; n++) {
    if (n % 2 === 0) layers.forEach((l) => sweep(l, 'before'));
    else for (let i = layers.length - 1; i >= 0; i--) sweep(layers[i]!, 'after');
  }
}

export function layoutOf(g: Graph, open: ReadonlySet<string>): Layout {
  const { units, unitOf } = unitsOf(g, open);
  const places = placesOf(units);
  const layers: number[][] = [];
  places.forEach((p, i) => (layers[p.layer] ??= []).push(i));
  for (let i = 0; i < layers.length; i++) layers[i] ??= [];
  order(places, layers);
  const tall = (p: Place): number => (p.unit >= 0 ? BOX_H + GAP_Y : WAY_H);
  const heights = layers.map((l) => l.reduce((sum, p) => sum + tall(places[p]!), 0));
  const height = Math.max(BOX_H + GAP_Y, ...heights);
  layers.forEach((l, k) => {
    let y = MARGIN + (height - heights[k]!) / 2;
    for (const i of l) {
      const p = places[i]!;
      p.top = p.unit >= 0 ? y + GAP_Y / 2 : y;
      y += tall(p);
      if (p.unit >= 0) Object.assign(units[p.unit]!, { x: MARGIN + k * STEP_X, y: p.top });
    }
  });
  return { units, unitOf, segments: segmentsOf(places, units), width: 2 * MARGIN + Math.max(0, layers.length - 1) * STEP_X + BOX_W, height: height + 2 * MARGIN, layers: layers.length };
}

function segmentsOf(places: Place[], units: Unit[]): Segment[] {
  const out: Segment[] = [];
  const middle = (p: Place): number => p.top + (p.unit >= 0 ? BOX_H : WAY_H) / 2;
  const left = (p: Place): number => MARGIN + p.layer * STEP_X;
  // Returns which units are reached from the place.
  const walk = (at: number, from: number): number[] => {
    const p = places[at]!;
    if (p.unit >= 0 && p.unit !== from) return [p.unit];
    const all: number[] = [];
    for (const next of p.after) {
      const to = walk(next, from);
      const q = places[next]!;
      out.push({ x1: left(p) + BOX_W, y1: middle(p), x2: left(q), y2: middle(q), flat: false, from, to });
      if (q.unit < 0) out.push({ x1: left(q), y1: middle(q), x2: left(q) + BOX_W, y2: middle(q), flat: true, from, to });
      all.push(...to);
    }
    return all;
  };
  units.forEach((_, i) => walk(i, i));
  return out;
}

/** As a path; those of one kind together are one element. */
export function pathOf(s: Segment): string {
  if (s.flat) return `M${s.x1} ${s.y1}H${s.x2}`;
  const m = (s.x1 + s.x2) / 2;
  return `M${s.x1} ${s.y1}C${m} ${s.y1} ${m} ${s.y2} ${s.x2} ${s.y2}`;
}

/** The way that took longest: from the unit that ended last back over what each waited for last. endOf: ms, undefined while it has not begun. */
export function criticalPath(units: Unit[], endOf: (unit: number) => number | undefined): ReadonlySet<number> {
  const path = new Set<number>();
  const latest = (of: Iterable<number>): number | undefined => {
    let best: number | undefined;
    let at = -Infinity;
    for (const u of of) {
      const end = endOf(u);
      if (end !== undefined && end > at) [best, at] = [u, end];
    }
    return best;
  };
  for (let u = latest(units.keys()); u !== undefined && !path.has(u); u = latest(units[u]!.before)) path.add(u);
  return path;
}
