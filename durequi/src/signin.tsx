// SPDX-License-Identifier: Apache-2.0
// Signing in by a token. The server answers with a cookie that no script can read; the token is not kept here.
import { useEffect, useState, type FormEvent } from 'react';
import { ApiError, call } from './http';
import { startAnew } from './live';
import { Copy, Glyph, GlyphSheet } from './parts';

export function SignIn() {
  const [token, setToken] = useState('');
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState<string>();
  const command = 'dureqctl token create --name oncall-2 --role operator';
  useEffect(() => { document.title = 'Sign in · durequi'; }, []);
  const go = async (e: FormEvent): Promise<void> => {
    e.preventDefault();
    if (busy) return;
    if (!token.trim()) {
      setFault('Paste a token first');
      return;
    }
    setBusy(true);
    try {
      await call('POST', '/api/login', { token: token.trim() });
      startAnew();
    } catch (err) {
      setFault(err instanceof ApiError && err.status === 401 ? 'This is no token, or its time is over. Ask for a new one.' : err instanceof Error ? err.message : String(err));
      setBusy(false);
    }
  };
  return (
    <>
      <GlyphSheet />
      <main className="sign">
        <div className="sign-c">
          <div className="brand brand-l"><Glyph name="mark" large />durequi</div>
          <div><h1>Sign in</h1><p className="t2">With a token that an admin made for you.</p></div>
          <form className="stack12" onSubmit={(e) => void go(e)}>
            <input className="sr" type="text" autoComplete="username" value="dureq" readOnly tabIndex={-1} aria-hidden="true" />
            <div className="field">
              <label htmlFor="token">Token</label>
              <input id="token" className="inp" type="password" autoComplete="current-password" spellCheck={false} autoFocus value={token} aria-invalid={fault ? true : undefined} aria-describedby={fault ? 'token-fault' : undefined} onChange={(e) => { setToken(e.target.value); setFault(undefined); }} />
              {fault ? <span className="err" id="token-fault" role="alert"><Glyph name="i-warn" />{fault}</span> : <span className="hint">You stay signed in for 12 hours at most.</span>}
            </div>
            <button type="submit" className={`btn btn-primary wide${busy ? ' busy' : ''}`} aria-disabled={busy || undefined}>{busy && <Glyph name="g-running" />}Sign in</button>
          </form>
          <div className="sm t2 sign-f"><p>An admin makes one with</p><div className="cmdl"><code tabIndex={0}>{command}</code><Copy text={command} /></div></div>
        </div>
      </main>
    </>
  );
}

export async function signOut(): Promise<void> {
  await call('POST', '/api/logout', {});
  startAnew();
}
