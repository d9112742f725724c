// SPDX-License-Identifier: Apache-2.0
// What stands around every page: rail, top bar, foot bar, banner of a lost connection, palette, sheet of keys.
import { Fragment, useEffect, useState, type ReactNode } from 'react';
import { Link, useLocation } from 'wouter';
import { bytes, clock, length, short } from './format';
import { allKeys, switchKeys, useKey } from './keys';
import { setPaused, tryNow, useConnection, useLive, useNow } from './live';
import { Cover, Menu, Questions, say, Toasts, undoLast } from './overlay';
import { Palette } from './palette';
import { Banner, Button, Glyph, GlyphSheet } from './parts';
import { setPreferences, usePreferences, useSession } from './session';
import { signOut } from './signin';
import { STATES, type Operation, type Queue, type RedisInfo, type Stats } from './types';

export interface PageInfo { path: string; title: string; key: string; group: 'Now' | 'Plan' | 'Control' | 'System'; feature?: string }

export const PAGES: PageInfo[] = [
  { path: '/', title: 'Overview', key: 'o', group: 'Now' },
  { path: '/jobs', title: 'Jobs', key: 'j', group: 'Now' },
  { path: '/dead', title: 'Dead', key: 'd', group: 'Now' },
  { path: '/queues', title: 'Queues', key: 'q', group: 'Now' },
  { path: '/nodes', title: 'Nodes', key: 'n', group: 'Now' },
  { path: '/schedules', title: 'Schedules', key: 's', group: 'Plan', feature: 'schedules' },
  { path: '/workflows', title: 'Workflows', key: 'w', group: 'Plan', feature: 'workflows' },
  { path: '/batches', title: 'Batches', key: 'b', group: 'Plan', feature: 'batches' },
  { path: '/operations', title: 'Operations', key: 'p', group: 'Control', feature: 'operations' },
  { path: '/audit', title: 'Audit', key: 'a', group: 'Control', feature: 'audit' },
  { path: '/tokens', title: 'Tokens', key: 't', group: 'Control', feature: 'tokens' },
  { path: '/charts', title: 'Metrics', key: 'm', group: 'System', feature: 'series' },
  { path: '/redis', title: 'Redis', key: 'r', group: 'System', feature: 'redis' },
  { path: '/doctor', title: 'Doctor', key: 'h', group: 'System', feature: 'doctor' },
  { path: '/settings', title: 'Settings', key: ',', group: 'System' },
];

const FOOT = ['/', '/jobs', '/dead', '/schedules', '/queues', '/nodes']; // on a small window the first four of these

/** Those that this server has something for. */
export function usePages(): PageInfo[] {
  const { has } = useSession();
  return PAGES.filter((p) => !p.feature || has(p.feature));
}

export function useStats(): Stats | undefined {
  return useLive<Stats>('/api/stats', 900).data;
}

/** Jobs that have not ended: what the rail counts. */
export function openJobs(stats: Stats): number {
  const c = stats.job_counts;
  return (c.pending ?? 0) + (c.scheduled ?? 0) + (c.running ?? 0) + (c.retrying ?? 0) + (c.paused ?? 0);
}

function useCounts(): Record<string, number | undefined> {
  const stats = useStats();
  const { data: queues } = useLive<Queue[]>('/api/queues', 2000);
  const { has } = useSession();
  const { data: schedules } = useLive<{ total: number }>(has('schedules') ? '/api/schedules?limit=1' : undefined, 5000);
  const { data: operations } = useLive<{ data: Operation[] }>(has('operations') ? '/api/operations?limit=20' : undefined, 4000);
  const underWay = operations?.data.filter((o) => o.status === 'running' || o.status === 'stopping').length;
  return {
    ...(underWay ? { '/operations': underWay } : {}),
    '/jobs': stats && openJobs(stats), '/dead': stats && (stats.job_counts.dead ?? 0), '/queues': queues?.length, '/nodes': stats?.active_nodes, '/schedules': schedules?.total,
  };
}

function isAt(path: string, at: string): boolean {
  return path === '/' ? at === '/' : at === path || at.startsWith(path + '/');
}

function Rail({ counts }: { counts: Record<string, number | undefined> }) {
  const [at] = useLocation();
  const pages = usePages();
  return (
    <aside className="rail">
      <Link className="brand" href="/"><Glyph name="mark" large />durequi</Link>
      <nav aria-label="Main">
        {pages.map((p, i) => {
          const n = counts[p.path];
          return (
            <Fragment key={p.path}>
              {p.group !== pages[i - 1]?.group && <div className="nav-h">{p.group}</div>}
              <Link className="nav-i" href={p.path} aria-current={isAt(p.path, at) ? 'page' : undefined}>
                {p.title}
                {n !== undefined && <span className={`n${p.path === '/dead' && n > 0 ? ' bad' : ''}`}>{short(n)}</span>}
              </Link>
            </Fragment>
          );
        })}
      </nav>
      <RailFoot />
    </aside>
  );
}

