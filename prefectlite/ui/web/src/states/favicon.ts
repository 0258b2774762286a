import { useEffect } from 'react';
import { toneOf, type Tone } from './state';

// A favicon lies outside the page's colour scheme: these middle tones read on light and dark tab bars.
const SHAPES: Record<Tone, string> = {
  success: '<circle cx="16" cy="16" r="14" fill="#2f9e5b"/><path d="m9 17 5 5 9-11" stroke="#fff" stroke-width="3.5" fill="none"/>',
  skipped: '<circle cx="16" cy="16" r="12" stroke="#7a7f8c" stroke-width="4" fill="none"/>',
  cancelled: '<circle cx="16" cy="16" r="12" stroke="#7a7f8c" stroke-width="4" fill="none"/><path d="M8 24 24 8" stroke="#7a7f8c" stroke-width="4"/>',
  failed: '<path d="M10 2h12l8 8v12l-8 8H10l-8-8V10Z" fill="#d64545"/><path d="m11 11 10 10m0-10L11 21" stroke="#fff" stroke-width="3.5"/>',
  running: '<circle cx="16" cy="16" r="12" stroke="#4c7fe8" stroke-width="5" fill="none" stroke-dasharray="56 20"/><circle cx="16" cy="16" r="5" fill="#4c7fe8"/>',
  waiting: '<circle cx="16" cy="16" r="12" stroke="#cf8a1b" stroke-width="4" fill="none"/><path d="M16 9v7l5 4" stroke="#cf8a1b" stroke-width="3.5" fill="none"/>',
  pending: '<circle cx="16" cy="16" r="12" stroke="#7a7f8c" stroke-width="4" fill="none" stroke-dasharray="4 5"/>',
};

/** Shows a state in the browser's tab while the component is there; null leaves the usual icon. */
export function useFavicon(state: string | null) {
  const tone = state === null ? null : toneOf(state);
  useEffect(() => {
    const icon = document.querySelector<HTMLLinkElement>('link[rel="icon"]');
    if (tone === null || !icon) return;
    const usual = icon.href;
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">${SHAPES[tone]}</svg>`;
    icon.href = `data:image/svg+xml,${encodeURIComponent(svg)}`;
    return () => {
      icon.href = usual;
    };
  }, [tone]);
}
