import type { Metadata, ServerInterceptingCallInterface } from '@grpc/grpc-js';
import type { CallContext } from './call-context.ts';
import type { AuthContext, Layering } from './call-layer.ts';
import { CallLayer } from './call-layer.ts';
import { statusOf } from './status.ts';

/** What a caller shows of itself before any message is read. */
export interface Credentials {
  readonly metadata: Metadata;
  readonly peer: string;
  /** Carries the client's certificate, where TLS asked for one. */
  readonly authContext: AuthContext;
  /** For example `/quartermaster.v1.QuartermasterNotary/CreateAnchor`. */
  readonly path: string;
}

export interface Caller {
  /** Goes into anchor records: at most 256 bytes of UTF-8. */
  readonly submitter: string;
}

/** Who calls; undefined for nobody in particular. Throws a `RequestError` UNAUTHENTICATED or PERMISSION_DENIED to refuse. */
export type Authenticate = (credentials: Credentials) => Caller | undefined | Promise<Caller | undefined>;

/** Asks before the message is read, so that nobody unknown can make the server hold one. */
export function authentication(authenticate: Authenticate): Layering {
  // Health checks come from the platform, which has no credentials; reflection tells only what is public.
  return (below, context) =>
    context.method.own ? new AuthenticatedCall(below, context, authenticate) : below;
}

class AuthenticatedCall extends CallLayer {
  readonly #authenticate: Authenticate;

  constructor(below: ServerInterceptingCallInterface, context: CallContext, authenticate: Authenticate) {
    super(below, context);
    this.#authenticate = authenticate;
  }

  override onReceiveMetadata(metadata: Metadata): void {
    void this.#admit(metadata);
  }

  async #admit(metadata: Metadata): Promise<void> {
    try {
      const caller = await this.#authenticate({
        metadata,
        peer: this.context.peer,
        authContext: this.getAuthContext(),
        path: this.context.method.path,
      });
      this.context.submitter = caller?.submitter;
    } catch (error) {
      this.context.error = error;
      this.sendStatus(statusOf(error, this.context));
      return;
    }
    super.onReceiveMetadata(metadata);
  }
}
