// SPDX-License-Identifier: Apache-2.0
// Who may ask, and for what: an admin's page.
import { useState } from 'react';
import { exact, plural } from '../format';
import { call } from '../http';
import { useKey } from '../keys';
import { refresh, serverNow, useLive } from '../live';
import { ask, Cover, say } from '../overlay';
import { Banner, Button, Copy, Empty, Glyph, Panel, Said, Seg, Skeleton, Time } from '../parts';
import { useMay, usePreferences, useSession, type Role } from '../session';
import { Shell } from '../shell';

interface Token { id: string; name: string; role: Role; payload: boolean; created_at: string; expires_at?: string }
interface Made extends Token { token: string }

const SOON_MS = 7 * 86_400_000;
const MAY: Record<Role, string> = { viewer: 'looks', operator: 'looks and acts', admin: 'looks, acts, and makes tokens' };

function revoke(t: Token): void {
  ask({
    title: `Revoke token ${t.name}?`, text: 'Who uses it is refused within two seconds. This cannot be undone; a new one can be made.', facts: [['role', t.role], ['id', t.id]],
    verb: 'Revoke the token', keep: 'Keep', danger: true,
    run: async () => {
      await call('DELETE', `/api/tokens/${encodeURIComponent(t.id)}`);
      refresh('/api/tokens', '/api/audit');
      say(`Token ${t.name} is revoked.`);
    },
  });
}

function Ends({ t }: { t: Token }) {
  const { zone } = usePreferences();
  if (!t.expires_at) return <>never</>;
  const left = Date.parse(t.expires_at) - serverNow();
  if (left <= 0) return <span className="bad-t" title={exact(Date.parse(t.expires_at), zone)}>has ended</span>;
  return <span className={left < SOON_MS ? 'warn-t' : undefined}><Time at={t.expires_at} /></span>;
}

function Row({ t, refused }: { t: Token; refused: string | undefined }) {
  return (
    <tr>
      <td className="nw"><b><Said text={t.name} /></b><div className="blk-s sm t2">{t.role}</div></td>
      <td className="hide-s">{t.role}</td>
      <td className="hide-s t2">{MAY[t.role]}{t.role === 'viewer' && (t.payload ? ', payloads too' : ', no payloads')}</td>
      <td className="hide-s"><code>{t.id}</code></td>
      <td className="num hide-s"><Time at={t.created_at} /></td>
      <td className="num"><Ends t={t} /></td>
      <td className="num c-acts"><Button small kind="danger" refused={refused} label={`Revoke ${t.name}`} onClick={() => revoke(t)}>Revoke…</Button></td>
    </tr>
  );
}

export function Tokens() {
  const refused = useMay('admin');
  const [makes, setMakes] = useState(false);
  const { role, me } = useSession();
  const { data: tokens, error } = useLive<Token[]>(role === 'admin' ? '/api/tokens' : undefined, 5000);
  useKey('c', 'make a token', refused ? undefined : () => setMakes(true));
  const make = <Button kind="primary" hint="c" refused={refused} onClick={() => setMakes(true)}>New token</Button>;
  const sorted = [...(tokens ?? [])].sort((a, b) => a.name.localeCompare(b.name));
  return (
    <Shell title="Tokens">
      <Panel title={tokens ? plural(tokens.length, 'token') : 'Tokens'} sub="of the API; Redis has their hashes only" end={make}>
        {me && role !== 'admin' ? <Empty title="This is for admins" glyph={<span className="t3"><Glyph name="i-eye" large /></span>}><p>Token <b>{me.name}</b> has the role {role}.</p></Empty>
          : error && !error.isAway ? <Empty title="The server refuses this" glyph={<span className="bad-t"><Glyph name="i-warn" large /></span>}><p>{error.message}</p></Empty>
          : !tokens ? <Skeleton />
            : tokens.length === 0 ? <Empty title="No token has been made"><p>Without <code>auth: tokens</code> whoever reaches the address of the API may do all, as this page does now.</p></Empty>
              : (
                <table className="tbl">
                  <thead><tr><th>Name</th><th className="hide-s">Role</th><th className="hide-s">What it may</th><th className="hide-s">Id</th><th className="num hide-s">Made</th><th className="num">Ends</th><th className="c-acts"><span className="sr">Acts</span></th></tr></thead>
                  <tbody>{sorted.map((t) => <Row key={t.id} t={t} refused={refused} />)}</tbody>
                </table>
              )}
        <div className="panel-f"><span>A revoked token is refused within two seconds, on connections that are open too.</span></div>
      </Panel>
      {makes && <Make onClose={() => setMakes(false)} />}
    </Shell>
  );
}

