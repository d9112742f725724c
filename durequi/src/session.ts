// SPDX-License-Identifier: Apache-2.0
// Who looks, and what that may do; what the server has; and what this browser wants: theme, zone, keys.
import { useSyncExternalStore } from 'react';
import type { Zone } from './format';
import { useConnection, useLive } from './live';

export type Role = 'viewer' | 'operator' | 'admin';

interface Version {
  version: string;
  features: string[];
}

/** By what the server knows who asks: a connection that it lets do all, a token that was sent, or a cookie from signing in. */
export interface Me { name: string; role: Role; payload: boolean; by: 'connection' | 'token' | 'session'; expires_at?: string }

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

/** A server without tokens lets whoever reaches it do all. */
export function useSession(): Session {
  const { data } = useLive<Version>('/api/version', Infinity);
  const has = (f: string): boolean => data?.features.includes(f) ?? false;
  const { data: me } = useLive<Me>(has('login') ? '/api/me' : undefined, 60_000);
  const isOpen = !me || me.by === 'connection';
  const hasPayload = me ? me.payload : data !== undefined && !has('login');
  return { version: data?.version, features: data?.features ?? [], has, role: me?.role ?? 'admin', name: isOpen ? undefined : me.name, isOpen, hasPayload, me };
}

const RANK: Record<Role, number> = { viewer: 0, operator: 1, admin: 2 };

/** Why something that takes a role is off; undefined: it is on. acts: it changes something. */
export function useMay(needs: Role, acts = true): string | undefined {
  const { role } = useSession();
  const { state, isRedis } = useConnection();
  const { readOnly } = usePreferences();
  if (state === 'away') return `Off until ${isRedis ? 'Redis' : 'dureqd'} answers again`;
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
