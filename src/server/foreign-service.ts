import type { Server, ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import { received } from '../rpc/service-definition.ts';
import { smallMessage } from './small-message.ts';

/** What packages that bring a service of their own add it to. */
export interface ServiceHost {
  addService(definition: ServiceDefinition, implementation: UntypedServiceImplementation): void;
}

/** Adds services whose messages are read by other people's code, held to the same rule: a deserializer never throws. */
export function foreignServiceHost(server: Server): ServiceHost {
  return {
    addService(definition, implementation) {
      const guarded = Object.entries(definition).map(([name, method]) => {
        const decode = method.requestDeserialize as (bytes: Uint8Array) => unknown;
        return [name, { ...method, requestDeserialize: received(smallMessage(decode)) }];
      });
      server.addService(Object.fromEntries(guarded), implementation);
    },
  };
}
