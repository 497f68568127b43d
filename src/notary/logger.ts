/** What the domain needs of a logger; pino fits. Fields never hold leaves, secrets or checkpoints. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
