import { readFileSync } from 'node:fs';

/** The code under a heading of README.md, as it stands there. */
export function readmeCode(heading: string): string {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  const section = readme.split(/^## /m).find((text) => text.startsWith(`${heading}\n`));
  const code = /^```ts\n(.*?)^```$/ms.exec(section ?? '')?.[1];
  if (code === undefined) throw new Error(`README.md has no TypeScript under "${heading}"`);
  return code;
}

/** Replaces what a reader replaces. @throws where it is not there exactly once */
export function filledIn(code: string, values: Readonly<Record<string, string>>): string {
  return Object.entries(values).reduce((text, [placeholder, value]) => {
    const parts = text.split(placeholder);
    if (parts.length !== 2) throw new Error(`${placeholder} must be once in the lines of README.md`);
    return parts.join(value);
  }, code);
}
