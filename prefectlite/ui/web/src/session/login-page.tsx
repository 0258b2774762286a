import { useEffect, useId, useRef, useState, type FormEvent } from 'react';
import { Brand } from '../shell/brand';
import { ErrorNotice } from '../shell/notice';
import { ThemeSwitch } from '../shell/theme-switch';
import { useTitle } from '../shell/title';
import { logInWith } from './session';

interface LoginPageProps {
  /** Whether somebody was logged in here, so that it says why this page is shown. */
  ended: boolean;
  message: string | null;
}

/** Asks for a token. The address stays what it was: after the login one is where one wanted to be. */
export function LoginPage({ ended, message }: LoginPageProps) {
  useTitle('Log in');
  return (
    <>
      <header className="top">
        <Brand />
        <span className="top-gap" />
        <ThemeSwitch />
      </header>
      <main id="main" className="login" tabIndex={-1}>
        <section className="panel login-panel" aria-labelledby="login-title">
          <h1 id="login-title">Log in</h1>
          {ended && <p role="status">Your login has ended. Log in again to go on where you were.</p>}
          <LoginForm key={message} message={message} />
          <p className="login-note">
            The first token is in the file <code>token</code> of the server's data directory. It makes others with{' '}
            <code>prefectlite token create</code>.
          </p>
        </section>
      </main>
    </>
  );
}

function LoginForm({ message }: { message: string | null }) {
  const field = useRef<HTMLInputElement>(null);
  const id = useId();
  const [error, setError] = useState(message);
  const [busy, setBusy] = useState(false);

  useEffect(() => field.current?.focus(), []);

  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const token = field.current!.value.trim();
    setError(token ? null : 'Type or paste a token.');
    if (token) {
      setBusy(true);
      const refusal = await logInWith(token);
      setBusy(false);
      setError(refusal);
      if (refusal === null) return;
    }
    field.current?.focus();
    field.current?.select();
  };

  return (
    // Never sent by the browser itself; if it were, `post` keeps the token out of the address.
    <form className="login-form" method="post" onSubmit={(event) => void submit(event)} noValidate>
      {/* Password managers file a password under a name. */}
      <input type="text" name="username" autoComplete="username" value="prefectlite" readOnly hidden />
      <label htmlFor={id}>Token</label>
      <input
        id={id}
        ref={field}
        type="password"
        name="password"
        autoComplete="current-password"
        autoCapitalize="none"
        spellCheck={false}
        required
        aria-invalid={error !== null || undefined}
        aria-describedby={error === null ? undefined : `${id}-error`}
      />
      <div id={`${id}-error`}>
        <ErrorNotice message={error} />
      </div>
      <button type="submit" className="button primary" disabled={busy}>
        {busy ? 'Logging in…' : 'Log in'}
      </button>
    </form>
  );
}
