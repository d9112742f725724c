// SPDX-License-Identifier: Apache-2.0
// What this browser wants, and what this server is.
import type { ReactNode } from 'react';
import { base } from '../http';
import { useConnection } from '../live';
import { Copy, Panel, Seg, Time } from '../parts';
import { setPreferences, usePreferences, useSession, type Preferences } from '../session';
import { Shell } from '../shell';

function Choice<T extends string>({ name, text, value, options, onChange }: { name: string; text: string; value: T; options: readonly (readonly [T, string])[]; onChange: (v: T) => void }) {
  return <div className="set"><div><h3>{name}</h3><p className="t2 sm">{text}</p></div><Seg label={name} value={value} options={options} onChange={onChange} /></div>;
}

const ON_OFF = [['on', 'On'], ['off', 'Off']] as const;

function Switch({ name, text, of, p }: { name: string; text: string; of: 'exact' | 'keys' | 'readOnly'; p: Preferences }) {
  return <Choice name={name} text={text} value={p[of] ? 'on' : 'off'} options={ON_OFF} onChange={(v) => setPreferences({ [of]: v === 'on' })} />;
}

function Row({ name, children }: { name: string; children: ReactNode }) {
  return <><dt>{name}</dt><dd>{children}</dd></>;
}

export function Settings() {
  const p = usePreferences();
  const { version, features, role, name, isOpen } = useSession();
  const { okAt } = useConnection();
  const api = `${location.origin}${base}/api/openapi.json`;
  return (
    <Shell title="Settings">
      <div className="grid g-side">
        <Panel title="This browser" sub="kept here, for this address">
          <Choice name="Theme" text="Light by day, dark at night, or one of them." value={p.theme} onChange={(theme) => setPreferences({ theme })} options={[['system', 'As the system'], ['light', 'Light'], ['dark', 'Dark']]} />
          <Choice name="Rows" text="How much stands on a page; by itself they are larger where one points with a finger." value={p.density} onChange={(density) => setPreferences({ density })} options={[['auto', 'By itself'], ['compact', 'Compact'], ['touch', 'Large']]} />
          <Choice name="Zone of times" text="Schedules show their own zone beside it." value={p.zone} onChange={(zone) => setPreferences({ zone })} options={[['UTC', 'UTC'], ['local', 'This browser']]} />
          <Switch name="Exact times" text="2027-03-12 02:45:02 rather than 5 m ago; the other one is shown on hover." of="exact" p={p} />
          <Switch name="Single keys" text="j, k, x and the others that ? lists. Ctrl K works all the same." of="keys" p={p} />
          <Switch name="Read only" text="Nothing can be changed from this browser by mistake. The server does not know of it." of="readOnly" p={p} />
        </Panel>
        <div className="stack">
          <Panel title="You">
            <div className="panel-b"><dl className="kv sm">
              {name && <Row name="Token">{name}</Row>}
              <Row name="Role">{isOpen ? 'none is asked for: whoever reaches this may do all' : role}</Row>
              <Row name="Last answer">{okAt ? <Time at={okAt} /> : '–'}</Row>
            </dl></div>
          </Panel>
          <Panel title="This server" end={<Copy text={api} label="Copy the address of the API" />}>
            <div className="panel-b"><dl className="kv sm">
              <Row name="dureqd">{version ?? '–'}</Row>
              <Row name="API"><a className="link" href={api}>openapi.json</a></Row>
              <Row name="Has"><span className="tags">{features.map((f) => <span className="tag" key={f}>{f}</span>)}</span></Row>
            </dl></div>
          </Panel>
        </div>
      </div>
    </Shell>
  );
}
