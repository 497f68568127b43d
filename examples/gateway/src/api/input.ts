// What requests may hold, as JSON schemas, and how one is refused.

/** 1 to `maxLength` characters that both Postgres and canonical JSON can hold: no controls, no lone surrogates. */
export const text = (maxLength: number) =>
  ({ type: 'string', minLength: 1, maxLength, pattern: '^[^\\p{Cc}\\p{Cs}]*$' }) as const;

/** Of routes with `/:id`. */
export const ID = { type: 'object', properties: { id: { type: 'string', format: 'uuid' } } } as const;

/** An answer other than 2xx: Fastify reads the status from the error. */
export class Refusal extends Error {
  readonly statusCode: number;

  constructor(statusCode: number, message: string) {
    super(message);
    this.statusCode = statusCode;
  }
}
