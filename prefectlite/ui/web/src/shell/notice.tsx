/** An error in the place where it happened, with a way to try again if there is one. */
export function ErrorNotice({ message, retry }: { message: string | null; retry?: () => void }) {
  if (!message) return null;
  return (
    <div className="notice" role="alert">
      <svg viewBox="0 0 16 16" aria-hidden="true">
        <path d="M8 1.6 15 14H1Z" />
        <path d="M8 6.4v3.4M8 11.8v.2" />
      </svg>
      <p>{message}</p>
      {retry && (
        <button type="button" className="button small" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}
