import { useEffect, useId, useRef, useState, type FormEvent, type KeyboardEvent } from 'react';
import { CREATE_FLOW_RUN, type FlowRow } from '../api/documents';
import { messageOf, request } from '../api/transport';
import { ErrorNotice } from '../shell/notice';
import { navigate } from '../shell/router';
import { parametersOf, read } from './parameter';
import { ParameterInput } from './parameter-input';

interface StartRunDialogProps {
  flow: FlowRow;
  onClose: () => void;
}

/** Asks for the parameters of a run, creates it and goes to its page. */
export function StartRunDialog({ flow, onClose }: StartRunDialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  const nameId = useId();
  const [typed, setTyped] = useState<ReadonlyMap<string, string>>(new Map()); // parameters have any name, __proto__ too
  const [name, setName] = useState('');
  const [tried, setTried] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const parameters = parametersOf(flow.parameters);
  const readings = parameters.map((parameter) => ({ parameter, reading: read(parameter, typed.get(parameter.name) ?? '') }));
  const isMissing = ({ parameter, reading }: (typeof readings)[number]) =>
    parameter.required && reading.kind === 'none';

  useEffect(() => {
    const element = dialog.current!;
    if (!element.open) element.showModal();
    return () => element.close();
  }, []);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    const missing = readings.filter(isMissing);
    if (missing.length > 0) {
      setError(null);
      requestAnimationFrame(() => dialog.current?.querySelector<HTMLElement>('[aria-invalid]')?.focus());
      return;
    }
    const given = readings.flatMap(({ parameter, reading }) =>
      reading.kind === 'none' ? [] : [[parameter.name, reading.value] as const],
    );
    setBusy(true);
    setError(null);
    try {
      const { create_flow_run: created } = await request(CREATE_FLOW_RUN, {
        input: { flow_id: flow.id, parameters: Object.fromEntries(given), flow_run_name: name.trim() || null },
      });
      if (!created?.id) throw new Error('The server did not say which run it created.');
      navigate(`/runs/${created.id}`);
    } catch (reason) {
      setError(messageOf(reason));
      setBusy(false);
    }
  };

  const submitByKey = (event: KeyboardEvent<HTMLFormElement>) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) event.currentTarget.requestSubmit();
  };

  return (
    <dialog ref={dialog} className="dialog" aria-labelledby={titleId} onClose={onClose}>
      <form onSubmit={(event) => void submit(event)} onKeyDown={submitByKey} noValidate>
        <header>
          <h2 id={titleId}>Run {flow.name}</h2>
          <p className="muted">
            Version {flow.version}
            {flow.project && <> in {flow.project.name}</>}
          </p>
        </header>
        <div className="dialog-body">
          {flow.description && <p className="dialog-description">{flow.description}</p>}
          {readings.map((entry) => (
            <ParameterInput
              key={entry.parameter.name}
              parameter={entry.parameter}
              typed={typed.get(entry.parameter.name) ?? ''}
              missing={tried && isMissing(entry)}
              onType={(text) => setTyped((before) => new Map(before).set(entry.parameter.name, text))}
            />
          ))}
          {parameters.length > 0 && (
            <p className="field-note">
              What is JSON is sent as JSON: <code>42</code>, <code>true</code>, <code>["a", "b"]</code>. Anything else is sent
              as text; write <code>"42"</code> for the text 42.
            </p>
          )}
          {parameters.length === 0 && <p className="muted">This flow takes no parameters.</p>}
          <div className="field">
            <label htmlFor={nameId}>
              <span className="field-name field-name-plain">Run name</span>
              <span className="field-type">optional</span>
            </label>
            <input
              id={nameId}
              type="text"
              aria-label="Run name"
              autoComplete="off"
              placeholder="chosen for you when empty"
              value={name}
              onChange={(event) => setName(event.target.value)}
            />
          </div>
          <ErrorNotice message={error} />
        </div>
        <footer>
          <button type="button" className="button" onClick={() => dialog.current?.close()}>
            Close
          </button>
          <button type="submit" className="button primary" disabled={busy}>
            {busy ? 'Starting…' : 'Start run'}
          </button>
        </footer>
      </form>
    </dialog>
  );
}
