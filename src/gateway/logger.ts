/** Where the gateway says what an operator must know. A pino logger is one as it is. Never told leaves, events or secrets. */
export interface GatewayLogger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** For whoever gives none: what needs attention goes to stderr, a line of JSON each; the rest is not said. */
export const stderrLogger: GatewayLogger = {
  info() {},
  warn: (fields, message) => console.error(JSON.stringify({ level: 'warn', message, ...fields })),
  error: (fields, message) => console.error(JSON.stringify({ level: 'error', message, ...fields })),
};
