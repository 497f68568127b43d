import type { ServerMethodDefinition } from '@grpc/grpc-js';
import { MAX_SMALL_MESSAGE_BYTES } from './limits.ts';

/** What the interceptors need to know of a method; made once. */
export interface MethodTraits {
  /** `/package.Service/Method`. */
  readonly path: string;
  /** `Method`. */
  readonly name: string;
  /** Ours, not health or reflection. */
  readonly own: boolean;
  /** One question, one answer, nothing changed. */
  readonly read: boolean;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly maxMessageBytes: number;
}

type Definition = Pick<ServerMethodDefinition<unknown, unknown>, 'path' | 'requestStream' | 'responseStream'>;

/** Looks traits up by path. `maxMessageBytes` is for CreateAnchor, all other requests are small. */
export function methodTraits(maxMessageBytes: number): (definition: Definition) => MethodTraits {
  const known = new Map<string, MethodTraits>();
  return (definition) => {
    let traits = known.get(definition.path);
    if (traits === undefined) {
      traits = describe(definition, maxMessageBytes);
      known.set(definition.path, traits);
    }
    return traits;
  };
}

function describe(
  { path, requestStream, responseStream }: Definition,
  maxMessageBytes: number,
): MethodTraits {
  const name = path.slice(path.lastIndexOf('/') + 1);
  const own = path.startsWith('/quartermaster.');
  return {
    path,
    name,
    own,
    read: own && !responseStream && /^(?:Get|List|BatchGet)/.test(name),
    requestStream,
    responseStream,
    maxMessageBytes: own && name === 'CreateAnchor' ? maxMessageBytes : MAX_SMALL_MESSAGE_BYTES,
  };
}
