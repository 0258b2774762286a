import { StateIcon } from '../states/state-icon';
import { GROUP_WORDS, GROUPS, type Group, type RunsFilter } from './filter';

interface RunFiltersProps {
  filter: RunsFilter;
  counts: Record<Group, number> | null;
  onChange: (filter: RunsFilter) => void;
}

/** Chooses the state and the flow whose runs are listed. */
export function RunFilters({ filter, counts, onChange }: RunFiltersProps) {
  return (
    <div className="filters" role="search" aria-label="Filter runs">
      <div className="chips" role="group" aria-label="State">
        {GROUPS.map((group) => (
          <button
            key={group}
            type="button"
            className="chip"
            aria-pressed={filter.group === group}
            aria-label={`${GROUP_WORDS[group]}${counts ? `, ${counts[group]}` : ''}`}
            onClick={() => onChange({ ...filter, group, page: 1 })}
          >
            {group !== 'all' && <StateIcon tone={group} />}
            <span>{GROUP_WORDS[group]}</span>
            <span className="chip-count number">{counts ? counts[group].toLocaleString('en') : ' '}</span>
          </button>
        ))}
      </div>
      <div className="search">
        <svg viewBox="0 0 16 16" aria-hidden="true">
          <circle cx="7" cy="7" r="4.5" />
          <path d="m10.4 10.4 3.4 3.4" />
        </svg>
        <input
          type="search"
          data-filter
          aria-label="Filter by flow name"
          aria-keyshortcuts="/"
          placeholder="Flow name"
          value={filter.flow}
          onChange={(event) => onChange({ ...filter, flow: event.target.value, page: 1 })}
        />
        <kbd aria-hidden="true">/</kbd>
      </div>
    </div>
  );
}
