import { useCallback } from 'react';
import { FLOWS } from '../api/documents';
import { useQuery } from '../api/use-query';
import { newestVersions } from '../flows/versions';
import { useThrottled } from '../live/throttle';
import { ErrorNotice } from '../shell/notice';
import { Pager } from '../shell/pager';
import { navigate, usePlace } from '../shell/router';
import { useTitle } from '../shell/title';
import { addressWith, filterOf, PAGE_SIZE, type RunsFilter } from './filter';
import { FlowsAside } from './flows-aside';
import { RunFilters } from './run-filters';
import { RunList } from './run-list';
import { useRuns } from './use-runs';

const NOTHING = {};
const FLOWS_EVERY = 2_000;

/** All flow runs, newest first. */
export function RunsPage() {
  useTitle('Runs');
  const filter = filterOf(usePlace().search);
  const flows = useQuery(FLOWS, NOTHING);
  const { rows, counts, error, loading, refetch } = useRuns(filter, useThrottled(flows.refetch, FLOWS_EVERY));
  const total = counts?.[filter.group] ?? 0;

  const show = useCallback((next: RunsFilter) => navigate(addressWith(next), { replace: true }), []);

  return (
    <div className="runs-page">
      <section className="runs-main" aria-labelledby="runs-title">
        <h1 id="runs-title">Runs</h1>
        <RunFilters filter={filter} counts={counts} onChange={show} />
        <ErrorNotice message={error} retry={() => void refetch()} />
        <RunList rows={rows} filtered={filter.group !== 'all' || filter.flow !== ''} busy={loading} />
        <Pager
          label="Pages of runs"
          offset={(filter.page - 1) * PAGE_SIZE}
          size={PAGE_SIZE}
          total={total}
          onMove={(offset) => {
            navigate(addressWith({ ...filter, page: offset / PAGE_SIZE + 1 }));
            window.scrollTo(0, 0);
          }}
        />
      </section>
      <FlowsAside
        flows={flows.data && newestVersions(flows.data.flow)}
        error={flows.error}
        shown={filter.flow}
        onShow={(flow) => show({ ...filter, flow, page: 1 })}
      />
    </div>
  );
}
