// Options of the command line: those of settings come from the table, the rest are parsed here.

import { readFileSync } from 'node:fs';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { ED25519, NoteError, parseVkey } from '../note/index.ts';
import { type ClientConfiguration, loadClientConfiguration } from './config/client-configuration.ts';
import type { Sources } from './config/read-settings.ts';
import { SETTINGS, SETTINGS_OF, type Setting, type SettingName } from './config/settings.ts';
import { warnOfUnknownVariables } from './config/unknown-variables.ts';
import { notice, type Terminal } from './terminal.ts';

/** Adds the flags of settings to a command. Their values stay text: the configuration parses them together. */
export function addSettings(command: Command, names: readonly SettingName[]): Command {
  for (const name of names) {
    const option = optionOf(name);
    if (option !== undefined) command.addOption(option);
  }
  return command;
}

function optionOf(name: SettingName): Option | undefined {
  const { flag, placeholder, description, env, fallback, repeatable }: Setting<unknown> = SETTINGS[name];
  if (flag === undefined) return undefined;
  const shownDefault = fallback === undefined ? '' : `; default ${fallback}`;
  const about = `${description.replaceAll('`', '')} (${env}${shownDefault})`;
  if (placeholder === 'boolean') return new Option(`${flag} [${placeholder}]`, about).preset('true');
  const option = new Option(`${flag} <${placeholder}>`, about);
  return repeatable
    ? option.argParser((text: string, before?: string) =>
        before === undefined ? text : `${before}\n${text}`,
      )
    : option;
}

/** Where the settings of a parsed command come from. Warns of variables that are none. */
export function sourcesOf(command: Command, names: readonly SettingName[], terminal: Terminal): Sources {
  for (const warning of warnOfUnknownVariables(terminal.environment)) notice(terminal, `warning: ${warning}`);
  const values = command.opts<Record<string, unknown>>();
  const flags: Partial<Record<SettingName, string>> = {};
  for (const name of names) {
    const value = values[optionOf(name)?.attributeName() ?? ''];
    if (typeof value === 'string') flags[name] = value;
  }
  return { flags, environment: terminal.environment };
}

/** The settings of a command that talks to a notary. */
export function clientConfigurationOf(command: Command, terminal: Terminal): ClientConfiguration {
  return loadClientConfiguration(sourcesOf(command, SETTINGS_OF.client, terminal), readFileSync);
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

export function parseUuid(text: string): string {
  const lowered = text.toLowerCase();
  if (!UUID.test(lowered)) {
    throw new InvalidArgumentError('Expected a UUID such as 0198c7a0-5f6e-7d2c-9b1a-3e4f5a6b7c8d.');
  }
  return lowered;
}

/** For options that may be given several times. */
export function collectVkeys(text: string, before: readonly string[] = []): readonly string[] {
  let type: number;
  try {
    ({ type } = parseVkey(text));
  } catch (error) {
    if (error instanceof NoteError)
      throw new InvalidArgumentError(`Expected a verifier key: ${error.message}.`);
    throw error;
  }
  if (type !== ED25519) {
    throw new InvalidArgumentError(`Expected the key of a log (Ed25519, type 1), not one of type ${type}.`);
  }
  return [...before, text];
}

export function parseLeaf(text: string): Uint8Array {
  if (!/^[0-9a-fA-F]{64}$/.test(text)) throw new InvalidArgumentError('Expected 32 bytes as 64 hex digits.');
  return new Uint8Array(Buffer.from(text, 'hex'));
}

export function parseCount(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= least && value <= most)) {
      throw new InvalidArgumentError(`Expected an integer from ${least} to ${most}.`);
    }
    return value;
  };
}

export const JSON_OPTION = ['--json', 'print the result as one line of JSON'] as const;
export const LINE_NUMBER = parseCount(1, Number.MAX_SAFE_INTEGER);