// ---- a new one ----

const NAME = /^[!-~]{1,63}$/;
const DURATION = /^(\d+(\.\d+)?(ms|s|m|h|d))+$/;

function Make({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState('');
  const [role, setRole] = useState<Role>('operator');
  const [payload, setPayload] = useState(false);
  const [ends, setEnds] = useState('90d');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string>();
  const [made, setMade] = useState<Made>();
  const wrongName = name && !NAME.test(name) ? 'Up to 63 letters, digits and marks; no blanks' : undefined;
  const wrongEnd = ends.trim() && !DURATION.test(ends.trim()) ? 'Write 12h, 90d; empty: never' : undefined;
  const refused = !name ? 'Name it first' : (wrongName ?? wrongEnd);
  const put = async (): Promise<void> => {
    setBusy(true);
    try {
      setMade(await call<Made>('POST', '/api/tokens', { name, role, ...(role === 'viewer' ? { payload } : {}), ...(ends.trim() ? { expires_in: ends.trim() } : {}) }));
      refresh('/api/tokens', '/api/audit');
    } catch (e) {
      setError(e instanceof Error ? e.message : String(e));
    } finally {
      setBusy(false);
    }
  };
  if (made) {
    return (
      <Cover label="The new token" className="dlg" onClose={onClose}>
        <div className="dlg-h"><h2>Token {made.name} is made</h2></div>
        <div className="dlg-b">
          <Banner kind="warn" strong="It is shown this once.">Copy it now; nobody can read it again.</Banner>
          <div className="cmdl cmd-0"><code tabIndex={0} id="new-token">{made.token}</code><Copy text={made.token} label="Copy the token" /></div>
        </div>
        <div className="dlg-f"><button type="button" className="btn btn-primary" data-first="" onClick={onClose}>I have it</button></div>
      </Cover>
    );
  }
  return (
    <Cover label="New token" className="dlg" onClose={onClose}>
      <div className="dlg-h"><h2>New token</h2></div>
      <div className="dlg-b">
        <div className="field"><label htmlFor="t-name">Name</label><input id="t-name" data-first="" className="inp mono" value={name} autoComplete="off" spellCheck={false} aria-invalid={wrongName ? true : undefined} onChange={(e) => setName(e.target.value)} />{wrongName ? <span className="err"><Glyph name="i-warn" />{wrongName}</span> : <span className="hint">The audit shows it beside what is done with the token.</span>}</div>
        <div className="field"><span className="lbl" id="t-role">Role</span><div><Seg label="Role" value={role} onChange={setRole} options={[['viewer', 'viewer'], ['operator', 'operator'], ['admin', 'admin']]} /></div><span className="hint">It {MAY[role]}.</span></div>
        {role === 'viewer' && <label className="row"><input className="cb" type="checkbox" checked={payload} onChange={(e) => setPayload(e.target.checked)} /> It may see payloads, results, errors and logs</label>}
        <div className="field"><label htmlFor="t-ends">Ends after</label><input id="t-ends" className="inp" value={ends} autoComplete="off" aria-invalid={wrongEnd ? true : undefined} onChange={(e) => setEnds(e.target.value)} />{wrongEnd ? <span className="err"><Glyph name="i-warn" />{wrongEnd}</span> : <span className="hint">12h, 90d; empty: never.</span>}</div>
        {error && <div className="field" role="alert"><span className="err"><Glyph name="i-warn" />{error}</span></div>}
      </div>
      <div className="dlg-f"><button type="button" className="btn" onClick={onClose}>Not now<kbd className="k">Esc</kbd></button><Button kind="primary" busy={busy} refused={refused} onClick={() => void put()}>Make the token</Button></div>
    </Cover>
  );
}
