// SPDX-License-Identifier: Apache-2.0
// Queues: how much waits, for how long, and whether somebody takes it.
import { Link } from 'wouter';
import { purgeQueue, setQueuePaused } from '../actions';
import { count, length, lengthOf, plural } from '../format';
import { useLive } from '../live';
import { Menu } from '../overlay';
import { Banner, Button, Glyph, Panel, Skeleton, State } from '../parts';
import { useRefusal } from '../session';
import { Shell } from '../shell';
import type { Queue } from '../types';

export function QueueState({ q }: { q: Queue }) {
  if (q.paused) return <State state="paused" word="paused" />;
  if (q.unhandled > 0) return <span className="st warn-t"><Glyph name="i-warn" />no node for {count(q.unhandled)}</span>;
  if (q.max_len && q.pending >= q.max_len) return <span className="st warn-t"><Glyph name="i-warn" />full</span>;
  return <span className="t2">working</span>;
}

function Row({ q }: { q: Queue }) {
  const refused = useRefusal();
  return (
    <tr>
      <td className="nw"><Link href={`/jobs?queue=${encodeURIComponent(q.name)}`}><b>{q.name}</b></Link><div className="blk-s sm t2"><QueueState q={q} /></div></td>
      <td className="hide-s"><QueueState q={q} /></td>
      <td className="num">{count(q.pending)}</td>
      <td className="num hide-s">{q.pending ? length(lengthOf(q.oldest_age)) : '–'}</td>
      <td className="num hide-s">{count(q.running)}</td>
      <td className="num hide-s">{q.weight}</td>
      <td className="num hide-s hide-m">{q.priorities ? `${q.priorities[0]}–${q.priorities[1]}` : '–'}</td>
      <td className="num hide-s hide-m">{q.max_len ? count(q.max_len) : '–'}</td>
      <td className="num c-acts">
        <span className="row rgt">
          <Button small refused={refused} label={`${q.paused ? 'Resume' : 'Pause'} ${q.name}`} onClick={() => void setQueuePaused(q.name, !q.paused)}>{q.paused ? 'Resume' : 'Pause'}</Button>
          <Menu label={`More for ${q.name}`} icon small items={[
            { label: 'Purge…', bad: true, refused: refused ?? (q.pending ? undefined : 'Nothing waits in it'), run: () => purgeQueue(q.name, q.pending) },
          ]}><Glyph name="i-more" /></Menu>
        </span>
      </td>
    </tr>
  );
}

export function Queues() {
  const { data: queues } = useLive<Queue[]>('/api/queues', 900);
  const waiting = queues?.reduce((n, q) => n + q.pending, 0) ?? 0;
  const unhandled = queues?.filter((q) => q.unhandled > 0) ?? [];
  return (
    <Shell title="Queues">
      <div className="stack">
        {unhandled.map((q) => (
          <Banner key={q.name} kind="warn" strong={`No node handles ${q.unhandled_types?.join(', ')}.`} acts={<Link className="btn sml" href="/nodes">Show nodes</Link>}>
            {plural(q.unhandled, 'job')} of {q.name} {q.unhandled === 1 ? 'waits' : 'wait'} for one.
          </Banner>
        ))}
        <Panel title={plural(queues?.length ?? 0, 'queue')} sub={`${plural(waiting, 'job')} ${waiting === 1 ? 'waits' : 'wait'}; heaviest first`}>
          {!queues ? <Skeleton /> : (
            <table className="tbl">
              <thead><tr><th>Queue</th><th className="hide-s">State</th><th className="num">Waiting</th><th className="num hide-s">Oldest</th><th className="num hide-s">Running</th><th className="num hide-s">Weight</th><th className="num hide-s hide-m">Priorities</th><th className="num hide-s hide-m">At most</th><th className="c-acts"><span className="sr">Acts</span></th></tr></thead>
              <tbody>{queues.map((q) => <Row key={q.name} q={q} />)}</tbody>
            </table>
          )}
          <div className="panel-f"><span>Queues share the nodes by weight; a paused queue starts nothing more, what runs goes on.</span></div>
        </Panel>
      </div>
    </Shell>
  );
}
