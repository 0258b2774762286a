import { Fragment, useEffect, useRef, type ReactNode } from 'react';
import { ErrorNotice } from '../shell/notice';
import { LoginPage } from './login-page';
import { askWho, useStanding } from './session';

/** Shows the pages to those who may see them, and to others the login in their place. */
export function SessionDoor({ children }: { children: ReactNode }) {
  const standing = useStanding();
  const before = useRef(standing.kind);

  useEffect(() => void askWho(), []);
  useEffect(() => {
    // Who logs in by keyboard or listens goes on in the page, not in a form that is gone.
    if (before.current === 'out' && standing.kind === 'in') document.getElementById('main')?.focus();
    before.current = standing.kind;
  }, [standing.kind]);

  if (standing.kind === 'asking') return null;
  if (standing.kind === 'out') return <LoginPage ended={standing.ended} message={standing.message} />;
  if (standing.kind === 'unknown') {
    return (
      <main>
        <ErrorNotice message={standing.message} retry={() => void askWho()} />
      </main>
    );
  }
  return <Fragment key={`${standing.user.role} ${standing.user.name}`}>{children}</Fragment>;
}
