import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/**
 * Whether a process with this id runs, whoever it belongs to. One that has ended and was not asked for its exit status yet (a
 * zombie, which may stay where nothing reaps orphans, as in many containers) does not: it holds no file and no memory.
 */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  if (process.platform !== 'linux') return true;
  const state = statFields(pid)?.[0];
  return state !== undefined && state !== 'Z' && state !== 'X';
}

/**
 * When the process started, in whatever unit the system tells it; undefined where there is none. With the id it names one
 * process for good: ids are used again, in a container after every restart.
 */
export function processStart(pid: number): string | undefined {
  if (!isRunning(pid)) return undefined;
  if (process.platform === 'linux') {
    return statFields(pid)?.[19];
  }
  return ps(pid, 'lstart=');
}

/** The command line; undefined where there is no such process. */
export function processCommand(pid: number): string | undefined {
  if (!isRunning(pid)) return undefined;
  if (process.platform === 'linux') return readOrUndefined(`/proc/${pid}/cmdline`)?.replaceAll('\0', ' ');
  return ps(pid, 'command=');
}

/** Resolves to whether the process ended within the time. For processes that are not our children, so it has to ask. */
export async function waitForEnd(pid: number, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (isRunning(pid)) {
    if (performance.now() > deadline) return false;
    await delay(20);
  }
  return true;
}

/** proc_pid_stat(5), from the third field on: the second, the name, may itself contain blanks and brackets. */
function statFields(pid: number): readonly string[] | undefined {
  const stat = readOrUndefined(`/proc/${pid}/stat`);
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
}

function readOrUndefined(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined; // The process ended between two questions.
  }
}

function ps(pid: number, column: string): string | undefined {
  try {
    return (
      execFileSync('ps', ['-ww', '-o', column, '-p', String(pid)], { encoding: 'utf8' }).trim() || undefined
    );
  } catch {
    return undefined; // ps answers 1 for a process that is gone.
  }
}
