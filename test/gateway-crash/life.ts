import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type ApplicationOptions, OPTIONS } from './application-options.ts';
import type { End } from './plan.ts';

const PROGRAM = join(import.meta.dirname, 'application.ts');
/** Far more than any life needs: one that takes longer is stuck. */
const LIFE_MS = 90_000;

export interface LivedLife {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** did not come to its end in time */
  readonly wasStuck: boolean;
  readonly output: string;
}

/** One process of the application, from its start to its end. @param end undefined: of its own accord */
export async function live(
  options: ApplicationOptions,
  end: End | undefined,
  compileCache: string,
): Promise<LivedLife> {
  const child = spawn(process.execPath, [PROGRAM], {
    env: {
      PATH: process.env.PATH ?? '',
      NODE_COMPILE_CACHE: compileCache,
      [OPTIONS]: JSON.stringify(options),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const killWithUs = () => child.kill('SIGKILL');
  process.once('exit', killWithUs);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-8_000);
    });
  }
  let wasStuck = false;
  const stuck = setTimeout(() => {
    wasStuck = true;
    child.kill('SIGKILL');
  }, LIFE_MS);
  const ended = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  if (end !== undefined && end.kind !== 'point') void endIt(child, end, ended);
  const [code, signal] = await ended;
  clearTimeout(stuck);
  process.removeListener('exit', killWithUs);
  return { code, signal, wasStuck, output };
}

async function endIt(
  child: ChildProcess & { readonly stdout: NonNullable<ChildProcess['stdout']> },
  end: Exclude<End, { kind: 'point' }>,
  ended: Promise<unknown>,
): Promise<void> {
  await Promise.race([once(child.stdout, 'data'), ended]);
  await delay(end.afterMs);
  child.kill(end.kind === 'time' ? 'SIGKILL' : 'SIGTERM');
}
