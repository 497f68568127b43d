// A progress bar on one line of a terminal.

const WIDTH = 30;
const MIN_INTERVAL_MS = 100;
/** Back to the line's start, and clear to its end (ECMA-48 EL). */
const REWRITE = '\r\x1b[K';

export interface ProgressBar {
  update(doneBytes: number, lines: number): void;
  /** Leaves the line empty for what is printed next. */
  clear(): void;
}

/** @param write undefined where nobody watches: then nothing is written */
export function progressBar(
  totalBytes: number,
  write: ((text: string) => void) | undefined,
  now: () => number,
): ProgressBar {
  if (write === undefined) return { update: () => {}, clear: () => {} };
  let drawnAt = Number.NEGATIVE_INFINITY;
  return {
    update(doneBytes, lines) {
      if (now() - drawnAt < MIN_INTERVAL_MS) return;
      drawnAt = now();
      write(`${REWRITE}${formatProgress(doneBytes, totalBytes, lines)}`);
    },
    clear() {
      if (drawnAt !== Number.NEGATIVE_INFINITY) write(REWRITE);
    },
  };
}

/** For example `[=========>                    ]  33 %, 12,288 lines anchored`. */
export function formatProgress(doneBytes: number, totalBytes: number, lines: number): string {
  // The file may have grown since its size was read.
  const part = totalBytes === 0 ? 1 : Math.min(doneBytes / totalBytes, 1);
  const bar = `${'='.repeat(Math.floor(part * WIDTH))}${part < 1 ? '>' : ''}`.padEnd(WIDTH);
  const percent = String(Math.floor(part * 100)).padStart(3);
  return `[${bar}] ${percent} %, ${lines.toLocaleString('en')} lines anchored`;
}
