import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Measured } from '../src/cli/load/keep-in-flight.ts';
import type { Answer, Load } from './load-worker.ts';

export interface LoadClient {
  readonly pid: number;
  /** One load at a time. */
  run(load: Load): Promise<Measured>;
  stop(): void;
}

/** A process that makes loads, one after the other, and stays warm between them. */
export function startLoadClient(): LoadClient {
  const child = fork(join(import.meta.dirname, 'load-worker.ts'));
  const killed = () => child.kill('SIGKILL');
  process.once('exit', killed);
  const ended = once(child, 'exit').then(([code]): [Answer] => [{ error: `the client ended with ${code}` }]);
  return {
    pid: child.pid ?? 0,
    async run(load) {
      child.send(load);
      const [answer] = (await Promise.race([once(child, 'message'), ended])) as [Answer];
      if ('error' in answer) throw new Error(`${JSON.stringify(load)}: ${answer.error}`);
      return answer.measured;
    },
    stop() {
      process.removeListener('exit', killed);
      child.kill();
    },
  };
}
