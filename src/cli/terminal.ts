/** What a command may touch of the process it runs in; tests pass their own. */
export interface Terminal {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Results, for people or with `--json` for programs. */
  writeOut(text: string): void;
  /** Everything else: notices, warnings, progress. */
  writeError(text: string): void;
  /** Whether a person watches what is written to stderr. */
  readonly isWatched: boolean;
}

/** Writes one line of JSON for programs, or the text for people. */
export function report(terminal: Terminal, asJson: boolean, value: unknown, text: string): void {
  terminal.writeOut(asJson ? `${JSON.stringify(value)}\n` : `${text}\n`);
}

export function notice(terminal: Terminal, text: string): void {
  terminal.writeError(`${text}\n`);
}

/**
 * Text from elsewhere on one line, with what a terminal would obey (escape sequences, a carriage return that hides what is
 * before it) spelled out as in JSON.
 */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) =>
    character === '\n' ? '\\n' : `\\u{${character.codePointAt(0)?.toString(16)}}`,
  );
}
