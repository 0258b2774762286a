import { useId } from 'react';
import { read, type Parameter } from './parameter';

/** Says beneath an input how its text will be sent. */
function ReadingHint({ parameter, typed }: { parameter: Parameter; typed: string }) {
  const reading = read(parameter, typed);
  if (reading.kind === 'none') {
    if (parameter.required) return <>needs a value</>;
    return (
      <>
        default <code>{JSON.stringify(parameter.default ?? null)}</code>
      </>
    );
  }
  if (reading.kind === 'value') {
    return (
      <>
        sent as {reading.word} <code>{JSON.stringify(reading.value)}</code>
      </>
    );
  }
  return (
    <>
      {reading.doubtful && <strong>not valid JSON, </strong>}sent as text <code>{JSON.stringify(reading.value)}</code>
    </>
  );
}

interface ParameterInputProps {
  parameter: Parameter;
  typed: string;
  missing: boolean;
  onType: (typed: string) => void;
}

/** One parameter of the form. */
export function ParameterInput({ parameter, typed, missing, onType }: ParameterInputProps) {
  const id = useId();
  return (
    <div className="field" data-missing={missing || undefined}>
      <label htmlFor={id}>
        <span className="field-name">{parameter.name}</span>
        {parameter.type && <span className="field-type">{parameter.type}</span>}
        {parameter.required && <span className="field-required">required</span>}
      </label>
      <textarea
        id={id}
        rows={Math.min(8, typed.split('\n').length)}
        value={typed}
        spellCheck={false}
        autoComplete="off"
        aria-label={parameter.name}
        aria-required={parameter.required}
        aria-invalid={missing || undefined}
        aria-describedby={`${id}-hint`}
        onChange={(event) => onType(event.target.value)}
      />
      <p id={`${id}-hint`} className="field-hint">
        <ReadingHint parameter={parameter} typed={typed} />
      </p>
    </div>
  );
}
