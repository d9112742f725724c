// SPDX-License-Identifier: Apache-2.0
// Who looks, and what that may do; what the server has; and what this browser wants: theme, zone, keys.
import { useSyncExternalStore } from 'react';
import type { Zone } from './format';
import { useConnection, useLive } from './live';

export type Role = 'viewer' | 'operator' | 'admin';

interface Version {
  version: string;
  features: string[];
  role?: Role;
  name?: string;
}

export interface Session {
  version: string | undefined;
  has: (feature: string) => boolean;
  role: Role;
  name: string | undefined;
}

/** A server without tokens lets whoever reaches it do all, and says no role. */
export function useSession(): Session {
  const { data } = useLive<Version>('/api/version', Infinity);
  return { version: data?.version, has: (f) => data?.features.includes(f) ?? false, role: data?.role ?? 'admin', name: data?.name };
}

/** Why acts are off; undefined: they are on. */
export function useRefusal(): string | undefined {
  const { role } = useSession();
  const { state } = useConnection();
  const { readOnly } = usePreferences();
  if (state === 'away') return 'Off until dureqd answers again';
  if (role === 'viewer') return 'Needs the role operator; you are viewer';
  if (readOnly) return 'This browser is set to read only (see the palette)';
  return undefined;
}

// ---- preferences, kept in this browser ----

export interface Preferences {
  theme: 'system' | 'light' | 'dark';
  zone: Zone;
  exact: boolean;
  readOnly: boolean;
  keys: boolean;
}

const KEY = 'durequi';
let preferences: Preferences = { theme: 'system', zone: 'UTC', exact: false, readOnly: false, keys: true };
const listeners = new Set<() => void>();

function showTheme(): void {
  const root = document.documentElement;
  if (preferences.theme === 'system') delete root.dataset['theme'];
  else root.dataset['theme'] = preferences.theme;
}

export function setPreferences(next: Partial<Preferences>): void {
  preferences = { ...preferences, ...next };
  try {
    localStorage.setItem(KEY, JSON.stringify(preferences));
  } catch { /* storage may be off: they hold for this page */ }
  showTheme();
  for (const l of listeners) l();
}

export function loadPreferences(): void {
  try {
    preferences = { ...preferences, ...(JSON.parse(localStorage.getItem(KEY) ?? '{}') as Partial<Preferences>) };
  } catch { /* as above */ }
  showTheme();
}

function onPreferences(l: () => void): () => void {
  listeners.add(l);
  return () => listeners.delete(l);
}

export function usePreferences(): Preferences {
  return useSyncExternalStore(onPreferences, () => preferences);
}
