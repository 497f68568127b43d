/** Where the gateway says what an operator must know. A pino logger is one as it is. Never told leaves, events or secrets. */
export interface GatewayLogger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** For whoever gives none: a line of JSON on stderr each. There are few: a notary that is away is one line, not one for each try. */
export const stderrLogger: GatewayLogger = {
  info: (fields, message) => console.error(JSON.stringify({ level: 'info', message, ...fields })),
  warn: (fields, message) => console.error(JSON.stringify({ level: 'warn', message, ...fields })),
  error: (fields, message) => console.error(JSON.stringify({ level: 'error', message, ...fields })),
};