function RailFoot() {
  const { version } = useSession();
  const server = useLive<RedisInfo>('/api/redis/info?section=server', 60_000).data?.nodes[0]?.sections['server'];
  const memory = useLive<RedisInfo>('/api/redis/info?section=memory', 30_000).data?.nodes[0]?.sections['memory'];
  const { state } = useConnection();
  const used = Number(memory?.['used_memory']);
  const most = Number(memory?.['maxmemory'] ?? 0);
  const isKnown = state !== 'away';
  return (
    <div className="rail-foot">
      <dl>
        <dt>Redis</dt><dd>{isKnown && server ? server['redis_version'] : 'not known'}</dd>
        <dt>Memory</dt><dd>{isKnown && used ? bytes(used) + (most ? ` of ${bytes(most)}` : '') : 'not known'}</dd>
        {version && <><dt>dureqd</dt><dd>{version}</dd></>}
      </dl>
    </div>
  );
}

function FootBar({ counts, onMore }: { counts: Record<string, number | undefined>; onMore: () => void }) {
  const [at] = useLocation();
  const pages = usePages();
  const shown = FOOT.flatMap((path) => pages.find((p) => p.path === path) ?? []).slice(0, 4);
  const isElsewhere = !shown.some((p) => isAt(p.path, at));
  return (
    <nav className="mnav" aria-label="Main, short">
      {shown.map((p) => {
        const n = counts[p.path];
        return (
          <Link key={p.path} href={p.path} aria-current={isAt(p.path, at) ? 'page' : undefined}>
            <b>{n === undefined ? (p.path === '/' ? <Glyph name="mark" large /> : '–') : short(n)}</b>{p.title}
          </Link>
        );
      })}
      <button type="button" className={isElsewhere ? 'on' : undefined} aria-haspopup="dialog" onClick={onMore}><b><Glyph name="i-more" large /></b>More</button>
    </nav>
  );
}

/** All pages, on a small window. */
function More({ counts, onClose }: { counts: Record<string, number | undefined>; onClose: () => void }) {
  const [at] = useLocation();
  const pages = usePages();
  return (
    <Cover label="All pages" className="dlg" onClose={onClose}>
      <nav className="more" aria-label="All pages">
        {pages.map((p, i) => (
          <Fragment key={p.path}>
            {p.group !== pages[i - 1]?.group && <div className="nav-h">{p.group}</div>}
            <Link className="nav-i" href={p.path} aria-current={isAt(p.path, at) ? 'page' : undefined} onClick={onClose}>{p.title}{counts[p.path] !== undefined && <span className="n">{short(counts[p.path]!)}</span>}</Link>
          </Fragment>
        ))}
      </nav>
      <div className="dlg-f"><button type="button" className="btn" onClick={onClose}>Close</button></div>
    </Cover>
  );
}

function LiveButton() {
  const { state, okAt, isAsking } = useConnection();
  const now = useNow();
  if (state === 'away') {
    return <button type="button" className="live off" title="Try now" onClick={tryNow}><span className="dot" /><span>{okAt ? `${length(now - okAt).replace(/\.\d/, '')} old, ` : ''}reconnecting</span></button>;
  }
  const isPaused = state === 'paused';
  return (
    <button type="button" className={`live${isPaused ? ' off' : ''}`} aria-pressed={isPaused} title={isPaused ? 'Go on with live updates' : isAsking ? 'There is no event stream here: the page asks every few seconds. Pause it' : 'Pause live updates'} onClick={() => setPaused(!isPaused)}>
      <span className="dot" /><span>{isPaused ? 'Paused' : isAsking ? 'Polling' : 'Live'}</span>
    </button>
  );
}

function Tools({ onSearch }: { onSearch: () => void }) {
  const p = usePreferences();
  const { role, name, me } = useSession();
  const themes = [['system', 'As the system'], ['light', 'Light'], ['dark', 'Dark']] as const;
  return (
    <div className="tools">
      <LiveButton />
      <span className="hide-s">
        <Menu label={`Times: ${p.zone === 'UTC' ? 'UTC' : 'Local'}`} title={`Times are shown in ${p.zone === 'UTC' ? 'UTC' : 'the zone of this browser'}`} items={[
          { label: 'UTC', checked: p.zone === 'UTC', run: () => setPreferences({ zone: 'UTC' }) },
          { label: 'Zone of this browser', checked: p.zone === 'local', run: () => setPreferences({ zone: 'local' }) },
          { label: p.exact ? 'Relative times' : 'Exact times', run: () => setPreferences({ exact: !p.exact }) },
        ]}>{p.zone === 'UTC' ? 'UTC' : 'Local'} <Glyph name="i-chev" /></Menu>
      </span>
      <span className="only-s"><Button kind="quiet" icon label="Search" onClick={onSearch}><Glyph name="i-search" /></Button></span>
      <Menu label="Theme" icon title="Theme" items={themes.map(([t, label]) => ({ label, checked: p.theme === t, run: () => setPreferences({ theme: t }) }))}>
        <Glyph name="i-theme" />
      </Menu>
      {(role === 'viewer' || p.readOnly) && <span className="tag rob"><Glyph name="i-eye" />read only</span>}
      {name && <Who name={name} role={role} bySession={me?.by === 'session'} />}
    </div>
  );
}

