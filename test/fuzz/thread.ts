// A target in a thread of its own, watched from outside: only from there can an endless loop be seen and ended.

import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { CurrentInput } from './current-input.ts';
import { type Job, type JobResult, runTarget } from './run-target.ts';

/** No input of any target takes a second; a machine under load may stop a thread for some. */
const HANG_MS = 60_000;

export async function runApart(job: Job): Promise<JobResult> {
  const current = new CurrentInput();
  const begunAt = performance.now();
  const worker = new Worker(new URL(import.meta.url), { workerData: { job, shared: current.shared } });
  let lastCount = -1;
  let countedAt = performance.now();
  const { promise, resolve, reject } = Promise.withResolvers<JobResult>();
  const watch = setInterval(() => {
    if (current.count !== lastCount) {
      lastCount = current.count;
      countedAt = performance.now();
    } else if (performance.now() - countedAt > HANG_MS) {
      const failure = `input ${lastCount} hangs (seed ${job.seed}), it was ended after ${HANG_MS / 1000} s:\n${current.shown}`;
      resolve({
        inputs: lastCount,
        accepted: 0,
        kept: 0,
        growth: 0,
        ms: performance.now() - begunAt,
        failure,
      });
    }
  }, 1000);
  worker.on('message', (result: JobResult) => resolve(result));
  // What nobody awaited, such as a handler that threw after its call had ended.
  worker.on('error', (error) => {
    const failure = `uncaught at input ${current.count} (seed ${job.seed}): ${error.stack}\n${current.shown}`;
    resolve({
      inputs: current.count,
      accepted: 0,
      kept: 0,
      growth: 0,
      ms: performance.now() - begunAt,
      failure,
    });
  });
  worker.on('exit', (code) => reject(new Error(`the thread of target ${job.name} ended with ${code}`)));
  try {
    return await promise;
  } finally {
    clearInterval(watch);
    await worker.terminate();
  }
}

if (!isMainThread) {
  const { job, shared } = workerData as { readonly job: Job; readonly shared: SharedArrayBuffer };
  parentPort?.postMessage(await runTarget(job, new CurrentInput(shared)));
}
