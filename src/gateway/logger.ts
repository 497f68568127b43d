/** Where the gateway says what an operator must know. A pino logger is one as it is. Never told events or secrets, and leaves only in the evidence that a memory outbox has nowhere else to keep. */
export interface GatewayLogger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** For whoever gives none: a line of JSON on stderr each. There are few: a notary that is away is one line, not one for each try. */
export const stderrLogger: GatewayLogger = {
  info: (fields, message) => console.error(line('info', fields, message)),
  warn: (fields, message) => console.error(line('warn', fields, message)),
  error: (fields, message) => console.error(line('error', fields, message)),
};

/** A logger that throws, as a pino whose stream is gone does, must not end delivery, or the process. */
export function unfailing(logger: GatewayLogger): GatewayLogger {
  const quietly = (say: () => void) => {
    try {
      say();
    } catch {
      // Whom to tell?
    }
  };
  return {
    info: (fields, message) => quietly(() => logger.info(fields, message)),
    warn: (fields, message) => quietly(() => logger.warn(fields, message)),
    error: (fields, message) => quietly(() => logger.error(fields, message)),
  };
}

function line(level: string, fields: object, message: string): string {
  return JSON.stringify({ level, message, ...fields }, (_key, value: unknown) =>
    // JSON alone says `{}` of most errors.
    value instanceof Error
      ? { ...value, name: value.name, message: value.message, stack: value.stack, cause: value.cause }
      : value,
  );
}
