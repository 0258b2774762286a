import { useState } from 'react';
import { ErrorNotice } from '../shell/notice';
import { logOut, useStanding } from './session';

/** Who is logged in, as what, and the way out; nothing where the server asks for no tokens. */
export function AccountMenu() {
  const standing = useStanding();
  const [error, setError] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  if (standing.kind !== 'in' || !standing.user.auth) return null;
  const { name, role } = standing.user;

  const leave = async () => {
    setBusy(true);
    setError(await logOut());
    setBusy(false);
  };

  return (
    <div className="account">
      <button type="button" className="account-button" popoverTarget="account" aria-label={`Account: ${name}, ${role}`}>
        <svg viewBox="0 0 16 16" aria-hidden="true">
          <circle cx="8" cy="5.4" r="2.7" />
          <path d="M2.6 14c.5-3 2.6-4.5 5.4-4.5s4.9 1.5 5.4 4.5" />
        </svg>
        <span className="account-name">{name}</span>
      </button>
      <div id="account" popover="auto" className="panel account-menu">
        <dl>
          <dt>Token</dt>
          <dd>{name}</dd>
          <dt>Role</dt>
          <dd>{role}</dd>
        </dl>
        <ErrorNotice message={error} />
        <button type="button" className="button" disabled={busy} onClick={() => void leave()}>
          Log out
        </button>
      </div>
    </div>
  );
}
