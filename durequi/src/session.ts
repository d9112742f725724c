// SPDX-License-Identifier: Apache-2.0
// Who looks, and what that may do; what the server has; and what this browser wants: theme, zone, keys.
import { useSyncExternalStore } from 'react';
import type { Zone } from './format';
import type { ApiError } from './http';
import { known, ME, useConnection, useLive, VERSION } from './live';

export type Role = 'viewer' | 'operator' | 'admin';

interface Version {
  version: string;
  features: string[];
}

/** By what the server knows who asks: a connection that it lets do all, a token that was sent, or a cookie from signing in. */
export interface Me { name: string; role: Role; payload: boolean; by: 'connection' | 'token' | 'session' | 'proxy'; expires_at?: string }

export interface Session {
  version: string | undefined;
  features: string[];
  has: (feature: string) => boolean;
  role: Role;
  name: string | undefined;
  isOpen: boolean; // nobody is asked who he is
  hasPayload: boolean; // false also while it is not known yet
  me: Me | undefined;
}

const ME_MS = 30_000; // a role that changed, a token that was revoked

const OPEN: Me = { name: '', role: 'admin', payload: true, by: 'connection' };

/** Who looks; a server that nobody can sign in to lets whoever reaches it do all. undefined: it is not known yet. */
function useMe(): { me: Me | undefined; version: Version | undefined; error: ApiError | undefined } {
  const { data: version, error } = useLive<Version>(VERSION, Infinity);
  const asks = version?.features.includes('login') ?? false;
  const { data: me, error: refused } = useLive<Me>(asks ? ME : undefined, ME_MS);
  return { me: asks ? me : version && OPEN, version, error: asks ? refused : error };
}

export function useSession(): Session {
  const { me, version } = useMe();
  const has = (f: string): boolean => version?.features.includes(f) ?? false;
  const isOpen = me?.by === 'connection';
  return {
    version: version?.version, features: version?.features ?? [], has, role: me?.role ?? 'viewer', name: !me || isOpen ? undefined : me.name, isOpen, hasPayload: me?.payload ?? false, me,
  };
}

/** Whether somebody is let in: not before that is known, but for a server that does not answer, which the pages say. */
export function useEntry(): 'unknown' | 'in' | 'out' {
  const { me, error } = useMe();
  if (error?.status === 401) return 'out';
  return me || error ? 'in' : 'unknown';
}

/** For what is not drawn. */
export function hasFeature(feature: string): boolean {
  return known<Version>(VERSION)?.features.includes(feature) ?? false;
}

const RANK: Record<Role, number> = { viewer: 0, operator: 1, admin: 2 };

/** Why something that takes a role is off; undefined: it is on. acts: it changes something. */
export function useMay(needs: Role, acts = true): string | undefined {
  const { role, me } = useSession();
  const { state, isRedis } = useConnection();
  const { readOnly } = usePreferences();
  if (state === 'away') return `Off until ${isRedis ? 'Redis' : 'dureqd'} answers again`;
  if (!me) return 'Off until the server has said what you may do';
  if (RANK[role] < RANK[needs]) return `Needs the role ${needs}; you are ${role}`;
  if (acts && readOnly) return 'This browser is set to read only (see the settings)';
  return undefined;
}

/** Why acts are off. */
export function useRefusal(): string | undefined {
  return useMay('operator');
}

// ---- preferences, kept in this browser ----

export interface Preferences {
  theme: 'system' | 'light' | 'dark';
  zone: Zone;
  exact: boolean;
  readOnly: boolean;
  keys: boolean;
  density: 'auto' | 'compact' | 'touch';
}

const KEY = 'durequi';
let preferences: Preferences = { theme: 'system', zone: 'UTC', exact: false, readOnly: false, keys: true, density: 'auto' };
const listeners = new Set<() => void>();

function show(): void {
  const root = document.documentElement;
  if (preferences.theme === 'system') delete root.dataset['theme'];
  else root.dataset['theme'] = preferences.theme;
  if (preferences.density === 'auto') delete root.dataset['density'];
  else root.dataset['density'] = preferences.density;
}

export function setPreferences(next: Partial<Preferences>): void {
  preferences = { ...preferences, ...next };
  try {
    localStorage.setItem(KEY, JSON.stringify(preferences));
  } catch { /* storage may be off: they hold for this page */ }
  show();
  for (const l of listeners) l();
}

export function loadPreferences(): void {
  try {
    preferences = { ...preferences, ...(JSON.parse(localStorage.getItem(KEY) ?? '{}') as Partial<Preferences>) };
  } catch { /* as above */ }
  show();
}

function onPreferences(l: () => void): () => void {
  listeners.add(l);
  return () => listeners.delete(l);
}

export function usePreferences(): Preferences {
  return useSyncExternalStore(onPreferences, () => preferences);
}
