/** What is measured, in which order, and how it is printed. */
import { table } from '../src/cli/load/table.ts';

export type Figures = Readonly<Record<string, number>>;

export interface Row {
  readonly id: string;
  /** One for each of the section's `labelHeads`. */
  readonly labels: readonly string[];
  measure(): Promise<Figures>;
}

export interface Column {
  readonly key: string;
  readonly head: string;
  readonly digits: number;
}

/** Something that was promised of the figures. */
export interface Target {
  readonly what: string;
  readonly wanted: string;
  readonly figure: string;
  readonly met: boolean;
}

export interface Section {
  readonly title: string;
  readonly about: string;
  readonly labelHeads: readonly string[];
  readonly columns: readonly Column[];
  readonly rows: readonly Row[];
  targets?(results: Results): readonly Target[];
}

/** The figures of all rows, one of each turn. */
export class Results {
  readonly #byRow = new Map<string, Figures[]>();

  add(rowId: string, figures: Figures): void {
    const turns = this.#byRow.get(rowId) ?? [];
    turns.push(figures);
    this.#byRow.set(rowId, turns);
  }

  /** The median of the turns; undefined where the row has no such figure. */
  of(rowId: string, key: string): number | undefined {
    return median((this.#byRow.get(rowId) ?? []).map((figures) => figures[key]));
  }

  /** The median of what one row is to another in the same turn: machines drift, turns less. */
  ratio(rowId: string, otherId: string, key: string): number {
    const others = this.#byRow.get(otherId) ?? [];
    const ratios = (this.#byRow.get(rowId) ?? []).map(
      (figures, turn) => (figures[key] ?? Number.NaN) / (others[turn]?.[key] ?? Number.NaN),
    );
    return median(ratios) ?? Number.NaN;
  }
}

/** Every row once, then all again. */
export async function measureInTurns(section: Section, turns: number): Promise<Results> {
  const results = new Results();
  for (let turn = 1; turn <= turns; turn++) {
    for (const row of section.rows) {
      process.stderr.write(`${section.title}, turn ${turn} of ${turns}: ${row.labels.join(', ')}\n`);
      results.add(row.id, await row.measure());
    }
  }
  return results;
}

export function render({ title, about, labelHeads, columns, rows }: Section, results: Results): string {
  const heads = [...labelHeads, ...columns.map(({ head }) => head)];
  const cells = rows.map(({ id, labels }) => [
    ...labels,
    ...columns.map(({ key, digits }) => {
      const value = results.of(id, key);
      return value === undefined ? '' : decimal(value, digits);
    }),
  ]);
  return `## ${title}\n\n${about}\n\n${table(heads, cells)}\n`;
}

export function renderTargets(targets: readonly Target[]): string {
  const cells = targets.map(({ what, wanted, figure, met }) => [what, wanted, figure, met ? 'met' : 'short']);
  return `## Targets\n\n${table(['target', 'wanted', 'measured', ''], cells)}\n`;
}

/** @param least undefined for a figure that should be below `most` */
export function target(
  what: string,
  unit: string,
  value: number | undefined,
  bounds: { readonly least: number } | { readonly below: number },
  digits = 2,
): Target {
  const figure = value === undefined ? 'not measured' : `${decimal(value, digits)}${unit}`;
  return 'least' in bounds
    ? {
        what,
        wanted: `at least ${decimal(bounds.least, digits)}${unit}`,
        figure,
        met: value !== undefined && value >= bounds.least,
      }
    : {
        what,
        wanted: `under ${decimal(bounds.below, digits)}${unit}`,
        figure,
        met: value !== undefined && value < bounds.below,
      };
}

export function decimal(value: number, digits: number): string {
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function median(values: readonly (number | undefined)[]): number | undefined {
  const sorted = values.filter((value) => value !== undefined).sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle];
  const lower = sorted[sorted.length % 2 === 1 ? middle : middle - 1];
  return upper === undefined || lower === undefined ? undefined : (lower + upper) / 2;
}
