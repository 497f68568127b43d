// The gRPC edge of the notary.

export type { Authenticate, Caller, Credentials } from './authentication.ts';
export { RequestError, type RequestErrorCode } from './error.ts';
export { DEFAULT_LIMITS, resolveLimits, type ServerLimits } from './limits.ts';
export { checkListenAddress, type ListenAddress } from './listen-address.ts';
export { createNotaryServer, type NotaryServer, type NotaryServerOptions } from './notary-server.ts';
export { ERROR_DOMAIN } from './status.ts';
