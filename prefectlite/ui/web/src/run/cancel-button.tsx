import { useEffect, useId, useRef, useState } from 'react';
import { CANCEL_FLOW_RUN, type Run } from '../api/documents';
import { messageOf, request } from '../api/transport';
import { ErrorNotice } from '../shell/notice';

/** Cancels the run after a question. */
export function CancelButton({ run }: { run: Run }) {
  const [asking, setAsking] = useState(false);
  const cancelling = run.state === 'Cancelling';
  return (
    <>
      <button type="button" className="button danger" disabled={cancelling} onClick={() => setAsking(true)}>
        {cancelling ? 'Cancelling…' : 'Cancel run'}
      </button>
      {asking && <CancelDialog run={run} onClose={() => setAsking(false)} />}
    </>
  );
}

function CancelDialog({ run, onClose }: { run: Run; onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);

  useEffect(() => {
    const element = dialog.current!;
    if (!element.open) element.showModal();
    return () => element.close();
  }, []);

  const cancel = async () => {
    setBusy(true);
    setError(null);
    try {
      await request(CANCEL_FLOW_RUN, { input: { flow_run_id: run.id } });
      dialog.current?.close();
    } catch (reason) {
      setError(messageOf(reason));
      setBusy(false);
    }
  };

  return (
    <dialog ref={dialog} className="dialog dialog-small" aria-labelledby={titleId} onClose={onClose}>
      <header>
        <h2 id={titleId}>Cancel {run.name}?</h2>
      </header>
      <div className="dialog-body">
        <p>Tasks that are running are stopped; what has finished stays recorded.</p>
        <ErrorNotice message={error} />
      </div>
      <footer>
        <button type="button" className="button" onClick={() => dialog.current?.close()}>
          Keep it
        </button>
        <button type="button" className="button danger-filled" disabled={busy} onClick={() => void cancel()}>
          {busy ? 'Cancelling…' : 'Cancel the run'}
        </button>
      </footer>
    </dialog>
  );
}
