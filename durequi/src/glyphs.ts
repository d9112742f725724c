// SPDX-License-Identifier: Apache-2.0
// Glyphs: one shape a state, never colour alone. They stand once in the page and are used by name.

const LINE = 'fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round"';

// name: [viewBox, content]
export const GLYPHS: Record<string, [string, string]> = {
  'g-pending': ['0 0 12 12', `<circle cx="6" cy="6" r="4.5" ${LINE}/>`],
  'g-scheduled': ['0 0 12 12', `<circle cx="6" cy="6" r="4.75" ${LINE}/><path d="M6 3.4V6l1.9 1.3" ${LINE}/>`],
  'g-running': ['0 0 12 12', `<circle cx="6" cy="6" r="4.75" fill="none" stroke="currentColor" stroke-width="1.5" opacity=".35"/><path d="M6 1.25a4.75 4.75 0 0 1 4.75 4.75" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round"/><circle cx="6" cy="6" r="2" fill="currentColor"/>`],
  'g-retrying': ['0 0 12 12', `<path d="M10.4 4.2A4.75 4.75 0 1 0 10.75 6.4" ${LINE}/><path d="M10.9 1.4v3.1H7.8" ${LINE}/>`],
  'g-paused': ['0 0 12 12', `<rect x="2.4" y="1.6" width="2.6" height="8.8" rx=".8" fill="currentColor"/><rect x="7" y="1.6" width="2.6" height="8.8" rx=".8" fill="currentColor"/>`],
  'g-completed': ['0 0 12 12', `<path d="M1.6 6.6 4.7 9.6 10.6 2.6" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round"/>`],
  'g-dead': ['0 0 12 12', `<path d="M3.7.8h4.6l2.9 2.9v4.6l-2.9 2.9H3.7L.8 8.3V3.7z" fill="currentColor"/><path d="M4.1 4.1l3.8 3.8M7.9 4.1 4.1 7.9" stroke="var(--surface)" stroke-width="1.5" stroke-linecap="round"/>`],
  'g-cancelled': ['0 0 12 12', `<circle cx="6" cy="6" r="4.75" ${LINE}/><path d="M2.8 9.2 9.2 2.8" ${LINE}/>`],
  'g-skipped': ['0 0 12 12', `<path d="M2 2.5 5.5 6 2 9.5M6.5 2.5 10 6 6.5 9.5" ${LINE}/>`],
  'g-signal': ['0 0 12 12', `<path d="M6 10.5V6M3.2 8.2a4 4 0 1 1 5.6 0" ${LINE}/><circle cx="6" cy="5.4" r="1.2" fill="currentColor"/>`],
  'i-x': ['0 0 12 12', `<path d="M3 3l6 6M9 3 3 9" ${LINE}/>`],
  'i-chev': ['0 0 12 12', `<path d="M3 4.5 6 7.5 9 4.5" ${LINE}/>`],
  'i-right': ['0 0 12 12', `<path d="M4.5 3 7.5 6 4.5 9" ${LINE}/>`],
  'i-copy': ['0 0 12 12', `<rect x="4" y="4" width="6.5" height="6.5" rx="1.2" ${LINE}/><path d="M8 1.5H2.7a1.2 1.2 0 0 0-1.2 1.2V8" ${LINE}/>`],
  'i-search': ['0 0 12 12', `<circle cx="5.2" cy="5.2" r="3.6" ${LINE}/><path d="M8 8l2.7 2.7" ${LINE}/>`],
  'i-down': ['0 0 12 12', `<path d="M6 2v8M3 7l3 3 3-3" ${LINE}/>`],
  'i-more': ['0 0 12 12', `<circle cx="2" cy="6" r="1.1" fill="currentColor"/><circle cx="6" cy="6" r="1.1" fill="currentColor"/><circle cx="10" cy="6" r="1.1" fill="currentColor"/>`],
  'i-theme': ['0 0 12 12', `<circle cx="6" cy="6" r="4.5" fill="none" stroke="currentColor" stroke-width="1.4"/><path d="M6 1.5a4.5 4.5 0 0 1 0 9z" fill="currentColor"/>`],
  'i-eye': ['0 0 12 12', `<path d="M1 6s1.8-3.4 5-3.4S11 6 11 6 9.2 9.4 6 9.4 1 6 1 6z" ${LINE}/><circle cx="6" cy="6" r="1.4" fill="currentColor"/>`],
  'i-warn': ['0 0 16 16', `<path d="M8 1.9 15 14H1z" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linejoin="round"/><path d="M8 6.3v3.6" stroke="currentColor" stroke-width="1.7" stroke-linecap="round"/><circle cx="8" cy="12" r=".95" fill="currentColor"/>`],
  'i-info': ['0 0 16 16', `<circle cx="8" cy="8" r="6.4" fill="none" stroke="currentColor" stroke-width="1.6"/><path d="M8 7.4v3.8" stroke="currentColor" stroke-width="1.7" stroke-linecap="round"/><circle cx="8" cy="4.9" r=".95" fill="currentColor"/>`],
  'i-ok': ['0 0 16 16', `<circle cx="8" cy="8" r="6.4" fill="none" stroke="currentColor" stroke-width="1.6"/><path d="M5 8.3 7.2 10.4 11.2 5.8" fill="none" stroke="currentColor" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round"/>`],
  'i-link': ['0 0 16 16', `<path d="M6.5 9.5 9.5 6.5M7 4.5l1.3-1.3a3.1 3.1 0 0 1 4.4 4.4L11.5 9M9 11.5l-1.3 1.3a3.1 3.1 0 0 1-4.4-4.4L4.5 7" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round"/>`],
  'mark': ['0 0 16 16', `<rect x="1" y="2.5" width="14" height="2.6" rx="1.3" fill="currentColor"/><rect x="1" y="6.9" width="9.4" height="2.6" rx="1.3" fill="currentColor" opacity=".62"/><rect x="1" y="11.3" width="5.2" height="2.6" rx="1.3" fill="currentColor" opacity=".36"/><circle cx="13.5" cy="12.6" r="1.9" fill="currentColor"/>`],
};
