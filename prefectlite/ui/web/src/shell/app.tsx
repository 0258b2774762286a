import { useEffect, useRef } from 'react';
import { FlowsPage } from '../flows/flows-page';
import { RunPage } from '../run/run-page';
import { RunsPage } from '../runs/runs-page';
import { useKeyboard } from './keyboard';
import { LiveDot } from './live-dot';
import { NotFound } from './not-found';
import { Link, usePlace } from './router';
import { ThemeSwitch } from './theme-switch';

function Page({ path }: { path: string }) {
  const [, section, id, ...more] = path.split('/');
  if (more.length === 0) {
    if (!section || (section === 'runs' && !id)) return <RunsPage />;
    if (section === 'runs') return <RunPage key={id} id={decodeURIComponent(id!)} />;
    if (section === 'flows') return <FlowsPage flowId={id ? decodeURIComponent(id) : null} />;
  }
  return <NotFound what="page" />;
}

function NavLink({ to, keys, children }: { to: string; keys: string; children: string }) {
  const { path } = usePlace();
  const current = to === '/' ? path === '/' || path.startsWith('/runs') : path.startsWith(to);
  return (
    <Link to={to} aria-current={current ? 'page' : undefined} aria-keyshortcuts={keys} title={`${children} (${keys})`}>
      {children}
    </Link>
  );
}

/** The frame around every page. */
export function App() {
  const { path } = usePlace();
  const main = useRef<HTMLElement>(null);
  const shown = useRef(path);
  useKeyboard();

  useEffect(() => {
    // A new page is read from its top, also by those who listen to it; its filters changing are no new page.
    if (shown.current === path) return;
    shown.current = path;
    window.scrollTo(0, 0);
    if (!document.querySelector('dialog[open]')) main.current?.focus({ preventScroll: true });
  }, [path]);

  return (
    <>
      <a
        className="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          main.current?.focus();
        }}
      >
        Skip to content
      </a>
      <header className="top">
        <Link to="/" className="brand" aria-label="prefectlite, home">
          <svg viewBox="0 0 32 32" aria-hidden="true">
            <path d="M7 9h7a6 6 0 0 1 6 6v2a6 6 0 0 0 6 6M7 9v14" />
            <circle cx="7" cy="9" r="3.6" />
            <circle cx="7" cy="23" r="3.6" />
            <circle className="brand-tip" cx="26" cy="23" r="3.6" />
          </svg>
          <span>prefectlite</span>
        </Link>
        <nav aria-label="Main">
          <NavLink to="/" keys="g r">
            Runs
          </NavLink>
          <NavLink to="/flows" keys="g f">
            Flows
          </NavLink>
        </nav>
        <LiveDot />
        <ThemeSwitch />
      </header>
      <main id="main" ref={main} tabIndex={-1}>
        <Page path={path} />
      </main>
    </>
  );
}
