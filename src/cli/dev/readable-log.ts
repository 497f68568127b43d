// Log lines for a person who watches a terminal, from the JSON lines that a server writes.

const LEVELS: Readonly<Record<number, string>> = { 40: 'warning: ', 50: 'ERROR: ', 60: 'FATAL: ' };
const OF_PINO = new Set(['level', 'time', 'pid', 'hostname', 'msg']);

/** For example `12:03:04 call method=CreateAnchor code=OK durationMs=2.1 leafCount=3`. */
export function readableLine(json: string): string {
  const { level, time, msg, ...fields } = JSON.parse(json) as Readonly<Record<string, unknown>>;
  const clock = new Date(Number(time)).toTimeString().slice(0, 8);
  const shown = Object.entries(fields)
    .filter(([name]) => !OF_PINO.has(name))
    .map(([name, value]) => `${name}=${readable(value)}`);
  return `${[`${clock} ${LEVELS[Number(level)] ?? ''}${String(msg)}`, ...shown].join(' ')}\n`;
}

function readable(value: unknown): string {
  if (typeof value === 'object' && value !== null && 'message' in value) return String(value.message);
  return typeof value === 'string' ? value : JSON.stringify(value);
}
