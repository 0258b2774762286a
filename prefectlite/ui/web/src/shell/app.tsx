import { useEffect, useRef } from 'react';
import { FlowsPage } from '../flows/flows-page';
import { RunPage } from '../run/run-page';
import { RunsPage } from '../runs/runs-page';
import { AccountMenu } from '../session/account-menu';
import { Brand } from './brand';
import { useKeyboard } from './keyboard';
import { LiveDot } from './live-dot';
import { NotFound } from './not-found';
import { Link, usePlace } from './router';
import { ThemeSwitch } from './theme-switch';

/** A part of the address as text; what is no text stays as it is, and names nothing. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function Page({ path }: { path: string }) {
  const [, section, id, ...more] = path.split('/').map(decoded);
  if (more.length === 0) {
    if (!section || (section === 'runs' && !id)) return <RunsPage />;
    if (section === 'runs') return <RunPage key={id} id={id!} />;
    if (section === 'flows') return <FlowsPage flowId={id || null} />;
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
        <Brand />
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
        <AccountMenu />
      </header>
      <main id="main" ref={main} tabIndex={-1}>
        <Page path={path} />
      </main>
    </>
  );
}
