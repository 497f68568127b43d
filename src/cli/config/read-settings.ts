// From flags and environment to typed values, once, with every mistake at once.

import { CliError } from '../error.ts';
import { type Configuration, SETTINGS, type SettingName } from './settings.ts';
import { ValueError } from './values.ts';

/** Where values come from; flags win. An empty environment variable counts as not set. */
export interface Sources {
  readonly flags: Readonly<Partial<Record<SettingName, string>>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Settings that were wrong, or that have no default and were not given, are missing. */
export type Reading<Names extends SettingName> = Partial<Configuration<Names>>;

/** Collects what is wrong, so that it can all be said at once. */
export class Mistakes {
  readonly #lines: string[] = [];

  add(line: string): void {
    this.#lines.push(line);
  }

  get lines(): readonly string[] {
    return this.#lines;
  }

  toError(): CliError {
    const [first, ...rest] = this.#lines;
    return new CliError(
      'CONFIGURATION',
      rest.length === 0
        ? `configuration: ${first}`
        : ['configuration:', ...this.#lines.map((line) => `  ${line}`)].join('\n'),
    );
  }
}

/** Parses the settings of a command; a secret's value never gets into a mistake. */
export function readSettings<Name extends SettingName>(
  names: readonly Name[],
  sources: Sources,
  mistakes: Mistakes,
): Reading<Name> {
  const values: Partial<Record<SettingName, unknown>> = {};
  for (const name of names) {
    const setting = SETTINGS[name];
    const flag = sources.flags[name];
    const variable = sources.environment[setting.env] || undefined;
    const text = flag ?? variable ?? setting.fallback;
    if (text === undefined) continue;
    try {
      values[name] = setting.parse(text);
    } catch (error) {
      if (!(error instanceof ValueError)) throw error;
      const source = flag === undefined ? setting.env : setting.flag;
      const shown = setting.secret ? '' : `${JSON.stringify(text)}: `;
      mistakes.add(`${source}: ${shown}${error.message}`);
    }
  }
  return values as Reading<Name>;
}

/**
 * The settings of a command that needs no more judgement than that of single values.
 *
 * @param required those without a default that must be given
 */
export function parseConfiguration<Name extends SettingName, Required extends Name = never>(
  names: readonly Name[],
  sources: Sources,
  required: readonly Required[] = [],
): Configuration<Exclude<Name, Required>> & { readonly [R in Required]: NonNullable<Configuration[R]> } {
  const mistakes = new Mistakes();
  const values = readSettings(names, sources, mistakes);
  for (const name of required) requireGiven(name, sources, mistakes);
  if (mistakes.lines.length > 0) throw mistakes.toError();
  return values as ReturnType<typeof parseConfiguration<Name, Required>>;
}

/** Tells of a setting that has no default and was not given; one that was given and is wrong has been told of. */
export function requireGiven(
  name: SettingName,
  sources: Sources,
  mistakes: Mistakes,
  whatItIs: string = '',
): void {
  if (!isGiven(name, sources)) mistakes.add(`${nameOf(name)} is missing${whatItIs}`);
}

/** Whether there is a value at all, right or wrong. */
export function isGiven(name: SettingName, { flags, environment }: Sources): boolean {
  return flags[name] !== undefined || Boolean(environment[SETTINGS[name].env]);
}

/** How to name a setting to a person: its flag where it has one, and its variable. */
export function nameOf(name: SettingName): string {
  const { flag, env } = SETTINGS[name];
  return flag === undefined ? env : `${flag} (${env})`;
}
