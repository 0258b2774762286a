import { useTitle } from './title';
import { Link } from './router';

/** Says that there is no such page, run or flow. */
export function NotFound({ what }: { what: 'page' | 'run' | 'flow' }) {
  useTitle(`No such ${what}`);
  return (
    <section className="empty">
      <h1>No such {what}</h1>
      <p>There is nothing at this address. It may have been deleted, or the address may be mistyped.</p>
      <Link to="/" className="button">
        All runs
      </Link>
    </section>
  );
}
