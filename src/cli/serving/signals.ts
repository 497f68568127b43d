/** Ctrl-C under npm arrives twice, from the terminal and from npm, which passes it on. */
const SAME_SIGNAL_MS = 1_000;

/**
 * Waits for SIGTERM or SIGINT. A second one, later, means that somebody has no patience: the process ends at once, with
 * exit code 1.
 */
export function untilSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let firstAt: number | undefined;
    const onSignal = (signal: NodeJS.Signals): void => {
      if (firstAt === undefined) {
        firstAt = performance.now();
        resolve(signal);
      } else if (performance.now() - firstAt > SAME_SIGNAL_MS) {
        process.exit(1);
      }
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
  });
}
