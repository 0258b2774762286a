/** A parameter of a flow, as its registration wrote it. */
export interface Parameter {
  name: string;
  required: boolean;
  default: unknown;
  type: string | null;
}

/** The parameters in a flow's JSON list; entries without a name are left out. */
export function parametersOf(json: unknown): Parameter[] {
  if (!Array.isArray(json)) return [];
  return json.flatMap((entry: unknown) => {
    if (typeof entry !== 'object' || entry === null) return [];
    const { name, required, type, ...rest } = entry as Record<string, unknown>;
    if (typeof name !== 'string' || !name) return [];
    return [{ name, required: required === true, default: rest.default, type: typeof type === 'string' ? type : null }];
  });
}

/** What a typed text stands for. `doubtful`: it looks like JSON and is none, so it is text perhaps against the intention. */
export type Reading =
  | { kind: 'none' }
  | { kind: 'value'; value: unknown; word: string }
  | { kind: 'text'; value: string; doubtful: boolean };

/**
 * Reads what was typed for a parameter: nothing means the default; text that is JSON is that JSON value; everything else
 * is text as it stands. A parameter declared as text takes everything as text.
 */
export function read(parameter: Parameter, typed: string): Reading {
  if (typed.trim() === '') return { kind: 'none' };
  if (parameter.type === 'str' || parameter.type === 'string') return { kind: 'text', value: typed, doubtful: false };
  try {
    const value: unknown = JSON.parse(typed);
    return { kind: 'value', value, word: wordFor(value) };
  } catch {
    return { kind: 'text', value: typed, doubtful: /^\s*[[{"]/.test(typed) };
  }
}

function wordFor(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return `list of ${value.length}`;
  if (typeof value === 'object') return `object with ${Object.keys(value).length} keys`;
  if (typeof value === 'string') return 'text';
  return typeof value === 'boolean' ? 'true or false' : 'number';
}
