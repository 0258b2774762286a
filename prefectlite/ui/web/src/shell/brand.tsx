import { Link } from './router';

/** The name of it all, which leads home. */
export function Brand() {
  return (
    <Link to="/" className="brand" aria-label="prefectlite, home">
      <svg viewBox="0 0 32 32" aria-hidden="true">
        <path d="M7 9h7a6 6 0 0 1 6 6v2a6 6 0 0 0 6 6M7 9v14" />
        <circle cx="7" cy="9" r="3.6" />
        <circle cx="7" cy="23" r="3.6" />
        <circle className="brand-tip" cx="26" cy="23" r="3.6" />
      </svg>
      <span>prefectlite</span>
    </Link>
  );
}
