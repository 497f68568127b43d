import { readFile } from 'node:fs/promises';

export interface MemorySample {
  readonly seconds: number;
  readonly rssMib: number;
}

/** The resident memory of a process, each second. */
export class MemoryMeter {
  readonly samples: MemorySample[] = [];
  readonly #pid: number;
  readonly #startedAtMs = performance.now();
  readonly #timer: NodeJS.Timeout;

  constructor(pid: number, onSample: (sample: MemorySample) => void) {
    this.#pid = pid;
    this.#timer = setInterval(() => {
      void residentMib(this.#pid).then(
        (rssMib) => {
          const sample = { seconds: (performance.now() - this.#startedAtMs) / 1000, rssMib };
          this.samples.push(sample);
          onSample(sample);
        },
        () => {},
      );
    }, 1_000);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  get largestMib(): number {
    return Math.max(...this.samples.map(({ rssMib }) => rssMib));
  }

  /** MiB a minute, by least squares over the second half: the first is what filling up takes. */
  get slopeMibPerMinute(): number {
    const half = this.samples.slice(Math.floor(this.samples.length / 2));
    const mean = (of: (sample: MemorySample) => number) =>
      half.reduce((sum, each) => sum + of(each), 0) / half.length;
    const seconds = mean((sample) => sample.seconds);
    const rss = mean((sample) => sample.rssMib);
    const covariance = mean((sample) => (sample.seconds - seconds) * (sample.rssMib - rss));
    return (60 * covariance) / mean((sample) => (sample.seconds - seconds) ** 2);
  }
}

export async function residentMib(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
  if (kib === undefined) throw new Error(`process ${pid} has no resident memory`);
  return Number(kib) / 1024;
}
