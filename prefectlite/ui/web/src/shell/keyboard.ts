import { useEffect } from 'react';
import { navigate } from './router';

const SEQUENCE_WITHIN = 1_200;
const GO_TO: Record<string, string> = { r: '/', f: '/flows' };

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

/** Keys that work on every page: `/` goes to the page's filter, `g r` to the runs, `g f` to the flows. */
export function useKeyboard() {
  useEffect(() => {
    let pressedG = -Infinity;
    const onKey = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey) return;
      const radio = event.target instanceof HTMLInputElement && event.target.type === 'radio';
      if ((isTyping(event.target) && !radio) || document.querySelector('dialog[open]')) return;
      const now = performance.now();
      if (event.key === '/') {
        const filter = document.querySelector<HTMLInputElement>('[data-filter]');
        if (filter) {
          event.preventDefault();
          filter.focus();
          filter.select();
        }
      } else if (event.key === 'g') {
        pressedG = now;
        return;
      } else if (now - pressedG < SEQUENCE_WITHIN && GO_TO[event.key]) {
        navigate(GO_TO[event.key]!);
      }
      pressedG = -Infinity;
    };
    document.addEventListener('keydown', onKey);
    return () => document.removeEventListener('keydown', onKey);
  }, []);
}