function Who({ name, role, bySession }: { name: string; role: string; bySession: boolean }) {
  const [, go] = useLocation();
  const title = `Signed in with token ${name}, ${role}`;
  return (
    <Menu label={title} title={title} items={[
      { label: 'Settings', run: () => go('/settings') },
      { label: 'Sign out', refused: bySession ? undefined : 'The token is sent by what stands between: sign out there', run: () => void signOut().catch((e: unknown) => say(String(e instanceof Error ? e.message : e), 'bad')) },
    ]}><span className="who-n cut">{name}</span><span className="t3 hide-s">{role}</span></Menu>
  );
}

function Lost() {
  const c = useConnection();
  const now = useNow();
  const { zone } = usePreferences();
  if (c.state !== 'away') return null;
  const wait = Math.max(0, Math.ceil((c.nextAt - Date.now()) / 1000));
  return (
    <Banner kind="warn" strong={`No answer from ${c.isRedis ? 'Redis' : 'dureqd'} since ${clock(c.okAt || c.failedAt, zone)}.`} acts={<Button small onClick={tryNow}>Try now</Button>}>
      {c.okAt ? `What you see is ${length(Math.max(0, now - c.okAt)).replace(/\.\d/, '')} old. ` : ''}{c.isRedis ? 'What runs goes on, and is recorded when Redis is back; nothing new starts.' : 'Jobs go on running: nodes talk to Redis, not to this page.'} ({c.reason}) {wait ? `Next try in ${wait} s.` : 'Trying.'}
    </Banner>
  );
}

function Keys({ onClose }: { onClose: () => void }) {
  return (
    <Cover label="Keys" className="dlg" onClose={onClose}>
      <div className="dlg-h"><h2>Keys</h2></div>
      <div className="dlg-b">
        <dl className="kv sm keys">
          {allKeys().map(({ key, what }) => [<dt key={key}>{key.split(' ').map((k) => <kbd className="k show" key={k}>{k}</kbd>)}</dt>, <dd key={key + '='}>{what}</dd>])}
        </dl>
      </div>
      <div className="dlg-f">
        <Button kind="quiet" onClick={() => { setPreferences({ keys: false }); onClose(); }}>Switch single keys off</Button><span className="grow" />
        <button type="button" className="btn" data-first="" onClick={onClose}>Close<kbd className="k">Esc</kbd></button>
      </div>
    </Cover>
  );
}

function useTitle(title: string): void {
  useEffect(() => { document.title = `${title} · durequi`; }, [title]);
}

export function Shell({ title, crumbs, children }: { title: string; crumbs?: ReactNode; children: ReactNode }) {
  const [open, setOpen] = useState<'' | 'palette' | 'keys' | 'more'>('');
  const [, go] = useLocation();
  const { state } = useConnection();
  const { keys } = usePreferences();
  const counts = useCounts();
  const pages = usePages();
  useTitle(title);
  useEffect(() => switchKeys(keys), [keys]);
  useKey('Ctrl K', 'search or jump', () => setOpen('palette'));
  useKey('?', 'all keys', () => setOpen('keys'));
  useKey('z', 'take the last act back', undoLast);
  return (
    <>
      <GlyphSheet />
      <a className="sr" href="#main" onClick={(e) => { e.preventDefault(); document.getElementById('main')?.focus(); }}>Skip to content</a>
      {pages.map((p) => <GoKey key={p.path} page={p} go={go} />)}
      <div className="app">
        <Rail counts={counts} />
        <div>
          <header className="top">
            <div className="crumbs cut">{crumbs ?? <h1>{title}</h1>}</div>
            <button type="button" className="jump" onClick={() => setOpen('palette')}><Glyph name="i-search" /><span>Search or jump to…</span><kbd className="k">Ctrl K</kbd></button>
            <Tools onSearch={() => setOpen('palette')} />
          </header>
          <main className="page" id="main" tabIndex={-1}>
            {state === 'away' && <div className="lost"><Lost /></div>}
            <div className={state === 'away' ? 'stale' : undefined}>{children}</div>
          </main>
        </div>
      </div>
      <FootBar counts={counts} onMore={() => setOpen('more')} />
      <Toasts />
      <Questions />
      {open === 'palette' && <Palette onClose={() => setOpen('')} onKeys={() => setOpen('keys')} />}
      {open === 'more' && <More counts={counts} onClose={() => setOpen('')} />}
      {open === 'keys' && <Keys onClose={() => setOpen('')} />}
    </>
  );
}

function GoKey({ page, go }: { page: PageInfo; go: (to: string) => void }) {
  useKey(`g ${page.key}`, `go to ${page.title}`, () => go(page.path));
  return null;
}

export function total(stats: Stats): number {
  return STATES.reduce((sum, s) => sum + (stats.job_counts[s] ?? 0), 0);
}

