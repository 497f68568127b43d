// Names in SQL, from whoever configures them: any name that Postgres allows, always quoted.

/** Longer ones are cut by Postgres without a word, and then name something else. */
const MAX_IDENTIFIER_BYTES = 63;

export const DEFAULT_SCHEMA = 'quartermaster_outbox';

/** @returns what is wrong with the name, or undefined */
export function faultOfIdentifier(name: unknown): string | undefined {
  if (typeof name !== 'string') return 'is not a string';
  if (name === '') return 'is empty';
  if (name.includes('\0') || !name.isWellFormed()) return 'is no text that Postgres can store';
  if (Buffer.byteLength(name) > MAX_IDENTIFIER_BYTES)
    return `is longer than ${MAX_IDENTIFIER_BYTES} bytes, which Postgres would cut`;
  return undefined;
}

export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

export function quoteLiteral(text: string): string {
  const quoted = `'${text.replaceAll("'", "''")}'`;
  return text.includes('\\') ? `E${quoted.replaceAll('\\', '\\\\')}` : quoted;
}

/** The outbox's own tables, as they are written in SQL. */
export interface OutboxNames {
  readonly schema: string;
  readonly leaves: string;
  readonly batches: string;
  readonly settled: string;
  readonly checkpoints: string;
  readonly evidence: string;
  readonly migrations: string;
  /** the function that seals */
  readonly take: string;
}

/** All begin with `outbox_`, so that they can live in a schema with others. */
export function outboxNames(schema: string): OutboxNames {
  const quoted = quoteIdentifier(schema);
  return {
    schema: quoted,
    leaves: `${quoted}.outbox_leaves`,
    batches: `${quoted}.outbox_batches`,
    settled: `${quoted}.outbox_settled`,
    checkpoints: `${quoted}.outbox_checkpoints`,
    evidence: `${quoted}.outbox_evidence`,
    migrations: `${quoted}.outbox_migrations`,
    take: `${quoted}.outbox_take`,
  };
}
