// SPDX-License-Identifier: Apache-2.0
// The check of all that is stored. It reads everything, so it runs when it is asked for.
import { useSyncExternalStore } from 'react';
import { Link } from 'wouter';
import { count, plain, plural } from '../format';
import { ApiError, call } from '../http';
import { useKey } from '../keys';
import { serverNow } from '../live';
import { Banner, Button, Copy, Empty, Glyph, Panel, Said, Skeleton, Time } from '../parts';
import { useMay } from '../session';
import { Shell } from '../shell';

interface Fault { kind: string; key: string; id?: string; text: string; repairable: boolean }
interface Report { faults: Fault[]; found: number; unsettled: number }
interface Check { state: 'none' | 'runs' | 'done' | 'failed'; report?: Report; at?: number; error?: string }

// The last report stays while one looks at other pages.
let check: Check = { state: 'none' };
const listeners = new Set<() => void>();
const onCheck = (l: () => void): (() => void) => { listeners.add(l); return () => listeners.delete(l); };

function setCheck(next: Check): void {
  check = next;
  for (const l of listeners) l();
}

async function look(): Promise<void> {
  if (check.state === 'runs') return;
  setCheck({ ...check, state: 'runs' });
  try {
    setCheck({ state: 'done', report: await call<Report>('GET', '/api/doctor'), at: serverNow() });
  } catch (e) {
    setCheck({ state: 'failed', error: e instanceof ApiError ? e.message : String(e) });
  }
}

const JOB_ID = /^[0-9a-z]{18,24}$/;

function Faults({ report }: { report: Report }) {
  return (
    <table className="tbl">
      <thead><tr><th>What is wrong</th><th className="hide-s">Kind</th><th className="hide-s">Key</th><th className="hide-s">About</th><th className="num hide-s">Repair</th></tr></thead>
      <tbody>
        {report.faults.map((f, i) => (
          <tr key={i}>
            <td className="two"><Said text={f.text} /></td>
            <td className="hide-s nw"><code>{f.kind}</code></td>
            <td className="hide-s cut"><code><Said text={f.key} /></code></td>
            <td className="hide-s nw">{f.id && JOB_ID.test(f.id) ? <Link className="id" href={`/jobs/${f.id}`}>{f.id}</Link> : plain(f.id ?? '–')}</td>
            <td className="num hide-s nw">{f.repairable ? 'possible' : 'none'}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Told({ c }: { c: Check }) {
  const { report } = c;
  if (c.state === 'failed') return <Banner kind="bad" strong="The check could not be done.">{c.error}</Banner>;
  if (!report) return null;
  const some = report.faults.filter((f) => f.repairable).length;
  return (
    <>
      {report.found > 0 && <Banner kind="bad" strong={`${plural(report.found, 'fault')} found.`}>{some ? `${count(some)} can be repaired with dureqctl doctor --repair.` : 'None of them is repaired by itself.'}</Banner>}
      {report.unsettled > 0 && <Banner kind="warn" strong={`${plural(report.unsettled, 'thing')} moved while it was looked at.`}>Check again when less goes on, to be sure of {report.unsettled === 1 ? 'it' : 'them'}.</Banner>}
    </>
  );
}

export function Doctor() {
  const c = useSyncExternalStore(onCheck, () => check);
  const refused = useMay('operator', false);
  const isBusy = c.state === 'runs';
  const command = 'dureqctl doctor';
  useKey('c', 'check', refused ? undefined : () => void look());
  return (
    <Shell title="Doctor">
      <div className="stack">
        <Told c={c} />
        <Panel
          title="What is stored" sub={c.at ? <>checked <Time at={c.at} /></> : undefined}
          end={<Button kind="primary" hint="c" busy={isBusy} refused={refused} onClick={() => void look()}>{isBusy ? 'Checking' : c.report ? 'Check again' : 'Check'}</Button>}
        >
          {isBusy && !c.report ? <Skeleton rows={4} />
            : c.report && c.report.faults.length ? <Faults report={c.report} />
              : c.report ? <Empty title="Nothing is wrong" glyph={<span className="st-completed"><Glyph name="i-ok" large /></span>}><p>Every job is in one place, every count is right, nothing is left over.</p></Empty>
                : <Empty title="Not checked yet"><p>The check reads all that is stored, in bounded steps: with a million jobs that takes a while.</p><div className="cmdl"><code tabIndex={0}>{command}</code><Copy text={command} /></div></Empty>}
          {c.report && c.report.found > c.report.faults.length && <div className="panel-f"><span>{count(c.report.faults.length)} of {count(c.report.found)} are shown.</span></div>}
        </Panel>
      </div>
    </Shell>
  );
}
